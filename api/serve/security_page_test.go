package serve

import (
	"io/fs"
	"os"
	"regexp"
	"strings"
	"testing"
)

// TestTheSecurityPageNamesTestsThatThereAre holds that no claim of docs/security.md rests on a test that is gone.
func TestTheSecurityPageNamesTestsThatThereAre(t *testing.T) {
	t.Parallel()
	root := os.DirFS("../..")
	page, err := fs.ReadFile(root, "docs/security.md")
	if err != nil {
		t.Fatal(err)
	}
	missing := map[string]bool{}
	for _, m := range regexp.MustCompile("`(Test[A-Za-z0-9]+)`").FindAllStringSubmatch(string(page), -1) {
		missing[m[1]] = true
	}
	if len(missing) < 30 {
		t.Errorf("the page names %d tests; its claims need more", len(missing))
	}
	defined := regexp.MustCompile(`(?m)^func (Test[A-Za-z0-9]+)\(`)
	err = fs.WalkDir(root, ".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, "_test.go") {
			return err
		}
		source, err := fs.ReadFile(root, path)
		for _, m := range defined.FindAllSubmatch(source, -1) {
			delete(missing, string(m[1]))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	for name := range missing {
		t.Errorf("docs/security.md names %s, and there is no such test", name)
	}
}
