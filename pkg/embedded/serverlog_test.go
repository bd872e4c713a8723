package embedded

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf8"
)

func TestServerLogIsBounded(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "server.log")
	l, err := openLog(path)
	if err != nil {
		t.Fatal(err)
	}
	l.max = 10_000
	line := strings.Repeat("x", 98) + "\xff\n"
	for range 1_000 { // 100 kB
		if n, err := l.Write([]byte(line)); n != len(line) || err != nil {
			t.Fatalf("Write = %d, %v", n, err)
		}
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if n, err := l.Write([]byte("after Close\n")); n != 12 || err != nil {
		t.Errorf("Write after Close = %d, %v; a server must not learn of it", n, err)
	}
	found, _ := filepath.Glob(path + "*")
	if len(found) != 2 {
		t.Errorf("files: %v, want two", found)
	}
	for _, f := range found {
		info, err := os.Stat(f)
		if err != nil {
			t.Fatal(err)
		}
		if info.Size() > l.max || info.Size() == 0 {
			t.Errorf("%s has %d bytes, want 1 to %d", f, info.Size(), l.max)
		}
	}
	tail := l.Tail()
	if len(tail) > maxLogTail || !strings.HasSuffix(tail, "after Close") || !utf8.ValidString(tail) || strings.Count(tail, "\n") != 11 {
		t.Errorf("Tail = %q", tail)
	}
	l.forget()
	if l.Tail() != "" {
		t.Errorf("after forget Tail = %q", l.Tail())
	}
}

func TestServerLogGoesOnFromTheLastRun(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "server.log")
	for _, text := range []string{"first\n", "second\n"} {
		l, err := openLog(path)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := l.Write([]byte(text)); err != nil {
			t.Fatal(err)
		}
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(path)
	if err != nil || string(got) != "first\nsecond\n" {
		t.Errorf("the file holds %q, %v", got, err)
	}
}
