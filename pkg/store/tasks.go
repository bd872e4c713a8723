package store

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/rollcallhq/rollcall/pkg/fleet"
)

// A Claim is a task that a worker has taken, with what it needs to work it.
type Claim struct {
	Task        fleet.Task
	Host        fleet.Host
	Retired     bool // the host was retired or disabled meanwhile
	Kind        fleet.CollectionKind
	Actor       string
	ReportTypes []string
	Remaining   time.Duration // until the task's deadline, on the database's clock
}

// ErrHostBusy means that the host is being collected by another task; the claimed one was put back for a moment.
var ErrHostBusy = errors.New("the host is busy with another task")

// ClaimTask takes the queued task of that epoch for the worker. It returns nil without an error where there is
// nothing to do: the message was late or doubled, or the task has ended.
func (s *Store) ClaimTask(ctx context.Context, m fleet.Message, worker uuid.UUID) (*Claim, error) {
	var c Claim
	var ssh sshColumn
	var remaining float64
	h, t := &c.Host, &c.Task
	err := s.db.QueryRow(ctx, `
		with claimed as (
			update tasks t set state = 'running', worker_id = @worker, attempts = t.attempts + 1, claimed_at = now(),
				started_at = coalesce(t.started_at, now()),
				deadline_at = coalesce(t.deadline_at, now() + c.deadline_seconds * interval '1 second'), termination = null
			from collections c
			where t.id = @id and t.epoch = @epoch and t.state = 'queued' and c.id = t.collection_id
			  and c.cancel_requested_at is null and case when t.deadline_at is null then t.expires_at > now() else t.deadline_at > now() end
			  and t.site = (select h.site from hosts h where h.id = t.host_id)
			returning t.*, c.kind, c.actor, c.report_types
		)
		select t.id, t.collection_id, t.created_at, t.host_id, t.site, t.epoch, t.attempts, t.started_at,
			t.kind, t.actor, t.report_types, extract(epoch from t.deadline_at - clock_timestamp())::float8,
			h.retired_at is not null or not h.enabled, `+hostColumns+`
		from claimed t join hosts h on h.id = t.host_id`,
		pgx.NamedArgs{"id": m.TaskID, "epoch": m.Epoch, "worker": worker}).Scan(
		&t.ID, &t.CollectionID, &t.CreatedAt, &t.HostID, &t.Site, &t.Epoch, &t.Attempts, &t.StartedAt,
		&c.Kind, &c.Actor, &c.ReportTypes, &remaining, &c.Retired,
		&h.ID, &h.Name, &h.Address, &h.Port, &h.Site, &h.Labels, &h.CredentialID, &h.Connection, &h.JumpHostID,
		&ssh, &h.Enabled, &h.MachineID, &h.Version, &h.CreatedAt, &h.UpdatedAt)
	if isNoRows(err) { // nothing to do is not an error, unless it is to be done at another site
		_, err := s.db.Exec(ctx, follows+" and t.id = $1 and t.epoch = $2", m.TaskID, m.Epoch)
		return nil, fail(err, "moving a task to another site")
	}
	if violates(err, uniqueViolation, "tasks_one_running_per_host") {
		return nil, s.postpone(ctx, m)
	}
	if err != nil {
		return nil, fail(err, "claiming a task")
	}
	h.SSH = fleet.SSHOptions(ssh)
	t.Host, t.State, t.WorkerID = h.Name, fleet.TaskRunning, &worker
	c.Remaining = time.Duration(remaining * float64(time.Second))
	return &c, nil
}

// postpone puts a task back whose host is busy. It returns ErrHostBusy if it could.
func (s *Store) postpone(ctx context.Context, m fleet.Message) error {
	_, err := s.db.Exec(ctx, `
		update tasks set epoch = epoch + 1, dispatched_at = null, not_before = now() + interval '0.5 second' + random() * interval '1 second'
		where id = $1 and epoch = $2 and state = 'queued'`, m.TaskID, m.Epoch)
	if err != nil {
		return fail(err, "postponing a task")
	}
	return ErrHostBusy
}

// A Lease names a claimed task: whoever holds it may end it, and nobody else.
type Lease struct {
	TaskID       uuid.UUID
	CollectionID uuid.UUID
	Epoch        int
	WorkerID     uuid.UUID
}

// LeaseOf returns the lease of a claimed task.
func LeaseOf(t fleet.Task) Lease {
	l := Lease{TaskID: t.ID, CollectionID: t.CollectionID, Epoch: t.Epoch}
	if t.WorkerID != nil {
		l.WorkerID = *t.WorkerID
	}
	return l
}

// RetryTask puts a claimed task back on the queue, to be worked again after the delay; termination is of what ran on
// the host. It reports whether the lease still held.
func (s *Store) RetryTask(ctx context.Context, l Lease, delay time.Duration, failure *fleet.Failure, termination fleet.Termination) (bool, error) {
	tag, err := s.db.Exec(ctx, `
		update tasks set state = 'queued', epoch = epoch + 1, worker_id = null, claimed_at = null, dispatched_at = null,
			not_before = now() + $4, error_code = $5, error_details = $6, termination = nullif($7, '')
		where id = $1 and epoch = $2 and worker_id = $3 and state = 'running'`,
		l.TaskID, l.Epoch, l.WorkerID, delay, failure.Code, failure.Details, string(termination))
	return tag.RowsAffected() == 1, fail(err, "putting a task back")
}

