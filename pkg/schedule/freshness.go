package schedule

import (
	"bytes"
	"cmp"
	"context"
	"log/slog"
	"slices"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/rollcallhq/rollcall/pkg/fleet"
	"github.com/rollcallhq/rollcall/pkg/store"
)

const (
	passEvery     = 15 * time.Second // of all schedulers together
	passLook      = 5 * time.Second  // how often each asks whether it is its turn
	settleBatch   = 1000
	coverBatch    = 5000
	pickBatch     = 100
	restFactor    = 20 // a count of who covers whom is not made again before so many times what it took
	periodsFor    = 24 * time.Hour
	maxPeriods    = 100_000 // timetables whose period is remembered
	keepChanges   = 90 * 24 * time.Hour
	forgetChanges = 5000 // in one pass
	manySites     = 100  // more are counted together
	otherSites    = "_other"
)

// A FreshnessConfig is what Freshness works with.
type FreshnessConfig struct {
	Store   *store.Store
	Silence time.Duration // a worker not seen for longer is not alive
	Log     *slog.Logger
	Metrics prometheus.Registerer // nil: nowhere
}

// Freshness keeps how fresh what is known of each host is: it ages hosts, counts which schedule covers which of them, and
// shows sites and freshness as metrics. Any number of them may run; none is special.
type Freshness struct {
	FreshnessConfig
	shown   atomic.Pointer[[]prometheus.Metric]
	periods map[timetableKey]time.Duration
	since   time.Time // of periods
}

type timetableKey struct{ cron, timezone string }

// NewFreshness returns a Freshness. A second one for one registry panics.
func NewFreshness(c FreshnessConfig) *Freshness {
	f := &Freshness{FreshnessConfig: c, periods: map[timetableKey]time.Duration{}}
	f.shown.Store(&[]prometheus.Metric{})
	if c.Metrics != nil {
		c.Metrics.MustRegister(f)
	}
	return f
}

