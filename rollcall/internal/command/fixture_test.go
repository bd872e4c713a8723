package command_test

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/rollcallhq/rollcall/rollcall/internal/command"
)

// A user is somebody at a command line, with a home of their own.
type user struct {
	environ []string
}

// newUser returns a user who has not signed in anywhere.
func newUser(t *testing.T, environ ...string) user {
	t.Helper()
	return user{environ: append([]string{"XDG_CONFIG_HOME=" + t.TempDir()}, environ...)}
}

// with returns the user with more in the environment.
func (u user) with(environ ...string) user {
	return user{environ: append(append([]string{}, u.environ...), environ...)}
}

// A result is what a command did.
type result struct {
	status         int
	stdout, stderr string
}

// run runs a command as the user would.
func (u user) run(ctx context.Context, stdin string, args ...string) result {
	var stdout, stderr bytes.Buffer
	status := command.Run(ctx, command.Invocation{
		Args: args, Environ: u.environ, Stdin: strings.NewReader(stdin), Stdout: &stdout, Stderr: &stderr, Version: "test",
	})
	return result{status, stdout.String(), stderr.String()}
}

// must fails the test unless the command ends with the status and says what it should, in its output or its errors.
func (r result) must(t *testing.T, status int, says ...string) result {
	t.Helper()
	if r.status != status {
		t.Fatalf("status %d, want %d\nstdout: %s\nstderr: %s", r.status, status, r.stdout, r.stderr)
	}
	for _, text := range says {
		if !strings.Contains(r.stdout+r.stderr, text) {
			t.Fatalf("it does not say %q\nstdout: %s\nstderr: %s", text, r.stdout, r.stderr)
		}
	}
	return r
}

// serve starts a server and returns a user with a token for it.
func serve(t *testing.T, handle http.HandlerFunc) user {
	t.Helper()
	server := httptest.NewServer(handle)
	t.Cleanup(server.Close)
	return newUser(t, "ROLLCALL_URL="+server.URL, "ROLLCALL_TOKEN=rc_test")
}

func answer(w http.ResponseWriter, status int, body string) {
	media := "application/json"
	if status >= http.StatusBadRequest {
		media = "application/problem+json"
	}
	w.Header().Set("Content-Type", media)
	w.WriteHeader(status)
	_, _ = io.WriteString(w, body)
}

// safeBuffer is a buffer that one goroutine fills while another reads it.
type safeBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *safeBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *safeBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}
