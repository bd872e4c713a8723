// Package up runs everything in one process: private PostgreSQL and Redis where none are given, then the very code of
// the api, worker and scheduler binaries, then the first collection, of this machine.
package up

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/errgroup"

	"github.com/rollcallhq/rollcall/api/serve"
	"github.com/rollcallhq/rollcall/pkg/embedded"
	"github.com/rollcallhq/rollcall/pkg/fleet"
	"github.com/rollcallhq/rollcall/pkg/housekeeping"
	"github.com/rollcallhq/rollcall/pkg/process"
	"github.com/rollcallhq/rollcall/pkg/settings"
	"github.com/rollcallhq/rollcall/pkg/telemetry"
	"github.com/rollcallhq/rollcall/scheduler/beat"
	"github.com/rollcallhq/rollcall/worker/work"
)

// Options say what to run.
type Options struct {
	HTTP     string  // where the api answers; empty: 127.0.0.1:8080, with Once any free port
	GRPC     string  // where gRPC answers; empty: 127.0.0.1:50051, with Once any free port
	Data     string  // the data directory; empty: the user's state directory
	Simulate int     // how many simulated hosts to import and collect as well
	Drift    float64 // the share of the simulated hosts that change a fact between two collections, from 0 to 1
	Once     bool    // collect, print, end
	JSON     bool    // print the reports as a JSON array instead of a summary

	DatabaseURL   string // empty: a private server
	RedisURL      string // empty: a private server
	AdminPassword string // of the first admin; empty: generated
	SigningKey    string // empty: kept in the data directory, as the sealing and opening keys are
	SealKeys      string
	OpenKeys      string

	QueueLimit int // with so many tasks waiting, bulk work is refused; 0: never
	Retention  housekeeping.Retention

	Callers     serve.Callers       // how those who ask are treated
	TLS         process.TLSFiles    // of HTTP and gRPC; zero: without TLS
	Connections process.Connections // of each listener; zero: any number
	Traces      string              // where traces go; empty: nowhere

	Log     telemetry.Options
	Stdout  io.Writer
	Stderr  io.Writer
	Version string
}

// ReadCallers reads how the api of a run treats those who ask.
func ReadCallers(r *settings.Reader) serve.Callers { return serve.ReadCallers(r) }

// drain is how long running tasks may go on after Ctrl-C.
const drain = 3 * time.Second

// onceTimeout bounds a run with Once: a script must not wait for a database that never answers.
const onceTimeout = 5 * time.Minute

var errOnce = fleet.Errorf(fleet.Unavailable, "not done within %s; what it waited for is logged above", onceTimeout)

// stopTimeout bounds the stopping of each private server.
const stopTimeout = 30 * time.Second

// Run runs everything until ctx ends, or with Once until the reports are stored and printed. Nothing that it started
// is left running. A data directory that is in use is a Conflict that says by whom.
func Run(ctx context.Context, o Options) (err error) {
	if o.Data == "" {
		if o.Data, err = embedded.DefaultDir(); err != nil {
			return err
		}
	}
	if o.Data, err = filepath.Abs(o.Data); err != nil {
		return fmt.Errorf("finding the data directory: %w", err)
	}
	log := process.Logger(o.Stderr, "", o.Log)
	lock, err := embedded.Lock(o.Data)
	if err != nil {
		return err
	}
	defer func() { _ = lock.Release() }()
	keys, err := loadKeys(o)
	if err != nil {
		return err
	}
	back, err := startBackends(ctx, o, log)
	if err != nil {
		return err
	}
	defer back.stop(context.WithoutCancel(ctx), log)
	if o.Once {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeoutCause(ctx, onceTimeout, errOnce)
		defer cancel()
	}
	u := &run{Options: o, keys: keys, back: back, lock: lock, log: log, registry: telemetry.NewRegistry("up", o.Version), listening: make(chan struct{}), serving: make(chan struct{})}
	return u.run(ctx)
}

