package command_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/uuid"

	"github.com/rollcallhq/rollcall/pkg/secret"
	"github.com/rollcallhq/rollcall/rollcall/internal/command"
)

// keygen runs rollcall keygen and returns its exit status and what it printed.
func keygen(t *testing.T, args ...string) (status int, stdout, stderr string) {
	t.Helper()
	var out, err strings.Builder
	status = command.Run(t.Context(), command.Invocation{
		Args: append([]string{"keygen"}, args...), Stdin: strings.NewReader(""), Stdout: &out, Stderr: &err, Version: "test",
	})
	return status, out.String(), err.String()
}

// files returns what the files below dir hold, by their names with slashes.
func files(t *testing.T, dir string) map[string]string {
	t.Helper()
	held := map[string]string{}
	err := fs.WalkDir(os.DirFS(dir), ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		content, err := os.ReadFile(filepath.Join(dir, filepath.FromSlash(name)))
		held[name] = string(content)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return held
}

// remove takes a file away, as an interrupted call or an operator would have.
func remove(t *testing.T, dir, name string) {
	t.Helper()
	if err := os.Remove(filepath.Join(dir, filepath.FromSlash(name))); err != nil {
		t.Fatal(err)
	}
}

// opens reports whether what the seal keys of one directory's state seal can be opened with the open keys of another.
func opens(t *testing.T, sealList, openList, site string) bool {
	t.Helper()
	seals, err := secret.ParseSealKeys(strings.TrimSpace(sealList))
	if err != nil {
		t.Fatal(err)
	}
	open, err := secret.ParseOpenKeys(strings.TrimSpace(openList))
	if err != nil {
		t.Fatal(err)
	}
	owner := uuid.New()
	id, sealed, err := seals.Seal(site, owner, []byte("words"))
	if err != nil {
		t.Fatal(err)
	}
	plain, err := open.Open(site, id, owner, sealed)
	return err == nil && string(plain) == "words"
}

const (
	signing = "api/ROLLCALL_SIGNING_KEY"
	seal    = "api/ROLLCALL_SEAL_KEYS"
	open    = "worker/ROLLCALL_OPEN_KEYS"
)

// stack is a call such as that of compose.yaml.
func stack(dir string) []string {
	return []string{
		"--dir", dir, "--mode", "0444", "--password", "db/PASSWORD",
		"--text", "app/DATABASE_URL=postgres://rollcall:{db/PASSWORD}@postgres:5432/rollcall?a=b,c",
	}
}

func TestKeygenFillsADirectoryOnce(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "secrets")
	status, stdout, stderr := keygen(t, stack(dir)...)
	if status != 0 {
		t.Fatalf("the first call ended with %d: %s", status, stderr)
	}
	first := files(t, dir)
	if len(first) != 5 {
		t.Errorf("there are %d files, want 5", len(first))
	}
	if !opens(t, first[seal], first[open], "default") {
		t.Error("what is sealed cannot be opened")
	}
	if n := len(strings.TrimSpace(first[signing])); n < 32 {
		t.Errorf("the signing key has %d bytes", n)
	}
	password := strings.TrimSpace(first["db/PASSWORD"])
	if !regexp.MustCompile(`^[A-Za-z0-9_-]{32}$`).MatchString(password) {
		t.Errorf("the password has %d bytes or needs escaping somewhere", len(password))
	}
	if got, want := first["app/DATABASE_URL"], "postgres://rollcall:"+password+"@postgres:5432/rollcall?a=b,c\n"; got != want {
		t.Errorf("the text is %q, want %q", got, want)
	}
	for name, held := range first {
		if strings.Contains(stdout+stderr, strings.TrimSpace(held)) {
			t.Errorf("what %s holds was printed", name)
		}
		info, err := os.Stat(filepath.Join(dir, name))
		if err != nil || info.Mode().Perm() != 0o444 {
			t.Errorf("%s has mode %v, want 0444 (%v)", name, info.Mode(), err)
		}
	}
	if !strings.Contains(stdout, "made "+signing) {
		t.Errorf("it told %q", stdout)
	}

	status, stdout, _ = keygen(t, stack(dir)...)
	if status != 0 || strings.Contains(stdout, "made") || strings.Count(stdout, "kept") != 5 {
		t.Errorf("the second call ended with %d and told %q", status, stdout)
	}
	for name, held := range files(t, dir) {
		if held != first[name] {
			t.Errorf("the second call changed %s", name)
		}
	}
}

