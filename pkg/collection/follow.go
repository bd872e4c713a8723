package collection

import (
	"bytes"
	"context"
	"time"

	"github.com/google/uuid"

	"github.com/rollcallhq/rollcall/pkg/collector"
	"github.com/rollcallhq/rollcall/pkg/facts"
	"github.com/rollcallhq/rollcall/pkg/fleet"
	"github.com/rollcallhq/rollcall/pkg/store"
)

// findings returns the reports as they are stored: with the facts that this run could not tell as the last ones knew
// them, and with what changed since. It also returns when they were made, which is later than any former report of the
// host's types, so that the order of the reports is that of their times.
func (w *Worker) findings(ctx context.Context, host uuid.UUID, reports []collector.Report) ([]fleet.Finding, time.Time, error) {
	at := w.now()
	if len(reports) == 0 {
		return nil, at, nil
	}
	known := make(map[string][]byte, len(reports))
	for _, r := range reports {
		known[r.Type] = r.ContentHash[:]
	}
	formers, err := w.Store.Formers(ctx, fleet.Everything(), host, known)
	if err != nil {
		return nil, at, err
	}
	findings := make([]fleet.Finding, len(reports))
	for i, r := range reports {
		former, ok := formers[r.Type]
		if ok && !former.CreatedAt.Before(at.Truncate(time.Millisecond)) {
			at = former.CreatedAt.Add(time.Millisecond)
		}
		if findings[i], err = w.finding(ctx, host, r, former); err != nil {
			return nil, at, err
		}
	}
	return findings, at, nil
}

// finding returns one report as it is stored.
func (w *Worker) finding(ctx context.Context, host uuid.UUID, r collector.Report, former store.Former) (fleet.Finding, error) {
	if former.Facts != nil && former.SchemaVersion == r.SchemaVersion {
		carried, err := r.CarryOver(former.Facts)
		if err != nil {
			w.Log.WarnContext(ctx, "former facts not carried over", "host_id", host, "report_type", r.Type, "error", err)
		} else {
			r = carried
		}
	}
	f := fleet.Finding{
		Type: r.Type, SchemaVersion: r.SchemaVersion, Status: fleet.ReportStatus(r.Status),
		Facts: r.Facts, Metrics: r.Metrics, Unavailable: r.Unavailable, ContentHash: r.ContentHash,
	}
	if former.ContentHash == nil || bytes.Equal(former.ContentHash, r.ContentHash[:]) {
		return f, nil
	}
	f.Follows = &fleet.Succession{ContentHash: former.ContentHash, ReportID: former.ReportID}
	comparison, err := facts.Compare(former.Facts, r.Facts, facts.Options{
		BeforeUnavailable: collector.UnavailablePatterns(former.Unavailable), AfterUnavailable: r.UnavailablePatterns(),
		Revised: collector.Revised(r.Type, former.SchemaVersion, r.SchemaVersion),
	})
	if err != nil {
		// What cannot be compared cannot be said to have changed.
		w.Log.ErrorContext(ctx, "facts not compared", "host_id", host, "report_type", r.Type, "error", err)
		f.Follows.Baselines = []string{facts.Pattern{}.String()}
		return f, nil
	}
	for _, pattern := range comparison.Baselines {
		f.Follows.Baselines = append(f.Follows.Baselines, pattern.String())
	}
	f.Follows.Changes, err = w.changes(ctx, host, r.Type, comparison.Changes)
	return f, err
}

// changes returns the differences with the time since when their former values held.
func (w *Worker) changes(ctx context.Context, host uuid.UUID, reportType string, differences []facts.Difference) ([]fleet.FactChange, error) {
	if len(differences) == 0 {
		return nil, nil
	}
	paths := make([]facts.Path, len(differences))
	for i, d := range differences {
		paths[i] = d.Path
	}
	sinces, err := w.Store.FactSincesOf(ctx, fleet.Everything(), host, reportType, paths)
	if err != nil {
		return nil, err
	}
	changes := make([]fleet.FactChange, len(differences))
	for i, d := range differences {
		changes[i] = fleet.FactChange{Path: d.Path.String(), Before: d.Before, After: d.After}
		if since := sinces.Of(d.Path); !since.IsZero() {
			changes[i].Since = &since
		}
	}
	return changes, nil
}
