// Package beat is the scheduler: it fires schedules, rings for queued tasks, sweeps up what was lost, and keeps the
// database in order. Any number of replicas may run, none of them special.
package beat

import (
	"cmp"
	"context"
	"log/slog"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/rollcallhq/rollcall/pkg/collection"
	"github.com/rollcallhq/rollcall/pkg/fleet"
	"github.com/rollcallhq/rollcall/pkg/process"
	"github.com/rollcallhq/rollcall/pkg/schedule"
	"github.com/rollcallhq/rollcall/pkg/store"
	"github.com/rollcallhq/rollcall/pkg/telemetry"
)

// Run is a scheduler until ctx ends.
func Run(ctx context.Context, c Config, log *slog.Logger) error {
	c.Process.Version = c.Version
	b, err := process.Open(ctx, c.Process, "scheduler", log)
	if err != nil {
		return err
	}
	defer b.Close()
	registry := cmp.Or(c.Registry, telemetry.NewRegistry("scheduler", c.Version))
	b.Measure(registry, "scheduler")
	b.MeasureQueues(registry)
	health := telemetry.NewHealth(log, b.Checks(true)...)
	health.WarnOf(b.Warnings(collection.Silence))

	defer context.AfterFunc(ctx, health.Drain)()

	g, ctx := errgroup.WithContext(ctx)
	if c.OpsAddr != "" {
		listener, err := process.Bounded(ctx, "ops", "ROLLCALL_OPS_ADDR", c.OpsAddr, c.Process.Connections, process.NewListenerMetrics(registry))
		if err != nil {
			return err
		}
		g.Go(func() error { return process.ServeHTTP(ctx, listener, telemetry.OpsHandler(registry, health), log) })
	}
	g.Go(func() error {
		if err := b.PrepareDatabase(ctx); err != nil {
			return err
		}
		log.InfoContext(ctx, "scheduling")
		sweeper := collection.NewSweeper(b.Store, b.Queue, log, registry)
		collections := collection.New(collection.Config{
			Store: b.Store, Queue: b.Queue, Log: log, QueueLimit: c.QueueLimit, Metrics: registry, Traces: b.Traces,
		})
		sweeper.Traces = b.Traces
		firing := Schedules(b.Store, collections, log)
		firing.Metrics = registry
		schedules := schedule.New(firing)
		g.Go(func() error { return sweeper.Relay(ctx) })
		g.Go(func() error { return sweeper.Sweep(ctx) })
		freshness := schedule.NewFreshness(schedule.FreshnessConfig{Store: b.Store, Silence: collection.Silence, Log: log, Metrics: registry})
		g.Go(func() error { return freshness.Run(ctx) })
		keep(ctx, g, b, c, registry, log)
		return schedules.Run(ctx)
	})
	return g.Wait()
}

// Schedules wires the schedules to the collections they ask for; api does the same for running one by hand.
func Schedules(s *store.Store, collections *collection.Service, log *slog.Logger) schedule.Config {
	return schedule.Config{
		Store: s, Log: log, CheckTypes: collections.CheckTypes,
		Trigger: func(ctx context.Context, tx *store.Store, actor fleet.Actor, sch fleet.Schedule, due time.Time) (_ fleet.Collection, err error) {
			ctx, span := collections.Traces.Start(ctx, "fire", slog.String("schedule_id", sch.ID.String()))
			defer func() { span.EndWith(err) }()
			if err := collections.Admit(ctx, tx, sch.Priority); err != nil {
				return fleet.Collection{}, err
			}
			r := collection.Request{Selector: sch.Selector, ReportTypes: sch.ReportTypes, Priority: sch.Priority}
			r.Schedule = &fleet.Due{ScheduleID: sch.ID, At: due}
			if !due.IsZero() {
				r.Jitter = sch.Jitter
			}
			return collections.TriggerIn(ctx, tx, actor, r)
		},
	}
}
