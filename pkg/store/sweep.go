package store

import (
	"context"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/rollcallhq/rollcall/pkg/fleet"
)

func scanMessage(row pgx.CollectableRow) (fleet.Message, error) {
	var m fleet.Message
	err := row.Scan(&m.TaskID, &m.Epoch, &m.Site, &m.Priority)
	return m, err
}

// Outbox locks and returns at most limit queued tasks that have no message, the most urgent first. It takes no account of
// whose turn it is: TakeTurns does. only, unless nil, names the collection to look at, whose tasks of busy hosts are left
// out, as TakeTurns does. It belongs into a transaction that ends with MarkDispatched.
func (s *Store) Outbox(ctx context.Context, only *uuid.UUID, limit int) ([]fleet.Message, error) {
	w := newWhere()
	if only != nil {
		w.add("collection_id = @only", "only", *only)
		w.and(`not exists (select from tasks b where b.host_id = t.host_id and (b.state = 'running'
			or b.dispatched_at is not null and (t.priority <> 'interactive' or b.priority = 'interactive')))`)
	}
	w.args["limit"] = limit
	rows, _ := s.db.Query(ctx, `
		select id, epoch, site, priority from tasks t
		where state = 'queued' and dispatched_at is null and (not_before is null or not_before <= now()) and `+w.String()+`
		order by `+urgency+`, created_at, id
		limit @limit for update of t skip locked`, w.args)
	messages, err := pgx.CollectRows(rows, scanMessage)
	return messages, fail(err, "reading the outbox")
}

// MarkDispatched notes that the tasks' messages are on the queue.
func (s *Store) MarkDispatched(ctx context.Context, messages []fleet.Message) error {
	_, err := s.db.Exec(ctx, "update tasks set dispatched_at = now() where id = any($1)", taskIDs(messages))
	return fail(err, "marking tasks as dispatched")
}

func taskIDs(messages []fleet.Message) []uuid.UUID {
	ids := make([]uuid.UUID, len(messages))
	for i, m := range messages {
		ids[i] = m.TaskID
	}
	return ids
}

// Unclaimed returns the queued tasks whose message was put on the queue longer than age ago and that nobody has
// claimed: of each site and lane at most limit, the oldest first, so that a site without workers hides no other.
func (s *Store) Unclaimed(ctx context.Context, age time.Duration, limit int) ([]fleet.Message, error) {
	rows, _ := s.db.Query(ctx, `
		select id, epoch, site, priority from (
			select id, epoch, site, priority, dispatched_at, row_number() over (partition by site, priority order by dispatched_at) as place
			from tasks where state = 'queued' and dispatched_at < now() - $1::interval
		) t
		where place <= $2 order by dispatched_at`, age, limit)
	messages, err := pgx.CollectRows(rows, scanMessage)
	return messages, fail(err, "looking for unclaimed tasks")
}

// RingAgain puts those of the tasks that are still queued at their epoch back into the outbox; with newEpoch their
// next message has another ID than the last one, whose ID may be taken for ever. A task of a collection with a MaxParallel
// always gets a new epoch: what waits for its turn must have no message that counts, not even one still on its way.
func (s *Store) RingAgain(ctx context.Context, messages []fleet.Message, newEpoch bool) (int, error) {
	if len(messages) == 0 {
		return 0, nil
	}
	epochs := make([]int, len(messages))
	for i, m := range messages {
		epochs[i] = m.Epoch
	}
	step := 0
	if newEpoch {
		step = 1
	}
	tag, err := s.db.Exec(ctx, `
		with silent as materialized (
			select t.id from tasks t join unnest($1::uuid[], $2::int[]) as m(id, epoch) on t.id = m.id and t.epoch = m.epoch
			where t.state = 'queued' for update of t skip locked
		)
		update tasks t set dispatched_at = null, epoch = t.epoch + case when t.max_parallel is null then $3 else 1 end
		from silent where t.id = silent.id`, taskIDs(messages), epochs, step)
	return int(tag.RowsAffected()), fail(err, "ringing again")
}

// TakeOver queues the running tasks anew whose worker has not been seen for longer than silence. What it began on their
// hosts may still be running. It returns how many.
func (s *Store) TakeOver(ctx context.Context, silence time.Duration) (int, error) {
	tag, err := s.db.Exec(ctx, `
		with lost as materialized (
			select t.id from tasks t left join workers w on w.id = t.worker_id
			where t.state = 'running' and (w.id is null or w.seen_at < now() - $1::interval)
			for update of t skip locked
		)
		update tasks t set state = 'queued', epoch = t.epoch + 1, worker_id = null, claimed_at = null, dispatched_at = null, not_before = null,
			termination = 'unconfirmed'
		from lost where t.id = lost.id`, silence)
	return int(tag.RowsAffected()), fail(err, "taking tasks over")
}

// EndHopeless ends the tasks that can no longer be worked: queued ones that waited too long, whose deadline passed,
// or whose collection was cancelled, and running ones long past their deadline. It returns how many.
func (s *Store) EndHopeless(ctx context.Context, margin time.Duration) (int, error) {
	total := 0
	for _, end := range []struct {
		condition string
		state     fleet.TaskState
		code      fleet.Code
	}{
		{"t.collection_id in (select id from collections where cancel_requested_at is not null)", fleet.TaskCancelled, fleet.CodeCancelled},
		{"t.deadline_at < now()", fleet.TaskFailed, fleet.CodeDeadlineExceeded},
		{"t.deadline_at is null and t.expires_at < now()", fleet.TaskFailed, fleet.CodeExpired}, // it only waited
	} {
		n, err := s.endQueued(ctx, end.condition, end.state, end.code, pgx.NamedArgs{})
		if err != nil {
			return total, err
		}
		total += n
	}
	n, err := s.endTasks(ctx, "t.state = 'running' and t.deadline_at < now() - @margin::interval", fleet.TaskFailed,
		fleet.CodeDeadlineExceeded, pgx.NamedArgs{"margin": margin})
	return total + n, err
}

