package collection

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/rollcallhq/rollcall/pkg/fleet"
	"github.com/rollcallhq/rollcall/pkg/queue"
	"github.com/rollcallhq/rollcall/pkg/store"
	"github.com/rollcallhq/rollcall/pkg/telemetry"
)

// How often the sweep looks for what was lost, and what it calls lost.
const (
	sweepEvery     = 500 * time.Millisecond
	rungAge        = 3 * time.Second  // a message rung longer ago is looked after
	stuckAge       = 4 * time.Second  // active that long without a claim: its worker died in between
	completedAge   = 10 * time.Second // completed that long without a claim
	keylessAge     = 15 * time.Second // for so long a worker that holds the keys may still come
	deadlineMargin = 30 * time.Second // past its deadline that long: its worker cannot end it
	sweepBatch     = 1000
)

// A Sweeper keeps tasks moving: it rings for queued ones and finds those whose message, worker or time was lost.
// Any number of them may run; none is special.
type Sweeper struct {
	Store *store.Store
	Queue *queue.Queue
	Log   *slog.Logger

	Traces *telemetry.Traces // nil: none

	actions *prometheus.CounterVec
	suspect map[string]suspicion // by message ID: what Redis said of it, and since when
	ages    ages
}

// ages are what a sweep calls lost. Tests shorten them.
type ages struct {
	silence, rung, stuck, completed time.Duration
	keyless                         time.Duration // how old a collection that reseals is before it fails for want of a key
}

func realAges() ages {
	return ages{silence: Silence, rung: rungAge, stuck: stuckAge, completed: completedAge, keyless: keylessAge}
}

type suspicion struct {
	state queue.State
	since time.Time
}

// NewSweeper returns a Sweeper.
func NewSweeper(s *store.Store, q *queue.Queue, log *slog.Logger, metrics prometheus.Registerer) *Sweeper {
	w := &Sweeper{
		Store: s, Queue: q, Log: log, suspect: map[string]suspicion{},
		ages: realAges(),
		actions: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "rollcall_sweep_actions_total", Help: "What the relay and the sweep did to how many tasks.",
		}, []string{"action"}),
	}
	if metrics != nil {
		metrics.MustRegister(w.actions)
	}
	return w
}

// Sweep finds lost messages, dead workers, hopeless tasks and ended collections until ctx ends.
func (w *Sweeper) Sweep(ctx context.Context) error {
	return w.every(ctx, sweepEvery, "sweep", w.round)
}

// every calls f once per period until ctx ends. A round that fails is logged when the failure is new, and once a
// minute while it lasts, so that a database that is down does not fill the log.
func (w *Sweeper) every(ctx context.Context, period time.Duration, what string, f func(context.Context) error) error {
	tick := time.NewTicker(period)
	defer tick.Stop()
	var failing time.Time
	for {
		if err := f(ctx); err != nil && ctx.Err() == nil {
			if time.Since(failing) > time.Minute {
				failing = time.Now()
				w.Log.WarnContext(ctx, "round failed", "loop", what, "error", err)
			}
		} else if !failing.IsZero() && err == nil {
			failing = time.Time{}
			w.Log.InfoContext(ctx, "rounds succeed again", "loop", what)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

func (w *Sweeper) count(action string, n int) {
	if n > 0 {
		w.actions.WithLabelValues(action).Add(float64(n))
	}
}

// round sweeps once. What needs PostgreSQL alone is done even while Redis is down.
func (w *Sweeper) round(ctx context.Context) error {
	taken, err := w.Store.TakeOver(ctx, w.ages.silence)
	if err != nil {
		return err
	}
	w.count("taken_over", taken)
	recalled, err := w.Store.RecallUnserved(ctx, w.ages.silence)
	if err != nil {
		return err
	}
	w.count("recalled", recalled)
	hopeless, err := w.Store.EndHopeless(ctx, deadlineMargin)
	if err != nil {
		return err
	}
	w.count("ended", hopeless)
	settled, err := w.Store.SettleReseals(ctx, w.ages.silence, w.ages.keyless)
	if err != nil {
		return err
	}
	w.count("reseals_settled", settled)
	finished, err := w.Store.FinishCollections(ctx, nil, sweepBatch)
	if err != nil {
		return err
	}
	w.count("finished", len(finished))
	if taken+hopeless > 0 {
		w.Log.InfoContext(ctx, "swept", "taken_over", taken, "ended", hopeless)
	}
	return w.messages(ctx)
}

// messages looks after the tasks that were rung for and that nobody has claimed.
func (w *Sweeper) messages(ctx context.Context) error {
	waiting, err := w.Store.Unclaimed(ctx, w.ages.rung, sweepBatch)
	if err != nil || len(waiting) == 0 {
		clear(w.suspect)
		return err
	}
	states, err := w.Queue.States(ctx, waiting)
	if err != nil {
		return err
	}
	var absent, stuck []fleet.Message
	seen := map[string]suspicion{}
	for i, m := range waiting {
		switch since := w.since(seen, m, states[i]); states[i] {
		case queue.StateAbsent: // Redis was wiped or failed over: the same message is rung again
			absent = append(absent, m)
		case queue.StateArchived: // its ID is taken for ever
			stuck = append(stuck, m)
		case queue.StateActive, queue.StateRetry:
			if since >= w.ages.stuck {
				stuck = append(stuck, m)
			}
		case queue.StateCompleted:
			if since >= w.ages.completed {
				stuck = append(stuck, m)
			}
		case queue.StatePending, queue.StateScheduled: // it waits for a worker, as it should
		}
	}
	w.suspect = seen
	again, err := w.Store.RingAgain(ctx, absent, false)
	w.count("rung_again", again)
	renewed, err2 := w.Store.RingAgain(ctx, stuck, true)
	w.count("renewed", renewed)
	return errors.Join(err, err2)
}

// since returns for how long Redis has said the same of the message.
func (w *Sweeper) since(seen map[string]suspicion, m fleet.Message, state queue.State) time.Duration {
	id, now := queue.ID(m), time.Now()
	s, ok := w.suspect[id]
	if !ok || s.state != state {
		s = suspicion{state: state, since: now}
	}
	seen[id] = s
	return now.Sub(s.since)
}
