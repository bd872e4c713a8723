package embedded

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/rollcallhq/rollcall/pkg/fleet"
)

const (
	postgresStart = 60 * time.Second // the longest start, recovery after a crash included
	postgresStop  = 30 * time.Second // a fast shutdown writes what is in memory to the disk
)

// PostgresOptions say how to run a private PostgreSQL. Dir is required unless Ephemeral is set.
type PostgresOptions struct {
	// Dir is where the data, the password, the port and the log are kept. It is created if needed, and as root it
	// is made passable for the account that runs the server.
	Dir string
	Log *slog.Logger // nil: says nothing

	// Ephemeral gives durability up for speed, for tests: a crash of the machine loses the data. With an empty Dir
	// the data is in a temporary directory that Stop removes.
	Ephemeral bool

	// Settings are further settings of the server, such as max_connections (200 if it is not given). Those that
	// decide who can reach it are refused.
	Settings map[string]string

	Source Source // where the programs may come from; empty: anywhere
	Cache  string // where downloaded programs are kept; empty: the user's cache directory, for root /var/cache/rollcall
}

// A Postgres is a running private PostgreSQL server. It ends with the process that started it.
type Postgres struct {
	cluster cluster
	port    int
	log     *slog.Logger
	server  *process
	output  *serverLog
	lock    *os.File
	temp    string // removed by Stop; empty: nothing
}

// StartPostgres starts a server over the data in o.Dir, making it if there is none, and returns once the server
// answers. Ctx bounds the start only. The caller owes a Stop. Errors are of kind Conflict where another process runs a server there or the
// data is of a version that is not installed, Invalid for settings that are refused, and Unavailable with the last
// lines of the server's log for whatever keeps it from starting.
func StartPostgres(ctx context.Context, o PostgresOptions) (*Postgres, error) {
	if err := supported(); err != nil {
		return nil, err
	}
	if err := checkSettings(o.Settings); err != nil {
		return nil, err
	}
	if err := o.complete(); err != nil {
		return nil, err
	}
	p := &Postgres{log: o.Log}
	if err := p.open(ctx, o); err != nil {
		return nil, errors.Join(err, p.clean())
	}
	return p, nil
}

// open claims the directory, finds or makes the cluster, and starts the server.
func (p *Postgres) open(ctx context.Context, o PostgresOptions) error {
	began := time.Now()
	dir, temp, err := serverDir(o.Dir, o.Ephemeral)
	if err != nil {
		return err
	}
	p.temp = temp
	if p.lock, err = lockServer(dir, "postgres"); err != nil {
		return err
	}
	if p.cluster, err = openCluster(ctx, o.Log, dir, o); err != nil {
		return fmt.Errorf("preparing PostgreSQL: %w", err)
	}
	if p.output, err = openLog(filepath.Join(dir, "postgres.log")); err != nil {
		return err
	}
	if err := p.start(ctx, o.Settings); err != nil {
		return err
	}
	o.Log.InfoContext(ctx, "postgres started", "version", p.cluster.build.version, "programs", p.cluster.build.bin,
		"account", p.cluster.id.account, "dir", dir, "port", p.port, "duration", time.Since(began))
	return nil
}

// complete fills in what was left out.
func (o *PostgresOptions) complete() error {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Cache == "" {
		cache, err := defaultCache()
		if err != nil {
			return err
		}
		o.Cache = cache
	}
	return nil
}

// serverDir returns the directory of a server: the caller's, or for an ephemeral one without a directory a new one.
func serverDir(dir string, ephemeral bool) (path, temp string, err error) {
	if dir != "" {
		path, err = ensureDir(dir)
		return path, "", err
	}
	if !ephemeral {
		return "", "", fleet.InvalidField("dir", "is required")
	}
	temp, err = os.MkdirTemp("", "rollcall-server-*")
	if err != nil {
		return "", "", fmt.Errorf("making a temporary directory: %w", err)
	}
	path, err = ensureDir(temp)
	return path, temp, err
}

// lockServer makes sure that one process at a time runs the named server over dir.
func lockServer(dir, name string) (*os.File, error) {
	lock, err := lockFile(filepath.Join(dir, name+".lock"))
	if errors.Is(err, errHeld) {
		return nil, fleet.Errorf(fleet.Conflict, "another process runs %s over %s", name, dir)
	}
	if err != nil {
		return nil, fmt.Errorf("locking %s: %w", dir, err)
	}
	return lock, nil
}

