package beat

import (
	"context"
	"fmt"
	"log/slog"
	"os"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/errgroup"

	"github.com/rollcallhq/rollcall/pkg/fleet"
	"github.com/rollcallhq/rollcall/pkg/housekeeping"
	"github.com/rollcallhq/rollcall/pkg/process"
	"github.com/rollcallhq/rollcall/pkg/queue"
	"github.com/rollcallhq/rollcall/pkg/store"
)

// keep keeps the database in order until ctx ends: when ticks say so, and, where they do not come, when something is overdue.
func keep(ctx context.Context, g *errgroup.Group, b *process.Backends, c Config, metrics prometheus.Registerer, log *slog.Logger) {
	g.Go(func() error {
		pool, err := b.OpenOwner(ctx)
		if err != nil {
			return err
		}
		defer pool.Close()
		var ticks []queue.Tick
		for _, j := range housekeeping.Jobs() {
			ticks = append(ticks, queue.Tick{Job: j.Name, Every: j.Every})
		}
		keeper := housekeeping.NewKeeper(housekeeping.KeeperConfig{
			Config: housekeeping.Config{Store: b.Store, Retention: c.Retention, Log: log},
			Owner:  store.New(pool), Queues: queue.Upkeep{Queue: b.Queue, Jobs: ticks}, Holder: holder(), Metrics: metrics,
		})
		g, ctx := errgroup.WithContext(ctx) // the pool is closed when all have ended
		g.Go(func() error { return keeper.Run(ctx) })
		g.Go(func() error {
			return b.Insist(ctx, "Redis", func() error {
				return queue.RunPeriodic(ctx, b.Redis, queue.PeriodicOptions{Ticks: ticks, Do: keeper.Do, Log: log})
			})
		})
		if err := g.Wait(); ctx.Err() == nil {
			return err
		}
		return nil
	})
}

// holder is what this process is called in the leases: people look for it.
func holder() string {
	host, err := os.Hostname()
	if err != nil {
		host = "unknown"
	}
	return fmt.Sprintf("%s:%d:%s", host, os.Getpid(), fleet.NewID().String()[24:])
}