// Run passes over the hosts, whenever it is this process's turn, until ctx ends.
func (f *Freshness) Run(ctx context.Context) error {
	tick := time.NewTicker(passLook)
	defer tick.Stop()
	var failing time.Time
	for {
		if err := f.round(ctx); err != nil && ctx.Err() == nil {
			if time.Since(failing) > time.Minute { // a database that is down is not to fill the log
				failing = time.Now()
				f.Log.WarnContext(ctx, "round failed", "loop", "freshness", "error", err)
			}
		} else if err == nil {
			failing = time.Time{}
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

func (f *Freshness) round(ctx context.Context) error {
	turn, err := f.Store.TakeFreshnessPass(ctx, passEvery)
	if err != nil {
		return err
	}
	if turn {
		if err := f.Pass(ctx); err != nil {
			return err
		}
	}
	return f.observe(ctx)
}

// Pass brings everything up to now, once.
func (f *Freshness) Pass(ctx context.Context) error {
	if err := f.Store.KeepFreshness(ctx); err != nil {
		return err
	}
	if err := f.cover(ctx); err != nil {
		return err
	}
	for {
		moved, err := f.Store.SettleFreshness(ctx, settleBatch)
		if err != nil {
			return err
		}
		if moved < settleBatch { // the rest is being written by others
			break
		}
	}
	if _, err := f.Store.MoveStrandedTasks(ctx, f.Silence); err != nil {
		return err
	}
	_, err := f.Store.ForgetFreshnessChanges(ctx, keepChanges, forgetChanges)
	return err
}

// cover counts which schedule covers which host, if anything has changed that this follows from.
func (f *Freshness) cover(ctx context.Context) error {
	state, err := f.Store.CoverageState(ctx)
	if err != nil || state.Now == state.Counted || state.Counted != "" && state.Since < restFactor*state.Took {
		return err
	}
	began := time.Now()
	known, err := f.Store.Coverages(ctx)
	if err != nil {
		return err
	}
	covered, err := f.coverages(ctx, known)
	if err != nil {
		return err
	}
	changed := slices.DeleteFunc(covered, func(c fleet.Coverage) bool { return sameCoverage(c, known[c.HostID]) })
	for batch := range slices.Chunk(changed, coverBatch) {
		if err := f.Store.SetCoverages(ctx, batch); err != nil {
			return err
		}
	}
	return f.Store.SetCoverageState(ctx, state.Now, time.Since(began))
}

func sameCoverage(a, b fleet.Coverage) bool {
	return a.Allowed == b.Allowed && (a.ScheduleID == nil) == (b.ScheduleID == nil) && (a.ScheduleID == nil || *a.ScheduleID == *b.ScheduleID)
}

// A cover is what the schedules of one selector allow.
type cover struct {
	selectors []fleet.Selector // all of which have to pick a host
	schedule  uuid.UUID
	allowed   time.Duration
}

// coverages returns what covers each of the hosts: of the schedules that pick it, the one that allows the least. Those
// that allow less are looked at first, until no host is left.
func (f *Freshness) coverages(ctx context.Context, hosts map[uuid.UUID]fleet.Coverage) ([]fleet.Coverage, error) {
	covers, err := f.covers(ctx)
	if err != nil {
		return nil, err
	}
	found := make([]fleet.Coverage, 0, len(hosts))
	done := make(map[uuid.UUID]bool, len(hosts))
	for batch := range slices.Chunk(covers, pickBatch) {
		if len(done) == len(hosts) {
			break
		}
		groups := make([][]fleet.Selector, len(batch))
		for i, c := range batch {
			groups[i] = c.selectors
		}
		picked, err := f.Store.HostsPicked(ctx, groups)
		if err != nil {
			return nil, err
		}
		for i, c := range batch {
			for _, host := range picked[i] {
				if _, known := hosts[host]; known && !done[host] {
					done[host] = true
					found = append(found, fleet.Coverage{HostID: host, ScheduleID: &c.schedule, Allowed: c.allowed})
				}
			}
		}
	}
	for host := range hosts {
		if !done[host] {
			found = append(found, fleet.Coverage{HostID: host, Allowed: fleet.DefaultAllowedAge})
		}
	}
	slices.SortFunc(found, func(a, b fleet.Coverage) int { return bytes.Compare(a.HostID[:], b.HostID[:]) })
	return found, nil
}

// covers returns one cover for all schedules that pick the same hosts, those that allow the least first.
func (f *Freshness) covers(ctx context.Context) ([]cover, error) {
	schedules, err := f.Store.CoveringSchedules(ctx)
	if err != nil {
		return nil, err
	}
	least := map[[2]string]cover{}
	for _, s := range schedules {
		period, ok := f.period(s.Cron, s.Timezone)
		if !ok {
			continue // it is stopped when it is due, and the log says so
		}
		c := cover{schedule: s.ID, allowed: fleet.AllowedAge(period, s.Jitter)}
		key := [2]string{s.Selector, s.Scope}
		if before, there := least[key]; there && before.allowed <= c.allowed {
			continue
		}
		if c.selectors, ok = selectorsOf(s.Selector, s.Scope); ok {
			least[key] = c
		}
	}
	covers := make([]cover, 0, len(least))
	for _, c := range least {
		covers = append(covers, c)
	}
	slices.SortFunc(covers, func(a, b cover) int {
		return cmp.Or(cmp.Compare(a.allowed, b.allowed), bytes.Compare(a.schedule[:], b.schedule[:]))
	})
	return covers, nil
}

// selectorsOf reads the selectors; empty ones pick everything.
func selectorsOf(texts ...string) ([]fleet.Selector, bool) {
	var selectors []fleet.Selector
	for _, text := range texts {
		if text == "" {
			continue
		}
		selector, err := fleet.ParseSelector(text)
		if err != nil {
			return nil, false
		}
		selectors = append(selectors, selector)
	}
	return selectors, true
}

// period returns the period of a timetable, which is remembered for a day.
func (f *Freshness) period(cron, timezone string) (time.Duration, bool) {
	now := time.Now()
	if now.Sub(f.since) > periodsFor || len(f.periods) >= maxPeriods {
		clear(f.periods)
		f.since = now
	}
	key := timetableKey{cron, timezone}
	if period, known := f.periods[key]; known {
		return period, true
	}
	table, err := ParseTimetable(cron, timezone)
	if err != nil {
		return 0, false
	}
	f.periods[key] = table.Period(now)
	return f.periods[key], true
}