func TestKeygenFinishesWhatIsMissing(t *testing.T) {
	t.Parallel()
	fill := func(t *testing.T) (string, map[string]string) {
		t.Helper()
		dir := t.TempDir()
		if status, _, stderr := keygen(t, stack(dir)...); status != 0 {
			t.Fatal(stderr)
		}
		return dir, files(t, dir)
	}
	t.Run("a password that stayed gives the same text again", func(t *testing.T) {
		t.Parallel()
		dir, before := fill(t)
		remove(t, dir, "app/DATABASE_URL")
		if status, _, stderr := keygen(t, stack(dir)...); status != 0 {
			t.Fatal(stderr)
		}
		if files(t, dir)["app/DATABASE_URL"] != before["app/DATABASE_URL"] {
			t.Error("the text is another one")
		}
	})
	t.Run("a missing half that seals gets a new pair, and the old one still opens", func(t *testing.T) {
		t.Parallel()
		dir, before := fill(t)
		remove(t, dir, seal)
		if status, _, stderr := keygen(t, stack(dir)...); status != 0 {
			t.Fatal(stderr)
		}
		after := files(t, dir)
		if after[seal] == before[seal] || !opens(t, after[seal], after[open], "default") || !opens(t, before[seal], after[open], "default") {
			t.Error("the new and the old pair do not both work")
		}
	})
	t.Run("a missing half that opens is told and nothing is made in its place", func(t *testing.T) {
		t.Parallel()
		dir, before := fill(t)
		remove(t, dir, open)
		status, _, stderr := keygen(t, stack(dir)...)
		after := files(t, dir)
		if _, made := after[open]; status != 1 || made || after[seal] != before[seal] || !strings.Contains(stderr, open+" is missing") {
			t.Errorf("it ended with %d: %s", status, stderr)
		}
	})
	t.Run("another site gets a pair of its own beside the first", func(t *testing.T) {
		t.Parallel()
		dir, before := fill(t)
		if status, _, stderr := keygen(t, "--dir", dir, "--site", "default,fra1"); status != 0 {
			t.Fatal(stderr)
		}
		after := files(t, dir)
		if !opens(t, before[seal], after[open], "default") || !opens(t, after[seal], after[open], "default") || !opens(t, after[seal], after[open], "fra1") {
			t.Error("the keys of both sites do not work")
		}
	})
	t.Run("the leavings of an interrupted call are in nobody's way", func(t *testing.T) {
		t.Parallel()
		dir, _ := fill(t)
		remove(t, dir, signing)
		if err := os.WriteFile(filepath.Join(dir, signing+".part"), []byte("hal"), 0o400); err != nil {
			t.Fatal(err)
		}
		status, _, stderr := keygen(t, stack(dir)...)
		after := files(t, dir)
		if _, left := after[signing+".part"]; status != 0 || left || len(after[signing]) < 32 {
			t.Errorf("it ended with %d: %s", status, stderr)
		}
	})
	t.Run("an empty file is not replaced without a word", func(t *testing.T) {
		t.Parallel()
		dir, _ := fill(t)
		remove(t, dir, signing)
		if err := os.WriteFile(filepath.Join(dir, signing), nil, 0o600); err != nil {
			t.Fatal(err)
		}
		if status, _, stderr := keygen(t, stack(dir)...); status != 1 || !strings.Contains(stderr, signing) {
			t.Errorf("it ended with %d: %s", status, stderr)
		}
	})
}

func TestKeygenRefuses(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name string
		args []string // DIR stands for a directory
		want string
	}{
		{"a file without a directory", []string{"--password", "x"}, "--dir"},
		{"a mode that is no number", []string{"--dir", "DIR", "--mode", "rw"}, "--mode"},
		{"a mode its owner cannot read", []string{"--dir", "DIR", "--mode", "0044"}, "--mode"},
		{"a mode that makes it a program", []string{"--dir", "DIR", "--mode", "0755"}, "--mode"},
		{"a text without a file", []string{"--dir", "DIR", "--text", "words"}, "FILE=TEXT"},
		{"a text with a password that nobody makes", []string{"--dir", "DIR", "--text", "a={b}"}, "{b}"},
		{"a password outside of the directory", []string{"--dir", "DIR", "--password", "../x"}, "escapes"},
		{"a site that is not a name", []string{"--dir", "DIR", "--site", "a b"}, "site"},
		{"a site that is not a name, printed", []string{"--site", "a b"}, "site"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			parent := t.TempDir()
			args := strings.Split(strings.ReplaceAll(strings.Join(tt.args, "\n"), "DIR", filepath.Join(parent, "secrets")), "\n")
			status, _, stderr := keygen(t, args...)
			if status == 0 || !strings.Contains(stderr, tt.want) {
				t.Errorf("it ended with %d: %s, want %q", status, stderr, tt.want)
			}
			if _, err := os.Stat(filepath.Join(parent, "x")); err == nil {
				t.Error("a file was written outside of the directory")
			}
		})
	}
}

func TestKeygenPrints(t *testing.T) {
	t.Parallel()
	status, stdout, _ := keygen(t, "--site", "default,fra1")
	lines := map[string]string{}
	for line := range strings.Lines(stdout) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), "=")
		lines[name] = value
	}
	if status != 0 || len(lines) != 3 || len(lines["ROLLCALL_SIGNING_KEY"]) < 32 {
		t.Errorf("it ended with %d and printed %d lines", status, len(lines))
	}
	for _, site := range []string{"default", "fra1"} {
		if !opens(t, lines["ROLLCALL_SEAL_KEYS"], lines["ROLLCALL_OPEN_KEYS"], site) {
			t.Errorf("the keys of site %s do not fit", site)
		}
	}
}
