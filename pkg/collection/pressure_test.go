package collection_test

import (
	"context"
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/rollcallhq/rollcall/pkg/collection"
	"github.com/rollcallhq/rollcall/pkg/fleet"
	"github.com/rollcallhq/rollcall/pkg/store"
)

// limited makes the rig's service refuse work when so many tasks wait, by a count that is good for so long.
func (r *rig) limited(limit int, good time.Duration) *prometheus.Registry {
	registry := prometheus.NewRegistry()
	c := r.service.Config
	c.QueueLimit, c.Metrics = limit, registry
	r.service = collection.New(c)
	collection.SetCountFor(r.service, good)
	return registry
}

// waits stores n tasks that wait, of hosts of their own.
func (r *rig) waits(n int) {
	r.t.Helper()
	r.exec(`insert into tasks (id, collection_id, created_at, host_id, site, priority, expires_at)
		select gen_random_uuid(), gen_random_uuid(), now(), gen_random_uuid(), 'default', 'bulk', now() + interval '1 day' from generate_series(1, $1::int)`, n)
}

func (r *rig) asks(p fleet.Priority) (collection.Triggered, error) {
	return r.service.Trigger(r.t.Context(), actor(fleet.Operator, ""), collection.Request{Selector: "*", Priority: p})
}

func TestBulkWorkGivesWayFirstAndInteractiveWorkNever(t *testing.T) {
	t.Parallel()
	const limit = 1100
	tests := []struct {
		name                           string
		waiting                        int
		bulk, normal, usual, immediate bool // whether it is taken
	}{
		{"nothing waits", 0, true, true, true, true},
		{"a task fewer than the limit waits", limit - 1, true, true, true, true},
		{"as many as the limit wait", limit, false, true, true, true},
		{"a task fewer than twice the limit waits", 2*limit - 1, false, true, true, true},
		{"twice the limit waits", 2 * limit, false, false, false, true},
		{"far more than is counted waits", 5 * limit, false, false, false, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, nil)
			r.limited(limit, 0)
			r.host("web-1")
			r.waits(tt.waiting)
			for _, ask := range []struct {
				priority fleet.Priority
				taken    bool
			}{{fleet.PriorityBulk, tt.bulk}, {fleet.PriorityNormal, tt.normal}, {"", tt.usual}, {fleet.PriorityInteractive, tt.immediate}} {
				_, err := r.asks(ask.priority)
				if (err == nil) != ask.taken || err != nil && (fleet.KindOf(err) != fleet.Exhausted || fleet.CodeOf(err) != collection.CodeQueueFull) {
					t.Errorf("%q work: %v (%s), want it taken: %v", ask.priority, err, fleet.CodeOf(err), ask.taken)
				}
				r.exec("delete from tasks where collection_id in (select id from collections)") // so that what was taken does not count
			}
		})
	}
}

func TestRefusedWorkSaysHowMuchWaitsAndLeavesNothing(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	registry := r.limited(1100, 0)
	r.host("web-1")
	r.waits(1234)
	_, err := r.asks(fleet.PriorityBulk)
	for _, part := range []string{"1,234 tasks", "bulk work is 1,100", "interactive"} {
		if !strings.Contains(fleet.MessageOf(err), part) {
			t.Errorf("the message is %q, want %q in it", fleet.MessageOf(err), part)
		}
	}
	if got := retryAfterOf(t, err); got != 30*time.Second {
		t.Errorf("it says to come back after %s, want 30s", got)
	}
	r.waits(5000)
	if _, err := r.asks(""); !strings.Contains(fleet.MessageOf(err), "2,200 or more tasks") {
		t.Errorf("with more waiting than is counted the message is %q", fleet.MessageOf(err))
	}
	preview := collection.Request{Selector: "*", Priority: fleet.PriorityBulk}
	if p, err := r.service.Preview(t.Context(), actor(fleet.Operator, ""), preview); err != nil || p.Total != 1 {
		t.Errorf("what would be done is %+v, %v: showing it puts nothing on the queue", p, err)
	}
	wantRefused(t, registry, map[string]float64{"bulk": 1, "normal": 1})
	for _, table := range []string{"collections", "audit_logs"} {
		if n := ask[int](r, "select count(*) from "+table); n != 0 {
			t.Errorf("refused work left %d rows in %s", n, table)
		}
	}
}

