package collection_test

import (
	"crypto/sha256"
	"errors"
	"iter"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/redis/go-redis/v9"

	"github.com/rollcallhq/rollcall/pkg/collection"
	"github.com/rollcallhq/rollcall/pkg/fleet"
	"github.com/rollcallhq/rollcall/pkg/queue"
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

func (m *machine) trigger() {
	if len(m.collections) == 4 {
		skip()
	}
	var ids []uuid.UUID
	for _, h := range oneOf(m, [][]fleet.Host{m.hosts[:1], m.hosts[1:], m.hosts}) {
		ids = append(ids, h.ID)
	}
	got, err := m.r.service.Trigger(m.Context(), fleet.System(), collection.Request{
		HostIDs: ids, ReportTypes: []string{"os"}, Priority: oneOf(m, lanes()),
		MaxParallel: m.rand.IntN(2),
	})
	m.must(err)
	m.collections = append(m.collections, got.Collection.ID)
}

func (m *machine) relay() {
	m.must(collection.RelayRound(m.Context(), oneOf(m, m.sweeps)))
}

// relayThatDies rings and dies before it has noted that.
func (m *machine) relayThatDies() {
	died := errors.New("died")
	err := m.r.InTx(m.Context(), func(tx *store.Store) error {
		messages, err := tx.Outbox(m.Context(), nil, 10)
		if err == nil {
			err = m.r.queue.Ring(m.Context(), messages)
		}
		return errors.Join(err, died)
	})
	if !errors.Is(err, died) {
		m.Fatal(err)
	}
}

func (m *machine) sweep() {
	m.must(collection.SweepRound(m.Context(), oneOf(m, m.sweeps)))
}

func keyIn(lane fleet.Priority, name string) string {
	return "asynq:{" + queue.Name(fleet.DefaultSite, lane) + "}:" + name
}

// fetch takes a message from Redis as Asynq does, if there is one.
func (m *machine) fetch(w *played) bool {
	for _, lane := range lanes() {
		id, err := m.redis.LMove(m.Context(), keyIn(lane, "pending"), keyIn(lane, "active"), "RIGHT", "LEFT").Result()
		if errors.Is(err, redis.Nil) {
			continue
		}
		m.must(err)
		m.must(m.redis.HSet(m.Context(), keyIn(lane, "t:"+id), "state", "active").Err())
		task, epoch, _ := strings.Cut(id, ":")
		n, err := strconv.Atoi(epoch)
		m.must(err)
		w.inbox = append(w.inbox, fleet.Message{TaskID: uuid.MustParse(task), Epoch: n, Site: fleet.DefaultSite, Priority: lane})
		return true
	}
	return false
}

// answer tells Redis that a message was worked, which to a Redis that was wiped meanwhile is the result alone.
func (m *machine) answer(msg fleet.Message) {
	key, id := keyIn(msg.Priority, "t:"+queue.ID(msg)), queue.ID(msg)
	m.must(m.redis.HSet(m.Context(), key, "result", "a line").Err())
	n, err := m.redis.LRem(m.Context(), keyIn(msg.Priority, "active"), 0, id).Result()
	m.must(err)
	if n > 0 {
		m.must(m.redis.HSet(m.Context(), key, "state", "completed").Err())
	}
}

// take removes one of somebody's things.
func take[E any](m *machine, from *[]E) E {
	if len(*from) == 0 {
		skip()
	}
	i := m.rand.IntN(len(*from))
	one := (*from)[i]
	*from = slices.Delete(*from, i, i+1)
	return one
}

// claim works one fetched message up to the claim.
func (m *machine) claim(w *played, msg fleet.Message, fault string) {
	free := len(m.texts(`select t.id from tasks t join collections c on c.id = t.collection_id where t.id = $1 and t.epoch = $2
		and t.state = 'queued' and c.cancel_requested_at is null
		and not exists (select from tasks o where o.host_id = t.host_id and o.state = 'running')`, msg.TaskID, msg.Epoch)) == 1
	c, err := m.r.ClaimTask(m.Context(), msg, w.ID)
	switch {
	case errors.Is(err, store.ErrHostBusy):
	case err != nil:
		m.Fatal(err)
	case c != nil && !free:
		m.Errorf("the message %s was claimed, which was late or doubled", queue.ID(msg))
	}
	switch {
	case c == nil:
		m.answer(msg)
	case fault == "lost answer": // nobody knows of the claim, but what it says may arrive late
		m.ghosts = append(m.ghosts, c)
	default:
		w.held = append(w.held, c)
	}
}

// end ends a claimed task in one of the ways there are, and holds who may do so.
func (m *machine) end(c *store.Claim, how string) (held bool) {
	lease := store.LeaseOf(c.Task)
	may := len(m.texts(`select id from tasks where id = $1 and epoch = $2 and worker_id = $3 and state = 'running'`,
		lease.TaskID, lease.Epoch, lease.WorkerID)) == 1
	var err error
	e := store.Ending{Lease: lease, Host: c.Host.ID, State: fleet.TaskFailed, Failure: fleet.Fail(fleet.CodeTCPRefused, nil), At: time.Now()}
	switch how {
	case "retry":
		held, err = m.r.RetryTask(m.Context(), lease, time.Minute, e.Failure, "")
	case "release":
		held, err = m.r.ReleaseTask(m.Context(), lease, fleet.TerminationConfirmed)
	default:
		if how == "succeed" {
			e.State, e.Failure, e.Findings = fleet.TaskSucceeded, nil, []fleet.Finding{aFinding()}
		}
		if held, err = m.r.EndTask(m.Context(), e); held {
			m.endings[lease.TaskID]++
		}
	}
	m.must(err)
	if held != may {
		m.Errorf("%s of %s in epoch %d was taken: %v, want %v", how, lease.TaskID, lease.Epoch, held, may)
	}
	return held
}

func aFinding() fleet.Finding {
	const facts = `{"hostname":"web-1"}`
	return fleet.Finding{
		Type: "os", SchemaVersion: 1, Status: fleet.ReportOK, Facts: []byte(facts),
		ContentHash: sha256.Sum256([]byte("os\x00" + facts)),
	}
}

func (m *machine) finish(w *played) {
	c := take(m, &w.held)
	m.end(c, oneOf(m, []string{"succeed", "fail", "retry", "release"}))
	if m.chance(3) { // it does not know, and tries again
		m.ghosts = append(m.ghosts, c)
	}
	m.answer(messageOf(c))
}

// messageOf returns the message of a claim, in a lane that need not be its own: Redis does not mind.
func messageOf(c *store.Claim) fleet.Message {
	return fleet.Message{TaskID: c.Task.ID, Epoch: c.Task.Epoch, Site: fleet.DefaultSite, Priority: fleet.PriorityNormal}
}

// beat is a worker's second: it hears of what was cancelled and gives back what it does not know of.
func (m *machine) beat(w *played) {
	_, cancelled, err := m.r.Heartbeat(m.Context(), w.Worker)
	m.must(err)
	var running []uuid.UUID
	for _, c := range slices.Clone(w.held) {
		if slices.Contains(cancelled, c.Task.ID) {
			m.end(c, "fail")
			w.held = slices.DeleteFunc(w.held, func(other *store.Claim) bool { return other == c })
			continue
		}
		running = append(running, c.Task.ID)
	}
	_, err = m.r.ReleaseStray(m.Context(), w.ID, running, -time.Hour)
	m.must(err)
}

// silent makes the worker look as if it had not been heard of for long.
func (m *machine) silent(w *played) {
	m.exec("update workers set seen_at = now() - interval '1 minute' where id = $1", w.ID)
}

// die ends a worker process: another one comes up in its place, and what it still had on the wire may arrive.
func (m *machine) die(w *played) {
	m.ghosts = append(m.ghosts, w.held...)
	m.silent(w)
	m.workers[slices.Index(m.workers, w)] = m.freshWorker()
}

func (m *machine) spoil(sql string) {
	tasks := m.texts("select id from tasks")
	if len(tasks) == 0 {
		skip()
	}
	m.exec(sql, uuid.MustParse(oneOf(m, tasks)))
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

// lateWord lets somebody speak whose time may be over. It is most dangerous where the same worker has claimed the same
// task again, so that is preferred.
func (m *machine) lateWord() {
	again := m.texts("select concat_ws(' ', id, worker_id) from tasks where state = 'running'")
	slices.SortStableFunc(m.ghosts, func(a, b *store.Claim) int {
		is := func(c *store.Claim) int {
			if slices.Contains(again, c.Task.ID.String()+" "+store.LeaseOf(c.Task).WorkerID.String()) {
				return 0
			}
			return 1
		}
		return is(a) - is(b)
	})
	if len(m.ghosts) == 0 {
		skip()
	}
	c := m.ghosts[0]
	m.ghosts = m.ghosts[1:]
	m.end(c, oneOf(m, []string{"succeed", "retry", "release"}))
}

// deliver brings a message all the way from the outbox to a worker's claim, and one whose lost claim was found, too.
func (m *machine) deliver() {
	w := m.worker()
	m.beat(w)
	m.relay()
	if len(w.inbox) == 0 && !m.fetch(w) {
		skip()
	}
	fault := ""
	if m.chance(3) {
		fault = "lost answer"
	}
	msg := take(m, &w.inbox)
	if m.chance(3) { // it was doubled on its way
		other := oneOf(m, m.workers)
		other.inbox = append(other.inbox, msg)
	}
	m.claim(w, msg, fault)
}

func (m *machine) thaw() {
	for _, w := range m.workers {
		if w.frozen {
			w.frozen = false
			return
		}
	}
	skip()
}

func (m *machine) double() {
	w := m.worker()
	if len(w.inbox) == 0 {
		skip()
	}
	other := oneOf(m, m.workers)
	other.inbox = append(other.inbox, oneOf(m, w.inbox))
}

func (m *machine) archive(msg fleet.Message) {
	key := keyIn(msg.Priority, "t:"+queue.ID(msg))
	m.must(m.redis.LRem(m.Context(), keyIn(msg.Priority, "active"), 0, queue.ID(msg)).Err())
	m.must(m.redis.HSet(m.Context(), key, "state", "archived").Err())
}

func (m *machine) some() uuid.UUID {
	if len(m.collections) == 0 {
		skip()
	}
	return oneOf(m, m.collections)
}

func (m *machine) cancel() {
	if _, err := m.r.service.Cancel(m.Context(), fleet.System(), m.some()); err != nil && fleet.KindOf(err) != fleet.Conflict {
		m.Fatal(err)
	}
}

func (m *machine) retryFailed() {
	if len(m.collections) >= 6 {
		skip()
	}
	got, err := m.r.service.Retry(m.Context(), fleet.System(), m.some(), []fleet.TaskState{fleet.TaskFailed, fleet.TaskCancelled}, nil)
	if fleet.KindOf(err) == fleet.Invalid {
		skip()
	}
	m.must(err)
	m.collections = append(m.collections, got.Collection.ID)
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
