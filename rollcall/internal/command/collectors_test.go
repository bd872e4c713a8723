package command_test

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rollcallhq/rollcall/rollcall/internal/command"
)

func testDefinition(t *testing.T, path string) (status int, said string) {
	t.Helper()
	var out bytes.Buffer
	status = command.Run(t.Context(), command.Invocation{Args: []string{"collectors", "test", path}, Stdout: &out, Stderr: &out})
	return status, out.String()
}

func TestTheExamplesReadTheirFixtures(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("../../../docs/examples/collectors/*.yaml")
	if err != nil || len(files) < 2 {
		t.Fatalf("examples %v, %v", files, err)
	}
	for _, file := range files {
		if status, said := testDefinition(t, file); status != 0 || !strings.Contains(said, "as they should be") {
			t.Errorf("%s: status %d\n%s", file, status, said)
		}
	}
}

func TestADefinitionThatIsWrongIsNamedWithItsPlace(t *testing.T) {
	t.Parallel()
	const good = "name: sample\nos:\n  linux: echo a=1\nparser: {format: kv}\n"
	for name, tt := range map[string]struct{ text, want string }{
		"an unknown key":          {good + "tiemout: 1\n", "[5:1]"},
		"no YAML":                 {"name: [\n", "["},
		"a field that is wrong":   {good + "redact: [\"(\"]\n", "redact[0]"},
		"a fixture that is wrong": {good + "fixtures:\n- {name: f, stdout: \"a=1\", expect: {facts: {a: \"2\"}}}\n", "+ facts.a = \"1\""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			path := filepath.Join(t.TempDir(), "sample.yaml")
			if err := os.WriteFile(path, []byte(tt.text), 0o600); err != nil {
				t.Fatal(err)
			}
			if status, said := testDefinition(t, path); status != 1 || !strings.Contains(said, tt.want) {
				t.Errorf("status %d, %s; want %q", status, said, tt.want)
			}
		})
	}
}
