package collection

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"strconv"
	"strings"
	"time"

	"github.com/cenkalti/backoff/v5"

	"github.com/rollcallhq/rollcall/pkg/collector"
	"github.com/rollcallhq/rollcall/pkg/fleet"
	"github.com/rollcallhq/rollcall/pkg/store"
	"github.com/rollcallhq/rollcall/pkg/telemetry"
)

// attemptsAt returns how often a host is tried at most within the task's deadline when it fails with that code.
func attemptsAt(code fleet.Code) int {
	switch code.Info().Retry {
	case fleet.RetryLater:
		return 3
	case fleet.RetryOnce:
		return 2
	case fleet.RetryNever:
	}
	return 1
}

// How long the database may take to answer before its answer is given up. Every statement is ended by itself before.
const (
	answerTimeout = 40 * time.Second
	settleTimeout = 2 * time.Minute
	keepFences    = 2 // a message that cannot be worked is kept for so many times a worker's silence
)

// A step is a moment in the working of a task. Tests want to be there.
type step string

// The steps, in their order.
const (
	stepFetched   step = "fetched"   // the message is here
	stepClaimed   step = "claimed"   // the task is ours
	stepConnected step = "connected" // the host has let us in
	stepAnswered  step = "answered"  // the host's answer is here
	stepCompared  step = "compared"  // what it changes is known, and is about to be stored
	stepEnded     step = "ended"     // the task has ended, and the queue does not know yet
)

func (w *Worker) reach(s step) {
	if w.reached != nil {
		w.reached(s)
	}
}

// Work works the task that a message names and returns one line about what became of it: the host, the outcome, the
// code if there is one, and how long it took. An error means that the task could not be claimed because the database
// did not answer, and that the message is worth delivering again.
func (w *Worker) Work(ctx context.Context, m fleet.Message) (string, error) {
	id := m.TaskID.String()
	ctx, span := w.Traces.Consume(telemetry.WithTaskID(ctx, id), spanTask, telemetry.Origin{Parent: m.Trace, Linked: m.Linked},
		slog.String("task_id", id), slog.Int("epoch", m.Epoch))
	w.reach(stepFetched)
	claim, err := w.take(ctx, m)
	switch {
	case errors.Is(err, store.ErrHostBusy):
		span.End("")
		return "postponed: the host is busy with another task", nil
	case err != nil:
		span.EndWith(err)
		return "", err
	case claim == nil:
		span.End("")
		return "nothing to do", nil
	}
	w.reach(stepClaimed)
	collection := claim.Task.CollectionID.String()
	span.Set(slog.String("collection_id", collection), slog.String("host_id", claim.Host.ID.String()), slog.String("site", claim.Task.Site),
		slog.Int("attempt", claim.Task.Attempts))
	v, took := w.work(telemetry.WithCollectionID(ctx, collection), claim)
	span.Set(slog.String("outcome", v.outcome))
	span.End(string(v.code))
	return claim.Host.Name + " " + v.line(took), nil
}

// work works a claimed task and returns what became of it, and how long that took.
func (w *Worker) work(ctx context.Context, claim *store.Claim) (verdict, time.Duration) {
	began := time.Now()
	task, stop := context.WithCancelCause(context.WithoutCancel(ctx))
	defer stop(nil)
	w.hold(claim.Task.ID, stop)
	defer w.release(claim.Task.ID)
	deadline, cancel := context.WithTimeoutCause(task, claim.Remaining, fleet.Fail(fleet.CodeDeadlineExceeded, nil))
	defer cancel()

	learned := w.collect(deadline, claim)
	w.reach(stepAnswered)
	settling, cancel := context.WithTimeout(context.WithoutCancel(ctx), settleTimeout)
	defer cancel()
	v := w.settle(settling, task, claim, learned)
	w.reach(stepEnded)
	took := time.Since(began)
	w.metrics.duration.Observe(took.Seconds())
	w.metrics.ended.WithLabelValues(v.outcome, string(v.code)).Inc()
	w.log(ctx, claim, v, learned, took)
	return v, took
}

// take claims the task that the message names. While this worker cannot show that it is alive, or the database does
// not answer, it keeps the message for a while: a worker that gave it back at once would fetch the next one and the next,
// and keep all of them from those that can work. The sweep looks after the messages that it holds.
func (w *Worker) take(ctx context.Context, m fleet.Message) (*store.Claim, error) {
	return backoff.Retry(ctx, func() (*store.Claim, error) {
		if w.isLeaving() {
			return nil, backoff.Permanent(fleet.Errorf(fleet.Unavailable, "this worker is stopping; another one will take the task"))
		}
		if w.Silent() > w.pace.fence { // the sweep would take the task over at once
			return nil, fleet.Errorf(fleet.Unavailable, "this worker cannot show that it is alive; another one may take the task")
		}
		ctx, cancel := context.WithTimeout(ctx, answerTimeout)
		defer cancel()
		claim, err := w.Store.ClaimTask(ctx, m, w.Self.ID)
		if err != nil && fleet.KindOf(err) != fleet.Unavailable {
			return nil, backoff.Permanent(err)
		}
		return claim, err
	}, backoff.WithBackOff(backoff.NewConstantBackOff(w.pace.beat/4)), backoff.WithMaxElapsedTime(keepFences*w.pace.fence))
}

