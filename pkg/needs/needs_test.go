package needs_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/rollcallhq/rollcall/pkg/needs"
)

// A record notes what becomes of a test that lacks something.
type record struct {
	testing.TB
	skipped, failed bool
}

func (r *record) Helper()               {}
func (r *record) Skipf(string, ...any)  { r.skipped = !r.failed } // a failure ends the test
func (r *record) Fatalf(string, ...any) { r.failed = true }

func TestWhatIsLackingIsAFailureInCIAlone(t *testing.T) { //nolint:paralleltest // the environment is everybody's
	for _, ci := range []string{"", "true"} {
		t.Setenv("CI", ci)
		for name, lack := range map[string]func(testing.TB){
			"a program": func(tb testing.TB) { tb.Helper(); needs.Program(tb, "no-such-program", "nothing") },
			"anything":  func(tb testing.TB) { tb.Helper(); needs.Lacking(tb, "nothing") },
		} {
			r := &record{TB: t}
			if lack(r); r.failed != (ci != "") || r.skipped == r.failed {
				t.Errorf("%s with CI=%q: failed %v, skipped %v", name, ci, r.failed, r.skipped)
			}
		}
	}
}

func TestAProgramIsFoundInPath(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("PATH", dir)
	path := filepath.Join(dir, "here")
	if err := os.WriteFile(path, []byte("#!/bin/sh\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	if got := needs.Program(t, "here", "nothing"); got != path {
		t.Errorf("Program = %q, want %q", got, path)
	}
}
