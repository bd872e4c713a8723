package embedded

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/rollcallhq/rollcall/pkg/fleet"
)

// A postmaster is what a PostgreSQL server says about itself in its data directory.
type postmaster struct {
	pid   int
	ready bool
}

// readPostmaster reads postmaster.pid: process, directory, start, port, socket, address, shared memory and status,
// a line each; the last lines are missing while the server starts.
func readPostmaster(data string) (postmaster, error) {
	text, err := readSmall(filepath.Join(data, "postmaster.pid"), 4<<10)
	if err != nil {
		return postmaster{}, err
	}
	lines := strings.Split(string(text), "\n")
	pid, err := strconv.Atoi(strings.TrimSpace(lines[0]))
	if err != nil || pid <= 1 {
		return postmaster{}, errors.New("postmaster.pid does not start with a process number")
	}
	return postmaster{pid: pid, ready: len(lines) > 7 && strings.TrimSpace(lines[7]) == "ready"}, nil
}

// endOrphan ends the server that a killed parent may have left over this data. A file that names a process which is
// somebody else's by now is removed, because PostgreSQL would take it for a server of its own.
func (c *cluster) endOrphan(ctx context.Context, log *slog.Logger) error {
	pm, err := readPostmaster(c.data)
	if err != nil || !alive(pm.pid) {
		// Missing, unreadable or stale: PostgreSQL knows best what to do about it.
		return nil
	}
	here, known := worksIn(pm.pid, c.data)
	switch {
	case !known:
		return nil // PostgreSQL refuses to start beside a server, and says so
	case here:
		return endLeftover(ctx, log, pm.pid, c.data, rung{syscall.SIGINT, 20 * time.Second}, rung{syscall.SIGQUIT, 5 * time.Second})
	}
	// The file is what keeps a new server from starting beside the last processes of an old one, so they go first.
	wait, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	if err := poll(wait, 20*time.Millisecond, func() (bool, error) { return !anyWorksIn(c.data), nil }); err != nil {
		return fleet.Wrap(err, fleet.Unavailable, "processes of a server that was killed still work in %s", c.data)
	}
	log.WarnContext(ctx, "removing a stale postmaster.pid", "pid", pm.pid, "dir", c.data)
	if err := os.Remove(filepath.Join(c.data, "postmaster.pid")); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("removing a stale postmaster.pid: %w", err)
	}
	return nil
}

// endOrphan ends the server that a killed parent may have left over this data. Redis would start beside it, and
// two servers would write one append-only file.
func (r *Redis) endOrphan(ctx context.Context, data string) error {
	text, err := readSmall(redisPIDFile(data), 16)
	if err != nil {
		return nil //nolint:nilerr // an ordinary end removes the file
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil || pid <= 1 || !alive(pid) {
		return nil //nolint:nilerr // not the number of a process that is there
	}
	here, known := worksIn(pid, data)
	if !known {
		port, err := readPort(filepath.Join(r.dir, "redis.port"))
		here = err == nil && pingRedis(ctx, port, r.password) == nil
	}
	if !here {
		return nil
	}
	return endLeftover(ctx, r.log, pid, data, rung{syscall.SIGTERM, redisStop}, rung{syscall.SIGKILL, 5 * time.Second})
}

// endLeftover ends a server that is not our child. Usually it is shutting down already and only needs a moment. The
// caller holds the lock on the directory, so nobody else has a right to the server.
func endLeftover(ctx context.Context, log *slog.Logger, pid int, dir string, ladder ...rung) error {
	log.WarnContext(ctx, "ending the server that a killed process left", "pid", pid, "dir", dir)
	for _, r := range ladder {
		_ = signal(pid, r.signal) // gone already is what we want
		wait, cancel := context.WithTimeout(ctx, r.wait)
		err := poll(wait, 20*time.Millisecond, func() (bool, error) {
			here, known := worksIn(pid, dir)
			return known && !here || !alive(pid), nil
		})
		cancel()
		if err == nil {
			return nil
		}
	}
	return fleet.Errorf(fleet.Unavailable, "a server (process %d) still runs over %s and cannot be stopped", pid, dir)
}
