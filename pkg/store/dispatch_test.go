package store_test

import (
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/rollcallhq/rollcall/pkg/fleet"
	"github.com/rollcallhq/rollcall/pkg/store"
	"github.com/rollcallhq/rollcall/pkg/storetest"
)

// collectFor stores a collection of everything for the actor.
func collectFor(t *testing.T, s *store.Store, actor string, priority fleet.Priority, changes ...func(*fleet.Collection)) fleet.Collection {
	t.Helper()
	c := aCollection()
	c.Actor, c.Priority = actor, priority
	for _, change := range changes {
		change(&c)
	}
	c, err := s.AddCollection(t.Context(), fleet.Everything(), c, selector(t, "*"))
	if err != nil {
		t.Fatalf("adding a collection: %v", err)
	}
	return c
}

func turnOf(c fleet.Collection, limit int) store.Turn {
	return store.Turn{
		Party:        store.Party{Lane: store.Lane{Site: fleet.DefaultSite, Priority: c.Priority}, Actor: c.Actor},
		CollectionID: c.ID, Limit: limit,
	}
}

func take(t *testing.T, s *store.Store, turns ...store.Turn) []store.Rung {
	t.Helper()
	taken, err := s.TakeTurns(t.Context(), turns)
	if err != nil {
		t.Fatalf("taking turns: %v", err)
	}
	return taken
}

func lineOf(t *testing.T, s *store.Store) store.Line {
	t.Helper()
	line, err := s.Line(t.Context(), time.Minute)
	if err != nil {
		t.Fatalf("looking who waits: %v", err)
	}
	return line
}

func TestWhoIsInLine(t *testing.T) {
	t.Parallel()
	s := storetest.New(t)
	addHost(t, s, "here-1")
	addHost(t, s, "here-2")
	addHost(t, s, "there", func(h *fleet.Host) { h.Site = "there" })
	if line := lineOf(t, s); len(line.Waiting)+len(line.Flights)+len(line.Slots) != 0 {
		t.Errorf("before anything: %+v", line)
	}
	bounded := collectFor(t, s, "user:ann", fleet.PriorityBulk, func(c *fleet.Collection) { c.MaxParallel = 3 })
	second := collectFor(t, s, "user:ann", fleet.PriorityBulk)
	collectFor(t, s, "user:bob", fleet.PriorityNormal)
	for _, worker := range []fleet.Worker{
		{ID: fleet.NewID(), Sites: []string{fleet.DefaultSite, "there"}, Slots: 10},
		{ID: fleet.NewID(), Sites: []string{"there"}, Slots: 5},
		{ID: fleet.NewID(), Sites: []string{"mars"}, Slots: 7},
	} {
		if _, _, err := s.Heartbeat(t.Context(), worker); err != nil {
			t.Fatal(err)
		}
	}
	exec(t, store.DBOf(s), "update workers set seen_at = now() - interval '1 hour' where sites = '{mars}'")

	party := func(site string, p fleet.Priority, actor string) store.Party {
		return store.Party{Lane: store.Lane{Site: site, Priority: p}, Actor: actor}
	}
	here := party(fleet.DefaultSite, fleet.PriorityBulk, "user:ann")
	line := lineOf(t, s)
	want := []store.Party{
		here, party(fleet.DefaultSite, fleet.PriorityNormal, "user:bob"),
		party("there", fleet.PriorityBulk, "user:ann"), party("there", fleet.PriorityNormal, "user:bob"),
	}
	if !slices.Equal(line.Waiting, want) || len(line.Flights) != 0 {
		t.Errorf("line = %+v, want %+v waiting", line, want)
	}
	if len(line.Slots) != 2 || line.Slots[fleet.DefaultSite] != 10 || line.Slots["there"] != 15 {
		t.Errorf("slots = %v, want those of the live workers", line.Slots)
	}

	nobody := party("mars", fleet.PriorityBulk, "user:ann")
	found, err := s.WaitingCollections(t.Context(), []store.Search{
		{Party: here, Limit: 10}, {Party: nobody, Limit: 10}, {Party: here, Limit: 1}, {Party: here, After: bounded.ID, Limit: 10},
	})
	if err != nil || len(found) != 4 || len(found[0]) != 2 || len(found[1]) != 0 || len(found[2]) != 1 || len(found[3]) != 1 {
		t.Fatalf("WaitingCollections = %+v, %v", found, err)
	}
	if first := (store.Candidate{CollectionID: bounded.ID, MaxParallel: 3}); found[0][0] != first || found[2][0] != first {
		t.Errorf("found %+v, want the oldest first: %+v", found, first)
	}
	if last := (store.Candidate{CollectionID: second.ID}); found[0][1] != last || found[3][0] != last {
		t.Errorf("found %+v, want the other one last: %+v", found, last)
	}

	taken := take(t, s, turnOf(bounded, 1))
	claim(t, s, taken[0].Message, aWorker(t, s).ID)
	take(t, s, turnOf(second, 1))
	line = lineOf(t, s)
	if len(line.Flights) != 2 ||
		!slices.Contains(line.Flights, store.Flight{Party: here, CollectionID: bounded.ID, Running: 1}) ||
		!slices.Contains(line.Flights, store.Flight{Party: here, CollectionID: second.ID, Rung: 1}) {
		t.Errorf("in flight: %+v", line.Flights)
	}
}

