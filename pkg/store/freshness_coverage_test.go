package store_test

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/rollcallhq/rollcall/pkg/fleet"
	"github.com/rollcallhq/rollcall/pkg/store"
	"github.com/rollcallhq/rollcall/pkg/storetest"
)

func TestThePassIsMadeByOneAtATime(t *testing.T) {
	t.Parallel()
	s, pool := storetest.Pool(t)
	for i, want := range []bool{true, false, false} {
		if turn, err := s.TakeFreshnessPass(t.Context(), time.Minute); err != nil || turn != want {
			t.Errorf("turn %d = %v, %v; want %v", i, turn, err, want)
		}
	}
	for _, off := range []string{"-61 seconds", "1 hour"} { // it is time, or the clock was set back
		exec(t, pool, "update freshness_pass set passed_at = now() + $1::text::interval", off)
		if turn, err := s.TakeFreshnessPass(t.Context(), time.Minute); err != nil || !turn {
			t.Errorf("with the last one at %s: %v, %v", off, turn, err)
		}
	}
}

func TestWhoCoversWhomIsStored(t *testing.T) {
	t.Parallel()
	s, pool := storetest.Pool(t)
	a, b := addHost(t, s, "a"), addHost(t, s, "b", func(h *fleet.Host) { h.Site = "eu" })
	before, err := s.CoverageState(t.Context())
	if err != nil || before.Counted != "" || before.Now == "" {
		t.Fatalf("CoverageState = %+v, %v", before, err)
	}
	if err := s.SetCoverageState(t.Context(), before.Now, 2*time.Second); err != nil {
		t.Fatal(err)
	}
	if state, err := s.CoverageState(t.Context()); err != nil || state.Counted != state.Now || state.Took != 2*time.Second {
		t.Errorf("CoverageState = %+v, %v; want it counted", state, err)
	}
	owner, viewer := somebody(t, s, "owner", fleet.Operator, "site=eu"), somebody(t, s, "viewer", fleet.Viewer, "")
	changed, err := s.CoverageState(t.Context())
	if err != nil || changed.Now == before.Now {
		t.Errorf("CoverageState does not tell that there are users now: %+v, %v", changed, err)
	}
	next := time.Now().Add(time.Hour)
	for name, sch := range map[string]fleet.Schedule{
		"fires": {OwnerID: &owner, Enabled: true, NextAt: &next}, "paused": {OwnerID: &owner, NextAt: &next}, "over": {OwnerID: &owner, Enabled: true},
		"of a viewer": {OwnerID: &viewer, Enabled: true, NextAt: &next}, "of nobody": {Enabled: true, NextAt: &next},
	} {
		sch.ID, sch.Name, sch.Cron, sch.Timezone, sch.Selector, sch.Jitter = fleet.NewID(), name, "@hourly", "UTC", "*", time.Minute
		sch.ReportTypes, sch.Priority, sch.Overlap, sch.Misfire = []string{"os"}, fleet.PriorityBulk, fleet.OverlapSkip, fleet.MisfireOnce
		if _, err := s.AddSchedule(t.Context(), sch); err != nil {
			t.Fatal(err)
		}
	}
	covering, err := s.CoveringSchedules(t.Context())
	if err != nil || len(covering) != 1 || covering[0].Scope != "site=eu" || covering[0].Cron != "@hourly" || covering[0].Jitter != time.Minute {
		t.Fatalf("CoveringSchedules = %+v, %v; want the one that fires", covering, err)
	}
	picked, err := s.HostsPicked(t.Context(), [][]fleet.Selector{{*selector(t, "*")}, {*selector(t, "*"), *selector(t, "site=eu")}, {*selector(t, "site=mars")}})
	if err != nil || len(picked) != 3 || len(picked[0]) != 2 || !slices.Equal(picked[1], []uuid.UUID{b.ID}) || len(picked[2]) != 0 {
		t.Errorf("HostsPicked = %v, %v", picked, err)
	}
	if err := s.SetCoverages(t.Context(), []fleet.Coverage{{HostID: b.ID, ScheduleID: &covering[0].ID, Allowed: time.Hour}}); err != nil {
		t.Fatal(err)
	}
	all, err := s.Coverages(t.Context())
	if err != nil || len(all) != 2 || all[a.ID].ScheduleID != nil || all[a.ID].Allowed != fleet.DefaultAllowedAge || *all[b.ID].ScheduleID != covering[0].ID || all[b.ID].Allowed != time.Hour {
		t.Errorf("Coverages = %+v, %v", all, err)
	}
	statuses, err := s.HostStatuses(t.Context(), fleet.Everything(), []uuid.UUID{b.ID})
	if err != nil || statuses[b.ID].Allowed != time.Hour || *statuses[b.ID].CoveredBy != covering[0].ID {
		t.Errorf("HostStatuses = %+v, %v", statuses, err)
	}
	if changed, err = s.CoverageState(t.Context()); err != nil {
		t.Fatal(err)
	}
	exec(t, pool, "update schedules set enabled = false")
	if state, err := s.CoverageState(t.Context()); err != nil || state.Now == changed.Now {
		t.Errorf("CoverageState does not tell that no schedule is enabled: %+v, %v", state, err)
	}
}

