package store_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/rollcallhq/rollcall/pkg/fleet"
	"github.com/rollcallhq/rollcall/pkg/store"
	"github.com/rollcallhq/rollcall/pkg/storetest"
)

// statusOf returns how fresh a host is: the status, its code, and whether filtering by the status finds the host.
func statusOf(t *testing.T, s *store.Store, host uuid.UUID) string {
	t.Helper()
	statuses, err := s.HostStatuses(t.Context(), fleet.Everything(), []uuid.UUID{host})
	if err != nil {
		t.Fatal(err)
	}
	st, there := statuses[host]
	if !there {
		return "absent"
	}
	hosts, _, err := s.Hosts(t.Context(), fleet.Everything(), fleet.HostFilter{Status: st.Freshness}, fleet.Page{})
	if err != nil {
		t.Fatal(err)
	}
	text := string(st.Freshness)
	if st.Freshness == fleet.HostFailing {
		text += " " + string(st.Code)
	}
	if !slices.ContainsFunc(hosts, func(h fleet.Host) bool { return h.ID == host }) {
		text += ", and is not listed as such"
	}
	return text
}

// becomes reads the feed from a place on and returns what it shows.
func becomes(t *testing.T, s *store.Store, at *string) []string {
	t.Helper()
	complete(t, s)
	page, err := s.FreshnessChanges(t.Context(), fleet.Everything(), store.FreshnessFilter{}, fleet.Page{After: *at})
	if err != nil {
		t.Fatal(err)
	}
	*at = page.Position
	return namesOf(page.Items, func(c fleet.FreshnessChange) string {
		return strings.TrimSpace(fmt.Sprintf("%s %s->%s %s", c.Host, c.Before, c.After, c.Code))
	})
}

// TestTheRuleIsTheSameInSQL holds the rule in Go against the one in the database.
func TestTheRuleIsTheSameInSQL(t *testing.T) {
	t.Parallel()
	s := storetest.New(t)
	r := rand.New(rand.NewPCG(14, 6))
	now := time.Now().UTC().Truncate(time.Microsecond)
	seen := map[fleet.Freshness]int{}
	for range 400 {
		enabled, allowed := r.IntN(5) > 0, time.Duration(1+r.IntN(10))*time.Second
		last := fleet.HostStatus{State: []fleet.TaskState{"", fleet.TaskSucceeded, fleet.TaskPartial, fleet.TaskFailed}[r.IntN(4)]}
		if r.IntN(3) > 0 {
			last.SucceededAt = new(now.Add(-time.Duration(r.IntN(12)) * time.Second)) // the very end of what is allowed among them
		}
		want := fleet.FreshnessOf(enabled, last, allowed, now)
		got := ask[string](t, store.DBOf(s), "select freshness_of($1, nullif($2, ''), $3, $4, $5)",
			enabled, string(last.State), last.SucceededAt, int(allowed/time.Second), now)
		if got != string(want) {
			t.Fatalf("enabled %v, %+v, allowed %s: %s in SQL, %s in Go", enabled, last, allowed, got, want)
		}
		seen[want]++
	}
	for _, status := range fleet.Freshnesses() {
		if seen[status] == 0 {
			t.Errorf("no host was %s: this test looks at too little", status)
		}
	}
}

