package telemetry

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"math"
	"slices"
	"sync"
	"time"

	"github.com/rollcallhq/rollcall/pkg/fleet"
)

// A Status is how well a process, or one thing it needs, is.
type Status string

// The statuses. A single check is ok or down.
const (
	StatusOK       Status = "ok"
	StatusDegraded Status = "degraded" // something optional is down
	StatusDown     Status = "down"     // something required is down
)

const (
	checkTimeout = time.Second
	cacheFor     = time.Second
)

// A Check looks at one thing that the process needs.
type Check struct {
	// Name is the key of the result: database, redis, storage.
	Name string
	// Check returns an error if the thing is not fit for use. Its message is shown to strangers if it is a
	// *fleet.Error of any kind but Internal; otherwise they learn only that the check failed. A reason without
	// an error is shown beside the status ok. The context ends after a second; a check that does not return
	// then counts as down, and is not started again before it has returned.
	Check func(ctx context.Context) (reason string, err error)
	// Optional checks make the process degraded and not down: it goes on serving without the thing.
	Optional bool
}

// A Report is the health of a process at a time.
type Report struct {
	Status    Status                 `json:"status"`
	Timestamp time.Time              `json:"timestamp"` // when the checks were made, in UTC
	Checks    map[string]CheckResult `json:"checks"`
	Warnings  []Warning              `json:"warnings"` // never nil
}

// A Warning is something that somebody should look at and that makes the process no less fit: it changes no status.
type Warning struct {
	Code    string `json:"code"`
	Message string `json:"message"` // a sentence, shown to strangers
}

// A CheckResult is what one check found.
type CheckResult struct {
	Status    Status  `json:"status"`
	LatencyMS float64 `json:"latency_ms"`       // milliseconds, to two digits
	Reason    string  `json:"reason,omitempty"` // safe to show
}

// Health answers how well a process is. It is safe for concurrent use; however many ask, the checks run at
// most once a second.
type Health struct {
	log    *slog.Logger
	checks []*checkState
	warns  *warner // nil: nothing is warned of

	mu       sync.Mutex
	last     Report
	lastAt   time.Time     // zero before the first round
	round    chan struct{} // closed at the end of the round that runs; nil if none does
	draining bool
}

// checkState is a check and its unfinished business.
type checkState struct {
	Check
	busy chan struct{} // holds a token while the check runs, perhaps longer than anybody waits
	was  Status        // of the last round; "" before the first. Only the round touches it
}

// NewHealth returns the health that the checks amount to; without checks it is always ok. Each check that goes
// down or comes back is logged once. Two checks of one name, or one without name or function, panic: they are
// mistakes of the wiring.
func NewHealth(log *slog.Logger, checks ...Check) *Health {
	h := &Health{log: log}
	seen := map[string]bool{}
	for _, c := range checks {
		if c.Name == "" || c.Check == nil || seen[c.Name] {
			panic(fmt.Sprintf("telemetry: health check %q is incomplete or given twice", c.Name))
		}
		seen[c.Name] = true
		h.checks = append(h.checks, &checkState{Check: c, busy: make(chan struct{}, 1)})
	}
	return h
}

// Report returns the health of now, or of up to a second ago. It takes a little over a second at most,
// whatever the checks do and whenever ctx ends: others wait for the same round.
func (h *Health) Report(ctx context.Context) Report {
	h.mu.Lock()
	if !h.lastAt.IsZero() && time.Since(h.lastAt) < cacheFor {
		defer h.mu.Unlock()
		return h.last.clone()
	}
	if running := h.round; running != nil {
		h.mu.Unlock()
		<-running
		h.mu.Lock()
		defer h.mu.Unlock()
		return h.last.clone()
	}
	done := make(chan struct{})
	h.round = done
	h.mu.Unlock()

	report := h.run(context.WithoutCancel(ctx)) // or the first caller's impatience would be everybody's answer
	h.mu.Lock()
	defer h.mu.Unlock()
	h.last, h.lastAt, h.round = report, time.Now(), nil
	close(done)
	return report.clone()
}

