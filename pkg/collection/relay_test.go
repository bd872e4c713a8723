package collection_test

import (
	"testing"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/rollcallhq/rollcall/pkg/await"
	"github.com/rollcallhq/rollcall/pkg/collection"
	"github.com/rollcallhq/rollcall/pkg/fleet"
	"github.com/rollcallhq/rollcall/pkg/queue"
	"github.com/rollcallhq/rollcall/pkg/store"
)

// hosts stores so many hosts that group=name selects.
func (r *rig) hosts(n int, group, site string) {
	r.t.Helper()
	r.exec(`insert into hosts (id, name, address, site, labels)
		select gen_random_uuid(), $2::text || '-' || n, '192.0.2.1', $3, jsonb_build_object('group', $2::text) from generate_series(1, $1::int) n`, n, group, site)
}

// stores stores a collection on behalf of a user of the name, without ringing for it.
func (r *rig) stores(user string, request collection.Request) fleet.Collection {
	r.t.Helper()
	a := actor(fleet.Operator, "")
	a.Name = user
	request.ReportTypes = []string{"os"}
	var c fleet.Collection
	err := r.InTx(r.t.Context(), func(tx *store.Store) error {
		var err error
		c, err = r.service.TriggerIn(r.t.Context(), tx, a, request)
		return err
	})
	if err != nil {
		r.t.Fatal(err)
	}
	return c
}

// relays runs one round of the relay.
func (r *rig) relays() int {
	r.t.Helper()
	n, err := collection.RelayOnce(r.t.Context(), r.Store, r.queue)
	if err != nil {
		r.t.Fatalf("relaying: %v", err)
	}
	return n
}

// beats stores the heartbeat of a worker.
func (r *rig) beats(w fleet.Worker) {
	r.t.Helper()
	if _, _, err := r.Heartbeat(r.t.Context(), w); err != nil {
		r.t.Fatal(err)
	}
}

// A slotted is a worker in the database alone, whose tasks take a number of ticks.
type slotted struct {
	*rig
	worker fleet.Worker
	takes  int
	now    int // ticks
}

// tick ends what has taken its time, relays, and claims what was rung for first, for each free slot. The tick of a claim is
// kept in attempts.
func (s *slotted) tick() {
	s.t.Helper()
	s.now++
	s.beats(s.worker)
	s.exec("delete from tasks where state = 'running' and attempts <= $1", s.now-s.takes)
	s.relays()
	s.exec(`update tasks set state = 'running', worker_id = $1, claimed_at = now(), attempts = $2 where id in (
			select id from tasks where state = 'queued' and dispatched_at is not null order by dispatched_at, host_id
			limit $3 - (select count(*) from tasks where state = 'running'))`, s.worker.ID, s.now, s.worker.Slots)
}

// shares returns how many slots each user's tasks have, and whether both of two wait.
func (s *slotted) shares() (slots map[string]int, bothWait bool) {
	s.t.Helper()
	slots = map[string]int{}
	var requester string
	var running int
	rows, _ := s.pool.Query(s.t.Context(), "select requester, count(*) filter (where state = 'running') from tasks group by 1")
	if _, err := pgx.ForEachRow(rows, []any{&requester, &running}, func() error { slots[requester] = running; return nil }); err != nil {
		s.t.Fatal(err)
	}
	return slots, ask[int](s.rig, "select count(distinct requester) from tasks where state = 'queued' and dispatched_at is null") == 2
}

// TestTwoActorsGetHalfOfTheSlotsEach has two actors with 9,000 and 1,000 equal hosts. A tick is a tenth of a second: the
// relay's period.
func TestTwoActorsGetHalfOfTheSlotsEach(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name   string
		takes  int // ticks that a host takes
		before int // ticks that the large one comes earlier
		within int // windows that are looked at
	}{
		{"both come at once", 10, 0, 2},
		{"the large one has held all slots before", 5, 15, 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, startRedis(t))
			r.hosts(9000, "large", fleet.DefaultSite)
			r.hosts(1000, "small", fleet.DefaultSite)
			s := &slotted{
				rig: r, takes: tt.takes,
				worker: fleet.Worker{ID: fleet.NewID(), Host: "w", Sites: []string{fleet.DefaultSite}, Slots: 200},
			}
			r.stores("large", collection.Request{Selector: "group=large", Priority: fleet.PriorityBulk})
			for range tt.before {
				s.tick()
			}
			r.stores("small", collection.Request{Selector: "group=small", Priority: fleet.PriorityBulk})
			for window := range tt.within {
				const ticks = 50 // five seconds
				sum, looked := map[string]int{}, 0
				for range ticks {
					s.tick()
					slots, waits := s.shares()
					if !waits {
						break
					}
					looked++
					for user, n := range slots {
						sum[user] += n
					}
				}
				share := 100 * sum["user:small"] / max(1, sum["user:small"]+sum["user:large"])
				t.Logf("window %d: %d %% of the slots over %d ticks", window, share, looked)
				if looked < 30 {
					t.Errorf("window %d: both waited for %d ticks only", window, looked)
				}
				if share < 45 || share > 55 {
					t.Errorf("window %d: the small one has %d %% of the slots, want 50 ± 5", window, share)
				}
				if used := (sum["user:small"] + sum["user:large"]) / max(1, looked); used < 180 {
					t.Errorf("window %d: %d of 200 slots were used", window, used)
				}
			}
		})
	}
}