// A run is one life of the process.
type run struct {
	Options
	keys     keys
	back     *backends
	lock     *embedded.DirLock
	registry *prometheus.Registry // of all parts: /metrics shows them together
	log      *slog.Logger

	once      sync.Once
	listening chan struct{} // closed when http and grpc are known
	http      string
	grpc      string
	serving   chan struct{} // closed when password is known
	password  string        // of the first admin, if it was made just now
}

func (u *run) config(service string) process.Config {
	c := process.Config{
		DatabaseURL: u.back.databaseURL, RedisURL: u.back.redisURL, Migrate: process.MigrateAuto, RedisPool: 50, Log: u.Log, Connections: u.Connections, Traces: u.Traces,
	}
	c.Database.Name = "rollcall-" + service
	return c
}

// run starts the three parts and the main job in one group, in which the end of any ends all.
func (u *run) run(ctx context.Context) error {
	ctx, finish := context.WithCancelCause(ctx)
	defer finish(nil)
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return named("api", serve.Run(ctx, u.serve(), u.log.With("service", "api"))) })
	g.Go(func() error { return named("worker", work.Run(ctx, u.work(), u.log.With("service", "worker"))) })
	g.Go(func() error {
		return named("scheduler", beat.Run(ctx, beat.Config{Process: u.config("scheduler"), Version: u.Version, Registry: u.registry, QueueLimit: u.QueueLimit, Retention: u.Retention}, u.log.With("service", "scheduler")))
	})
	g.Go(func() error { return u.back.watch(ctx) })
	g.Go(func() error {
		err := u.main(ctx)
		if err == nil && u.Once {
			finish(errDone)
		}
		return err
	})
	err := g.Wait()
	if context.Cause(ctx) == errDone { //nolint:errorlint // it is set as it is
		return nil
	}
	if context.Cause(ctx) == errOnce { //nolint:errorlint // it is set as it is
		return errOnce
	}
	if errors.Is(err, syscall.EADDRINUSE) {
		return fmt.Errorf("%w; something else listens there: choose another address with --http or --grpc", err)
	}
	return err
}

// errDone ends a run whose job is done.
var errDone = fleet.Errorf(fleet.OK, "done")

func named(part string, err error) error {
	if err != nil {
		return fmt.Errorf("%s: %w", part, err)
	}
	return nil
}

func (u *run) serve() serve.Config {
	return serve.Config{
		Process: u.config("api"), Version: u.Version, HTTPAddr: u.address(u.HTTP, "127.0.0.1:8080"), GRPCAddr: u.address(u.GRPC, "127.0.0.1:50051"),
		SigningKey: []byte(u.keys.Signing), SealKeys: u.keys.Seal, Doors: serve.AllDoors(), AdminPassword: u.AdminPassword,
		QueueLimit: u.QueueLimit, Retention: u.Retention, TLS: u.TLS, Callers: u.Callers,
		Registry:   u.registry,
		FirstAdmin: func(password string) { u.password = password },
		Serving:    func() { close(u.serving) },
		Listening: func(http, grpc string) {
			u.http, u.grpc = http, grpc
			u.once.Do(func() { close(u.listening) })
		},
	}
}

// address returns where to listen: a run that ends at once takes any free port, so that it never meets another one.
func (u *run) address(given, usual string) string {
	switch {
	case given != "":
		return given
	case u.Once:
		return "127.0.0.1:0"
	}
	return usual
}

func (u *run) work() work.Config {
	return work.Config{
		Process: u.config("worker"), Version: u.Version, OpenKeys: u.keys.Open, Sites: []string{fleet.DefaultSite},
		Concurrency: 200, Local: true, Drain: drain, Registry: u.registry,
	}
}

// url returns where a browser finds the pages.
func (u *run) url() string {
	scheme := "http://"
	if u.TLS != (process.TLSFiles{}) {
		scheme = "https://"
	}
	host, port, err := net.SplitHostPort(u.http)
	if err != nil {
		return scheme + u.http
	}
	if ip := net.ParseIP(host); ip == nil || ip.IsUnspecified() {
		host = "localhost"
	}
	return scheme + net.JoinHostPort(host, port)
}
