package client_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/rollcallhq/rollcall/pkg/client"
)

// A recorded request is one that the fake server has seen.
type recorded struct {
	line  string // method, path and query
	key   string // Idempotency-Key
	auth  string
	match string // If-Match
	media string
	body  string
}

// A fake is a server that answers as it is told and keeps what it was asked.
type fake struct {
	*httptest.Server
	mu   sync.Mutex
	seen []recorded
}

// newFake starts a server; answer is called with the number of the request, from 0.
func newFake(t *testing.T, answer func(w http.ResponseWriter, r *http.Request, n int)) *fake {
	t.Helper()
	f := &fake{}
	f.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		f.mu.Lock()
		n := len(f.seen)
		f.seen = append(f.seen, recorded{
			line: r.Method + " " + r.URL.RequestURI(), key: r.Header.Get("Idempotency-Key"), auth: r.Header.Get("Authorization"),
			match: r.Header.Get("If-Match"), media: r.Header.Get("Content-Type"), body: string(body),
		})
		f.mu.Unlock()
		answer(w, r, n)
	}))
	t.Cleanup(f.Close)
	return f
}

func (f *fake) requests() []recorded {
	f.mu.Lock()
	defer f.mu.Unlock()
	return append([]recorded(nil), f.seen...)
}

// client returns a client of the fake that wastes no time.
func (f *fake) client(t *testing.T, options ...client.Option) *client.Client {
	t.Helper()
	usual := []client.Option{client.WithRetries(3, time.Millisecond), client.WithPolling(time.Millisecond)}
	c, err := client.New(f.URL, append(usual, options...)...)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func sendJSON(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v)
}

// problem answers with a problem document.
func problem(w http.ResponseWriter, status int, code string) {
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(status)
	_, _ = fmt.Fprintf(w, `{"type":"about:blank","title":"no","status":%d,"detail":"It cannot be done.","code":%q,"request_id":"r1"}`, status, code)
}

// hangUp closes the connection without an answer.
func hangUp(w http.ResponseWriter) {
	conn, _, err := http.NewResponseController(w).Hijack()
	if err == nil {
		_ = conn.Close()
	}
}
