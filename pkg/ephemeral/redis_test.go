package ephemeral_test

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"

	"github.com/rollcallhq/rollcall/pkg/ephemeral"
	"github.com/rollcallhq/rollcall/pkg/needs"
)

// A server is a redis-server of the test's own.
type server struct {
	tb   testing.TB
	port int
	conf []string // what comes before the options
	args []string
	dir  string
	cmd  *exec.Cmd
	done chan struct{} // closed when the process has ended
}

func (s *server) url() string { return fmt.Sprintf("redis://127.0.0.1:%d/0", s.port) }

// startRedis runs a redis-server on a free port of loopback until the test ends. Where there is none it skips
// the test, and fails it where CI is set.
func startRedis(tb testing.TB, args ...string) *server {
	tb.Helper()
	return startServer(tb, nil, append([]string{"--save", ""}, args...))
}

// startSentinel runs a sentinel with the configuration in conf, which it rewrites.
func startSentinel(tb testing.TB, conf string) *server {
	tb.Helper()
	return startServer(tb, []string{conf}, []string{"--sentinel"})
}

func startServer(tb testing.TB, conf, args []string) *server {
	tb.Helper()
	needs.Program(tb, "redis-server", "redis-server")
	s := &server{tb: tb, conf: conf, args: args, dir: tb.TempDir()}
	tb.Cleanup(s.kill)
	for range 5 { // somebody may take the port between asking and using it
		s.port = freePort(tb)
		if s.start() {
			return s
		}
	}
	out, _ := os.ReadFile(filepath.Join(s.dir, "out"))
	tb.Fatalf("redis-server does not start: %s", out)
	return nil
}

func freePort(tb testing.TB) int {
	tb.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	addr, ok := l.Addr().(*net.TCPAddr)
	if !ok {
		tb.Fatalf("a listener on %v", l.Addr())
	}
	return addr.Port
}

// start reports whether the server came up on its port.
func (s *server) start() bool {
	s.tb.Helper()
	out, err := os.Create(filepath.Join(s.dir, "out"))
	if err != nil {
		s.tb.Fatal(err)
	}
	defer func() { _ = out.Close() }()
	args := append(slices.Clone(s.conf), "--port", strconv.Itoa(s.port), "--bind", "127.0.0.1", "--dir", s.dir)
	args = append(args, s.args...)
	s.cmd = exec.Command("redis-server", args...)
	s.cmd.Stdout, s.cmd.Stderr = out, out
	if err := s.cmd.Start(); err != nil {
		s.tb.Fatal(err)
	}
	s.done = make(chan struct{})
	go func(cmd *exec.Cmd, done chan struct{}) { _ = cmd.Wait(); close(done) }(s.cmd, s.done)
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(10 * time.Second)
	for {
		conn, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", s.port))
		if err == nil {
			_ = conn.Close()
			return true
		}
		select {
		case <-tick.C:
		case <-s.done:
			return false
		case <-deadline:
			s.kill()
			return false
		}
	}
}

// kill ends the server at once and waits for its end. Killing twice is harmless.
func (s *server) kill() {
	if s.done == nil {
		return
	}
	_ = s.cmd.Process.Kill()
	<-s.done
}

func (s *server) signal(sig os.Signal) {
	s.tb.Helper()
	if err := s.cmd.Process.Signal(sig); err != nil {
		s.tb.Fatal(err)
	}
}

// open returns a client and a Store for url until the test ends.
func open(tb testing.TB, url string) (redis.UniversalClient, *ephemeral.Store) {
	tb.Helper()
	client, err := ephemeral.Open(url, ephemeral.Options{})
	if err != nil {
		tb.Fatalf("Open: %v", err)
	}
	tb.Cleanup(func() { _ = client.Close() })
	return client, ephemeral.New(client)
}

// A backend is one kind of Redis to test on.
type backend struct {
	name string
	open func(tb testing.TB) *ephemeral.Store
}

// backends are an in-process Redis and a real one.
func backends() []backend {
	return []backend{
		{"in-process", func(tb testing.TB) *ephemeral.Store {
			tb.Helper()
			_, s := open(tb, "redis://"+miniredis.RunT(tb).Addr())
			return s
		}},
		{"redis-server", func(tb testing.TB) *ephemeral.Store {
			tb.Helper()
			_, s := open(tb, startRedis(tb).url())
			return s
		}},
	}
}

// eventually calls f until it returns nil, and fails the test with its last error after 15 s.
func eventually(tb testing.TB, f func(ctx context.Context) error) {
	tb.Helper()
	ctx, cancel := context.WithTimeout(tb.Context(), 15*time.Second)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		err := f(ctx)
		if err == nil {
			return
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			tb.Fatalf("still: %v", err)
		}
	}
}
