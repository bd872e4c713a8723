package collection_test

import (
	"testing"
	"time"

	"github.com/rollcallhq/rollcall/pkg/await"
	"github.com/rollcallhq/rollcall/pkg/collection"
	"github.com/rollcallhq/rollcall/pkg/fleet"
)

// atSites returns how many tasks are in flight at each of the two sites.
func (r *rig) atSites() (here, there int) {
	r.t.Helper()
	const inFlight = "select count(*) from tasks where site = $1 and (dispatched_at is not null or state = 'running')"
	return ask[int](r, inFlight, "here"), ask[int](r, inFlight, "there")
}

// TestASiteWithoutWorkersEatsNoBound has a collection with a MaxParallel of hosts at two sites. The one without workers
// comes first in every order, loses its worker, and gets one again.
func TestASiteWithoutWorkersEatsNoBound(t *testing.T) {
	t.Parallel()
	r := newRig(t, startRedis(t))
	r.hosts(30, "a", "here")
	r.hosts(30, "b", "there")
	sweeper := collection.NewSweeper(r.Store, r.queue, r.log, nil)
	here := fleet.Worker{ID: fleet.NewID(), Host: "here", Sites: []string{"here"}, Slots: 50}
	there := fleet.Worker{ID: fleet.NewID(), Host: "there", Sites: []string{"there"}, Slots: 50}
	r.beats(here)
	c := r.stores("ann", collection.Request{Selector: "group=b", MaxParallel: 5})
	r.stores("ann", collection.Request{Selector: "*", MaxParallel: 5})
	r.relays()
	if at, away := r.atSites(); at != 5 || away != 0 {
		t.Fatalf("%d are in flight where a worker is and %d where none is, want 5 and none", at, away)
	}
	if waits, err := r.UnservedTasks(t.Context(), fleet.Everything(), c.ID, collection.Silence); err != nil || len(waits) != 1 || waits[0].Tasks != 30 || waits[0].Site != "there" {
		t.Errorf("UnservedTasks = %v, %v; want 30 there", waits, err)
	}

	r.beats(there)
	r.beats(here)
	r.relays()
	if at, away := r.atSites(); at != 5 || away != 5 {
		t.Fatalf("with a worker at both %d and %d are in flight, want 5 of each collection", at, away)
	}
	if waits, err := r.UnservedTasks(t.Context(), fleet.Everything(), c.ID, collection.Silence); err != nil || len(waits) != 0 {
		t.Errorf("UnservedTasks = %v, %v; want none", waits, err)
	}

	// The worker dies before it has claimed anything: what was rung for there is given back, and nothing else.
	r.exec("update workers set seen_at = now() - interval '1 minute' where id = $1", there.ID)
	r.beats(here)
	if err := collection.SweepRound(t.Context(), sweeper); err != nil {
		t.Fatal(err)
	}
	if at, away := r.atSites(); at != 5 || away != 0 {
		t.Errorf("after a worker died %d and %d are in flight, want 5 and none", at, away)
	}
}

// TestWhatWaitsForASiteHoldsNobodyElseUp has far more waiting for a site without workers than a round looks at, of the
// same actor, lane and collection as the rest.
func TestWhatWaitsForASiteHoldsNobodyElseUp(t *testing.T) {
	t.Parallel()
	r := newRig(t, startRedis(t))
	r.hosts(3000, "away", "aaa-there")
	r.hosts(40, "near", "here")
	r.beats(fleet.Worker{ID: fleet.NewID(), Host: "here", Sites: []string{"here"}, Slots: 100})
	r.stores("ann", collection.Request{Selector: "*", Priority: fleet.PriorityBulk})
	r.relays()
	near := ask[int](r, "select count(*) from tasks where site = 'here' and dispatched_at is not null")
	away := ask[int](r, "select count(*) from tasks where site <> 'here' and dispatched_at is not null")
	if near != 40 || away > 16 {
		t.Errorf("the first round rang for %d of 40 where a worker is, and for %d where none is, want all and a margin", near, away)
	}
}

// TestWhatWaitsForASiteExpires has tasks wait for a site that nobody serves for longer than they may, and others whose
// worker comes in time.
func TestWhatWaitsForASiteExpires(t *testing.T) {
	t.Parallel()
	r := newRig(t, startRedis(t))
	r.hosts(3, "a", "there")
	if err := r.KeepFreshness(t.Context()); err != nil {
		t.Fatal(err)
	}
	sweeper := collection.NewSweeper(r.Store, r.queue, r.log, nil)
	c := r.stores("ann", collection.Request{Selector: "*", Expires: time.Second})
	r.relays()
	await.Until(t, "the end of what waited", func() bool {
		if err := collection.SweepRound(t.Context(), sweeper); err != nil {
			t.Fatal(err)
		}
		return ask[int](r, "select count(*) from tasks") == 0
	})
	ended, err := r.Collection(t.Context(), fleet.Everything(), c.ID)
	if err != nil || ended.State != fleet.CollectionFailed || ended.Errors[fleet.CodeExpired] != 3 {
		t.Errorf("the collection is %+v, %v; want 3 expired", ended, err)
	}
	if n, err := r.CountHosts(t.Context(), fleet.Everything(), fleet.HostFilter{Status: fleet.HostFailing, Code: fleet.CodeExpired}); err != nil || n != 3 {
		t.Errorf("%d hosts fail for that, %v; want 3", n, err)
	}
}
