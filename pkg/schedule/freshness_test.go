package schedule_test

import (
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/rollcallhq/rollcall/pkg/fleet"
	"github.com/rollcallhq/rollcall/pkg/schedule"
	"github.com/rollcallhq/rollcall/pkg/store"
	"github.com/rollcallhq/rollcall/pkg/storetest"
)

// A coast is hosts in two sites with users who schedule things.
type coast struct {
	*store.Store
	t         *testing.T
	freshness *schedule.Freshness
	hosts     map[string]fleet.Host
	owners    map[string]fleet.User
}

func newCoast(t *testing.T, metrics prometheus.Registerer) *coast {
	t.Helper()
	s, _ := storetest.Pool(t)
	c := &coast{
		Store: s, t: t, hosts: map[string]fleet.Host{}, owners: map[string]fleet.User{},
		freshness: schedule.NewFreshness(schedule.FreshnessConfig{Store: s, Silence: time.Minute, Log: slog.New(slog.DiscardHandler), Metrics: metrics}),
	}
	for _, name := range []string{"eu-1", "eu-2", "us-1"} {
		h, err := s.AddHost(t.Context(), fleet.Host{
			ID: fleet.NewID(), Name: name, Address: "192.0.2.1", Port: 22, Site: name[:2], Connection: fleet.ConnectionSSH, Enabled: true,
		})
		if err != nil {
			t.Fatal(err)
		}
		c.hosts[name] = h
	}
	for name, selector := range map[string]string{"all": "", "eu": "site=eu"} {
		u := fleet.User{ID: fleet.NewID(), Username: name, PasswordHash: "x", Role: fleet.Operator, Selector: selector}
		if err := s.AddUser(t.Context(), u); err != nil {
			t.Fatal(err)
		}
		c.owners[name] = u
	}
	return c
}

// schedules stores an enabled schedule.
func (c *coast) schedules(owner, name, cron, selector string, jitter time.Duration) fleet.Schedule {
	c.t.Helper()
	sch, err := c.AddSchedule(c.t.Context(), fleet.Schedule{
		ID: fleet.NewID(), Name: name, Cron: cron, Timezone: "UTC", Selector: selector, ReportTypes: []string{"os"}, Priority: fleet.PriorityBulk,
		Overlap: fleet.OverlapSkip, Misfire: fleet.MisfireOnce, Jitter: jitter, Enabled: true, OwnerID: new(c.owners[owner].ID), NextAt: new(time.Now().Add(time.Hour)),
	})
	if err != nil {
		c.t.Fatal(err)
	}
	return sch
}

// covered returns what covers each host after a pass.
func (c *coast) covered() string {
	c.t.Helper()
	if err := c.freshness.Pass(c.t.Context()); err != nil {
		c.t.Fatal(err)
	}
	state, err := c.CoverageState(c.t.Context())
	if err == nil {
		err = c.SetCoverageState(c.t.Context(), state.Counted, 0) // as if it had cost nothing, so that the next pass may count
	}
	if err != nil {
		c.t.Fatal(err)
	}
	all, err := c.Coverages(c.t.Context())
	if err != nil {
		c.t.Fatal(err)
	}
	names := map[string]string{}
	schedules, _, err := c.Schedules(c.t.Context(), fleet.Everything(), store.ScheduleFilter{}, fleet.Page{})
	if err != nil {
		c.t.Fatal(err)
	}
	for _, s := range schedules {
		names[s.ID.String()] = s.Name
	}
	var parts []string
	for name, h := range c.hosts {
		by := "nobody"
		if id := all[h.ID].ScheduleID; id != nil {
			by = names[id.String()]
		}
		parts = append(parts, fmt.Sprintf("%s by %s for %s", name, by, all[h.ID].Allowed))
	}
	slices.Sort(parts)
	return strings.Join(parts, ", ")
}

func TestTheScheduleThatAllowsTheLeastDecides(t *testing.T) {
	t.Parallel()
	c := newCoast(t, nil)
	const day = "24h0m0s"
	want := func(when, eu1, eu2, us1 string) {
		t.Helper()
		if got, want := c.covered(), fmt.Sprintf("eu-1 by %s, eu-2 by %s, us-1 by %s", eu1, eu2, us1); got != want {
			t.Errorf("%s: %s, want %s", when, got, want)
		}
	}
	want("without schedules", "nobody for "+day, "nobody for "+day, "nobody for "+day)
	c.schedules("all", "nightly", "0 3 * * *", "*", 0)
	want("with one for all", "nightly for 36h0m0s", "nightly for 36h0m0s", "nightly for 36h0m0s")
	hourly := c.schedules("eu", "hourly", "@hourly", "*", time.Minute) // its owner sees eu only
	want("with a more frequent one", "hourly for 1h31m0s", "hourly for 1h31m0s", "nightly for 36h0m0s")
	c.schedules("all", "often", "@every 1m", "name=eu-2 or name=us-1", 0)
	want("with one for two hosts", "hourly for 1h31m0s", "often for 6m0s", "often for 6m0s")
	hourly.Enabled = false
	if _, err := c.UpdateSchedule(t.Context(), hourly); err != nil {
		t.Fatal(err)
	}
	want("with one paused", "nightly for 36h0m0s", "often for 6m0s", "often for 6m0s")
	moved := c.hosts["us-1"]
	moved.Name = "us-9"
	if _, err := c.UpdateHost(t.Context(), moved); err != nil {
		t.Fatal(err)
	}
	want("with a host that the selector picks no more", "nightly for 36h0m0s", "often for 6m0s", "nightly for 36h0m0s")
}

