package e2e_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"
)

// busy keeps this machine busy until the test ends, with work that changes what a machine does and nothing of what it
// is: a processor burns, files are written and taken away, processes come and go, and loopback carries traffic. All of
// it is bounded: one processor, some megabytes, one process and a few connections at a time.
func busy(t *testing.T) {
	t.Helper()
	ctx, stop := context.WithCancel(context.WithoutCancel(t.Context()))
	dir := t.TempDir()
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var work sync.WaitGroup
	// every runs f at that pace until the test ends, or f fails.
	every := func(pace time.Duration, f func(n int) error) {
		work.Go(func() {
			tick := time.NewTicker(pace)
			defer tick.Stop()
			for n := 0; ctx.Err() == nil; n++ {
				if err := f(n); err != nil && ctx.Err() == nil {
					t.Errorf("keeping the machine busy: %v", err)
					return
				}
				select {
				case <-ctx.Done():
				case <-tick.C:
				}
			}
		})
	}
	every(50*time.Millisecond, func(int) error { burn(40 * time.Millisecond); return nil })
	every(30*time.Millisecond, func(n int) error { return fillAndEmpty(filepath.Join(dir, "large"), n) })
	every(10*time.Millisecond, func(n int) error { return comeAndGo(dir, n) })
	every(20*time.Millisecond, func(int) error { return exec.CommandContext(ctx, "true").Run() })
	every(15*time.Millisecond, func(int) error { return talk(ctx, listener.Addr().String()) })
	work.Go(func() { echo(listener) })
	t.Cleanup(func() {
		stop()
		_ = listener.Close()
		work.Wait()
	})
}

// burn keeps one processor busy for that long.
func burn(long time.Duration) {
	for end, n := time.Now().Add(long), 0; n%1000 != 0 || time.Now().Before(end); n++ {
	}
}

// fillAndEmpty writes up to eight megabytes to a file, piece by piece, and then empties it.
func fillAndEmpty(path string, n int) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	if n%16 == 15 {
		return f.Truncate(0)
	}
	if _, err := f.Write(make([]byte, 512<<10)); err != nil {
		return err
	}
	return f.Sync()
}

// comeAndGo makes small files, and takes away those that were made a while ago.
func comeAndGo(dir string, n int) error {
	if n >= 100 {
		if err := os.Remove(filepath.Join(dir, fmt.Sprint("small-", n-100))); err != nil {
			return err
		}
	}
	return os.WriteFile(filepath.Join(dir, fmt.Sprint("small-", n)), []byte("small"), 0o600)
}

// talk opens a connection, sends some kilobytes and takes them back.
func talk(ctx context.Context, address string) error {
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", address)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	defer stop()
	sent := make([]byte, 16<<10)
	if _, err := conn.Write(sent); err != nil {
		return err
	}
	_, err = io.ReadFull(conn, sent)
	return err
}

// echo sends back what connections send until the listener is closed, and waits for them.
func echo(listener net.Listener) {
	var open sync.WaitGroup
	defer open.Wait()
	for {
		conn, err := listener.Accept()
		if err != nil {
			return
		}
		open.Go(func() {
			defer func() { _ = conn.Close() }()
			_, _ = io.Copy(conn, conn)
		})
	}
}
