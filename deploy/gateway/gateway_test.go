package main

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/rollcallhq/rollcall/pkg/await"
)

func TestParse(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, text string
		want       upstream // the zero one: refused
	}{
		{"a replica that says at its own port that it is ready", "api=api:8080/readyz", upstream{"api", "api", "8080", "/readyz", "8080"}},
		{"one that says so elsewhere", "api_grpc=api:50051/readyz@8080", upstream{"api_grpc", "api", "50051", "/readyz", "8080"}},
		{"a full name", "a=api-auth.example.net:1/x/y", upstream{"a", "api-auth.example.net", "1", "/x/y", "1"}},
		{"no name", "api:8080/readyz", upstream{}},
		{"no port", "api=api/readyz", upstream{}},
		{"no path", "api=api:8080", upstream{}},
		{"what would end the block", "api=api:8080/a;}", upstream{}},
		{"a name of two words", "a b=api:8080/a", upstream{}},
		{"a line of its own", "api=api\n:8080/a", upstream{}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			got, err := parse(tt.text)
			if got != tt.want || (err == nil) != (tt.want != upstream{}) {
				t.Errorf("parse = %+v, %v, want %+v", got, err, tt.want)
			}
		})
	}
}

// A fleet is replicas at addresses of loopback and one port, each of them ready or not.
type fleet struct {
	port  string
	ready map[string]*atomic.Bool
}

func newFleet(t *testing.T, addresses ...string) fleet {
	t.Helper()
	f := fleet{ready: map[string]*atomic.Bool{}}
	for _, a := range addresses {
		ok := &atomic.Bool{}
		ok.Store(true)
		var config net.ListenConfig
		listener, err := config.Listen(t.Context(), "tcp", net.JoinHostPort(a, f.port))
		if err != nil {
			t.Fatal(err)
		}
		_, f.port, err = net.SplitHostPort(listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			if !ok.Load() {
				w.WriteHeader(http.StatusServiceUnavailable)
			}
		}))
		_ = server.Listener.Close()
		server.Listener = listener
		server.Start()
		t.Cleanup(server.Close)
		f.ready[a] = ok
	}
	return f
}

func newWatch(t *testing.T, port string, lookup func(context.Context, string) ([]string, error)) *watch {
	t.Helper()
	return &watch{
		upstreams: []upstream{{"api", "api", port, "/readyz", port}}, out: filepath.Join(t.TempDir(), "upstreams.conf"),
		log: slog.New(slog.DiscardHandler), lookup: lookup, client: http.Client{Timeout: 10 * time.Second},
	}
}

func (w *watch) servers(t *testing.T) []string {
	t.Helper()
	text, err := os.ReadFile(w.out)
	if err != nil {
		t.Fatal(err)
	}
	var found []string
	for line := range strings.Lines(string(text)) {
		if address, ok := strings.CutPrefix(strings.TrimSpace(line), "server "); ok {
			host, _, _ := net.SplitHostPort(strings.TrimRight(strings.Fields(address)[0], ";"))
			found = append(found, host)
		}
	}
	return found
}

func TestTheFileHoldsWhoIsReady(t *testing.T) {
	t.Parallel()
	const first, second, gone = "127.0.0.1", "127.0.0.2", "127.0.0.3"
	f := newFleet(t, first, second)
	names, lookupErr := []string{second, first, first}, error(nil)
	w := newWatch(t, f.port, func(context.Context, string) ([]string, error) { return slices.Clone(names), lookupErr })
	steps := []struct {
		name    string
		change  func()
		changed bool
		want    []string
	}{
		{"all are ready", func() {}, true, []string{first, second}},
		{"nothing has changed", func() {}, false, []string{first, second}},
		{"one is not ready", func() { f.ready[first].Store(false) }, true, []string{second}},
		{"none is ready", func() { f.ready[second].Store(false) }, true, []string{first, second}},
		{"both are again", func() { f.ready[first].Store(true); f.ready[second].Store(true) }, false, []string{first, second}},
		{"the resolver is down", func() { names, lookupErr = nil, errors.New("down") }, false, []string{first, second}},
		{"a replica that nobody reaches", func() { names, lookupErr = []string{first, gone}, nil }, true, []string{first}},
		{"the name is empty", func() { names = nil }, true, []string{"127.0.0.1"}},
	}
	for _, step := range steps {
		step.change()
		changed, err := w.update(t.Context())
		if err != nil || changed != step.changed || !slices.Equal(w.servers(t), step.want) {
			t.Errorf("%s: changed %v, %v, servers %v; want %v and %v", step.name, changed, err, w.servers(t), step.changed, step.want)
		}
	}
}