// Drain makes readiness fail from now on, so that a balancer stops sending before the process stops serving.
func (h *Health) Drain() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.draining = true
}

// Ready is Report, but down while draining: whether requests should be sent here.
func (h *Health) Ready(ctx context.Context) Report {
	report := h.Report(ctx)
	if h.isDraining() {
		report.Status = StatusDown
		report.Checks["process"] = CheckResult{Status: StatusDown, Reason: "shutting down"}
	}
	return report
}

func (h *Health) isDraining() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.draining
}

func (r Report) clone() Report {
	r.Checks = maps.Clone(r.Checks)
	r.Warnings = slices.Clone(r.Warnings)
	return r
}

// run makes one round of all checks at once.
func (h *Health) run(ctx context.Context) Report {
	report := Report{Status: StatusOK, Timestamp: time.Now().UTC(), Checks: make(map[string]CheckResult, len(h.checks))}
	results := make([]CheckResult, len(h.checks))
	var wg sync.WaitGroup
	for i, c := range h.checks {
		wg.Go(func() { results[i] = h.one(ctx, c) })
	}
	report.Warnings = []Warning{}
	if h.warns != nil {
		wg.Go(func() { report.Warnings = h.warns.now(ctx) })
	}
	wg.Wait()
	for i, c := range h.checks {
		report.Checks[c.Name] = results[i]
		switch {
		case results[i].Status == StatusOK:
		case !c.Optional:
			report.Status = StatusDown
		case report.Status == StatusOK:
			report.Status = StatusDegraded
		}
	}
	return report
}

// An outcome is what a check returned.
type outcome struct {
	reason string
	err    error
}

// one makes one check and returns within checkTimeout.
func (h *Health) one(ctx context.Context, c *checkState) CheckResult {
	ctx, cancel := context.WithTimeout(ctx, checkTimeout)
	start := time.Now()
	got := outcome{err: fleet.Errorf(fleet.Unavailable, "the check has not returned since an earlier round")}
	select {
	case c.busy <- struct{}{}:
		got = c.await(ctx, cancel)
	default:
		cancel()
	}
	result := CheckResult{
		Status: StatusOK, Reason: got.reason,
		LatencyMS: math.Round(float64(time.Since(start).Microseconds())/10) / 100,
	}
	if got.err != nil {
		result.Status, result.Reason = StatusDown, shown(got.err)
	}
	h.note(ctx, c, result.Status, got)
	return result
}

// await starts the check and waits for it until ctx ends. A check that takes longer ends on its own time and
// gives its token back then.
func (c *checkState) await(ctx context.Context, cancel context.CancelFunc) outcome {
	returned := make(chan outcome, 1)
	go func() {
		defer func() { <-c.busy }()
		defer cancel()
		returned <- c.guarded(ctx)
	}()
	select {
	case got := <-returned:
		return got
	case <-ctx.Done():
	}
	select {
	case got := <-returned: // it ended with its context and may know better what was slow
		return got
	default:
		return outcome{err: fleet.Wrap(ctx.Err(), fleet.Unavailable, "no answer within %s", checkTimeout)}
	}
}

// guarded calls the check and turns a panic into an error.
func (c *checkState) guarded(ctx context.Context) (got outcome) {
	defer func() {
		if v := recover(); v != nil {
			got = outcome{err: fmt.Errorf("the check panicked: %v", v)}
		}
	}()
	reason, err := c.Check.Check(ctx)
	return outcome{reason, err}
}

// shown is what strangers learn of err.
func shown(err error) string {
	if fleet.KindOf(err) == fleet.Internal {
		return "the check failed; the log has the details"
	}
	return fleet.MessageOf(err)
}

// note logs a check that has changed, and keeps silent about one that is as it was.
func (h *Health) note(ctx context.Context, c *checkState, is Status, got outcome) {
	was := c.was
	c.was = is
	switch {
	case is == was:
	case is == StatusDown:
		h.log.WarnContext(ctx, "health check is down", "check", c.Name, "error", got.err)
	case was == StatusDown:
		h.log.InfoContext(ctx, "health check is ok again", "check", c.Name)
	}
}
