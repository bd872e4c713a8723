package collection_test

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/redis/go-redis/v9"
	"pgregory.net/rapid"

	"github.com/rollcallhq/rollcall/pkg/collection"
	"github.com/rollcallhq/rollcall/pkg/fleet"
	"github.com/rollcallhq/rollcall/pkg/queue"
	"github.com/rollcallhq/rollcall/pkg/store"
)

// A machine is the life of a few tasks, taken apart: two workers, two hosts, two schedulers, and everything that can go
// wrong between any two steps of theirs. The SQL, the relay, the sweep and what Redis holds are the real ones; the
// workers are played, because no real one lets itself be stopped between two statements.
type machine struct {
	*rapid.T
	r       *rig
	redis   redis.UniversalClient
	sweeps  []*collection.Sweeper
	hosts   []fleet.Host
	workers []*played
	ghosts  []*store.Claim // what dead workers and lost answers had; it may come back at any time

	collections []uuid.UUID
	epochs      map[uuid.UUID]int    // of every task, as last seen
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

func newMachine(t *rapid.T, r *rig, client redis.UniversalClient, hosts []fleet.Host) *machine {
	m := &machine{
		T: t, r: r, redis: client, hosts: hosts,
		epochs: map[uuid.UUID]int{}, ended: map[uuid.UUID]string{}, endings: map[uuid.UUID]int{},
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
func (m *machine) chance(n int, what string) bool { return rapid.IntRange(1, n).Draw(m.T, what) == 1 }

// worker returns one that is not frozen.
func (m *machine) worker() *played {
	var able []*played
	for _, w := range m.workers {
		if !w.frozen {
			able = append(able, w)
		}
	}
	if len(able) == 0 {
		m.Skip("all workers are frozen")
	}
	return rapid.SampledFrom(able).Draw(m.T, "worker")
}

func (m *machine) trigger() {
	if len(m.collections) == 4 {
		m.Skip("enough")
	}
	var ids []uuid.UUID
	for _, h := range rapid.SampledFrom([][]fleet.Host{m.hosts[:1], m.hosts[1:], m.hosts}).Draw(m.T, "hosts") {
		ids = append(ids, h.ID)
	}
	got, err := m.r.service.Trigger(m.Context(), fleet.System(), collection.Request{
		HostIDs: ids, ReportTypes: []string{"os"}, Priority: rapid.SampledFrom(lanes()).Draw(m.T, "lane"),
		MaxParallel: rapid.IntRange(0, 1).Draw(m.T, "max_parallel"),
	})
	m.must(err)
	m.collections = append(m.collections, got.Collection.ID)
}

func (m *machine) relay() {
	m.must(collection.RelayRound(m.Context(), rapid.SampledFrom(m.sweeps).Draw(m.T, "scheduler")))
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
	m.must(collection.SweepRound(m.Context(), rapid.SampledFrom(m.sweeps).Draw(m.T, "scheduler")))
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

// take removes one of a worker's things.
func take[E any](t *rapid.T, from *[]E, what string) E {
	if len(*from) == 0 {
		t.Skip("nothing there")
	}
	i := rapid.IntRange(0, len(*from)-1).Draw(t, what)
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
	c := take(m.T, &w.held, "task")
	m.end(c, rapid.SampledFrom([]string{"succeed", "fail", "retry", "release"}).Draw(m.T, "how"))
	if m.chance(3, "lost answer") { // it does not know, and tries again
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
		m.Skip("no open task")
	}
	m.exec(sql, uuid.MustParse(rapid.SampledFrom(tasks).Draw(m.T, "task")))
}

func (m *machine) actions() map[string]func(*rapid.T) {
	actions := map[string]func(){
		"trigger": m.trigger, "relay": m.relay, "a relay dies": m.relayThatDies, "sweep": m.sweep,
		"fetch":              func() { m.fetch(m.worker()) },
		"claim":              func() { w := m.worker(); m.claim(w, take(m.T, &w.inbox, "message"), "") },
		"claim, answer lost": func() { w := m.worker(); m.claim(w, take(m.T, &w.inbox, "message"), "lost answer") },
		"finish":             func() { m.finish(m.worker()) },
		"beat":               func() { m.beat(m.worker()) },
		"die":                func() { m.die(m.worker()) },
		"freeze":             func() { w := m.worker(); w.frozen = true; m.silent(w) },
		"thaw":               func() { m.thaw() },
		"a late word": func() {
			m.end(take(m.T, &m.ghosts, "ghost"), rapid.SampledFrom([]string{"succeed", "retry", "release"}).Draw(m.T, "how"))
		},
		"a message is doubled":   func() { m.double() },
		"a message is lost":      func() { w := m.worker(); take(m.T, &w.inbox, "message") },
		"a message is archived":  func() { w := m.worker(); m.archive(take(m.T, &w.inbox, "message")) },
		"Redis is wiped":         func() { m.must(m.redis.FlushAll(m.Context()).Err()) },
		"cancel":                 func() { m.cancel() },
		"a delay passes":         func() { m.exec("update tasks set not_before = now() - interval '1 s' where not_before is not null") },
		"a deadline passes":      func() { m.spoil("update tasks set deadline_at = now() - interval '1 s' where id = $1") },
		"a deadline long passes": func() { m.spoil("update tasks set deadline_at = now() - interval '1 h' where id = $1") },
		"an expiry passes":       func() { m.spoil("update tasks set expires_at = now() - interval '1 s' where id = $1") },
		"retry what failed":      func() { m.retryFailed() },
	}
	for i := range 5 { // so that things get somewhere between two faults
		actions[fmt.Sprintf("deliver %d", i)] = m.deliver
	}
	all := map[string]func(*rapid.T){}
	for name, action := range actions {
		all[name] = func(t *rapid.T) { m.T = t; action() }
	}
	all[""] = func(t *rapid.T) { m.T = t; m.check() }
	return all
}

// deliver brings a message all the way from the outbox to a worker's claim, and one whose lost claim was found, too.
func (m *machine) deliver() {
	w := m.worker()
	m.beat(w)
	m.relay()
	if len(w.inbox) == 0 && !m.fetch(w) {
		m.Skip("no message waits")
	}
	fault := ""
	if m.chance(3, "fault") {
		fault = "lost answer"
	}
	m.claim(w, take(m.T, &w.inbox, "message"), fault)
}

func (m *machine) thaw() {
	for _, w := range m.workers {
		if w.frozen {
			w.frozen = false
			return
		}
	}
	m.Skip("none is frozen")
}

func (m *machine) double() {
	w := m.worker()
	if len(w.inbox) == 0 {
		m.Skip("nothing there")
	}
	other := rapid.SampledFrom(m.workers).Draw(m.T, "other")
	other.inbox = append(other.inbox, rapid.SampledFrom(w.inbox).Draw(m.T, "message"))
}

func (m *machine) archive(msg fleet.Message) {
	key := keyIn(msg.Priority, "t:"+queue.ID(msg))
	m.must(m.redis.LRem(m.Context(), keyIn(msg.Priority, "active"), 0, queue.ID(msg)).Err())
	m.must(m.redis.HSet(m.Context(), key, "state", "archived").Err())
}

func (m *machine) some() uuid.UUID {
	if len(m.collections) == 0 {
		m.Skip("no collection")
	}
	return rapid.SampledFrom(m.collections).Draw(m.T, "collection")
}

func (m *machine) cancel() {
	if _, err := m.r.service.Cancel(m.Context(), fleet.System(), m.some()); err != nil && fleet.KindOf(err) != fleet.Conflict {
		m.Fatal(err)
	}
}

func (m *machine) retryFailed() {
	if len(m.collections) >= 6 {
		m.Skip("enough")
	}
	got, err := m.r.service.Retry(m.Context(), fleet.System(), m.some(), []fleet.TaskState{fleet.TaskFailed, fleet.TaskCancelled}, nil)
	if fleet.KindOf(err) == fleet.Invalid {
		m.Skip("none has failed")
	}
	m.must(err)
	m.collections = append(m.collections, got.Collection.ID)
}

// check holds what is true after every step.
func (m *machine) check() {
	if hosts := m.texts("select host_id from tasks where state = 'running' group by 1 having count(*) > 1"); len(hosts) > 0 {
		m.Errorf("hosts with more than one running task: %v", hosts)
	}
	if both := m.texts("select id from task_history group by 1 having count(*) > 1 union all select id from tasks where id in (select id from task_history)"); len(both) > 0 {
		m.Errorf("tasks that ended twice, or are open although they have ended: %v", both)
	}
	if rows := m.texts(`select h.id from task_history h left join report_rows r on r.task_id = h.id
		group by h.id, h.state having count(r.id) <> case h.state when 'succeeded' then 1 else 0 end`); len(rows) > 0 {
		m.Errorf("tasks with another number of reports than they should have: %v", rows)
	}
	if strays := m.texts("select r.id from report_rows r where not exists (select from task_history h where h.id = r.task_id)"); len(strays) > 0 {
		m.Errorf("reports of tasks that have not ended: %v", strays)
	}
	now := map[uuid.UUID]string{}
	for _, row := range m.texts("select concat_ws(' ', id, state, epoch, attempts, error_code, finished_at) from task_history") {
		now[uuid.MustParse(row[:36])] = row
	}
	for id, before := range m.ended {
		if now[id] != before {
			m.Errorf("a task had ended as %q, and now %q", before, now[id])
		}
	}
	maps.Copy(m.ended, now)
	for id, n := range m.endings {
		if n > 1 {
			m.Errorf("%d were told that they had ended %s", n, id)
		}
	}
	for _, row := range m.texts("select concat_ws(' ', id, epoch) from (select id, epoch from tasks union all select id, epoch from task_history) t") {
		var epoch int
		id := uuid.MustParse(row[:36])
		if _, err := fmt.Sscan(row[37:], &epoch); err != nil || epoch < m.epochs[id] {
			m.Errorf("the epoch of %s fell from %d to %q", id, m.epochs[id], row[37:])
		}
		m.epochs[id] = epoch
	}
	m.checkCounts()
}

// checkCounts holds that no task is missing from its collection's counts, while it is open and when it is frozen.
func (m *machine) checkCounts() {
	for _, id := range m.collections {
		c, err := m.r.Collection(m.Context(), fleet.Everything(), id)
		m.must(err)
		n := c.Counts
		if n.Queued+n.Running+n.Succeeded+n.Partial+n.Failed+n.Cancelled != n.Total || n.Total == 0 {
			m.Errorf("the counts of %s do not add up: %+v", id, n)
		}
		if c.State.Ended() && n.Queued+n.Running > 0 {
			m.Errorf("%s has ended with open tasks: %+v", id, n)
		}
	}
}

// settle lets the faults stop: one healthy worker is left, and everything comes to its end within a few rounds.
func (m *machine) settle() {
	for _, w := range m.workers {
		m.silent(w)
	}
	w := m.freshWorker()
	for range 40 {
		m.exec("update tasks set not_before = now() - interval '1 s' where not_before is not null")
		for _, s := range m.sweeps {
			m.must(collection.SweepRound(m.Context(), s))
			m.must(collection.RelayRound(m.Context(), s))
		}
		m.beat(w)
		for m.fetch(w) {
			m.claim(w, w.inbox[0], "")
			w.inbox = nil
			for _, c := range w.held {
				m.end(c, "succeed")
				m.answer(messageOf(c))
			}
			w.held = nil
		}
		if m.check(); len(m.texts("select id from tasks union all select id from collections")) == 0 {
			break
		}
	}
	if open := m.texts("select concat_ws(' ', id, state, epoch, dispatched_at, not_before) from tasks"); len(open) > 0 {
		m.Errorf("tasks that never end: %v", open)
	}
	for _, c := range m.ghosts { // and whoever comes back now comes too late
		if m.end(c, "succeed") {
			m.Error("a task was ended that had ended")
		}
	}
	m.check()
	if len(m.ended) != len(m.epochs) {
		m.Errorf("%d tasks have ended of %d", len(m.ended), len(m.epochs))
	}
}

// TestTheLifeOfTasksUnderEveryFault interleaves steps and faults at random. A failure prints the steps that lead to it and
// how to repeat them; -rapid.checks=10000 tries for longer.
func TestTheLifeOfTasksUnderEveryFault(t *testing.T) {
	t.Parallel()
	client := startRedis(t)
	r := newRig(t, client)
	hosts := []fleet.Host{r.host("web-1"), r.host("web-2")}
	rapid.Check(t, func(rt *rapid.T) {
		r.exec(`truncate tasks, collections, task_history, collection_history, workers, report_rows, report_contents, report_metrics,
			latest_reports, fact_periods, host_status, audit_logs`)
		if err := client.FlushAll(t.Context()).Err(); err != nil {
			t.Fatal(err)
		}
		m := newMachine(rt, r, client, hosts)
		m.trigger()
		rt.Repeat(m.actions())
		m.T = rt
		m.settle()
	})
}
