package collection_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/rollcallhq/rollcall/pkg/collection"
	"github.com/rollcallhq/rollcall/pkg/fleet"
	"github.com/rollcallhq/rollcall/pkg/store"
)

// A storm does to tasks at random what may happen to them, and looks after each step whether the rules still hold.
type storm struct {
	*rig
	rand    *rand.Rand
	workers map[string]fleet.Worker
	ended   int
	asked   int
}

// TestTheRulesHoldWhateverHappens has two relays at once, two sites of which one has no worker, actors, lanes, bounds,
// tasks of the same hosts, claims, ends, retries, and lost messages, in random order.
func TestTheRulesHoldWhateverHappens(t *testing.T) {
	t.Parallel()
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	r := newRig(t, startRedis(t))
	r.hosts(60, "a", "here")
	r.hosts(30, "b", "there")
	s := &storm{rig: r, rand: rand.New(rand.NewPCG(seed, 1)), workers: map[string]fleet.Worker{
		"here": {ID: fleet.NewID(), Host: "w", Sites: []string{"here"}, Slots: 20},
	}}
	for range 120 {
		switch s.rand.IntN(8) {
		case 0:
			s.ask()
		case 1, 2, 3:
			s.relay()
		case 4, 5:
			s.claim(s.rand.IntN(12))
		case 6:
			s.settle(s.rand.IntN(12))
		case 7:
			s.lose(s.rand.IntN(4))
		}
		s.check()
	}
	s.workers["there"] = fleet.Worker{ID: fleet.NewID(), Host: "late", Sites: []string{"there"}, Slots: 10}
	for range 1000 { // then somebody comes to the other site, and all comes to its end
		if ask[int](r, "select count(*) from tasks") == 0 {
			break
		}
		r.exec("update tasks set not_before = now() where not_before is not null")
		s.relay()
		s.claim(100)
		s.check()
		s.end(s.running(100))
	}
	if s.ended != s.asked || s.asked == 0 {
		t.Errorf("%d tasks have ended, want each of %d", s.ended, s.asked)
	}
}

func (s *storm) ask() {
	s.t.Helper()
	priority := fleet.Priorities()[s.rand.IntN(3)]
	selector := []string{"group=a", "group=b", "*"}[s.rand.IntN(3)]
	if priority == fleet.PriorityInteractive {
		selector = fmt.Sprintf("name=%s-%d", []string{"a", "b"}[s.rand.IntN(2)], 1+s.rand.IntN(30))
	}
	c := s.stores([]string{"ann", "bob", "eve"}[s.rand.IntN(3)], collection.Request{
		Selector: selector, Priority: priority, MaxParallel: []int{0, 0, 1, 3, 20}[s.rand.IntN(5)],
	})
	s.asked += c.Counts.Total
}

// rungByLane returns how many messages wait, and how many may.
func (s *storm) rungByLane() (rung, may map[store.Lane]int) {
	s.t.Helper()
	line, err := s.Line(s.t.Context(), collection.Silence)
	if err != nil {
		s.t.Fatal(err)
	}
	rung, may = map[store.Lane]int{}, map[store.Lane]int{}
	running := map[string]int{}
	for _, f := range line.Flights {
		rung[f.Lane] += f.Rung
		running[f.Site] += f.Running
	}
	for lane := range rung {
		may[lane] = collection.Window(lane.Priority, line.Slots[lane.Site], running[lane.Site])
	}
	return rung, may
}

func (s *storm) relay() {
	s.t.Helper()
	for _, w := range s.workers {
		s.beats(w)
	}
	before, _ := s.rungByLane()
	var relaying sync.WaitGroup
	for range 2 {
		relaying.Go(func() {
			if _, err := collection.RelayOnce(s.t.Context(), s.Store, s.queue); err != nil {
				s.t.Errorf("relaying: %v", err)
			}
		})
	}
	relaying.Wait()
	after, may := s.rungByLane()
	for lane, n := range after {
		if n > max(before[lane], may[lane]) {
			s.t.Errorf("%d messages wait in %v, where %d did before and %d may", n, lane, before[lane], may[lane])
		}
	}
}

func (s *storm) rung(n int) []fleet.Message {
	s.t.Helper()
	rows, _ := s.pool.Query(s.t.Context(), `select id, epoch, site, priority from tasks
		where state = 'queued' and dispatched_at is not null order by md5(id::text || $1) limit $2`, strconv.FormatUint(s.rand.Uint64(), 10), n)
	messages, err := pgx.CollectRows(rows, scanMessage)
	if err != nil {
		s.t.Fatal(err)
	}
	return messages
}

func (s *storm) claim(n int) {
	s.t.Helper()
	for _, m := range s.rung(n) {
		if _, err := s.ClaimTask(s.t.Context(), m, s.workers["here"].ID); err != nil && !errors.Is(err, store.ErrHostBusy) {
			s.t.Fatal(err)
		}
	}
}

func (s *storm) running(n int) []store.Lease {
	s.t.Helper()
	rows, _ := s.pool.Query(s.t.Context(), "select id, collection_id, epoch, worker_id from tasks where state = 'running' order by id limit $1", n)
	leases, err := pgx.CollectRows(rows, pgx.RowToStructByPos[store.Lease])
	if err != nil {
		s.t.Fatal(err)
	}
	return leases
}

func (s *storm) end(leases []store.Lease) {
	s.t.Helper()
	for _, l := range leases {
		s.exec("delete from tasks where id = $1", l.TaskID)
		s.ended++
	}
}

// settle ends, retries or releases running tasks.
func (s *storm) settle(n int) {
	s.t.Helper()
	for _, l := range s.running(n) {
		var err error
		switch s.rand.IntN(4) {
		case 0:
			_, err = s.RetryTask(s.t.Context(), l, time.Duration(s.rand.IntN(200))*time.Millisecond, fleet.Fail(fleet.CodeTCPRefused, nil), "")
		case 1:
			_, err = s.ReleaseTask(s.t.Context(), l, "")
		default:
			s.end([]store.Lease{l})
		}
		if err != nil {
			s.t.Fatal(err)
		}
	}
}

// lose lets the sweep find that messages are gone, and that nobody is at a site.
func (s *storm) lose(n int) {
	s.t.Helper()
	if _, err := s.RingAgain(s.t.Context(), s.rung(n), s.rand.IntN(2) == 0); err != nil {
		s.t.Fatal(err)
	}
	if _, err := s.RecallUnserved(s.t.Context(), collection.Silence); err != nil {
		s.t.Fatal(err)
	}
}

// check looks whether the rules hold.
func (s *storm) check() {
	s.t.Helper()
	for what, sql := range map[string]string{
		"a collection has more in flight than it may": `select coalesce(max(n - bound), 0) from (
			select count(*) as n, max(max_parallel) as bound from tasks where max_parallel is not null and (dispatched_at is not null or state = 'running') group by collection_id) t`,
		"a host has two tasks in flight": `select coalesce(max(n - 1), 0) from (
			select count(*) as n from tasks where dispatched_at is not null or state = 'running' group by host_id, priority = 'interactive') t`,
	} {
		if over := ask[int](s.rig, sql); over > 0 {
			s.t.Fatalf("%s: %d too many", what, over)
		}
	}
}
