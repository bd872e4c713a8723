package collection

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/rollcallhq/rollcall/pkg/fleet"
	"github.com/rollcallhq/rollcall/pkg/secret"
	"github.com/rollcallhq/rollcall/pkg/store"
	"github.com/rollcallhq/rollcall/pkg/telemetry"
)

// How a worker shows that it is alive and notices that it is not. A worker that could not beat for selfFence ends its
// own work before the sweep lets others take over, which it does after Silence.
const (
	beatEvery = time.Second
	selfFence = 4 * time.Second
	strayAge  = 4 * time.Second
	retryBase = time.Second // before the second attempt at a host; doubled before each further one

	// How long a worker that gave itself up may try to end on the host what it began there: half a second before others
	// may take its tasks over its last connection is closed.
	fencedGrace = Silence - selfFence - 500*time.Millisecond
)

// A pace is how fast a worker lives. Tests shorten it.
type pace struct {
	beat, fence, stray, retry time.Duration
}

func realPace() pace {
	return pace{beat: beatEvery, fence: selfFence, stray: strayAge, retry: retryBase}
}

// Silence is how long a worker must not have been seen before its tasks are taken over.
const Silence = 5500 * time.Millisecond

// WorkerConfig is what a Worker needs.
type WorkerConfig struct {
	Store   *store.Store
	Keys    *secret.OpenKeys
	Self    fleet.Worker // its ID must be fresh for each process
	Local   bool         // whether it may collect from the machine it runs on
	Log     *slog.Logger
	Metrics prometheus.Registerer
	Traces  *telemetry.Traces // nil: none
}

// A Worker works tasks: it claims them, talks to the hosts and stores what it learned. It is safe for concurrent use.
type Worker struct {
	WorkerConfig
	metrics workerMetrics
	pace    pace
	offset  atomic.Int64 // database clock minus ours, in nanoseconds
	beaten  atomic.Int64 // when the last successful heartbeat began, in nanoseconds since born
	born    time.Time    // a day before the worker was made, so that one that never beat has been silent for long
	fence   *time.Timer  // ends all work when the worker has been silent for too long

	custom  customCache
	mu      sync.Mutex
	running map[uuid.UUID]context.CancelCauseFunc
	leaving bool

	reached func(step) // nil but in tests
}

// NewWorker returns a Worker. Its Run must be under way before it may work.
func NewWorker(c WorkerConfig) *Worker {
	c.Self = announced(c.Self, c.Keys)
	w := &Worker{
		WorkerConfig: c, metrics: newWorkerMetrics(c.Metrics), running: map[uuid.UUID]context.CancelCauseFunc{},
		born: time.Now().Add(-24 * time.Hour),
		pace: realPace(),
	}
	w.fence = time.AfterFunc(time.Hour, func() { w.stopAll(errFenced) })
	w.fence.Stop()
	return w
}

// Why a task's context ended, besides its deadline.
var (
	errFenced   = errors.New("this worker could not show that it is alive")
	errStopping = errors.New("this worker is stopping")
)

// Run shows once a second that the worker is alive, hears of cancelled tasks, gives up tasks that it lost, and seals anew
// what somebody asked to be. It
// returns when ctx ends, after the running tasks have been told to stop and have been put back.
func (w *Worker) Run(ctx context.Context) error {
	var resealing sync.WaitGroup
	defer resealing.Wait()
	resealing.Go(func() { w.resealAll(ctx) })
	tick := time.NewTicker(w.pace.beat)
	defer tick.Stop()
	defer w.fence.Stop()
	for {
		w.beat(ctx)
		select {
		case <-ctx.Done():
			return w.leave(context.WithoutCancel(ctx))
		case <-tick.C:
		}
	}
}