// TestACountThatIsDearIsNotMadeAllTheTime has a count take a minute.
func TestACountThatIsDearIsNotMadeAllTheTime(t *testing.T) {
	t.Parallel()
	c := newCoast(t, nil)
	before := c.covered()
	if err := c.SetCoverageState(t.Context(), "as it was", time.Minute); err != nil {
		t.Fatal(err)
	}
	c.schedules("all", "often", "@every 1m", "*", 0)
	if got := c.covered(); got != before {
		t.Errorf("right after a count that took a minute it was made again: %s", got)
	}
	if err := c.SetCoverageState(t.Context(), "as it was", time.Millisecond); err != nil {
		t.Fatal(err)
	}
	deadline := time.Now().Add(10 * time.Second)
	for c.covered() == before {
		if time.Now().After(deadline) {
			t.Fatal("a cheap count is not made again")
		}
	}
}

// TestAPassAgesHosts runs a scheduler's loop on hosts whose time is over.
func TestAPassAgesHosts(t *testing.T) {
	t.Parallel()
	registry := prometheus.NewRegistry()
	c := newCoast(t, registry)
	worker := fleet.Worker{ID: fleet.NewID(), Host: "w", Sites: []string{"eu"}, Slots: 3}
	if _, _, err := c.Heartbeat(t.Context(), worker); err != nil {
		t.Fatal(err)
	}
	all, err := fleet.ParseSelector("*")
	if err != nil {
		t.Fatal(err)
	}
	id := fleet.NewID()
	collected, err := c.AddCollection(t.Context(), fleet.Everything(), fleet.Collection{
		ID: id, Kind: fleet.KindCollect, Actor: "user:all", Selector: "*", ReportTypes: []string{"os"}, Priority: fleet.PriorityBulk,
		Deadline: time.Minute, ExpiresAt: time.Now().Add(time.Hour),
	}, &all)
	if err != nil {
		t.Fatal(err)
	}
	messages, err := c.Outbox(t.Context(), &collected.ID, 10)
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range messages {
		if m.Site == "us" {
			continue // nobody is there
		}
		claim, err := c.ClaimTask(t.Context(), m, worker.ID)
		if err != nil || claim == nil {
			t.Fatalf("ClaimTask = %v, %v", claim, err)
		}
		e := store.Ending{Lease: store.LeaseOf(claim.Task), Host: claim.Host.ID, State: fleet.TaskSucceeded, At: time.Now()}
		if held, err := c.EndTask(t.Context(), e); err != nil || !held {
			t.Fatalf("EndTask = %v, %v", held, err)
		}
	}
	if err := c.SetCoverages(t.Context(), []fleet.Coverage{{HostID: c.hosts["eu-1"].ID, Allowed: time.Second}}); err != nil {
		t.Fatal(err)
	}
	state, err := c.CoverageState(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := c.SetCoverageState(t.Context(), state.Now, 0); err != nil { // nothing is counted anew
		t.Fatal(err)
	}
	deadline := time.Now().Add(30 * time.Second)
	for { // until a second is over
		if err := c.freshness.Pass(t.Context()); err != nil {
			t.Fatal(err)
		}
		n, err := c.CountHosts(t.Context(), fleet.Everything(), fleet.HostFilter{Status: fleet.HostStale})
		if err != nil {
			t.Fatal(err)
		}
		if n == 1 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("the host is not stale")
		}
	}
	if _, _, err := c.Heartbeat(t.Context(), worker); err != nil {
		t.Fatal(err)
	}
	if err := schedule.Observe(t.Context(), c.freshness); err != nil {
		t.Fatal(err)
	}
	want := []string{
		`rollcall_hosts eu disabled 0`, `rollcall_hosts eu failing 0`, `rollcall_hosts eu fresh 1`, `rollcall_hosts eu never 0`, `rollcall_hosts eu stale 1`,
		`rollcall_hosts us disabled 0`, `rollcall_hosts us failing 0`, `rollcall_hosts us fresh 0`, `rollcall_hosts us never 1`, `rollcall_hosts us stale 0`,
		`rollcall_site_hosts eu 2`, `rollcall_site_hosts us 1`, `rollcall_site_workers eu 1`, `rollcall_site_workers us 0`,
	}
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	oldest := 0
	for _, family := range families {
		for _, metric := range family.GetMetric() {
			if family.GetName() == "rollcall_site_oldest_task_seconds" { // how long that is, is the machine's
				oldest++
				continue
			}
			words := []string{family.GetName()}
			for _, label := range metric.GetLabel() { // by name
				words = append(words, label.GetValue())
			}
			got = append(got, strings.Join(append(words, fmt.Sprint(metric.GetGauge().GetValue())), " "))
		}
	}
	slices.Sort(got)
	if !slices.Equal(got, want) || oldest != 2 {
		t.Errorf("shown is %q and how long tasks of %d sites wait, want %q and 2", got, oldest, want)
	}
}

func TestManySitesAreShownTogether(t *testing.T) {
	t.Parallel()
	var sites []fleet.Site
	var counts []fleet.FreshnessCount
	for i := range 250 {
		name := fmt.Sprintf("s%03d", i)
		sites = append(sites, fleet.Site{Name: name, Workers: 1, Enabled: 2})
		counts = append(counts, fleet.FreshnessCount{Site: name, Status: fleet.HostFresh, Hosts: 2})
	}
	const labels = 101 // a hundred of their own, and the others
	if n, want := len(schedule.MetricsOf(sites, counts)), labels*(3+len(fleet.Freshnesses())); n != want {
		t.Errorf("%d metrics of 250 sites, want %d", n, want)
	}
}
