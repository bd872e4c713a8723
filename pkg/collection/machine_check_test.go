package collection_test

import (
	"maps"
	"strconv"
	"strings"

	"github.com/google/uuid"

	"github.com/rollcallhq/rollcall/pkg/collection"
	"github.com/rollcallhq/rollcall/pkg/fleet"
)

// What no state of the database may hold, and what the steps before are compared with, in one question.
const wrongs = `
	select array(select host_id::text from tasks where state = 'running' group by 1 having count(*) > 1),
		array(select id::text from task_history group by 1 having count(*) > 1
			union all select id::text from tasks where id in (select id from task_history)),
		array(select h.id::text from task_history h left join report_rows r on r.task_id = h.id
			group by h.id, h.state having count(r.id) <> case h.state when 'succeeded' then 1 else 0 end),
		array(select r.id::text from report_rows r where not exists (select from task_history h where h.id = r.task_id)),
		array(select concat_ws(' ', id, state, epoch, attempts, error_code, finished_at) from task_history),
		array(select concat_ws(' ', id, epoch, worker_id) from (
			select id, epoch, worker_id from tasks union all select id, epoch, null from task_history) t)`

// check holds what is true after every step.
func (m *machine) check() {
	var busy, twice, reports, strays, ended, epochs []string
	m.must(m.r.pool.QueryRow(m.Context(), wrongs).Scan(&busy, &twice, &reports, &strays, &ended, &epochs))
	for what, found := range map[string][]string{
		"hosts with more than one running task":                        busy,
		"tasks that ended twice, or are open although they have ended": twice,
		"tasks with another number of reports than they should have":   reports,
		"reports of tasks that have not ended":                         strays,
	} {
		if len(found) > 0 {
			m.Errorf("%s: %v", what, found)
		}
	}
	now := map[uuid.UUID]string{}
	for _, row := range ended {
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
	for _, row := range epochs {
		id := uuid.MustParse(row[:36])
		number, worker, _ := strings.Cut(row[37:], " ")
		epoch, err := strconv.Atoi(number)
		if err != nil || epoch < m.epochs[id] {
			m.Errorf("the epoch of %s fell from %d to %q", id, m.epochs[id], number)
		}
		if before := m.running[id]; before != "" && worker != before && now[id] == "" && epoch == m.epochs[id] {
			m.Errorf("%s was taken from %s without a new epoch", id, before)
		}
		m.epochs[id], m.running[id] = epoch, worker
	}
	if n := len(m.collections); n > 0 {
		m.checkCounts(m.collections[m.checks%n])
		m.checks++
	}
}

// checkCounts holds that no task is missing from its collection's counts, while it is open and when it is frozen.
func (m *machine) checkCounts(id uuid.UUID) {
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

// settle lets the faults stop: one of the workers is well again, and everything comes to its end within a few rounds.
func (m *machine) settle() {
	for _, w := range m.workers {
		m.silent(w)
	}
	w := m.workers[0]
	m.beat(w)
	for _, c := range w.held {
		m.end(c, "release")
	}
	w.held, w.inbox = nil, nil
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
	for _, id := range m.collections {
		m.checkCounts(id)
	}
	if len(m.ended) != len(m.epochs) {
		m.Errorf("%d tasks have ended of %d", len(m.ended), len(m.epochs))
	}
}
