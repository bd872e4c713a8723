package embedded

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/rollcallhq/rollcall/pkg/fleet"
)

const (
	redisStart = 60 * time.Second // reading a large append-only file included
	redisStop  = 20 * time.Second
	minRedis   = 6
)

// RedisOptions say how to run a private Redis. Dir is required unless Ephemeral is set.
type RedisOptions struct {
	// Dir is where the append-only file, the password, the port and the log are kept. It is created if needed.
	Dir string
	Log *slog.Logger // nil: says nothing

	// Ephemeral keeps nothing on disk, for tests. With an empty Dir the few files that are needed all the same are
	// in a temporary directory that Stop removes.
	Ephemeral bool

	// InProcess takes the in-process server even where redis-server is installed.
	InProcess bool
}

// A Redis is a running private Redis server: a child process that ends with the process that started it, or, where
// redis-server is not installed, a server inside of this process.
type Redis struct {
	dir      string
	port     int
	password string
	log      *slog.Logger
	reason   string // why it is in this process; empty: it is not

	inside *inProcess // nil: a child
	server *process   // nil: inside
	output *serverLog
	lock   *os.File
	temp   string
}

// StartRedis starts a server with what o.Dir holds, and returns once it answers. Ctx bounds the start only. The
// caller owes a Stop. Without redis-server on this machine it is the in-process one, which InProcess then tells.
// Errors are of kind Conflict where another process runs a server there, and Unavailable with the last lines of the
// server's log for whatever keeps an installed server from starting.
func StartRedis(ctx context.Context, o RedisOptions) (*Redis, error) {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	r := &Redis{log: o.Log}
	if err := r.open(ctx, o); err != nil {
		return nil, errors.Join(err, r.clean())
	}
	return r, nil
}

// open claims the directory and starts whichever server there is.
func (r *Redis) open(ctx context.Context, o RedisOptions) (err error) {
	if r.dir, r.temp, err = serverDir(o.Dir, o.Ephemeral); err != nil {
		return err
	}
	if supported() == nil {
		if r.lock, err = lockServer(r.dir, "redis"); err != nil {
			return err
		}
	}
	if r.password, _, err = readOrMakePassword(filepath.Join(r.dir, "redis.password")); err != nil {
		return err
	}
	bin, err := findRedis(ctx)
	if ctx.Err() != nil {
		return fmt.Errorf("starting Redis: %w", ctx.Err())
	}
	if o.InProcess || err != nil {
		r.reason = "in-process Redis: nothing survives a restart of this process; PostgreSQL keeps the truth"
		return r.startInside(ctx)
	}
	if r.output, err = openLog(filepath.Join(r.dir, "redis.log")); err != nil {
		return err
	}
	return r.start(ctx, bin, o.Ephemeral)
}

// findRedis returns a redis-server, or a server that is one under another name, which is new enough.
func findRedis(ctx context.Context) (string, error) {
	if err := supported(); err != nil {
		return "", err
	}
	for _, name := range []string{"redis-server", "valkey-server", "/usr/sbin/redis-server", "/opt/homebrew/bin/redis-server", "/usr/local/bin/redis-server"} {
		path, err := exec.LookPath(name)
		if err != nil {
			continue
		}
		resolved, err := filepath.EvalSymlinks(path)
		if err != nil || isProgram(resolved) != nil {
			continue
		}
		// The name is how the program knows what it is; Debian's redis-server is a link to redis-check-rdb.
		text, err := firstLine(ctx, path, "--version") // Redis server v=7.0.15 sha=00000000:0 …
		if err != nil {
			continue
		}
		if _, version, ok := strings.Cut(text, " v="); ok && numberIn(version) >= minRedis {
			return path, nil
		}
	}
	return "", fleet.Errorf(fleet.NotFound, "no redis-server of version %d or later is installed", minRedis)
}

