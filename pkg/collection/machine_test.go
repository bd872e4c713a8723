package collection_test

import (
	"iter"
	"math/rand/v2"
	"os"
	"strconv"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/redis/go-redis/v9"

	"github.com/rollcallhq/rollcall/pkg/collection"
	"github.com/rollcallhq/rollcall/pkg/fleet"
	"github.com/rollcallhq/rollcall/pkg/store"
)

// A machine is the life of a few tasks, taken apart: two workers, two hosts, two schedulers, and everything that can go
// wrong between any two steps of theirs. The SQL, the relay, the sweep and what Redis holds are the real ones; the
// workers are played, because no real one lets itself be stopped between two statements.
type machine struct {
	testing.TB
	rand    *rand.Rand
	r       *rig
	redis   redis.UniversalClient
	sweeps  []*collection.Sweeper
	hosts   []fleet.Host
	workers []*played
	ghosts  []*store.Claim // what dead workers and lost answers had; it may come back at any time

	checks      int
	trail       []string
	taken       map[string]int // how often each step was taken, over all runs
	collections []uuid.UUID
	epochs      map[uuid.UUID]int    // of every task, as last seen
	running     map[uuid.UUID]string // and by whom it was run
	ended       map[uuid.UUID]string // tasks, and how they ended
	endings     map[uuid.UUID]int    // how many who wanted to end a task were told that they had
}

// A played worker has messages that it fetched and tasks that it knows it claimed.
type played struct {
	fleet.Worker
	inbox  []fleet.Message
	held   []*store.Claim
	frozen bool
}

// lanes are those that the machine uses.
func lanes() []fleet.Priority { return []fleet.Priority{fleet.PriorityNormal, fleet.PriorityBulk} }

func newMachine(t *testing.T, seed uint64, r *rig, client redis.UniversalClient, hosts []fleet.Host, taken map[string]int) *machine {
	t.Helper()
	m := &machine{
		TB: t, rand: rand.New(rand.NewPCG(seed, seed)), r: r, redis: client, hosts: hosts, taken: taken,
		epochs: map[uuid.UUID]int{}, running: map[uuid.UUID]string{}, ended: map[uuid.UUID]string{}, endings: map[uuid.UUID]int{},
	}
	for range 2 {
		w := collection.NewSweeper(r.Store, r.queue, r.log, nil)
		collection.SetAges(w, collection.Silence, -time.Hour, 0) // every message is looked after at once
		m.sweeps = append(m.sweeps, w)
		m.workers = append(m.workers, m.freshWorker())
	}
	return m
}

func (m *machine) must(err error) {
	m.Helper()
	if err != nil {
		m.Fatal(err)
	}
}

func (m *machine) exec(sql string, args ...any) {
	m.Helper()
	_, err := m.r.pool.Exec(m.Context(), sql, args...)
	m.must(err)
}

// texts returns a query's one column.
func (m *machine) texts(sql string, args ...any) []string {
	m.Helper()
	var all []string
	m.must(m.r.pool.QueryRow(m.Context(), "select coalesce(array_agg(x::text order by x::text), '{}') from ("+sql+") t(x)", args...).Scan(&all))
	return all
}

func (m *machine) freshWorker() *played {
	w := &played{Worker: fleet.Worker{ID: fleet.NewID(), Host: "played", Version: "test", Sites: []string{fleet.DefaultSite}, Slots: 10}}
	_, _, err := m.r.Heartbeat(m.Context(), w.Worker)
	m.must(err)
	return w
}

// chance is true once in n times.
func (m *machine) chance(n int) bool { return m.rand.IntN(n) == 0 }

// skipped is what a step panics with that has nothing to do.
type skipped struct{}

func skip() { panic(skipped{}) }

// oneOf returns one of the things.
func oneOf[E any](m *machine, from []E) E {
	if len(from) == 0 {
		skip()
	}
	return from[m.rand.IntN(len(from))]
}

// worker returns one that is not frozen.
func (m *machine) worker() *played {
	var able []*played
	for _, w := range m.workers {
		if !w.frozen {
			able = append(able, w)
		}
	}
	if len(able) == 0 {
		skip()
	}
	return oneOf(m, able)
}

// A chosen step is taken so often beside the others.
type chosen struct {
	name   string
	weight int
	do     func()
}

