package rest

import (
	"context"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/rollcallhq/rollcall/api/internal/session"
	"github.com/rollcallhq/rollcall/pkg/facts"
	"github.com/rollcallhq/rollcall/pkg/fleet"
	"github.com/rollcallhq/rollcall/pkg/store"
	"github.com/rollcallhq/rollcall/pkg/wire"
)

// Bounds and defaults of series of metrics.
const (
	day           = 24 * time.Hour
	maxSteps      = 2000
	defaultSteps  = 240
	defaultPeriod = day
	maxPeriod     = 3660 * day
	maxStep       = 366 * day
)

func (s *server) registerMetrics() {
	register(s, operation{
		id: "getMetrics", method: http.MethodGet, path: hostsPath + "/{id}/metrics", tag: "metrics", role: fleet.Viewer,
		summary: "Metrics of a host over time",
		description: "One series for each metric at or below a path that matches, the first " + strconv.Itoa(store.MaxSeries) + " by path: those that the newest report " +
			"of the time asked for has. Steps are counted from Unix time 0, so that they are the same whenever they are asked for.",
	}, s.getMetrics)
}

type metricsInput struct {
	ByID
	Type  string    `query:"type" required:"true" example:"memory"`
	Path  string    `query:"path" required:"true" doc:"of the metrics, with * for any characters of a name and ** for any number of names" example:"available"`
	Since time.Time `query:"since" doc:"inclusive; the default is 24 hours before until"`
	Until time.Time `query:"until" doc:"exclusive; the default is now"`
	Step  string    `query:"step" maxLength:"16" doc:"in seconds, or with the unit s, m, h or d; the default is a round one that makes at most 240 steps. More than 2,000 steps are refused." example:"5m"`
}

func (s *server) getMetrics(ctx context.Context, in *metricsInput) (*body[wire.HostMetrics], error) {
	q, err := s.metricQuery(ctx, in, time.Now())
	if err != nil {
		return nil, err
	}
	scope := session.Actor(ctx).Scope()
	if _, err := s.Store.Host(ctx, scope, in.ID); err != nil {
		return nil, err
	}
	series, err := s.Store.MetricSeries(ctx, scope, in.ID, q)
	if err != nil {
		return nil, err
	}
	return answer(wire.HostMetrics{
		HostID: in.ID, Type: in.Type, Path: in.Path, Since: q.Since.UTC(), Until: q.Until.UTC(), StepSeconds: int(q.Step / time.Second),
		Series: wire.ListOf(series, "", wire.MetricSeriesView).Items,
	}), nil
}

// metricQuery returns what is asked for, with its defaults as of now.
func (s *server) metricQuery(ctx context.Context, in *metricsInput, now time.Time) (store.MetricQuery, error) {
	q := store.MetricQuery{Type: in.Type, Since: in.Since, Until: in.Until}
	var err error
	if q.Path, err = facts.ParsePattern(in.Path); err != nil {
		return q, err
	}
	if err := s.checkType(ctx, in.Type); err != nil {
		return q, err
	}
	if q.Until.IsZero() {
		q.Until = now
	}
	if q.Since.IsZero() {
		q.Since = q.Until.Add(-defaultPeriod)
	}
	if !q.Since.Before(q.Until) {
		return q, fleet.InvalidField("since", "it is not before until")
	}
	if q.Until.Sub(q.Since) > maxPeriod {
		return q, fleet.InvalidField("since", "it is more than ten years before until")
	}
	q.Step, err = stepOf(in.Step, q.Until.Sub(q.Since))
	return q, err
}

// stepOf returns the step that a text asks for over that period, or a round one for the empty text.
func stepOf(text string, period time.Duration) (time.Duration, error) {
	if text == "" {
		return roundStep(period / defaultSteps), nil
	}
	digits := strings.TrimRight(text, "smhd")
	unit, known := map[string]time.Duration{"": time.Second, "s": time.Second, "m": time.Minute, "h": time.Hour, "d": day}[text[len(digits):]]
	n, err := strconv.ParseInt(digits, 10, 32)
	if err != nil || !known {
		return 0, fleet.InvalidField("step", "expected a number of seconds, or a number with the unit s, m, h or d, such as 5m")
	}
	if n < 1 || n > int64(maxStep/unit) {
		return 0, fleet.InvalidField("step", "it has to be from a second to 366 days")
	}
	step := time.Duration(n) * unit
	if ceil(period, step) > maxSteps {
		return 0, fleet.InvalidField("step", "it makes more than %d steps; for this time it has to be at least %ds", maxSteps, ceil(period, maxSteps*time.Second))
	}
	return step, nil
}

// roundStep returns the smallest step that people count in and that is not below least.
func roundStep(least time.Duration) time.Duration {
	for _, seconds := range []int64{1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10_800, 21_600, 43_200} {
		if step := time.Duration(seconds) * time.Second; step >= least {
			return step
		}
	}
	return time.Duration(ceil(least, day)) * day
}

func ceil(a, b time.Duration) int64 { return int64((a + b - 1) / b) }