// start starts the child, on another port where that helps.
func (r *Redis) start(ctx context.Context, bin string, ephemeral bool) error {
	ctx, cancel := context.WithTimeout(ctx, redisStart)
	defer cancel()
	id, err := chooseIdentity(ctx, r.log, r.dir, bin, "redis", "_redis", "nobody")
	if err != nil {
		return err
	}
	data := filepath.Join(r.dir, "redis")
	if err := os.MkdirAll(data, 0o700); err != nil {
		return fmt.Errorf("creating Redis' directory: %w", err)
	}
	if err := own(data, id); err != nil {
		return err
	}
	if err := r.endOrphan(ctx, data); err != nil {
		return err
	}
	portFile := filepath.Join(r.dir, "redis.port")
	for range 5 {
		if r.port, err = pickPort(ctx, portFile); err != nil {
			return err
		}
		r.output.forget()
		config := redisConfig(data, r.port, r.password, ephemeral)
		if err = r.attempt(ctx, command{path: bin, args: []string{"-"}, stdin: []byte(config), id: id, death: syscall.SIGTERM, log: r.output}); err == nil {
			r.log.InfoContext(ctx, "redis started", "program", bin, "account", id.account, "dir", r.dir, "port", r.port)
			return keepPort(portFile, r.port)
		}
		if !strings.Contains(r.output.Tail(), "Address already in use") {
			break
		}
	}
	return err
}

// redisPIDFile is where the server over data writes its process number while it runs.
func redisPIDFile(data string) string { return filepath.Join(data, "redis.pid") }

// redisConfig is the server's whole configuration. It goes in through standard input, so that the password is
// neither in a file of the server's nor in the list of processes.
func redisConfig(dir string, port int, password string, ephemeral bool) string {
	lines := []string{
		"bind " + loopback,
		"port " + strconv.Itoa(port),
		"requirepass " + password,
		"dir " + strconv.Quote(dir),
		"daemonize no",
		"pidfile " + strconv.Quote(redisPIDFile(dir)),
		"save \"\"",
		"maxmemory-policy noeviction", // a queue must refuse rather than forget
		"databases 16",
		"logfile \"\"",
	}
	if ephemeral {
		lines = append(lines, "appendonly no")
	} else {
		lines = append(lines, "appendonly yes", "appendfsync everysec")
	}
	return strings.Join(lines, "\n") + "\n"
}

// attempt starts the server once and waits until it answers to our password.
func (r *Redis) attempt(ctx context.Context, c command) error {
	server, err := spawn(c)
	if err != nil {
		return err
	}
	err = poll(ctx, 10*time.Millisecond, func() (bool, error) {
		if server.ended() {
			return false, fleet.Errorf(fleet.Unavailable, "Redis ended while starting (%s); its last words:\n%s", server.exitText(), r.output.Tail())
		}
		return pingRedis(ctx, r.port, r.password) == nil, nil
	})
	if err == nil {
		r.server = server
		return nil
	}
	if !server.ended() {
		err = fleet.Wrap(err, fleet.Unavailable, "Redis did not answer in time; its last words:\n%s", r.output.Tail())
	}
	_, stopErr := server.stop(context.WithoutCancel(ctx), rung{syscall.SIGTERM, 5 * time.Second})
	return errors.Join(err, stopErr)
}

// URL is the server's address with its password, as REDIS_URL wants it.
func (r *Redis) URL() string { return "redis://:" + r.password + "@" + address(r.port) + "/0" }

// InProcess says that the server is inside of this process, so that nothing in it survives.
func (r *Redis) InProcess() bool { return r.inside != nil }

// Reason says in one line what a health check has to tell about the server; empty means nothing.
func (r *Redis) Reason() string { return r.reason }

// Done is closed when the server has ended, whoever ended it.
func (r *Redis) Done() <-chan struct{} {
	if r.inside != nil {
		return r.inside.done
	}
	return r.server.done
}

// Wait waits until the server has ended or ctx ends. Its error says why the server ended, with the last lines of
// its log; a server that ended in good order is no error.
func (r *Redis) Wait(ctx context.Context) error {
	if r.inside == nil {
		return waitFor(ctx, r.server, "Redis", r.output)
	}
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-r.inside.done:
		return nil
	}
}

// Stop ends the server, which writes out what it has, and returns when it has ended. Stopping twice is harmless.
func (r *Redis) Stop(ctx context.Context) error {
	if r.inside != nil {
		r.inside.stop()
		return r.clean()
	}
	forced, err := r.server.stop(ctx, rung{syscall.SIGTERM, redisStop})
	if forced {
		r.log.WarnContext(ctx, "redis did not stop in time and was killed", "dir", r.dir)
	}
	if err != nil {
		return err
	}
	return r.clean()
}

// clean gives back what the server held.
func (r *Redis) clean() error {
	var errs []error
	if r.output != nil {
		errs = append(errs, r.output.Close())
	}
	if r.lock != nil {
		funlock(r.lock)
		errs = append(errs, closeOnce(r.lock))
	}
	if r.temp != "" {
		errs = append(errs, os.RemoveAll(r.temp))
	}
	return errors.Join(errs...)
}
