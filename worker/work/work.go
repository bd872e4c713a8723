// Package work is the worker: it takes messages from the queues of its sites, connects to the hosts, and stores their
// reports.
package work

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"os"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/rollcallhq/rollcall/pkg/collection"
	"github.com/rollcallhq/rollcall/pkg/fleet"
	"github.com/rollcallhq/rollcall/pkg/process"
	"github.com/rollcallhq/rollcall/pkg/queue"
	"github.com/rollcallhq/rollcall/pkg/secret"
	"github.com/rollcallhq/rollcall/pkg/telemetry"
)

// Run is a worker until ctx ends. Tasks that are still running then are put back on the queue.
func Run(ctx context.Context, c Config, log *slog.Logger) error {
	keys, err := secret.ParseOpenKeys(c.OpenKeys)
	if err != nil {
		return err
	}
	c.Process.Version = c.Version
	b, err := process.Open(ctx, c.Process, "worker", log)
	if err != nil {
		return err
	}
	defer b.Close()
	registry := cmp.Or(c.Registry, telemetry.NewRegistry("worker", c.Version))
	b.Measure(registry, "worker")
	health := telemetry.NewHealth(log, b.Checks(false)...)

	defer context.AfterFunc(ctx, health.Drain)()

	g, ctx := errgroup.WithContext(ctx)
	watched, unwatch := context.WithCancel(context.WithoutCancel(ctx)) // until the last task has ended
	defer unwatch()
	if c.OpsAddr != "" {
		listener, err := process.Bounded(ctx, "ops", "ROLLCALL_OPS_ADDR", c.OpsAddr, c.Process.Connections, process.NewListenerMetrics(registry))
		if err != nil {
			return err
		}
		g.Go(func() error { return process.ServeHTTP(watched, listener, telemetry.OpsHandler(registry, health), log) })
	}
	g.Go(func() error {
		defer unwatch()
		if err := b.PrepareDatabase(ctx); err != nil {
			return err
		}
		if err := b.WaitForRedis(ctx); err != nil {
			return err
		}
		return work(ctx, c, b, collection.NewWorker(collection.WorkerConfig{
			Store: b.Store, Keys: keys, Self: self(c), Local: c.Local, Log: log, Metrics: registry, Traces: b.Traces,
		}), log)
	})
	return g.Wait()
}

// work beats and works until ctx ends. Then nothing more is fetched, and the tasks under way get c.Drain to end. The
// heart stops last: until then nobody takes a running task over; when it stops, those that are left are put back.
func work(ctx context.Context, c Config, b *process.Backends, w *collection.Worker, log *slog.Logger) error {
	beating, stopBeating := context.WithCancel(context.WithoutCancel(ctx))
	defer stopBeating()
	var heart errgroup.Group
	heart.Go(func() error { return w.Run(beating) })
	log.InfoContext(ctx, "working", "worker_id", w.Self.ID, "sites", c.Sites, "slots", c.Concurrency, "local", c.Local)
	draining := context.AfterFunc(ctx, func() { time.AfterFunc(c.Drain, stopBeating) })
	defer draining()
	err := queue.Run(ctx, b.Redis, queue.ServerOptions{
		Sites: c.Sites, Slots: c.Concurrency, Drain: c.Drain + collection.LeaveTimeout, Handler: w.Work, Log: log,
	})
	stopBeating()
	if beat := heart.Wait(); err == nil {
		err = beat
	}
	if err != nil {
		return fmt.Errorf("working: %w", err)
	}
	return nil
}

func self(c Config) fleet.Worker {
	name, err := os.Hostname()
	if err != nil {
		name = "unknown"
	}
	return fleet.Worker{ID: fleet.NewID(), Host: name, Version: c.Version, Sites: c.Sites, Slots: c.Concurrency}
}