// start starts the server, on another port or a moment later where that helps.
func (p *Postgres) start(ctx context.Context, settings map[string]string) error {
	ctx, cancel := context.WithTimeout(ctx, postgresStart)
	defer cancel()
	portFile := filepath.Join(p.cluster.dir, "postgres.port")
	var err error
	for range 20 {
		if p.port, err = pickPort(ctx, portFile); err != nil {
			return err
		}
		p.output.forget()
		if err = p.attempt(ctx, settings); err == nil {
			return keepPort(portFile, p.port)
		}
		if !worthAnotherTry(p.output.Tail()) {
			break
		}
		pause, cancel := context.WithTimeout(ctx, 250*time.Millisecond)
		<-pause.Done()
		cancel()
	}
	return err
}

// worthAnotherTry knows the two causes that pass: somebody took the port between our look and the server's, and
// the last processes of a killed server are still about to notice that it is gone.
func worthAnotherTry(output string) bool {
	return strings.Contains(output, "could not create any TCP/IP sockets") ||
		strings.Contains(output, "pre-existing shared memory block")
}

// attempt starts the server once and waits until it answers.
func (p *Postgres) attempt(ctx context.Context, settings map[string]string) error {
	server, err := spawn(command{
		path: p.cluster.build.postgres(), args: p.cluster.args(p.port, settings),
		id: p.cluster.id, death: syscall.SIGINT, log: p.output,
	})
	if err != nil {
		return err
	}
	err = poll(ctx, 10*time.Millisecond, func() (bool, error) {
		if server.ended() {
			return false, fleet.Errorf(fleet.Unavailable, "PostgreSQL ended while starting (%s); its last words:\n%s", server.exitText(), p.output.Tail())
		}
		// Its own word first: on the port alone another server might answer.
		pm, err := readPostmaster(p.cluster.data)
		return err == nil && pm.pid == server.cmd.Process.Pid && pm.ready && pingPostgres(ctx, p.port) == nil, nil
	})
	if err == nil {
		p.server = server
		return nil
	}
	if !server.ended() {
		err = fleet.Wrap(err, fleet.Unavailable, "PostgreSQL did not answer in time; its last words:\n%s", p.output.Tail())
	}
	_, stopErr := server.stop(context.WithoutCancel(ctx), rung{syscall.SIGINT, 5 * time.Second}, rung{syscall.SIGQUIT, 5 * time.Second})
	return errors.Join(err, stopErr)
}

// URL is the server's address with user, password and database, as DATABASE_URL wants it. It stays the same from
// start to start in one directory, as long as nobody else takes the port. The role may create databases and roles;
// it is no superuser.
func (p *Postgres) URL() string { return p.cluster.url(p.port) }

// Version is the server's version, such as 15.18.
func (p *Postgres) Version() string { return p.cluster.build.version }

// Programs is the directory of the server's programs.
func (p *Postgres) Programs() string { return p.cluster.build.bin }

// Done is closed when the server has ended, whoever ended it.
func (p *Postgres) Done() <-chan struct{} { return p.server.done }

// Wait waits until the server has ended or ctx ends. Its error says why the server ended, with the last lines of
// its log; a server that ended in good order is no error.
func (p *Postgres) Wait(ctx context.Context) error {
	return waitFor(ctx, p.server, "PostgreSQL", p.output)
}

// Stop ends the server, its open transactions rolled back, and returns when it has ended. When ctx ends first the
// shutdown becomes an immediate one, after which the next start recovers. Stopping twice is harmless.
func (p *Postgres) Stop(ctx context.Context) error {
	forced, err := p.server.stop(ctx, rung{syscall.SIGINT, postgresStop}, rung{syscall.SIGQUIT, 5 * time.Second})
	if forced {
		p.log.WarnContext(ctx, "postgres did not stop in time and was forced", "dir", p.cluster.dir)
	}
	if err != nil {
		return err // it still runs: what it holds stays
	}
	return p.clean()
}

// clean gives back what the server held.
func (p *Postgres) clean() error {
	var errs []error
	if p.output != nil {
		errs = append(errs, p.output.Close())
	}
	if p.lock != nil {
		funlock(p.lock)
		errs = append(errs, closeOnce(p.lock))
	}
	if p.temp != "" {
		errs = append(errs, os.RemoveAll(p.temp))
	}
	return errors.Join(errs...)
}

// closeOnce closes a file that may be closed already.
func closeOnce(f *os.File) error {
	if err := f.Close(); err != nil && !errors.Is(err, os.ErrClosed) {
		return err
	}
	return nil
}

// waitFor waits for the end of a server.
func waitFor(ctx context.Context, server *process, name string, output *serverLog) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-server.done:
	}
	if server.err == nil {
		return nil
	}
	return fleet.Errorf(fleet.Unavailable, "%s ended by itself (%s); its last words:\n%s", name, server.exitText(), output.Tail())
}