// fakeNginx is a program that notes how it was called and runs until it is told to quit.
func fakeNginx(t *testing.T) (program, notes string) {
	t.Helper()
	dir := t.TempDir()
	program, notes = filepath.Join(dir, "nginx"), filepath.Join(dir, "notes")
	script := "#!/bin/sh\necho \"$@\" >>" + notes + "\ncase \"$*\" in *reload) exit;; fail) exit 3;; esac\n" +
		"trap 'echo quit >>" + notes + "; exit 0' QUIT\nwhile :; do sleep 0.05; done\n"
	if err := os.WriteFile(program, []byte(script), 0o700); err != nil {
		t.Fatal(err)
	}
	return program, notes
}

func read(path string) string {
	text, _ := os.ReadFile(path)
	return string(text)
}

func TestNginxRunsUntilItIsToldToFinish(t *testing.T) {
	t.Parallel()
	program, notes := fakeNginx(t)
	f := newFleet(t, "127.0.0.1")
	out := filepath.Join(t.TempDir(), "upstreams.conf")
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() {
		ended <- run(ctx, []string{
			"-out", out, "-every", "10ms", "-upstream", "api=localhost:" + f.port + "/readyz", "--", program, "-c", "conf",
		}, slog.New(slog.DiscardHandler))
	}()
	await.Until(t, "nginx runs", func() bool { return read(notes) == "-c conf\n" })
	if !strings.Contains(read(out), "server 127.0.0.1:"+f.port) {
		t.Errorf("nginx was started with the upstreams %q", read(out))
	}
	stop()
	if err := <-ended; err != nil || read(notes) != "-c conf\nquit\n" {
		t.Errorf("run = %v after %q, want that it has finished its work", err, read(notes))
	}
}

func TestAChangeIsReloadedUntilThatWorks(t *testing.T) {
	t.Parallel()
	f := newFleet(t, "127.0.0.1", "127.0.0.2")
	w := newWatch(t, f.port, func(context.Context, string) ([]string, error) { return []string{"127.0.0.1", "127.0.0.2"}, nil })
	if _, err := w.update(t.Context()); err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	calls := make(chan struct{}, 10)
	tries := 0
	ended := make(chan error, 1)
	f.ready["127.0.0.1"].Store(false)
	go func() {
		ended <- w.follow(ctx, time.Millisecond, func() error {
			calls <- struct{}{}
			if tries++; tries < 3 {
				return errors.New("nginx is busy")
			}
			stop()
			return nil
		})
	}()
	if err := <-ended; err != nil || len(calls) != 3 {
		t.Errorf("follow = %v after %d reloads, want two that failed and one that did not", err, len(calls))
	}
}

func TestWhatCannotBeRunIsTold(t *testing.T) {
	t.Parallel()
	program, _ := fakeNginx(t)
	out := filepath.Join(t.TempDir(), "upstreams.conf")
	tests := []struct {
		name string
		args []string
		want string
	}{
		{"nothing", nil, "usage"},
		{"no program", []string{"-out", out, "-upstream", "a=localhost:1/x"}, "usage"},
		{"a bad upstream", []string{"-out", out, "-upstream", "a", "--", program}, "the form is"},
		{"nowhere to write", []string{"-out", out + "/no/file", "-upstream", "a=localhost:1/x", "--", program}, "writing the upstreams"},
		{"nginx that ends by itself", []string{"-out", out, "-upstream", "a=localhost:1/x", "--", program, "fail"}, "exit status 3"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			err := run(t.Context(), tt.args, slog.New(slog.DiscardHandler))
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("run = %v, want %q", err, tt.want)
			}
		})
	}
}
