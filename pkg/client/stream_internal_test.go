package client

import (
	"bytes"
	"context"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"
)

func TestLines(t *testing.T) {
	t.Parallel()
	const most = 16
	errLost := errors.New("lost")
	for _, test := range []struct {
		name string
		from io.Reader
		want []string
		fail error
	}{
		{name: "none", from: strings.NewReader("")},
		{name: "some, and empty ones", from: strings.NewReader("a\n\nb\r\n\n"), want: []string{"a", "b"}},
		{name: "one that does not end", from: strings.NewReader("a\nb"), want: []string{"a"}, fail: io.ErrUnexpectedEOF},
		{name: "one that breaks off keeps why", from: io.MultiReader(strings.NewReader("a\nb"), iotest.ErrReader(errLost)), want: []string{"a"}, fail: errLost},
		{name: "a break between two", from: io.MultiReader(strings.NewReader("a\n"), iotest.ErrReader(errLost)), want: []string{"a"}, fail: errLost},
		{name: "the longest", from: strings.NewReader("a\n" + strings.Repeat("x", most-1) + "\nb\n"), want: []string{"a", strings.Repeat("x", most-1), "b"}},
		{name: "one that is too long", from: strings.NewReader("a\n" + strings.Repeat("x", most+1) + "\nb\n"), want: []string{"a"}, fail: errTooLong},
		{name: "one byte at a time", from: iotest.OneByteReader(strings.NewReader("abc\ndef\n")), want: []string{"abc", "def"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			var got []string
			var failed error
			for line, err := range lines(test.from, most) {
				if failed != nil {
					t.Errorf("more after the error: %q, %v", line, err)
				}
				if failed = err; err == nil {
					got = append(got, string(line))
				}
			}
			if !slices.Equal(got, test.want) || !errors.Is(failed, test.fail) {
				t.Errorf("got %q, %v; want %q, %v", got, failed, test.want, test.fail)
			}
		})
	}
}

func FuzzLines(f *testing.F) {
	f.Add([]byte("a\n\nb\r\n"), 8)
	f.Add([]byte("a\nb"), 1)
	f.Fuzz(func(t *testing.T, text []byte, most int) {
		if most < 1 || most > 1<<10 {
			return
		}
		var failed error
		for line, err := range lines(bytes.NewReader(text), most) {
			if failed = err; err == nil && (len(line) > most || !bytes.Contains(text, append(slices.Clone(line), '\n')) && !bytes.Contains(text, append(slices.Clone(line), '\r', '\n'))) {
				t.Errorf("%q is no line of at most %d bytes of %q", line, most, text)
			}
		}
		if whole := len(text) == 0 || text[len(text)-1] == '\n'; !whole && failed == nil {
			t.Errorf("%q does not end and is no error", text)
		}
	})
}

// TestABodyWaitsForItsServerOnly holds that the time that the reader takes is not the server's.
func TestABodyWaitsForItsServerOnly(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const silence = time.Minute
		b := newBody(t.Context(), silence)
		from, server := io.Pipe()
		b.from = from
		context.AfterFunc(b.ctx, func() { _ = from.CloseWithError(b.ctx.Err()) })
		b.timer.Stop()
		p := make([]byte, 1)
		for range 3 {
			go func() {
				time.Sleep(silence - time.Second)
				_, _ = server.Write([]byte("x"))
			}()
			if n, err := b.Read(p); n != 1 || err != nil {
				t.Fatalf("got %d, %v from a server that is slow; want a byte", n, err)
			}
			time.Sleep(time.Hour) // of a reader that is slower
		}
		begun := time.Now()
		if n, err := b.Read(p); n != 0 || !errors.Is(err, context.DeadlineExceeded) || time.Since(begun) != silence {
			t.Errorf("got %d, %v after %s from a silent server; want the end after %s", n, err, time.Since(begun), silence)
		}
		_ = b.Close()
	})
}