// TestWhichTaskOfAHostGetsItsTurn rings for a first task of the only host, and asks whether a second one gets a turn.
func TestWhichTaskOfAHostGetsItsTurn(t *testing.T) {
	t.Parallel()
	const interactive, normal, bulk = fleet.PriorityInteractive, fleet.PriorityNormal, fleet.PriorityBulk
	tests := []struct {
		name    string
		first   fleet.Priority
		running bool
		second  fleet.Priority
		want    bool
	}{
		{"one that is rung for keeps others of its lane waiting", bulk, false, bulk, false},
		{"one that is rung for keeps those of a higher lane waiting", bulk, false, normal, false},
		{"one that is rung for keeps nothing interactive waiting", bulk, false, interactive, true},
		{"an interactive one that is rung for keeps the next one waiting", interactive, false, interactive, false},
		{"an interactive one that is rung for keeps others waiting", interactive, false, bulk, false},
		{"a running one keeps what is interactive waiting", bulk, true, interactive, false},
		{"a running one keeps others waiting", interactive, true, bulk, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := storetest.New(t)
			addHost(t, s, "web-1")
			first, second := collectFor(t, s, "user:ann", tt.first), collectFor(t, s, "user:bob", tt.second)
			taken := take(t, s, turnOf(first, 10))
			if len(taken) != 1 {
				t.Fatalf("the first one: %+v", taken)
			}
			if tt.running {
				claim(t, s, taken[0].Message, aWorker(t, s).ID)
			}
			own, err := s.Outbox(t.Context(), &second.ID, 10)
			if err != nil || len(own) == 1 != tt.want {
				t.Errorf("whoever stored it would ring for %+v, %v; want %v", own, err, tt.want)
			}
			if taken := take(t, s, turnOf(second, 10)); len(taken) == 1 != tt.want {
				t.Errorf("the second one got its turn: %v, want %v", taken, tt.want)
			}
		})
	}
}

func TestTurnsAreTaken(t *testing.T) {
	t.Parallel()
	s, _ := storetest.Pool(t)
	for _, name := range []string{"a", "b", "c", "d"} {
		addHost(t, s, name)
	}
	bulk := collectFor(t, s, "user:ann", fleet.PriorityBulk, func(c *fleet.Collection) { c.MaxParallel = 5 })
	interactive := collectFor(t, s, "user:bob", fleet.PriorityInteractive)
	if taken := take(t, s); len(taken) != 0 {
		t.Errorf("without a turn: %+v", taken)
	}
	// Who is most urgent gets the hosts, whoever is named first, and nobody gets more than the turn says.
	taken := take(t, s, turnOf(bulk, 4), turnOf(interactive, 3))
	got := map[int]int{}
	for _, r := range taken {
		got[r.Turn]++
		if r.Bounded != (r.Turn == 0) || r.Epoch != 1 || r.Site != fleet.DefaultSite {
			t.Errorf("taken: %+v", r)
		}
	}
	if got[0] != 1 || got[1] != 3 {
		t.Errorf("taken %v, want three of the second and one of the first turn", got)
	}
	left, err := s.Outbox(t.Context(), nil, 10)
	if err != nil || len(left) != 4 {
		t.Errorf("left in the outbox: %+v, %v", left, err)
	}
}