// A verdict is what became of an attempt at a task.
type verdict struct {
	outcome string
	said    string // to people, if that is more than the outcome
	code    fleet.Code
	err     error // of storing it
}

// line returns what Asynqmon shows after the name of the host, such as "failed auth_failed 0.3s".
func (v verdict) line(took time.Duration) string {
	words := []string{cmp.Or(v.said, v.outcome)}
	if v.err != nil {
		words = []string{"not stored:", words[0]}
	}
	if v.code != "" {
		words = append(words, string(v.code))
	}
	return strings.Join(append(words, seconds(took)), " ")
}

// seconds returns a duration to the tenth of a second.
func seconds(d time.Duration) string { return strconv.FormatFloat(d.Seconds(), 'f', 1, 64) + "s" }

func (w *Worker) log(ctx context.Context, claim *store.Claim, v verdict, learned learned, took time.Duration) {
	attrs := []any{"host", claim.Host.Name, "outcome", v.outcome, "duration", took}
	if learned.failure != nil {
		attrs = append(attrs, "code", learned.failure.Code, "cause", learned.failure.Error())
	}
	if learned.ended != "" {
		attrs = append(attrs, "termination", learned.ended)
	}
	if v.err != nil {
		w.Log.ErrorContext(ctx, "task not settled; the sweep will", append(attrs, "error", v.err)...)
		return
	}
	w.Log.InfoContext(ctx, "task", attrs...)
}

// settle decides what becomes of a task after an attempt and stores it. task tells by its cause whether the worker
// itself had to stop.
func (w *Worker) settle(ctx, task context.Context, claim *store.Claim, l learned) verdict {
	lease, v := store.LeaseOf(claim.Task), verdict{}
	if l.failure != nil {
		v.code = l.failure.Code
	}
	switch cause := context.Cause(task); {
	case errors.Is(cause, errFenced):
		v.outcome = "fenced" // whoever takes it over decides
		return v
	case errors.Is(cause, errStopping) && l.interrupted():
		held, err := w.Store.ReleaseTask(ctx, lease, l.ended)
		return v.stored("released", held, err)
	}
	if delay, again := w.retryDelay(claim, l); again {
		held, err := w.Store.RetryTask(ctx, lease, delay, l.failure, l.ended)
		v.said = fmt.Sprintf("retry %d/%d in %s", claim.Task.Attempts+1, max(claim.Task.Attempts+1, attemptsAt(v.code)), seconds(delay))
		return v.stored("retried", held, err)
	}
	ending := store.Ending{
		Lease: lease, Host: claim.Host.ID, State: l.state(), Failure: l.failure, ReportErrors: l.failed,
		Termination: l.ended, MachineID: l.machineID,
	}
	reports := l.reports
	if ending.Trial = claim.Kind == fleet.KindTry; ending.Trial {
		reports = nil
	}
	held, err := w.end(ctx, ending, reports)
	if err != nil && fleet.KindOf(err) != fleet.Unavailable {
		// What was learned cannot be stored. Left running, the task would only be worked again, to the same end.
		v.code = fleet.CodeInternal
		ending = store.Ending{
			Lease: lease, Host: claim.Host.ID, State: fleet.TaskFailed, Failure: fleet.Fail(v.code, err, "reason", "the reports could not be stored"),
			Termination: l.ended,
		}
		w.Log.ErrorContext(ctx, "reports not stored", "host", claim.Host.Name, "error", err)
		held, err = w.end(ctx, ending, nil)
	}
	if err == nil && held {
		_, err = w.Store.FinishCollections(ctx, &claim.Task.CollectionID, 1)
	}
	return v.stored(string(ending.State), held, err)
}

// stored returns the verdict with its outcome, which is another one if the lease no longer held.
func (v verdict) stored(outcome string, held bool, err error) verdict {
	v.outcome, v.err = outcome, err
	if !held && err == nil {
		v.outcome, v.said = "taken over", ""
	}
	return v
}

// end stores the end of a task and what was learned, again and again while the database does not answer and the task is
// still ours.
func (w *Worker) end(ctx context.Context, e store.Ending, reports []collector.Report) (bool, error) {
	return backoff.Retry(ctx, func() (held bool, err error) {
		ctx, cancel := context.WithTimeout(ctx, answerTimeout)
		defer cancel()
		if e.Findings, e.At, err = w.findings(ctx, e.Host, reports); err == nil {
			w.reach(stepCompared)
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
	if !l.blocked && claim.Task.Attempts >= attemptsAt(l.failure.Code) {
		return 0, false
	}
	delay := w.pace.retry << min(claim.Task.Attempts-1, 3)
	delay += rand.N(delay) //nolint:gosec // jitter
	left := claim.Remaining - time.Since(l.began)
	return delay, left > delay+time.Second
}