// TestAHostIsAsFreshAsItsLastTaskSays follows one host through all that can become of it, in the list and in the feed.
func TestAHostIsAsFreshAsItsLastTaskSays(t *testing.T) {
	t.Parallel()
	s, pool := storetest.Pool(t)
	at := ""
	host := addHost(t, s, "web-1")
	worker := aWorker(t, s)
	ends := func(state fleet.TaskState, code fleet.Code) {
		t.Helper()
		_, messages := collect(t, s)
		e := ending(claim(t, s, messages[0], worker.ID), state)
		if code != "" {
			e.Failure = fleet.Fail(code, nil)
		}
		end(t, s, e)
	}
	set := func(change func(*fleet.Host)) {
		t.Helper()
		now, err := s.Host(t.Context(), fleet.Everything(), host.ID)
		if err != nil {
			t.Fatal(err)
		}
		change(&now)
		if _, err := s.UpdateHost(t.Context(), now); err != nil {
			t.Fatal(err)
		}
	}
	passes := func(want int) {
		t.Helper()
		if n, err := s.SettleFreshness(t.Context(), 10); err != nil || n != want {
			t.Fatalf("SettleFreshness = %d, %v; want %d", n, err, want)
		}
	}
	for _, step := range []struct {
		name string
		do   func()
		want string
		feed []string
	}{
		{"a new host was never collected", func() {}, "never", nil},
		{"a first task that fails tells why", func() { ends(fleet.TaskFailed, fleet.CodeAuthFailed) }, "failing auth_failed", []string{"web-1 never->failing auth_failed"}},
		{"failing as before is no news", func() { ends(fleet.TaskFailed, fleet.CodeAuthFailed) }, "failing auth_failed", nil},
		{"failing for another reason is", func() { ends(fleet.TaskFailed, fleet.CodeTCPRefused) }, "failing tcp_refused", []string{"web-1 failing->failing tcp_refused"}},
		{"some of the reports make it fresh", func() { ends(fleet.TaskPartial, fleet.CodeOutputTruncated) }, "fresh", []string{"web-1 failing->fresh"}},
		{"a cancelled task says nothing", func() { ends(fleet.TaskCancelled, fleet.CodeCancelled) }, "fresh", nil},
		{"within what is allowed it stays so", func() {
			exec(t, pool, "update host_status set succeeded_at = now() - interval '23 hours'")
			passes(0)
		}, "fresh", nil},
		{"beyond that it is stale", func() {
			exec(t, pool, "update host_status set succeeded_at = now() - interval '25 hours'")
			passes(1)
			passes(0)
		}, "stale", []string{"web-1 fresh->stale"}},
		{"with more allowed it is fresh again", func() {
			if err := s.SetCoverages(t.Context(), []fleet.Coverage{{HostID: host.ID, Allowed: 30 * time.Hour}}); err != nil {
				t.Fatal(err)
			}
			passes(1)
		}, "fresh", []string{"web-1 stale->fresh"}},
		{"disabled, nothing is expected of it", func() { set(func(h *fleet.Host) { h.Enabled = false }) }, "disabled", []string{"web-1 fresh->disabled"}},
		{"under another name it is listed there", func() { set(func(h *fleet.Host) { h.Name = "www-1" }) }, "disabled", nil},
		{"enabled, it is what it was", func() { set(func(h *fleet.Host) { h.Enabled = true }) }, "fresh", []string{"www-1 disabled->fresh"}},
		{"a task that nobody took in time fails", func() {
			c, _ := collect(t, s)
			exec(t, pool, "update tasks set expires_at = now() - interval '1 second' where collection_id = $1", c.ID)
			if n, err := s.EndHopeless(t.Context(), time.Minute); err != nil || n != 1 {
				t.Fatalf("EndHopeless = %d, %v", n, err)
			}
		}, "failing expired", []string{"www-1 fresh->failing expired"}},
		{"retired, it is nobody", func() {
			if err := s.RetireHost(t.Context(), host.ID); err != nil {
				t.Fatal(err)
			}
		}, "absent", nil},
	} {
		step.do()
		if got := statusOf(t, s, host.ID); got != step.want {
			t.Errorf("%s: it is %s, want %s", step.name, got, step.want)
		}
		if got := becomes(t, s, &at); !slices.Equal(got, step.feed) {
			t.Errorf("%s: the feed shows %q, want %q", step.name, got, step.feed)
		}
	}
	if name := ask[int](t, pool, "select count(*) from host_freshness"); name != 0 {
		t.Errorf("%d rows are left of the retired host", name)
	}
}