// wantRefused holds what was counted against how often work of each priority was refused.
func wantRefused(t *testing.T, registry *prometheus.Registry, want map[string]float64) {
	t.Helper()
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]float64{}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			labels := map[string]string{}
			for _, l := range m.GetLabel() {
				labels[l.GetName()] = l.GetValue()
			}
			if f.GetName() != "rollcall_collection_refused_total" || labels["code"] != collection.CodeQueueFull {
				t.Errorf("something else is counted: %s %v", f.GetName(), labels)
			}
			got[labels["priority"]] = m.GetCounter().GetValue()
		}
	}
	if !maps.Equal(got, want) {
		t.Errorf("refused work is counted as %v, want %v", got, want)
	}
}

func retryAfterOf(t *testing.T, err error) time.Duration {
	t.Helper()
	e, ok := err.(*fleet.Error) //nolint:errorlint // it is returned as it is
	if !ok {
		t.Fatalf("%v is not an error that may be shown", err)
	}
	return e.RetryAfter
}

func TestABurstDoesNotSlipInBetweenTwoCounts(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	r.limited(10, time.Hour)
	for _, name := range []string{"web-1", "web-2", "web-3", "web-4", "web-5", "web-6"} {
		r.host(name)
	}
	for i, taken := range []bool{true, true, false, false} {
		if _, err := r.asks(fleet.PriorityBulk); (err == nil) != taken {
			t.Errorf("of a burst of 6 hosts each, collection %d: %v, want it taken: %v", i+1, err, taken)
		}
	}
	r.exec("delete from tasks")
	if _, err := r.asks(fleet.PriorityBulk); fleet.CodeOf(err) != collection.CodeQueueFull {
		t.Errorf("before the next count: %v, want the last one to be good", err)
	}
	collection.SetCountFor(r.service, 0)
	if _, err := r.asks(fleet.PriorityBulk); err != nil {
		t.Errorf("after the queue was worked off: %v", err)
	}
}

func TestAdmitting(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	r.waits(3)
	if err := r.service.Admit(t.Context(), r.Store, fleet.PriorityBulk); err != nil {
		t.Errorf("without a limit: %v", err)
	}
	r.limited(3, 0)
	if err := r.service.Admit(t.Context(), r.Store, fleet.PriorityBulk); fleet.CodeOf(err) != collection.CodeQueueFull {
		t.Errorf("at the limit: %v, want %s", err, collection.CodeQueueFull)
	}
	ended, end := context.WithCancel(t.Context())
	end()
	if err := r.service.Admit(ended, r.Store, fleet.PriorityBulk); err == nil || fleet.KindOf(err) == fleet.Exhausted {
		t.Errorf("for somebody who is gone: %v", err)
	}
	down, err := store.OpenPool(t.Context(), "postgres://u:p@127.0.0.1:1/db", store.Options{ConnectTimeout: time.Second})
	if err != nil {
		t.Fatal(err)
	}
	defer down.Close()
	if err := r.service.Admit(t.Context(), store.New(down), fleet.PriorityBulk); fleet.CodeOf(err) != collection.CodeQueueFull {
		t.Errorf("a count that fails: %v, want the last one to be good", err)
	}
	r.limited(3, 0)
	if err := r.service.Admit(t.Context(), store.New(down), fleet.PriorityBulk); err != nil {
		t.Errorf("a first count that fails: %v, want nothing decided by it", err)
	}
}

func TestTwoServicesOfAProcessCountRefusalsTogether(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	r.waits(1)
	registry := r.limited(1, 0)
	c := r.service.Config
	for _, s := range []*collection.Service{r.service, collection.New(c)} {
		if err := s.Admit(t.Context(), r.Store, fleet.PriorityBulk); err == nil {
			t.Error("it was admitted")
		}
	}
	wantRefused(t, registry, map[string]float64{"bulk": 2})
}
