package collection_test

import (
	"crypto/sha256"
	"errors"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/redis/go-redis/v9"

	"github.com/rollcallhq/rollcall/pkg/collection"
	"github.com/rollcallhq/rollcall/pkg/fleet"
	"github.com/rollcallhq/rollcall/pkg/queue"
	"github.com/rollcallhq/rollcall/pkg/store"
)

// What happens to a machine: the steps of a task, as its workers and schedulers take them, and the faults between them.

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