// somebody stores a user and returns the ID.
func somebody(t *testing.T, s *store.Store, name string, role fleet.Role, selector string) uuid.UUID {
	t.Helper()
	u := fleet.User{ID: fleet.NewID(), Username: name, PasswordHash: "x", Role: role, Selector: selector}
	if err := s.AddUser(t.Context(), u); err != nil {
		t.Fatal(err)
	}
	return u.ID
}

func TestTheFeedOfWhatBecameOfHosts(t *testing.T) {
	t.Parallel()
	s, pool := storetest.Pool(t)
	var ids []uuid.UUID
	for i := range 3 {
		ids = append(ids, addHost(t, s, fmt.Sprintf("web-%d", i), labelled(map[string]string{"n": strconv.Itoa(i)})).ID)
	}
	for i := range 9 {
		exec(t, pool, "insert into freshness_changes (host_id, before, after, seen_at) values ($1, 'fresh', $2, now() - $3 * interval '40 days')",
			ids[i%3], []string{"stale", "failing"}[i%2], 8-i)
	}
	complete(t, s)
	read := func(f store.FreshnessFilter) (seen []string) {
		t.Helper()
		for page := (fleet.Page{Limit: 2}); ; {
			got, err := s.FreshnessChanges(t.Context(), fleet.Everything(), f, page)
			if err != nil {
				t.Fatal(err)
			}
			seen = append(seen, namesOf(got.Items, func(c fleet.FreshnessChange) string { return c.Host[4:] + string(c.After[0]) })...)
			if page.After = got.Position; !got.More {
				return seen
			}
		}
	}
	for _, tt := range []struct {
		name   string
		filter store.FreshnessFilter
		want   string
	}{
		{"all of it", store.FreshnessFilter{}, "0s 1f 2s 0f 1s 2f 0s 1f 2s"},
		{"of one host", store.FreshnessFilter{HostID: &ids[1]}, "1f 1s 1f"},
		{"of hosts that a selector picks", store.FreshnessFilter{Selector: selector(t, "n=2")}, "2s 2f 2s"},
		{"what became stale", store.FreshnessFilter{After: fleet.HostStale}, "0s 2s 1s 0s 2s"},
		{"since a time", store.FreshnessFilter{Since: time.Now().Add(-100 * 24 * time.Hour)}, "0s 1f 2s"},
	} {
		if got := read(tt.filter); strings.Join(got, " ") != tt.want {
			t.Errorf("%s: %q, want %q", tt.name, got, tt.want)
		}
	}
	end, err := s.FreshnessChanges(t.Context(), fleet.Everything(), store.FreshnessFilter{}, fleet.Page{After: store.FeedEnd})
	if err != nil || len(end.Items) != 0 || end.Position == "" {
		t.Errorf("the end = %+v, %v", end, err)
	}
	if page, err := s.FreshnessChanges(t.Context(), fleet.Everything(), store.FreshnessFilter{}, fleet.Page{After: end.Position}); err != nil || len(page.Items) != 0 {
		t.Errorf("after the end = %+v, %v", page, err)
	}
	if _, err := s.FreshnessChanges(t.Context(), fleet.Everything(), store.FreshnessFilter{}, fleet.Page{After: "x"}); fleet.KindOf(err) != fleet.Invalid {
		t.Errorf("a cursor of nobody = %v", err)
	}
	// What a transaction that is still open has written is not passed over.
	tx, err := pool.BeginTx(t.Context(), pgx.TxOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tx.Exec(t.Context(), "insert into freshness_changes (host_id, before, after) values ($1, 'fresh', 'stale')", ids[0]); err != nil {
		t.Fatal(err)
	}
	exec(t, pool, "insert into freshness_changes (host_id, before, after) values ($1, 'fresh', 'stale')", ids[1])
	at := end.Position
	page, err := s.FreshnessChanges(t.Context(), fleet.Everything(), store.FreshnessFilter{}, fleet.Page{After: at})
	if err != nil || len(page.Items) != 0 {
		t.Errorf("before a transaction that is open = %+v, %v", page, err)
	}
	if err := tx.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := becomes(t, s, &page.Position); !slices.Equal(got, []string{"web-0 fresh->stale", "web-1 fresh->stale"}) {
		t.Errorf("after it: %q", got)
	}
	for _, want := range []int{4, 2, 0} { // six are older, four at a time
		if n, err := s.ForgetFreshnessChanges(t.Context(), 90*24*time.Hour, 4); err != nil || n != want {
			t.Errorf("ForgetFreshnessChanges = %d, %v; want %d", n, err, want)
		}
	}
}
