package queue

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"

	"github.com/rollcallhq/rollcall/pkg/fleet"
)

// A Handler works the task that a message names. What it returns is one line for Asynqmon. An error means that the
// task could not even be claimed, and delivers the message again; after the claim it returns nil, because
// from there on PostgreSQL decides.
type Handler func(ctx context.Context, m fleet.Message) (line string, err error)

// ServerOptions configure the servers of a worker process.
type ServerOptions struct {
	Sites   []string
	Slots   int           // tasks at once, over all lanes
	Drain   time.Duration // how long Run waits for handlers when its context ends; default 20s
	Handler Handler
	Log     *slog.Logger
}

// Run serves the sites' queues until ctx ends, then stops fetching and waits for the handlers. Handlers' contexts do
// not end with ctx: whoever owns the work decides when to end it.
//
// Each lane has slots that less urgent ones cannot take, and the rest is shared; how many servers share it follows from
// how far Redis is when Run begins, because one server fetches at most one task per round trip.
func Run(ctx context.Context, client redis.UniversalClient, o ServerOptions) error {
	if o.Drain == 0 {
		o.Drain = 20 * time.Second
	}
	trip := roundTrip(ctx, client)
	var servers []*asynq.Server
	for _, s := range shares(max(1, o.Slots), len(o.Sites), trip) {
		server := asynq.NewServerFromRedisClient(client, config(o, s))
		if err := server.Start(handler(o.Handler)); err != nil {
			for _, started := range servers {
				started.Shutdown()
			}
			return unavailable(fmt.Errorf("starting to serve the queues: %w", err))
		}
		servers = append(servers, server)
	}
	o.Log.InfoContext(ctx, "serving the queues", "sites", o.Sites, "slots", o.Slots, "servers", len(servers), "redis_round_trip", trip)
	<-ctx.Done()
	for _, server := range servers {
		server.Stop()
	}
	var all sync.WaitGroup
	for _, server := range servers { // all at once, so that together they take no longer than o.Drain
		all.Go(server.Shutdown)
	}
	all.Wait()
	return nil
}

func config(o ServerOptions, s share) asynq.Config {
	queues := map[string]int{}
	for _, site := range o.Sites {
		for lane, weight := range s.weights {
			queues[Name(site, lane)] = weight
		}
	}
	return asynq.Config{
		Concurrency:              s.slots,
		Queues:                   queues,
		TaskCheckInterval:        100 * time.Millisecond,
		DelayedTaskCheckInterval: time.Second,
		ShutdownTimeout:          o.Drain,
		Logger:                   logger{o.Log},
		LogLevel:                 asynq.WarnLevel,
		RetryDelayFunc: func(n int, err error, _ *asynq.Task) time.Duration {
			if errors.Is(err, asynq.ErrLeaseExpired) {
				return 0
			}
			delay := min(time.Second<<min(n, 5), 30*time.Second)
			return delay/2 + rand.N(delay) //nolint:gosec // jitter
		},
		IsFailure: func(err error) bool { return !errors.Is(err, asynq.ErrLeaseExpired) },
		ErrorHandler: asynq.ErrorHandlerFunc(func(ctx context.Context, _ *asynq.Task, err error) {
			o.Log.WarnContext(ctx, "message not delivered", "error", err)
		}),
	}
}

func handler(h Handler) asynq.Handler {
	return asynq.HandlerFunc(func(ctx context.Context, task *asynq.Task) error {
		name, _ := asynq.GetQueueName(ctx)
		m, err := read(task, name)
		if err != nil {
			return fmt.Errorf("%w: %w", err, asynq.SkipRetry)
		}
		line, err := h(ctx, m)
		if err != nil {
			return err
		}
		if w := task.ResultWriter(); w != nil && line != "" {
			_, _ = w.Write([]byte(line)) // only for people who look; the truth is stored already
		}
		return nil
	})
}

// logger lets Asynq write into our log.
type logger struct{ log *slog.Logger }

func (l logger) Debug(args ...any) { l.log.Debug("asynq", "message", fmt.Sprint(args...)) }
func (l logger) Info(args ...any)  { l.log.Debug("asynq", "message", fmt.Sprint(args...)) }
func (l logger) Warn(args ...any)  { l.log.Warn("asynq", "message", fmt.Sprint(args...)) }
func (l logger) Error(args ...any) { l.log.Error("asynq", "message", fmt.Sprint(args...)) }
func (l logger) Fatal(args ...any) { l.log.Error("asynq", "message", fmt.Sprint(args...)) }
