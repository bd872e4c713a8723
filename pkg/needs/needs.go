// Package needs says what tests need of the machine that they run on. Where changes are judged, which the variable CI
// tells, all of it has to be there: .ci/run installs it and runs as root, so no test is skipped there. Elsewhere a test
// that lacks something is skipped, and says what.
package needs

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// Lacking ends a test that lacks what the words name: it is skipped, and fails in CI.
func Lacking(tb testing.TB, format string, args ...any) {
	tb.Helper()
	if os.Getenv("CI") != "" { //nolint:forbidigo // not the product's configuration: this is for tests
		tb.Fatalf(format, args...)
	}
	tb.Skipf(format, args...)
}

// Program returns the path of a program that Debian has in the packages, also where a plain user's PATH does not lead.
func Program(tb testing.TB, name, packages string) string {
	tb.Helper()
	if path, err := exec.LookPath(name); err == nil {
		return path
	}
	for _, dir := range []string{"/usr/local/sbin", "/usr/sbin", "/sbin"} {
		if path, err := exec.LookPath(filepath.Join(dir, name)); err == nil {
			return path
		}
	}
	Lacking(tb, "%s is missing: apt-get install --no-install-recommends %s", name, packages)
	return ""
}

// Root ends a test that is not run by root, who alone can do what the words name.
func Root(tb testing.TB, what string) {
	tb.Helper()
	if os.Geteuid() != 0 {
		Lacking(tb, "only root can %s", what)
	}
}