func (w *Worker) beat(ctx context.Context) {
	began := time.Now()
	beat, cancel := context.WithTimeout(ctx, w.pace.beat)
	defer cancel()
	now, cancelled, err := w.Store.Heartbeat(beat, w.Self)
	if err != nil {
		if ctx.Err() == nil {
			w.Log.WarnContext(ctx, "heartbeat failed", "error", err)
		}
		return
	}
	w.beaten.Store(int64(began.Sub(w.born)))
	w.fence.Reset(w.pace.fence - time.Since(began)) // not with the next beat, which may hang until it is too late
	w.offset.Store(int64(now.Sub(began.Add(time.Since(began) / 2))))
	for _, id := range cancelled {
		w.stop(id, fleet.Fail(fleet.CodeCancelled, nil))
	}
	if n, err := w.Store.ReleaseStray(beat, w.Self.ID, w.held(), w.pace.stray); err != nil {
		w.Log.WarnContext(ctx, "looking for stray tasks failed", "error", err)
	} else if n > 0 {
		w.Log.WarnContext(ctx, "stray tasks released", "tasks", n)
	}
}

// Silent returns for how long the worker has not been able to show that it is alive; very long before its first
// heartbeat, without which its tasks would be taken over at once.
func (w *Worker) Silent() time.Duration {
	return time.Since(w.born) - time.Duration(w.beaten.Load())
}

// now returns the database's clock.
func (w *Worker) now() time.Time { return time.Now().Add(time.Duration(w.offset.Load())) }

// LeaveTimeout bounds how long a stopping worker waits for its tasks to be put back.
const LeaveTimeout = 10 * time.Second

// removeTimeout bounds how long it takes its name off the list, of a database that may not answer.
const removeTimeout = 2 * time.Second

// leave tells the tasks to stop, waits until they are put back, and removes the heartbeat, so that whatever could not
// be put back is taken over at once.
func (w *Worker) leave(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, LeaveTimeout)
	defer cancel()
	w.mu.Lock()
	w.leaving = true
	w.mu.Unlock()
	w.stopAll(errStopping)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for len(w.held()) > 0 && ctx.Err() == nil {
		select {
		case <-ctx.Done():
		case <-tick.C:
		}
	}
	removing, cancel := context.WithTimeout(context.WithoutCancel(ctx), removeTimeout)
	defer cancel()
	return w.Store.RemoveWorker(removing, w.Self.ID) // or it is found silent
}

// hold notes that the task is being worked. One that was claimed while the worker began to leave, or whose claim was
// answered only when the worker had been silent for too long, is stopped at once.
func (w *Worker) hold(id uuid.UUID, stop context.CancelCauseFunc) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.running[id] = stop
	switch {
	case w.Silent() > w.pace.fence: // the fence fell before there was anything to stop
		stop(errFenced)
	case w.leaving:
		stop(errStopping)
	}
	w.metrics.running.Set(float64(len(w.running)))
}

func (w *Worker) isLeaving() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.leaving
}

func (w *Worker) release(id uuid.UUID) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.running, id)
	w.metrics.running.Set(float64(len(w.running)))
}

func (w *Worker) held() []uuid.UUID {
	w.mu.Lock()
	defer w.mu.Unlock()
	ids := make([]uuid.UUID, 0, len(w.running))
	for id := range w.running {
		ids = append(ids, id)
	}
	return ids
}

func (w *Worker) stop(id uuid.UUID, cause error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if stop := w.running[id]; stop != nil {
		stop(cause)
	}
}

func (w *Worker) stopAll(cause error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, stop := range w.running {
		stop(cause)
	}
}

// workerMetrics count what becomes of tasks.
type workerMetrics struct {
	running  prometheus.Gauge
	ended    *prometheus.CounterVec
	duration prometheus.Histogram
	phases   *prometheus.HistogramVec
}

func newWorkerMetrics(r prometheus.Registerer) workerMetrics {
	m := workerMetrics{
		running: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "rollcall_worker_running_tasks", Help: "Tasks that this worker is working now.",
		}),
		ended: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "rollcall_task_outcomes_total", Help: "Attempts at tasks by what became of them and by code.",
		}, []string{"outcome", "code"}),
		duration: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "rollcall_task_duration_seconds", Help: "Time from the claim of a task to the end of the attempt.",
			Buckets: []float64{.05, .1, .25, .5, 1, 2, 5, 10, 20, 60, 120, 300},
		}),
		phases: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "rollcall_connection_phase_seconds", Help: "Time that the phases of connections to hosts took, by phase and by what came of it: ok or the class of the code.",
			Buckets: []float64{.005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 20, 60, 120},
		}, []string{"phase", "outcome"}),
	}
	if r != nil {
		r.MustRegister(m.running, m.ended, m.duration, m.phases)
	}
	return m
}