func (s *Store) endQueued(ctx context.Context, condition string, state fleet.TaskState, code fleet.Code, args pgx.NamedArgs) (int, error) {
	return s.endTasks(ctx, "t.state = 'queued' and "+condition, state, code, args)
}

// endTasks moves the open tasks that meet the condition to history. A task that failed before keeps the details of
// its last attempt, and its code where it ran out of time between two attempts. What a running one began on its host may
// still be running.
func (s *Store) endTasks(ctx context.Context, condition string, state fleet.TaskState, code fleet.Code, args pgx.NamedArgs) (int, error) {
	args["state"], args["code"] = state, code
	n := 0
	err := s.InTx(ctx, func(tx *Store) error {
		var failed []uuid.UUID
		err := tx.db.QueryRow(ctx, `
			with hopeless as materialized (
				select t.id from tasks t where `+condition+` limit 20000 for update skip locked
			), ended as (
				delete from tasks t using hopeless where t.id = hopeless.id
				returning t.*
			), history as (
				insert into task_history (id, collection_id, created_at, host_id, site, state, epoch, attempts, worker_id, started_at,
					finished_at, error_code, error_details, termination)
				select id, collection_id, created_at, host_id, site, @state, epoch, attempts, worker_id, started_at, now(),
					case when @code = 'deadline_exceeded' then coalesce(error_code, @code) else @code end, error_details,
					case when state = 'running' then 'unconfirmed' else termination end
				from ended
				returning host_id, collection_id, state, error_code, finished_at
			), status as (
				insert into host_status as st (host_id, collection_id, state, error_code, finished_at, failures)
				select distinct on (host_id) host_id, collection_id, state, error_code, finished_at, 1
				from history where state = 'failed' order by host_id, collection_id desc
				on conflict (host_id) do update set collection_id = excluded.collection_id, state = excluded.state,
					error_code = excluded.error_code, finished_at = excluded.finished_at, failures = st.failures + 1
			)
			select count(*), coalesce(array_agg(host_id) filter (where state = 'failed'), '{}') from history`, args).Scan(&n, &failed)
		if err != nil || len(failed) == 0 {
			return err
		}
		_, err = tx.db.Exec(ctx, settle("f.host_id = any($1)", inOrder), failed)
		return err
	})
	return n, fail(err, "ending tasks")
}

// Heartbeat records that the worker is alive and returns the database's clock and those of its running tasks whose
// collection was cancelled.
func (s *Store) Heartbeat(ctx context.Context, w fleet.Worker) (time.Time, []uuid.UUID, error) {
	var now time.Time
	var cancelled []uuid.UUID
	err := s.db.QueryRow(ctx, `
		with beat as (
			insert into workers (id, host, version, sites, slots, open_keys, current_keys)
			values (@id, @host, @version, @sites, @slots, coalesce(@open_keys::text[], '{}'), coalesce(@current_keys::text[], '{}'))
			on conflict (id) do update set seen_at = clock_timestamp()
		)
		select clock_timestamp(), array(
			select t.id from tasks t join collections c on c.id = t.collection_id
			where t.worker_id = @id and t.state = 'running' and c.cancel_requested_at is not null)`,
		pgx.NamedArgs{
			"id": w.ID, "host": w.Host, "version": w.Version, "sites": w.Sites, "slots": w.Slots, "open_keys": w.OpenKeys, "current_keys": w.CurrentKeys,
		}).Scan(&now, &cancelled)
	return now, cancelled, fail(err, "beating")
}

// ReleaseStray queues the tasks anew that are running on the worker according to the database, for longer than age,
// but that it is not running: the answer to its claim was lost. running names those it does run.
func (s *Store) ReleaseStray(ctx context.Context, worker uuid.UUID, running []uuid.UUID, age time.Duration) (int, error) {
	if running == nil {
		running = []uuid.UUID{}
	}
	tag, err := s.db.Exec(ctx, `
		update tasks set state = 'queued', epoch = epoch + 1, worker_id = null, claimed_at = null, dispatched_at = null,
			termination = 'unconfirmed'
		where worker_id = $1 and state = 'running' and claimed_at < now() - $3::interval and id <> all($2)`, worker, running, age)
	return int(tag.RowsAffected()), fail(err, "releasing stray tasks")
}

// RemoveWorker ends the worker's heartbeat; its tasks can be taken over at once.
func (s *Store) RemoveWorker(ctx context.Context, id uuid.UUID) error {
	_, err := s.db.Exec(ctx, "delete from workers where id = $1", id)
	return fail(err, "removing a worker")
}

// ForgetWorkers removes the heartbeats of workers not seen for longer than age.
func (s *Store) ForgetWorkers(ctx context.Context, age time.Duration) error {
	_, err := s.db.Exec(ctx, "delete from workers where seen_at < now() - $1::interval", age)
	return fail(err, "forgetting workers")
}

// Workers returns the workers seen within age, the newest first.
func (s *Store) Workers(ctx context.Context, age time.Duration) ([]fleet.Worker, error) {
	rows, _ := s.db.Query(ctx, `
		select id, host, version, sites, slots, started_at, seen_at from workers
		where seen_at > now() - $1::interval order by started_at desc, id`, age)
	workers, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (fleet.Worker, error) {
		var w fleet.Worker
		err := row.Scan(&w.ID, &w.Host, &w.Version, &w.Sites, &w.Slots, &w.StartedAt, &w.SeenAt)
		return w, err
	})
	return workers, fail(err, "listing workers")
}