// TestNobodyStarvesBehindWhoCannotGo has one actor's tasks wait for one host that is busy for long; another one's go on, and
// so do other collections of the first one.
func TestNobodyStarvesBehindWhoCannotGo(t *testing.T) {
	t.Parallel()
	r := newRig(t, startRedis(t))
	r.hosts(1, "busy", fleet.DefaultSite)
	r.hosts(20, "free", fleet.DefaultSite)
	r.hosts(20, "other", fleet.DefaultSite)
	w := fleet.Worker{ID: fleet.NewID(), Host: "w", Sites: []string{fleet.DefaultSite}, Slots: 100}
	r.beats(w)
	for range 300 {
		r.stores("ann", collection.Request{Selector: "group=busy"})
	}
	r.stores("ann", collection.Request{Selector: "group=free"})
	other := r.stores("bob", collection.Request{Selector: "group=other"})
	r.beats(w) // storing took its time
	if n := r.relays(); n != 41 {
		t.Errorf("%d tasks are rung for, want one of the busy host and one of each other", n)
	}
	if left := len(r.outbox(other.ID)); left != 0 {
		t.Errorf("%d tasks of the other one still wait", left)
	}
	if n := r.relays(); n != 0 {
		t.Errorf("then %d more are rung for, want none", n)
	}
}

func TestAtMostSoManyAtOnce(t *testing.T) {
	t.Parallel()
	client := startRedis(t)
	r := newRig(t, client)
	r.hosts(30, "a", "here")
	r.hosts(30, "b", "there")
	for _, site := range []string{"here", "there"} {
		r.beats(fleet.Worker{ID: fleet.NewID(), Host: site, Sites: []string{site}, Slots: 50})
	}
	got, err := r.service.Trigger(t.Context(), actor(fleet.Operator, ""), collection.Request{Selector: "*", MaxParallel: 7})
	if err != nil || got.Delayed || got.Collection.MaxParallel != 7 {
		t.Fatalf("Trigger = %+v, %v", got, err)
	}
	if left := len(r.outbox(got.Collection.ID)); left != 60 {
		t.Errorf("%d of 60 tasks are left to the relay, want all", left)
	}
	inFlight := func() int {
		return ask[int](r, "select count(*) from tasks where dispatched_at is not null or state = 'running'")
	}
	r.relays()
	if n := inFlight(); n != 7 {
		t.Fatalf("%d are in flight at both sites, want 7", n)
	}
	if n := r.relays(); n != 0 {
		t.Errorf("%d more were rung for", n)
	}
	// Messages that Redis has lost are rung for anew, and those that come late count no more.
	var old []fleet.Message
	rows, _ := r.pool.Query(t.Context(), "select id, epoch, site, priority from tasks where dispatched_at is not null")
	if old, err = pgx.CollectRows(rows, scanMessage); err != nil {
		t.Fatal(err)
	}
	if n, err := r.RingAgain(t.Context(), old, false); err != nil || n != 7 {
		t.Fatalf("RingAgain = %d, %v", n, err)
	}
	r.relays()
	worker := fleet.NewID()
	for _, m := range old {
		if claim, err := r.ClaimTask(t.Context(), m, worker); err != nil || claim != nil {
			t.Errorf("a message from before = %+v, %v; want nothing to do", claim, err)
		}
	}
	again, err := r.service.Retry(t.Context(), actor(fleet.Operator, ""), r.endAll(got.Collection.ID), nil, nil)
	if err != nil || again.Collection.MaxParallel != 7 {
		t.Errorf("a retry = %+v, %v; want the same bound", again.Collection, err)
	}
}

// endAll lets all tasks of the collection fail and returns its ID.
func (r *rig) endAll(id uuid.UUID) uuid.UUID {
	r.t.Helper()
	r.exec("update tasks set dispatched_at = null where collection_id = $1", id)
	r.failAll(id, fleet.CodeTCPRefused)
	return id
}

