package schedule

import (
	"context"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/errgroup"

	"github.com/rollcallhq/rollcall/pkg/fleet"
)

const (
	fireEvery = 250 * time.Millisecond
	// batchSize is how many schedules one transaction fires. When more are due at once, all of the firers take part.
	batchSize = 20
	firers    = 4
	// waitEvery is how often is looked for collections that moments wait for; it is spaced out if the look takes long.
	waitEvery = time.Second
)

// Run fires what is due until ctx ends.
func (svc *Service) Run(ctx context.Context) error {
	more := make(chan struct{}, firers-1)
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error {
		svc.loop(ctx, "due", fireEvery, func(ctx context.Context) error { return svc.drain(ctx, more) })
		return nil
	})
	for range firers - 1 {
		g.Go(func() error {
			for {
				select {
				case <-ctx.Done():
					return nil
				case <-more:
					_ = svc.drain(ctx, nil) // the one that woke it meets the same error, and says so
				}
			}
		})
	}
	g.Go(func() error {
		svc.loop(ctx, "waiting", waitEvery, func(ctx context.Context) error {
			_, err := svc.FireWaiting(ctx, batchSize)
			return err
		})
		return nil
	})
	return g.Wait()
}

// drain fires batch after batch until fewer are due than one takes, and wakes the others as long as there are more.
func (svc *Service) drain(ctx context.Context, more chan<- struct{}) error {
	for ctx.Err() == nil {
		n, err := svc.FireDue(ctx, batchSize)
		if err != nil || n < batchSize {
			return err
		}
		for range cap(more) {
			select {
			case more <- struct{}{}:
			default:
			}
		}
	}
	return nil
}

// loop calls f once per period until ctx ends, and leaves ten times as long as f took between two calls if that is longer.
// A failure is logged when it is new, and once a minute while it lasts.
func (svc *Service) loop(ctx context.Context, what string, period time.Duration, f func(context.Context) error) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	var failing time.Time
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		}
		began := time.Now()
		err := f(ctx)
		switch {
		case err != nil && ctx.Err() == nil && time.Since(failing) > time.Minute:
			failing = time.Now()
			svc.Log.WarnContext(ctx, "firing failed", "loop", what, "error", err)
		case err == nil && !failing.IsZero():
			failing = time.Time{}
			svc.Log.InfoContext(ctx, "firing succeeds again", "loop", what)
		}
		wait := period
		if what == "waiting" {
			wait = max(period, min(10*time.Since(began), time.Minute))
		}
		timer.Reset(wait)
	}
}

// metrics are what firing is measured by.
type metrics struct {
	lateness prometheus.Histogram
	firings  *prometheus.CounterVec
}

func newMetrics(r prometheus.Registerer) metrics {
	m := metrics{
		lateness: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "rollcall_schedule_lateness_seconds", Help: "Time from when a schedule was due until its collection was there; without those that waited for another to end.",
			Buckets: []float64{.05, .1, .25, .5, 1, 2, 5, 10, 30, 60, 300, 3600, 86400},
		}),
		firings: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "rollcall_schedule_firings_total", Help: "Moments of schedules by what came of them.",
		}, []string{"outcome"}),
	}
	for _, o := range fleet.Outcomes() {
		m.firings.WithLabelValues(string(o))
	}
	if r != nil {
		r.MustRegister(m.lateness, m.firings)
	}
	return m
}

// report logs and counts what a batch that is stored has done.
func (b *batch) report(ctx context.Context) {
	for _, f := range b.firing {
		lateness := b.now.Sub(f.DueAt)
		b.metrics.firings.WithLabelValues(string(f.Outcome)).Inc()
		if f.Outcome == fleet.OutcomeCollected && !b.waited[f.ScheduleID] {
			b.metrics.lateness.Observe(max(lateness, 0).Seconds())
		}
		b.Log.InfoContext(ctx, "fired", "schedule", b.names[f.ScheduleID], "due_at", f.DueAt, "lateness", lateness, "outcome", f.Outcome,
			"missed", f.Missed, "collection_id", f.CollectionID, "reason", f.Reason)
	}
}
