// Package process is what Rollcall's processes have in common: their configuration, the databases they stand on, the
// listeners they answer at, and how they begin and end.
package process

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/url"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"
	"time"

	"github.com/cenkalti/backoff/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/redis/go-redis/v9"

	"github.com/rollcallhq/rollcall/pkg/ephemeral"
	"github.com/rollcallhq/rollcall/pkg/fleet"
	"github.com/rollcallhq/rollcall/pkg/queue"
	"github.com/rollcallhq/rollcall/pkg/store"
	"github.com/rollcallhq/rollcall/pkg/telemetry"
)

// Version returns what this program was built from: the release if stamped, else the module's or the commit's name.
func Version(stamped string) string {
	if stamped != "" {
		return stamped
	}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	if v := info.Main.Version; v != "" && v != "(devel)" {
		return v
	}
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" && len(s.Value) >= 12 {
			return "dev-" + s.Value[:12]
		}
	}
	return "dev"
}

// Backends are the databases a process stands on.
type Backends struct {
	Pool      *pgxpool.Pool
	Store     *store.Store
	Redis     redis.UniversalClient
	Ephemeral *ephemeral.Store
	Queue     *queue.Queue
	Traces    *telemetry.Traces // nil: none

	flush  func() // sends the traces that are left
	config Config
	log    *slog.Logger
}

// Open makes the clients of PostgreSQL and Redis. It connects to neither: Prepare does. The caller owes a Close.
func Open(ctx context.Context, c Config, service string, log *slog.Logger) (*Backends, error) {
	traces, err := c.openTraces(ctx, telemetry.TraceOptions{Service: service, Log: log})
	if err != nil {
		return nil, fmt.Errorf("OTEL_EXPORTER_OTLP_ENDPOINT: %w", err)
	}
	options := c.Database
	options.Name, options.Tracer = "rollcall-"+service, queryTracer(traces)
	pool, err := store.OpenPool(ctx, c.DatabaseURL, options)
	if err != nil {
		traces.Close(ctx)
		return nil, fmt.Errorf("DATABASE_URL: %w; for example DATABASE_URL=postgres://rollcall:PASSWORD@127.0.0.1:5432/rollcall", err)
	}
	client, err := ephemeral.Open(c.RedisURL, ephemeral.Options{Log: log, PoolSize: c.RedisPool})
	if err != nil {
		traces.Close(ctx)
		pool.Close()
		return nil, fmt.Errorf("REDIS_URL: %w; for example REDIS_URL=redis://127.0.0.1:6379/0", err)
	}
	return &Backends{
		Pool: pool, Store: store.New(pool), Redis: client, Ephemeral: ephemeral.New(client), Queue: queue.New(client), Traces: traces, flush: func() { traces.Close(ctx) }, config: c, log: log,
	}, nil
}

// Close sends the traces that are left, for a few seconds at most, and gives the connections back.
func (b *Backends) Close() {
	b.flush()
	_ = b.Redis.Close()
	b.Pool.Close()
}

// How long the statements of housekeeping may take: detaching a month waits for whoever reads at that moment, and makes nobody
// wait for it.
const housekeepingPatience = 15 * time.Minute

// OpenOwner returns a small pool for housekeeping, of the role that owns the tables if this process is told of it. The
// caller closes it.
func (b *Backends) OpenOwner(ctx context.Context) (*pgxpool.Pool, error) {
	return store.OpenPool(ctx, cmp.Or(b.config.OwnerURL, b.config.DatabaseURL), store.Options{
		Name: "rollcall-housekeeping", MaxConns: 2, ConnectTimeout: b.config.Database.ConnectTimeout,
		StatementTimeout: housekeepingPatience, LockTimeout: housekeepingPatience, MaxConnIdle: 30 * time.Second,
	})
}

// PrepareDatabase returns when the database has the schema this program expects and the partitions of the next months,
// which it makes itself unless ROLLCALL_MIGRATE says to wait for another process. It tries again and again while the
// database does not answer, and says so.
func (b *Backends) PrepareDatabase(ctx context.Context) error {
	return b.Insist(ctx, "PostgreSQL", func() error {
		if b.config.Migrate == MigrateWait {
			return b.Store.CheckServing(ctx)
		}
		if err := b.migrate(ctx); err != nil {
			return err
		}
		now, err := b.Store.Now(ctx)
		if err != nil {
			return err
		}
		return b.Store.MakePartitions(ctx, now)
	})
}