// TestWhatItsOwnProcessRingsFor holds what whoever stores a collection rings for, and what it leaves to the relay.
func TestWhatItsOwnProcessRingsFor(t *testing.T) {
	t.Parallel()
	const interactive, normal, bulk = fleet.PriorityInteractive, fleet.PriorityNormal, fleet.PriorityBulk
	for _, tt := range []struct {
		name    string
		before  []collection.Request // by somebody else
		request collection.Request
		left    int
	}{
		{"a small one goes at once", nil, collection.Request{Selector: "group=mine", Priority: normal}, 0},
		{"one with a bound waits for its turn", nil, collection.Request{Selector: "group=mine", Priority: interactive, MaxParallel: 50}, 10},
		{"one that is not interactive waits where others wait", []collection.Request{{Selector: "group=theirs", Priority: bulk}}, collection.Request{Selector: "group=mine", Priority: bulk}, 10},
		{"those who wait in another lane are no matter", []collection.Request{{Selector: "group=theirs", Priority: bulk}}, collection.Request{Selector: "group=mine", Priority: normal}, 0},
		{"an interactive one does not wait for others", []collection.Request{{Selector: "group=theirs", Priority: interactive}}, collection.Request{Selector: "group=mine", Priority: interactive}, 0},
		{"what does not fit into the window waits", nil, collection.Request{Selector: "group=theirs", Priority: normal}, 40},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, startRedis(t))
			r.hosts(10, "mine", fleet.DefaultSite)
			r.hosts(40, "theirs", fleet.DefaultSite)
			r.beats(fleet.Worker{ID: fleet.NewID(), Host: "w", Sites: []string{fleet.DefaultSite}, Slots: 16})
			for _, request := range tt.before {
				r.stores("bob", request)
			}
			got, err := r.service.Trigger(t.Context(), actor(fleet.Operator, ""), tt.request)
			if err != nil || got.Delayed {
				t.Fatalf("Trigger = %+v, %v", got, err)
			}
			if left := len(r.outbox(got.Collection.ID)); left != tt.left {
				t.Errorf("%d of its %d tasks are left to the relay, want %d", left, got.Collection.Counts.Total, tt.left)
			}
		})
	}
}

// TestARelayThatDiesBetweenRingingAndMarkingLosesNothing lets its transaction fail at the very end.
func TestARelayThatDiesBetweenRingingAndMarkingLosesNothing(t *testing.T) {
	t.Parallel()
	for name, bound := range map[string]int{"without a bound": 0, "with a bound": 40} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, startRedis(t))
			r.hosts(60, "a", fleet.DefaultSite)
			r.beats(fleet.Worker{ID: fleet.NewID(), Host: "w", Sites: []string{fleet.DefaultSite}, Slots: 100})
			c := r.stores("ann", collection.Request{Selector: "*", MaxParallel: bound})
			r.exec(`create function die() returns trigger language plpgsql as $$ begin raise exception 'died'; end $$;`)
			r.exec(`create constraint trigger die after update on tasks deferrable initially deferred for each row execute function die()`)
			if _, err := collection.RelayOnce(t.Context(), r.Store, r.queue); err == nil {
				t.Fatal("the relay has not died")
			}
			r.exec("drop trigger die on tasks")
			if left := len(r.outbox(c.ID)); left != 60 {
				t.Errorf("%d tasks are in the outbox, want all", left)
			}
			want := map[int]int{0: 60, 40: 40}[bound]
			if n := r.relays(); n != want {
				t.Errorf("the next one rings for %d, want %d", n, want)
			}
			rung := 0
			for _, task := range r.tasks(c.ID) {
				states, err := r.queue.States(t.Context(), []fleet.Message{{TaskID: task.ID, Epoch: 1, Site: fleet.DefaultSite, Priority: fleet.PriorityNormal}})
				if err != nil {
					t.Fatal(err)
				}
				if states[0] == queue.StatePending {
					rung++
				}
			}
			if rung != want { // once each, and with a bound none that has not its turn
				t.Errorf("%d messages are on the queue, want %d", rung, want)
			}
		})
	}
}

// TestARelayWithoutRedisWritesNothing holds that an outage costs the database nothing, and ends.
func TestARelayWithoutRedisWritesNothing(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	r.hosts(5, "a", fleet.DefaultSite)
	c := r.stores("ann", collection.Request{Selector: "*"})
	r.exec("update tasks set not_before = now() - interval '1 second' where id = (select id from tasks limit 1)")
	before := ask[string](r, "select string_agg(xmin::text || xmax::text, ',' order by id) from tasks")
	if n, err := collection.RelayOnce(t.Context(), r.Store, r.queue); fleet.KindOf(err) != fleet.Unavailable || n != 0 {
		t.Fatalf("relaying = %d, %v; want Unavailable", n, err)
	}
	if after := ask[string](r, "select string_agg(xmin::text || xmax::text, ',' order by id) from tasks"); after != before {
		t.Errorf("rows were touched: %s, then %s", before, after)
	}
	r.queue = queue.New(startRedis(t))
	await.Until(t, "all rung for", func() bool { r.relays(); return len(r.outbox(c.ID)) == 0 })
}
