package collection

import (
	"context"
	"time"

	"github.com/rollcallhq/rollcall/pkg/collector"
	"github.com/rollcallhq/rollcall/pkg/remote"
	"github.com/rollcallhq/rollcall/pkg/store"
)

// End ends a task that w has claimed, with what was learned.
func End(ctx context.Context, w *Worker, e store.Ending, reports []collector.Report) (bool, error) {
	return w.end(ctx, e, reports)
}

// SetPace makes w live faster: how often it beats, when it gives itself up, and how long it waits before trying a host
// again.
func SetPace(w *Worker, beat, fence, retry time.Duration) {
	w.pace = pace{beat: beat, fence: fence, stray: fence, retry: retry}
}

// SetAges makes w call things lost earlier: a silent worker, a message without a claim, one that is stuck.
func SetAges(w *Sweeper, silence, rung, stuck time.Duration) {
	w.ages = ages{silence: silence, rung: rung, stuck: stuck, completed: stuck, keyless: stuck}
}

// LiveInRealTime lets w live at the pace that it has outside of tests.
func LiveInRealTime(w *Worker) { w.pace = realPace() }

// SweepInRealTime lets w call lost what it calls so outside of tests.
func SweepInRealTime(w *Sweeper) { w.ages = realAges() }

// SetPatience says how long s waits for the queue before it answers that a collection is delayed.
func SetPatience(s *Service, d time.Duration) { s.patience = d }

// RingLimit is how many tasks whoever triggers rings for at once.
const RingLimit = ringLimit

// StopOf returns how a run of the plan is ended that has said so much up to now.
func StopOf(plan collector.Plan, stdout []byte) remote.Stop { return stopOf(plan, stdout) }

// A Step is a moment in the working of a task.
type Step = step

// The steps, in their order.
const (
	StepFetched   = stepFetched
	StepClaimed   = stepClaimed
	StepConnected = stepConnected
	StepAnswered  = stepAnswered
	StepCompared  = stepCompared
	StepEnded     = stepEnded
)

// At lets w call f whenever it comes to that step. It is called before w works.
func At(w *Worker, at Step, f func()) {
	w.reached = func(s step) {
		if s == at {
			f()
		}
	}
}

// RelayRound and SweepRound do what w does once per period.
func RelayRound(ctx context.Context, w *Sweeper) error {
	_, err := relay(ctx, bell{store: w.Store, queue: w.Queue})
	return err
}

// SweepRound is described at RelayRound.
func SweepRound(ctx context.Context, w *Sweeper) error { return w.round(ctx) }