func TestOneAfterTheOtherHandsOutTurns(t *testing.T) {
	t.Parallel()
	s, _ := storetest.Pool(t)
	lock := func(s *store.Store) bool {
		t.Helper()
		locked, err := s.LockLine(t.Context())
		if err != nil {
			t.Fatalf("locking the line: %v", err)
		}
		return locked
	}
	err := s.InTx(t.Context(), func(one *store.Store) error {
		if !lock(one) {
			t.Error("the first one does not get the line")
		}
		return s.InTx(t.Context(), func(two *store.Store) error {
			if lock(two) {
				t.Error("a second one gets the line as well")
			}
			return nil
		})
	})
	if err != nil {
		t.Fatal(err)
	}
	err = s.InTx(t.Context(), func(next *store.Store) error {
		if !lock(next) {
			t.Error("the next one does not get the line")
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestWhoeverIsFrozenWithTheLineLosesIt(t *testing.T) {
	t.Parallel()
	s, pool := storetest.Pool(t)
	frozen, err := pool.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = frozen.Rollback(t.Context()) }()
	if locked, err := store.New(frozen).LockLine(t.Context()); err != nil || !locked {
		t.Fatalf("LockLine = %v, %v", locked, err)
	}
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	began := time.Now()
	for locked := false; !locked; <-tick.C {
		err := s.InTx(t.Context(), func(tx *store.Store) (err error) { locked, err = tx.LockLine(t.Context()); return err })
		if err != nil {
			t.Fatal(err)
		}
		if time.Since(began) > 20*time.Second {
			t.Fatal("nobody else gets the line")
		}
	}
	if took := time.Since(began); took < 4*time.Second {
		t.Errorf("it was lost after %s already, which a busy queue may take", took)
	}
}

func TestWhatWaitsForItsTimeIsNotInLine(t *testing.T) {
	t.Parallel()
	s := storetest.New(t)
	db := store.DBOf(s)
	waits := func(when string, want bool, line int) {
		t.Helper()
		if got, err := s.AnyoneWaits(t.Context()); err != nil || got != want {
			t.Errorf("%s: AnyoneWaits = %v, %v; want %v", when, got, err, want)
		}
		if got := lineOf(t, s); len(got.Waiting) != line {
			t.Errorf("%s: %+v in line, want %d", when, got.Waiting, line)
		}
	}
	waits("before anything", false, 0)
	addHost(t, s, "web-1")
	c := collectFor(t, s, "user:ann", fleet.PriorityNormal)
	waits("a fresh task", true, 1)
	exec(t, db, "update tasks set not_before = now() + interval '1 minute'")
	waits("one that has to wait", false, 0)
	if n, err := s.PromoteDelayed(t.Context()); err != nil || n != 0 {
		t.Errorf("PromoteDelayed before its time = %d, %v", n, err)
	}
	exec(t, db, "update tasks set not_before = now() - interval '1 second'")
	waits("one whose time has come", true, 0)
	if n, err := s.PromoteDelayed(t.Context()); err != nil || n != 1 {
		t.Errorf("PromoteDelayed = %d, %v; want it", n, err)
	}
	waits("one that stands in line again", true, 1)
	if taken := take(t, s, turnOf(c, 1)); len(taken) != 1 {
		t.Errorf("taken: %+v", taken)
	}
	waits("when all are rung for", false, 0)
}

// TestABoundedTaskInTheOutboxHasNoMessageThatCounts holds what MaxParallel rests on.
func TestABoundedTaskInTheOutboxHasNoMessageThatCounts(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct{ bound, epoch int }{"bounded": {1, 2}, "unbounded": {0, 1}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := storetest.New(t)
			addHost(t, s, "web-1")
			c := collectFor(t, s, "user:ann", fleet.PriorityNormal, func(c *fleet.Collection) { c.MaxParallel = tt.bound })
			taken := take(t, s, turnOf(c, 1))
			if n, err := s.RingAgain(t.Context(), []fleet.Message{taken[0].Message}, false); err != nil || n != 1 {
				t.Fatalf("RingAgain = %d, %v", n, err)
			}
			if again := take(t, s, turnOf(c, 1)); len(again) != 1 || again[0].Epoch != tt.epoch {
				t.Errorf("taken again: %+v, want epoch %d", again, tt.epoch)
			}
		})
	}
}

func TestTasksThatStandInLineBehindOthersAreNotStuck(t *testing.T) {
	t.Parallel()
	s := storetest.New(t)
	addHost(t, s, "web-1")
	addHost(t, s, "web-2")
	c := collectFor(t, s, "user:ann", fleet.PriorityNormal)
	exec(t, store.DBOf(s), "update tasks set created_at = now() - interval '1 hour'")
	stuck := func(want int) {
		t.Helper()
		if state, err := s.StuckState(t.Context(), time.Minute); err != nil || state.Unrung != want {
			t.Errorf("StuckState = %+v, %v; want %d not rung for", state, err, want)
		}
	}
	stuck(2)
	take(t, s, turnOf(c, 1))
	stuck(0)
}

func TestOpenCollectionsKnowTheTraceTheyWereAskedForIn(t *testing.T) {
	t.Parallel()
	s := storetest.New(t)
	addHost(t, s, "web-1")
	const parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
	traced := collectFor(t, s, "user:ann", fleet.PriorityNormal, func(c *fleet.Collection) { c.Trace = parent })
	plain := collectFor(t, s, "user:ann", fleet.PriorityNormal)
	taken := take(t, s, turnOf(traced, 1))
	if len(taken) != 1 || taken[0].CollectionID != traced.ID {
		t.Fatalf("taken: %+v, want a task of %s", taken, traced.ID)
	}
	traces, err := s.Traces(t.Context(), []uuid.UUID{traced.ID, plain.ID, fleet.NewID()})
	if want := []store.Trace{{CollectionID: traced.ID, Parent: parent, Tasks: 1}}; err != nil || !slices.Equal(traces, want) {
		t.Errorf("traces = %+v, %v; want %+v", traces, err, want)
	}
}
