package collection

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/rollcallhq/rollcall/pkg/collector"
	"github.com/rollcallhq/rollcall/pkg/fleet"
	"github.com/rollcallhq/rollcall/pkg/store"
)

// A customCache keeps the custom types that a worker has made: one for each name, of the newest version that it has met.
type customCache struct {
	mu    sync.Mutex
	types map[string]collector.Type
}

// of returns the type of a version of a custom collector.
func (c *customCache) of(ctx context.Context, s *store.Store, name string, version int) (collector.Type, error) {
	c.mu.Lock()
	t, ok := c.types[name]
	c.mu.Unlock()
	if ok && t.SchemaVersion == version {
		return t, nil
	}
	t, err := loadType(ctx, s, name, version)
	if err != nil {
		return t, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.types == nil {
		c.types = map[string]collector.Type{}
	}
	c.types[name] = t
	return t, nil
}

// plan plans the run of a claimed task. A type that is no collector any more is said to have failed.
func (w *Worker) plan(ctx context.Context, claim *store.Claim, l *learned) (collector.Plan, error) {
	types, o := claim.ReportTypes, collector.Options{}
	if claim.Kind == fleet.KindTry {
		trial, err := w.Store.Trial(ctx, fleet.Everything(), claim.Task.CollectionID)
		if err != nil {
			return collector.Plan{}, err
		}
		t, err := typeOf(trial.Definition, max(trial.Version, 1))
		if err != nil {
			return collector.Plan{}, err
		}
		o.Custom = []collector.Type{t}
	} else if names := customTypes(types); len(names) > 0 {
		versions, err := w.Store.CollectorVersions(ctx, names)
		if err != nil {
			return collector.Plan{}, err
		}
		for _, name := range names {
			version, ok := versions[name]
			if !ok {
				types = slices.DeleteFunc(slices.Clone(types), func(t string) bool { return t == name })
				l.gone = append(l.gone, name)
				continue
			}
			t, err := w.custom.of(ctx, w.Store, name, version)
			if err != nil {
				return collector.Plan{}, err
			}
			o.Custom = append(o.Custom, t)
		}
	}
	if len(types) == 0 {
		return collector.Plan{}, fleet.Fail(fleet.CodeCollectorFailed, nil, "reason", "the collector was removed")
	}
	// The dead man's switch on the host counts from now, so it gets what is left of the task's time.
	o.Deadline = claim.Remaining - time.Since(l.began)
	return collector.NewPlan(types, o)
}

// Bounds of what is kept of a trial, in bytes.
const (
	maxTrialText  = 256 << 10
	maxTrialFacts = 512 << 10
)

// A TrialResult is what a trial told, as it is kept: without what its definition redacts, and bounded.
type TrialResult struct {
	System          string            `json:"system"`
	ExitStatus      int               `json:"exit_status"`
	DurationMS      int64             `json:"duration_ms"`
	TimedOut        bool              `json:"timed_out"`
	Stdout          string            `json:"stdout"`
	StdoutTruncated bool              `json:"stdout_truncated"`
	Stderr          string            `json:"stderr"`
	StderrTruncated bool              `json:"stderr_truncated"`
	Lossy           bool              `json:"lossy"`
	Withheld        bool              `json:"withheld"`
	Status          string            `json:"status"`
	Code            string            `json:"code,omitempty"`
	Details         map[string]string `json:"details,omitempty"`
	SchemaErrors    []string          `json:"schema_errors,omitempty"`
	Facts           json.RawMessage   `json:"facts,omitempty"`
	Metrics         json.RawMessage   `json:"metrics,omitempty"`
	Unavailable     map[string]string `json:"unavailable,omitempty"`
	Omitted         bool              `json:"omitted,omitempty"` // facts and metrics are too large to be kept with a trial
}

// trialResult returns a trial as it is kept.
func trialResult(t collector.Trial) TrialResult {
	r := TrialResult{
		System: t.System, ExitStatus: t.Status, DurationMS: t.Took.Milliseconds(), TimedOut: t.TimedOut,
		StdoutTruncated: t.StdoutTruncated, StderrTruncated: t.StderrTruncated, Lossy: t.Lossy, Withheld: t.Withheld,
		Status: t.Report.Status, SchemaErrors: t.SchemaErrors, Facts: t.Report.Facts, Metrics: t.Report.Metrics, Unavailable: t.Report.Unavailable,
	}
	var cut bool
	r.Stdout, cut = bounded(t.Stdout)
	r.StdoutTruncated = r.StdoutTruncated || cut
	r.Stderr, cut = bounded(t.Stderr)
	r.StderrTruncated = r.StderrTruncated || cut
	if t.Report.Failure != nil {
		r.Code, r.Details = string(t.Report.Failure.Code), t.Report.Failure.Details
	}
	if len(r.Facts)+len(r.Metrics) > maxTrialFacts {
		r.Facts, r.Metrics, r.Omitted = nil, nil, true
	}
	return r
}

// bounded returns the beginning of a text, and whether that is not all of it.
func bounded(text string) (string, bool) {
	if len(text) <= maxTrialText {
		return text, false
	}
	end := maxTrialText
	for end > 0 && text[end]&0xC0 == 0x80 { // not in the middle of a character
		end--
	}
	return text[:end], true
}

// keepTrial stores what a trial told. Its reports are none.
func (w *Worker) keepTrial(ctx context.Context, claim *store.Claim, trials []collector.Trial) error {
	if len(trials) != 1 {
		return fmt.Errorf("a trial told %d things", len(trials))
	}
	result, err := json.Marshal(trialResult(trials[0]))
	if err != nil {
		return fmt.Errorf("encoding a trial: %w", err)
	}
	return w.Store.KeepTrial(ctx, store.LeaseOf(claim.Task), result)
}
