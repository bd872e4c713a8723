//go:build unix

package embedded

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/rollcallhq/rollcall/pkg/fleet"
)

func TestServersLockNamesItsHolder(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(scratch(t), "made", "by", "lock")
	holder := launch(t, "lock", dir)
	_, err := Lock(dir)
	if fleet.KindOf(err) != fleet.Conflict {
		t.Fatalf("Lock = %v, want a Conflict", err)
	}
	for _, part := range []string{dir, "process " + strconv.Itoa(holder.PID) + " (", filepath.Base(os.Args[0]), "since 20", "at http://127.0.0.1:8080", "--data"} {
		if !strings.Contains(fleet.MessageOf(err), part) {
			t.Errorf("the refusal does not say %q: %s", part, fleet.MessageOf(err))
		}
	}
	holder.kill()
	l, err := Lock(dir)
	if err != nil {
		t.Fatalf("a lock left by a killed process is an obstacle: %v", err)
	}
	if err := l.Release(); err != nil {
		t.Error(err)
	}
}

func TestLockIsGivenUpByRelease(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	first, err := Lock(dir)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Lock(dir); fleet.KindOf(err) != fleet.Conflict || !strings.Contains(err.Error(), strconv.Itoa(os.Getpid())) {
		t.Errorf("a second Lock in this process gives %v, want a Conflict with our number", err)
	}
	if err := first.Release(); err != nil {
		t.Error(err)
	}
	if err := first.Release(); err != nil {
		t.Errorf("the second Release gives %v", err)
	}
	if err := first.Announce("http://x"); fleet.KindOf(err) != fleet.Conflict {
		t.Errorf("Announce after Release gives %v, want a Conflict", err)
	}
	second, err := Lock(dir)
	if err != nil {
		t.Fatal(err)
	}
	if err := second.Release(); err != nil {
		t.Error(err)
	}
}

func TestLockFileOfStrangersIsNoObstacle(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"", "null", "not json", `{"pid":"x"}`, strings.Repeat("9", 100_000)} {
		dir := t.TempDir()
		path := filepath.Join(dir, "lock")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if got := readHolder(path).String(); got != "another process" {
			t.Errorf("readHolder(%.20q) = %q", text, got)
		}
		l, err := Lock(dir)
		if err != nil {
			t.Fatal(err)
		}
		if got := readHolder(path); got.PID != os.Getpid() {
			t.Errorf("after Lock the holder is %+v", got)
		}
		if err := l.Release(); err != nil {
			t.Error(err)
		}
	}
}

func TestDefaultDir(t *testing.T) {
	home := t.TempDir()
	root := os.Geteuid() == 0
	tests := []struct {
		name, home, state string
		want              string
		fails             bool
	}{
		{"the state directory is given", home, "/state", "/state/rollcall", false},
		{"a relative state directory is ignored", home, "state", home + "/.local/state/rollcall", false},
		{"nothing but a home", home, "", home + "/.local/state/rollcall", false},
		{"no home at all", "", "", "", true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Setenv("HOME", tt.home)
			t.Setenv("XDG_STATE_HOME", tt.state)
			if root {
				tt.want, tt.fails = "/var/lib/rollcall", false
			}
			got, err := DefaultDir()
			if got != tt.want || (err != nil) != tt.fails {
				t.Errorf("DefaultDir = %q, %v, want %q, failing %v", got, err, tt.want, tt.fails)
			}
		})
	}
}