func (b *Backends) migrate(ctx context.Context) error {
	if b.config.OwnerURL == "" {
		return store.Migrate(ctx, b.config.DatabaseURL, "")
	}
	app, err := url.Parse(b.config.DatabaseURL)
	if err != nil || app.User == nil {
		return errors.New("DATABASE_URL must be a URL with a user when DATABASE_OWNER_URL is set")
	}
	return store.Migrate(ctx, b.config.OwnerURL, app.User.Username())
}

// WaitForRedis returns when Redis answers.
func (b *Backends) WaitForRedis(ctx context.Context) error {
	return b.Insist(ctx, "Redis", func() error { return b.Queue.Ping(ctx) })
}

// Insist calls f until it succeeds or ctx ends, saying who is not there. What cannot get better by waiting ends it.
func (b *Backends) Insist(ctx context.Context, who string, f func() error) error {
	waited := false
	_, err := backoff.Retry(ctx, func() (struct{}, error) {
		err := f()
		if err != nil && fleet.KindOf(err) != fleet.Unavailable {
			return struct{}{}, backoff.Permanent(err)
		}
		return struct{}{}, err
	}, backoff.WithBackOff(&backoff.ExponentialBackOff{
		InitialInterval: 200 * time.Millisecond, RandomizationFactor: 0.3, Multiplier: 1.7, MaxInterval: 5 * time.Second,
	}), backoff.WithMaxElapsedTime(0), backoff.WithNotify(func(err error, next time.Duration) {
		waited = true
		b.log.WarnContext(ctx, "not ready; trying again", "backend", who, "error", err, "next_try_in", next.Round(time.Millisecond))
	}))
	if err != nil {
		return fmt.Errorf("waiting for %s: %w", who, err)
	}
	if waited {
		b.log.InfoContext(ctx, "ready again", "backend", who)
	}
	return nil
}

// Checks returns the health checks of the two databases. With redisOptional a Redis that is down makes the process
// degraded, not down.
func (b *Backends) Checks(redisOptional bool) []telemetry.Check {
	return []telemetry.Check{
		{Name: "database", Check: func(ctx context.Context) (string, error) { return "", b.Store.CheckServing(ctx) }},
		{Name: "redis", Check: b.Ephemeral.Health, Optional: redisOptional},
		{Name: "storage", Check: func(ctx context.Context) (string, error) { return "", b.Store.CheckStorage(ctx, time.Now()) }},
	}
}

// Listen opens the listener at addr, which names the variable it came from in its error.
func Listen(ctx context.Context, variable, addr string) (net.Listener, error) {
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("%s=%s: cannot listen there: %w", variable, addr, err)
	}
	return l, nil
}

// Draining returns a context that ends when ctx has ended and then the time that wait returns has passed; meanwhile health
// says that nothing should be sent here any more, and whoever is sent here all the same is served. The caller owes a call
// of stop, which ends the context.
func Draining(ctx context.Context, health *telemetry.Health, wait func() time.Duration, log *slog.Logger) (serving context.Context, stop context.CancelFunc) {
	serving, end := context.WithCancel(context.WithoutCancel(ctx))
	undo := context.AfterFunc(ctx, func() {
		health.Drain()
		limit := wait()
		if limit <= 0 {
			end()
			return
		}
		log.InfoContext(ctx, "draining", "seconds", limit.Seconds())
		timer := time.AfterFunc(limit, end)
		context.AfterFunc(serving, func() { timer.Stop() })
	})
	return serving, func() { undo(); end() }
}

// Run is a process from its environment to its end: read reads its configuration, which is refused as a whole with
// every bad value named; run runs it until a signal comes, and a second one ends it at once. args are the process's
// arguments without its name: there are none, and whoever gives one is told so instead of being ignored. It returns the
// exit status.
func Run[C any](stderr io.Writer, name string, args []string, read func(environ []string) (C, error), run func(context.Context, C) error) int {
	if len(args) > 0 {
		_, _ = fmt.Fprintf(stderr, "%s takes no arguments: its environment configures it, as docs/operations.md explains.\n", name)
		if len(args) == 1 && (args[0] == "-h" || args[0] == "--help") {
			return 0
		}
		return 2
	}
	config, err := read(os.Environ())
	if err != nil {
		_, _ = fmt.Fprintf(stderr, "%s: cannot start:\n%s\n", name, err)
		return 2
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	defer context.AfterFunc(ctx, stop)() // a second signal ends the process at once
	if err := run(ctx, config); err != nil && ctx.Err() == nil {
		_, _ = fmt.Fprintf(stderr, "%s: %v\n", name, err)
		return 1
	}
	return 0
}
