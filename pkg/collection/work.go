package collection

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/cenkalti/backoff/v5"

	"github.com/rollcallhq/rollcall/pkg/collector"
	"github.com/rollcallhq/rollcall/pkg/fleet"
	"github.com/rollcallhq/rollcall/pkg/store"
)

// maxAttempts bounds how often a task of retry class "retry" is tried within its deadline.
const maxAttempts = 3

// Work works the task that a message names and returns one line about what became of it. An error means that the
// task could not be claimed because the database did not answer, and that the message is worth delivering again.
func (w *Worker) Work(ctx context.Context, m fleet.Message) (string, error) {
	if w.isLeaving() {
		return "", fleet.Errorf(fleet.Unavailable, "this worker is stopping; another one will take the task")
	}
	select {
	case <-w.alive: // or the sweep would take the task over at once
	case <-ctx.Done():
	case <-time.After(w.pace.fence):
	}
	if w.Silent() > w.pace.fence {
		return "", fleet.Errorf(fleet.Unavailable, "this worker cannot show that it is alive; another one may take the task")
	}
	claim, err := w.Store.ClaimTask(ctx, m, w.Self.ID)
	switch {
	case errors.Is(err, store.ErrHostBusy):
		return "postponed: the host is busy with another task", nil
	case err != nil:
		return "", err
	case claim == nil:
		return "nothing to do", nil
	}
	began := time.Now()
	task, stop := context.WithCancelCause(context.WithoutCancel(ctx))
	defer stop(nil)
	w.hold(claim.Task.ID, stop)
	defer w.release(claim.Task.ID)
	deadline, cancel := context.WithTimeoutCause(task, claim.Remaining, fleet.Fail(fleet.CodeDeadlineExceeded, nil))
	defer cancel()

	learned := w.collect(deadline, claim)
	outcome, code, err := w.settle(context.WithoutCancel(ctx), task, claim, learned)
	took := time.Since(began)
	w.metrics.duration.Observe(took.Seconds())
	w.metrics.ended.WithLabelValues(outcome, string(code)).Inc()
	w.log(ctx, claim, outcome, learned, took, err)
	return fmt.Sprintf("%s %s %s %dms", claim.Host.Name, outcome, code, took.Milliseconds()), nil
}

func (w *Worker) log(ctx context.Context, claim *store.Claim, outcome string, learned learned, took time.Duration, err error) {
	attrs := []any{"host", claim.Host.Name, "collection_id", claim.Task.CollectionID, "task_id", claim.Task.ID, "outcome", outcome, "duration", took}
	if learned.failure != nil {
		attrs = append(attrs, "code", learned.failure.Code, "cause", learned.failure.Error())
	}
	if learned.ended != "" {
		attrs = append(attrs, "termination", learned.ended)
	}
	if err != nil {
		w.Log.ErrorContext(ctx, "task not settled; the sweep will", append(attrs, "error", err)...)
		return
	}
	w.Log.InfoContext(ctx, "task", attrs...)
}

// settle decides what becomes of a task after an attempt and stores it. task tells by its cause whether the worker
// itself had to stop.
func (w *Worker) settle(ctx, task context.Context, claim *store.Claim, l learned) (outcome string, code fleet.Code, err error) {
	lease := store.LeaseOf(claim.Task)
	if l.failure != nil {
		code = l.failure.Code
	}
	switch cause := context.Cause(task); {
	case errors.Is(cause, errFenced):
		return "fenced", code, nil // whoever takes it over decides
	case errors.Is(cause, errStopping) && l.interrupted():
		_, err := w.Store.ReleaseTask(ctx, lease, l.ended)
		return "released", code, err
	}
	if delay, again := w.retryDelay(claim, l); again {
		held, err := w.Store.RetryTask(ctx, lease, delay, l.failure, l.ended)
		return ifHeld(held, "retried"), code, err
	}
	ending := store.Ending{
		Lease: lease, Host: claim.Host.ID, State: l.state(), Failure: l.failure, ReportErrors: l.failed,
		Termination: l.ended, MachineID: l.machineID,
	}
	held, err := w.end(ctx, ending, l.reports)
	if err != nil && fleet.KindOf(err) != fleet.Unavailable {
		// What was learned cannot be stored. Left running, the task would only be worked again, to the same end.
		code = fleet.CodeInternal
		ending = store.Ending{
			Lease: lease, Host: claim.Host.ID, State: fleet.TaskFailed, Failure: fleet.Fail(code, err, "reason", "the reports could not be stored"),
			Termination: l.ended,
		}
		w.Log.ErrorContext(ctx, "reports not stored", "host", claim.Host.Name, "task_id", claim.Task.ID, "error", err)
		held, err = w.end(ctx, ending, nil)
	}
	if err == nil && held {
		_, err = w.Store.FinishCollections(ctx, &claim.Task.CollectionID, 1)
	}
	return ifHeld(held, string(ending.State)), code, err
}

func ifHeld(held bool, outcome string) string {
	if !held {
		return "taken over"
	}
	return outcome
}

// end stores the end of a task and what was learned, again and again while the database does not answer and the task is
// still ours.
func (w *Worker) end(ctx context.Context, e store.Ending, reports []collector.Report) (bool, error) {
	return backoff.Retry(ctx, func() (held bool, err error) {
		if e.Findings, e.At, err = w.findings(ctx, e.Host, reports); err == nil {
			held, err = w.Store.EndTask(ctx, e)
		}
		again := fleet.KindOf(err) == fleet.Unavailable || errors.Is(err, store.ErrOtherFormer)
		if err != nil && (!again || w.Silent() > w.pace.fence) {
			return held, backoff.Permanent(err)
		}
		return held, err
	}, backoff.WithBackOff(&backoff.ExponentialBackOff{
		InitialInterval: 50 * time.Millisecond, RandomizationFactor: 0.5, Multiplier: 2, MaxInterval: time.Second,
	}), backoff.WithMaxElapsedTime(time.Minute))
}

// retryDelay says whether a failed task is worth another attempt, and after which delay.
func (w *Worker) retryDelay(claim *store.Claim, l learned) (time.Duration, bool) {
	if l.failure == nil || l.state() != fleet.TaskFailed {
		return 0, false
	}
	if !l.blocked && (l.failure.Code.Info().Retry != fleet.RetryLater || claim.Task.Attempts >= maxAttempts) {
		return 0, false
	}
	delay := w.pace.retry << min(claim.Task.Attempts-1, 3)
	delay += rand.N(delay) //nolint:gosec // jitter
	left := claim.Remaining - time.Since(l.began)
	return delay, left > delay+time.Second
}
