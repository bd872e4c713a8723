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
// Interactive tasks have a server and a tenth of the slots of their own, because weights do not help while long
// sessions hold every slot; the rest is shared by several servers, because one fetches at most one task per
// round trip to Redis.
func Run(ctx context.Context, client redis.UniversalClient, o ServerOptions) error {
	if o.Drain == 0 {
		o.Drain = 20 * time.Second
	}
	var servers []*asynq.Server
	for _, lane := range lanesOf(o) {
		server := asynq.NewServerFromRedisClient(client, lane)
		if err := server.Start(handler(o.Handler)); err != nil {
			for _, started := range servers {
				started.Shutdown()
			}
			return unavailable(fmt.Errorf("starting to serve the queues: %w", err))
		}
		servers = append(servers, server)
	}
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

func lanesOf(o ServerOptions) []asynq.Config {
	reserved := max(1, o.Slots/10)
	shared := max(1, o.Slots-reserved)
	lanes := []asynq.Config{config(o, reserved, map[fleet.Priority]int{fleet.PriorityInteractive: 1})}
	const sharedServers = 2
	for i := range min(sharedServers, shared) {
		lanes = append(lanes, config(o, (shared+i)/min(sharedServers, shared),
			map[fleet.Priority]int{fleet.PriorityInteractive: 6, fleet.PriorityNormal: 3, fleet.PriorityBulk: 1}))
	}
	return lanes
}

func config(o ServerOptions, slots int, weights map[fleet.Priority]int) asynq.Config {
	queues := map[string]int{}
	for _, site := range o.Sites {
		for lane, weight := range weights {
			queues[Name(site, lane)] = weight
		}
	}
	return asynq.Config{
		Concurrency:              slots,
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
