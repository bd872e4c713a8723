package embedded

import (
	"context"
	"fmt"
	"net"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

const loopback = "127.0.0.1"

// pickPort returns a free port on loopback: the one that the file at path names if nobody listens there, so that a
// server keeps its address from start to start, and otherwise one that the kernel chooses.
func pickPort(ctx context.Context, path string) (int, error) {
	if port, err := readPort(path); err == nil && listenable(ctx, port) == nil {
		return port, nil
	}
	return freePort(ctx)
}

// readPort reads what keepPort wrote.
func readPort(path string) (int, error) {
	text, err := readSmall(path, 16)
	if err != nil {
		return 0, err
	}
	port, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil || port < 1024 || port > 65535 {
		return 0, fmt.Errorf("%s names no port", path)
	}
	return port, nil
}

// keepPort writes the port down for the next start.
func keepPort(path string, port int) error {
	if err := writeWhole(path, []byte(strconv.Itoa(port)+"\n")); err != nil {
		return fmt.Errorf("writing %s: %w", filepath.Base(path), err)
	}
	return nil
}

func freePort(ctx context.Context) (int, error) {
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", loopback+":0")
	if err != nil {
		return 0, fmt.Errorf("finding a free port: %w", err)
	}
	addr, ok := l.Addr().(*net.TCPAddr)
	if err := l.Close(); err != nil || !ok {
		return 0, fmt.Errorf("finding a free port: %w", err)
	}
	return addr.Port, nil
}

// listenable says whether a server could listen on the port now.
func listenable(ctx context.Context, port int) error {
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", address(port))
	if err != nil {
		return err
	}
	return l.Close()
}

func address(port int) string { return net.JoinHostPort(loopback, strconv.Itoa(port)) }

// poll asks ready again and again until it says true or an error, or ctx ends.
func poll(ctx context.Context, every time.Duration, ready func() (bool, error)) error {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		if ok, err := ready(); ok || err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
	}
}