// ReleaseTask puts a claimed task back on the queue at once, as if it had never been claimed: its worker is
// stopping. termination is of what ran on the host. It reports whether the lease still held.
func (s *Store) ReleaseTask(ctx context.Context, l Lease, termination fleet.Termination) (bool, error) {
	tag, err := s.db.Exec(ctx, `
		update tasks set state = 'queued', epoch = epoch + 1, worker_id = null, claimed_at = null, dispatched_at = null,
			not_before = null, attempts = attempts - 1, termination = nullif($4, '')
		where id = $1 and epoch = $2 and worker_id = $3 and state = 'running'`, l.TaskID, l.Epoch, l.WorkerID, string(termination))
	return tag.RowsAffected() == 1, fail(err, "releasing a task")
}

// TaskFilter selects tasks of a collection. The zero value selects all of them.
type TaskFilter struct {
	State fleet.TaskState
	Code  fleet.Code
}

// Tasks returns a page of a collection's tasks by host name, and the cursor of the next page.
func (s *Store) Tasks(ctx context.Context, scope fleet.Scope, collection uuid.UUID, f TaskFilter, page fleet.Page) ([]fleet.Task, string, error) {
	w := newWhere()
	w.scope(scope)
	w.args["collection"], w.args["created_at"] = collection, fleet.TimeOf(collection)
	if f.State != "" {
		w.add("t.state = @state", "state", f.State)
	}
	if f.Code != "" {
		w.add("t.error_code = @code", "code", f.Code)
	}
	if page.After != "" {
		key, err := keyOf(page.After)
		if err != nil {
			return nil, "", err
		}
		w.add("(h.name || ' ' || t.id) > @after", "after", key)
	}
	limit := limitOf(page)
	rows, _ := s.db.Query(ctx, `
		select t.id, t.collection_id, t.host_id, h.name, t.site, t.state, t.epoch, t.attempts, t.worker_id, coalesce(t.error_code, ''),
			t.error_details, t.report_errors, coalesce(t.termination, ''), t.created_at, t.started_at, t.finished_at
		from (
			select id, collection_id, host_id, site, state, epoch, attempts, worker_id, error_code, error_details, null::jsonb as report_errors,
				termination, created_at, started_at, null::timestamptz as finished_at
			from tasks where collection_id = @collection
			union all
			select id, collection_id, host_id, site, state, epoch, attempts, worker_id, error_code, error_details, report_errors,
				termination, created_at, started_at, finished_at
			from task_history where collection_id = @collection and created_at = @created_at
		) t join hosts h on h.id = t.host_id
		where `+w.String()+fmt.Sprintf(" order by h.name || ' ' || t.id limit %d", limit+1), w.args)
	tasks, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (fleet.Task, error) {
		var t fleet.Task
		err := row.Scan(&t.ID, &t.CollectionID, &t.HostID, &t.Host, &t.Site, &t.State, &t.Epoch, &t.Attempts, &t.WorkerID, &t.Code,
			&t.Details, &t.ReportErrors, &t.Termination, &t.CreatedAt, &t.StartedAt, &t.FinishedAt)
		return t, err
	})
	if err != nil {
		return nil, "", fail(err, "listing tasks")
	}
	tasks, next := cut(tasks, limit, func(t fleet.Task) string { return t.Host + " " + t.ID.String() })
	return tasks, next, nil
}

// OpenTaskFor returns the newest open task that will yield the report type of the host: one that is queued, or
// running for no longer than maxAge. It is nil if there is none.
func (s *Store) OpenTaskFor(ctx context.Context, scope fleet.Scope, host uuid.UUID, reportType string, maxAge time.Duration) (*fleet.Task, error) {
	w := newWhere()
	w.scope(scope)
	w.add("t.host_id = @host", "host", host)
	w.add("@type = any(c.report_types)", "type", reportType)
	w.add("(t.state = 'queued' or t.claimed_at > now() - @max_age::interval)", "max_age", maxAge)
	w.and("c.kind = 'collect'")
	w.and("c.cancel_requested_at is null")
	var t fleet.Task
	err := s.db.QueryRow(ctx, `
		select t.id, t.collection_id, t.host_id, h.name, t.state, t.created_at
		from tasks t join collections c on c.id = t.collection_id join hosts h on h.id = t.host_id
		where `+w.String()+` order by t.id desc limit 1`, w.args).
		Scan(&t.ID, &t.CollectionID, &t.HostID, &t.Host, &t.State, &t.CreatedAt)
	if isNoRows(err) {
		return nil, nil //nolint:nilnil // none is an answer
	}
	return &t, fail(err, "looking for an open task")
}

// LockHost makes the transaction wait for every other one that has locked the host, so that the decision whether to
// join a task or to make one is taken by one caller after the other.
func (s *Store) LockHost(ctx context.Context, host uuid.UUID) error {
	_, err := s.db.Exec(ctx, "select pg_advisory_xact_lock(hashtextextended('rollcall.host.' || $1, 0))", host.String())
	return fail(err, "locking a host")
}