// steps are those that there are. Work has to get somewhere between two faults.
func (m *machine) steps() []chosen {
	return []chosen{
		{"deliver", 12, m.deliver},
		{"finish", 6, func() { m.finish(m.worker()) }},
		{"sweep", 5, m.sweep},
		{"beat", 4, func() { m.beat(m.worker()) }},
		{"a late word", 5, m.lateWord},
		{"a delay passes", 4, func() { m.exec("update tasks set not_before = now() - interval '1 s' where not_before is not null") }},
		{"trigger", 3, m.trigger},
		{"relay", 3, m.relay},
		{"fetch", 4, func() {
			if !m.fetch(m.worker()) {
				skip()
			}
		}},
		{"claim", 4, func() { w := m.worker(); m.claim(w, take(m, &w.inbox), "") }},
		{"claim, answer lost", 2, func() { w := m.worker(); m.claim(w, take(m, &w.inbox), "lost answer") }},
		{"a relay dies", 2, m.relayThatDies},
		{"a message is doubled", 4, m.double},
		{"a message is lost", 2, func() { w := m.worker(); take(m, &w.inbox) }},
		{"a message is archived", 3, func() { w := m.worker(); m.archive(take(m, &w.inbox)) }},
		{"Redis is wiped", 1, func() { m.must(m.redis.FlushAll(m.Context()).Err()) }},
		{"die", 2, func() { m.die(m.worker()) }},
		{"freeze", 2, func() { w := m.worker(); w.frozen = true; m.silent(w) }},
		{"thaw", 6, m.thaw},
		{"retry what failed", 2, m.retryFailed},
		{"cancel", 1, m.cancel},
		{"an expiry passes", 1, func() { m.spoil("update tasks set expires_at = now() - interval '1 s' where id = $1") }},
		{"a deadline passes", 1, func() { m.spoil("update tasks set deadline_at = now() - interval '1 s' where id = $1") }},
		{"a deadline long passes", 1, func() { m.spoil("update tasks set deadline_at = now() - interval '1 h' where id = $1") }},
	}
}

// run takes n steps.
func (m *machine) run(n int) {
	var lots []chosen
	for _, step := range m.steps() {
		for range step.weight {
			lots = append(lots, step)
		}
	}
	for tries := 0; len(m.trail) < n && tries < 4*n; tries++ {
		m.try(oneOf(m, lots))
		m.check()
		if m.Failed() {
			m.Fatalf("after these steps: %v", m.trail)
		}
	}
}

// try takes a step, unless there is nothing to do.
func (m *machine) try(step chosen) {
	defer func() {
		if reason := recover(); reason != nil && reason != (skipped{}) {
			panic(reason)
		}
	}()
	step.do()
	m.taken[step.name]++
	m.trail = append(m.trail, step.name)
}

// seedVariable repeats the run of a seed.
const seedVariable = "ROLLCALL_TEST_SEED"

// TestTheLifeOfTasksUnderEveryFault interleaves steps and faults at random. A failure prints its seed and the steps that
// lead to it.
func TestTheLifeOfTasksUnderEveryFault(t *testing.T) {
	t.Parallel()
	client := startRedis(t)
	r := newRig(t, client)
	hosts := []fleet.Host{r.host("web-1"), r.host("web-2")}
	taken := map[string]int{}
	for seed := range seeds(t, 15) {
		r.exec(`truncate tasks, collections, task_history, collection_history, workers, report_rows, report_contents, report_metrics,
			latest_reports, fact_periods, host_status, audit_logs`)
		if err := client.FlushAll(t.Context()).Err(); err != nil {
			t.Fatal(err)
		}
		m := newMachine(t, seed, r, client, hosts, taken)
		m.trigger()
		m.run(100)
		if m.settle(); t.Failed() {
			t.Fatalf("%s=%d repeats it; after these steps: %v", seedVariable, seed, m.trail)
		}
	}
	t.Logf("steps taken: %v", taken)
	for _, step := range (&machine{}).steps() {
		if taken[step.name] == 0 && os.Getenv(seedVariable) == "" {
			t.Errorf("the step %q was never taken: the test is not worth its name", step.name)
		}
	}
}

// seeds returns n seeds that nobody has chosen, or the one that the environment names.
func seeds(t *testing.T, n int) iter.Seq[uint64] {
	t.Helper()
	return func(yield func(uint64) bool) {
		if text := os.Getenv(seedVariable); text != "" {
			seed, err := strconv.ParseUint(text, 10, 64)
			if err != nil {
				t.Fatal(err)
			}
			yield(seed)
			return
		}
		for range n {
			seed := rand.Uint64()
			t.Logf("%s=%d", seedVariable, seed)
			if !yield(seed) {
				return
			}
		}
	}
}