// TestTimeThatPassesDoesNotUndoATaskThatEnds has a task end while the pass is about to call its host stale, in both orders.
func TestTimeThatPassesDoesNotUndoATaskThatEnds(t *testing.T) {
	t.Parallel()
	s, pool := storetest.Pool(t)
	host := addHost(t, s, "web-1")
	learn(t, s, time.Now(), finding("os", `{}`, ""))
	_, messages := collect(t, s)
	claimed := claim(t, s, messages[0], aWorker(t, s).ID)
	exec(t, pool, "update host_status set succeeded_at = now() - interval '25 hours'")

	err := s.InTx(t.Context(), func(tx *store.Store) error { // the task is about to end
		held, err := tx.EndTask(t.Context(), ending(claimed, fleet.TaskSucceeded))
		if err != nil || !held {
			return fmt.Errorf("EndTask = %v, %w", held, err)
		}
		if n, err := s.SettleFreshness(t.Context(), 10); err != nil || n != 0 {
			return fmt.Errorf("a pass meanwhile moved %d, %w; want it to leave the host alone", n, err)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if got := statusOf(t, s, host.ID); got != "fresh" {
		t.Errorf("the host is %s, want fresh", got)
	}

	_, messages = collect(t, s)
	claimed = claim(t, s, messages[0], aWorker(t, s).ID)
	exec(t, pool, "update host_status set succeeded_at = now() - interval '25 hours'")
	ended := make(chan error, 1)
	err = s.InTx(t.Context(), func(tx *store.Store) error { // the pass is about to commit
		if n, err := tx.SettleFreshness(t.Context(), 10); err != nil || n != 1 {
			return fmt.Errorf("SettleFreshness = %d, %w", n, err)
		}
		go func() {
			_, err := s.EndTask(t.Context(), ending(claimed, fleet.TaskSucceeded))
			ended <- err
		}()
		for ask[int](t, pool, "select count(*) from pg_locks where not granted") == 0 {
			if t.Context().Err() != nil {
				return t.Context().Err()
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
	if got := statusOf(t, s, host.ID); got != "fresh" {
		t.Errorf("the host is %s, want fresh", got)
	}
	at := ""
	want := []string{"web-1 never->fresh", "web-1 fresh->stale", "web-1 stale->fresh"}
	if got := becomes(t, s, &at); !slices.Equal(got, want) {
		t.Errorf("the feed shows %q, want %q", got, want)
	}
}

func TestHostsAreListedByHowFreshTheyAre(t *testing.T) {
	t.Parallel()
	s := storetest.New(t)
	worker := aWorker(t, s)
	for i := range 6 {
		addHost(t, s, fmt.Sprintf("web-%d", i), labelled(map[string]string{"half": strconv.Itoa(i % 2)}))
	}
	_, messages := collect(t, s)
	for _, m := range messages {
		c := claim(t, s, m, worker.ID)
		e := ending(c, fleet.TaskSucceeded)
		if c.Host.Name >= "web-3" {
			e.State, e.Failure = fleet.TaskFailed, fleet.Fail(fleet.CodeAuthFailed, nil)
		}
		if c.Host.Name == "web-5" {
			e.Failure = fleet.Fail(fleet.CodeTCPRefused, nil)
		}
		end(t, s, e)
	}
	if _, err := s.AddHosts(t.Context(), []fleet.Host{
		{ID: fleet.NewID(), Name: "new", Address: "a", Port: 22, Site: "default", Connection: fleet.ConnectionSSH, Enabled: true},
		{ID: fleet.NewID(), Name: "off", Address: "a", Port: 22, Site: "default", Connection: fleet.ConnectionSSH},
	}); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name   string
		filter fleet.HostFilter
		scope  fleet.Scope
		want   string
	}{
		{"fresh ones", fleet.HostFilter{Status: fleet.HostFresh}, fleet.Everything(), "web-0 web-1 web-2"},
		{"failing ones", fleet.HostFilter{Status: fleet.HostFailing}, fleet.Everything(), "web-3 web-4 web-5"},
		{"those that fail for a reason", fleet.HostFilter{Status: fleet.HostFailing, Code: fleet.CodeAuthFailed}, fleet.Everything(), "web-3 web-4"},
		{"a reason alone is of failing ones", fleet.HostFilter{Code: fleet.CodeTCPRefused}, fleet.Everything(), "web-5"},
		{"never collected ones", fleet.HostFilter{Status: fleet.HostNever}, fleet.Everything(), "new"},
		{"disabled ones", fleet.HostFilter{Status: fleet.HostDisabled}, fleet.Everything(), "off"},
		{"stale ones, of which there is none", fleet.HostFilter{Status: fleet.HostStale}, fleet.Everything(), ""},
		{"fresh ones that a selector picks", fleet.HostFilter{Status: fleet.HostFresh, Selector: selector(t, "half=0")}, fleet.Everything(), "web-0 web-2"},
		{"fresh ones within a scope", fleet.HostFilter{Status: fleet.HostFresh}, scopeOf(t, "half=1"), "web-1"},
		{"fresh ones of another site", fleet.HostFilter{Status: fleet.HostFresh, Site: "mars"}, fleet.Everything(), ""},
	} {
		var got []string
		for page := (fleet.Page{Limit: 2}); ; {
			hosts, next, err := s.Hosts(t.Context(), tt.scope, tt.filter, page)
			if err != nil {
				t.Fatalf("%s: %v", tt.name, err)
			}
			got = append(got, namesOf(hosts, func(h fleet.Host) string { return h.Name })...)
			if page.After = next; next == "" {
				break
			}
		}
		if strings.Join(got, " ") != tt.want {
			t.Errorf("%s: %q, want %q", tt.name, got, tt.want)
		}
		if n, err := s.CountHosts(t.Context(), tt.scope, tt.filter); err != nil || n != len(got) {
			t.Errorf("%s: counted %d, %v; want %d", tt.name, n, err, len(got))
		}
	}
	counts, err := s.FreshnessCounts(t.Context(), fleet.Everything())
	want := []fleet.FreshnessCount{
		{Site: "default", Status: fleet.HostFresh, Hosts: 3},
		{Site: "default", Status: fleet.HostFailing, Hosts: 3},
		{Site: "default", Status: fleet.HostNever, Hosts: 1},
		{Site: "default", Status: fleet.HostDisabled, Hosts: 1},
	}
	if err != nil || !slices.Equal(counts, want) {
		t.Errorf("FreshnessCounts = %v, %v; want %v", counts, err, want)
	}
}

// TestAPageOfAStatusReadsNothingElse holds that a page costs what is on it, however many hosts there are and wherever
// those of the status are among them.
func TestAPageOfAStatusReadsNothingElse(t *testing.T) {
	t.Parallel()
	s, pool := storetest.Pool(t)
	exec(t, pool, `
		insert into hosts (id, name, address) select gen_random_uuid(), 'host-' || to_char(n, 'FM00000'), '192.0.2.1' from generate_series(1, 20000) n`)
	if err := s.KeepFreshness(t.Context()); err != nil {
		t.Fatal(err)
	}
	exec(t, pool, "update host_freshness set status = case when name > 'host-19000' then 'stale' else 'fresh' end")
	exec(t, pool, "analyze")
	for _, status := range []string{"fresh", "stale", "failing"} {
		for _, after := range []string{"", "host-19500"} {
			rows := 0.0
			for _, step := range explain(t, pool, `
				select h.* from host_freshness f join hosts h on h.id = f.host_id
				where h.retired_at is null and f.status = '`+status+`' and f.name > '`+after+`' order by f.name limit 101`) {
				if strings.Contains(step.Type, "Sort") || strings.Contains(step.Type, "Seq Scan") {
					t.Errorf("%s after %q: a page takes a %s of %s", status, after, step.Type, step.Relation)
				}
				rows = max(rows, step.Rows*step.Loops)
			}
			if rows > 101 {
				t.Errorf("%s after %q: a page reads %v rows", status, after, rows)
			}
		}
	}
}

// TestWhatAFormerReleaseWritesIsMended has hosts and tasks written by a release that knows nothing of freshness.
func TestWhatAFormerReleaseWritesIsMended(t *testing.T) {
	t.Parallel()
	s, pool := storetest.Pool(t)
	known := addHost(t, s, "known")
	gone := addHost(t, s, "gone")
	exec(t, pool, "insert into hosts (id, name, address) values (gen_random_uuid(), 'added', 'a')")
	exec(t, pool, "insert into hosts (id, name, address, enabled) values (gen_random_uuid(), 'added-off', 'a', false)")
	exec(t, pool, "update hosts set name = 'renamed' where id = $1", known.ID)
	exec(t, pool, "update hosts set retired_at = now(), enabled = false where id = $1", gone.ID)
	exec(t, pool, "insert into host_status (host_id, collection_id, state, finished_at, succeeded_at) values ($1, $1, 'succeeded', now(), now())", known.ID)
	if err := s.KeepFreshness(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n, err := s.SettleFreshness(t.Context(), 10); err != nil || n != 1 {
		t.Fatalf("SettleFreshness = %d, %v", n, err)
	}
	exec(t, pool, "update hosts set enabled = false where name = 'added'")
	if n, err := s.SettleFreshness(t.Context(), 10); err != nil || n != 1 {
		t.Fatalf("SettleFreshness = %d, %v", n, err)
	}
	got := ask[string](t, pool, "select string_agg(name || ' ' || status, ', ' order by name) from host_freshness")
	if want := "added disabled, added-off disabled, renamed fresh"; got != want {
		t.Errorf("the hosts are %s, want %s", got, want)
	}
}
