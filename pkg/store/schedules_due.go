package store

import (
	"context"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/rollcallhq/rollcall/pkg/fleet"
)

// LimitIdle makes the server end the transaction when its process is silent in between for longer: whoever is frozen or
// cut off then keeps nothing locked.
func (s *Store) LimitIdle(ctx context.Context, limit time.Duration) error {
	_, err := s.db.Exec(ctx, "select set_config('idle_in_transaction_session_timeout', $1, true)", milliseconds(limit))
	return fail(err, "bounding a transaction")
}

// TakeDueSchedules locks and returns schedules that are due, the longest due first, at most limit of them, leaving out
// those that another replica has taken; only, unless nil, names the one to look at. It belongs into the transaction that
// fires them.
func (s *Store) TakeDueSchedules(ctx context.Context, only *uuid.UUID, limit int) ([]fleet.Schedule, error) {
	if only != nil {
		rows, _ := s.db.Query(ctx, "select "+scheduleColumns+` from schedules s
			where s.id = $1 and s.enabled and s.next_at is not null and greatest(s.next_at, s.retry_at) <= clock_timestamp()
			for update skip locked`, *only)
		found, err := pgx.CollectRows(rows, scanSchedule)
		return found, fail(err, "looking for a due schedule")
	}
	rows, _ := s.db.Query(ctx, takeDueSchedules, limit)
	found, err := pgx.CollectRows(rows, scanSchedule)
	return found, fail(err, "looking for due schedules")
}

const takeDueSchedules = "select " + scheduleColumns + ` from schedules s
	where s.enabled and s.next_at is not null and greatest(s.next_at, s.retry_at) <= statement_timestamp()
	order by greatest(s.next_at, s.retry_at) limit $1 for update skip locked`

// TakeWaitingSchedules locks and returns schedules of which a moment waits and no fired collection is open any more, the
// longest waiting first, at most limit of them; only, unless nil, names the one to look at. It belongs into the transaction that fires
// them.
func (s *Store) TakeWaitingSchedules(ctx context.Context, only *uuid.UUID, limit int) ([]fleet.Schedule, error) {
	rows, _ := s.db.Query(ctx, "select "+scheduleColumns+` from schedules s
		where s.waiting_at is not null and s.enabled and s.id = coalesce($2, s.id) and not exists (`+openCollections+` and c.schedule_id = s.id)
		order by s.waiting_at limit $1 for update skip locked`, limit, only)
	found, err := pgx.CollectRows(rows, scanSchedule)
	return found, fail(err, "looking for waiting schedules")
}

// openCollections are those that a schedule's moment made and that have an open task. One that has none is as good as
// ended, also when that is not yet written down.
const openCollections = `select from collections c where c.due_at is not null and exists (select from tasks t where t.collection_id = c.id)`

// OpenSchedules returns those of the schedules that have an open collection which one of their moments made.
func (s *Store) OpenSchedules(ctx context.Context, ids []uuid.UUID) (map[uuid.UUID]bool, error) {
	rows, _ := s.db.Query(ctx, `select id from unnest($1::uuid[]) as s(id) where exists (`+openCollections+` and c.schedule_id = s.id)`, ids)
	found, err := pgx.CollectRows(rows, pgx.RowTo[uuid.UUID])
	open := make(map[uuid.UUID]bool, len(found))
	for _, id := range found {
		open[id] = true
	}
	return open, fail(err, "looking for open collections")
}

// An Advance is where a schedule goes on after one of its moments.
type Advance struct {
	ID         uuid.UUID
	NextAt     *time.Time // nil: never again
	RetryAt    *time.Time // when NextAt is tried again
	Failures   int
	WaitingAt  *time.Time
	WaitMissed int
}

// AdvanceSchedules stores where schedules go on. They are the same versions: nobody has changed them.
func (s *Store) AdvanceSchedules(ctx context.Context, to []Advance) error {
	ids := make([]uuid.UUID, len(to))
	next, retry, waiting := make([]*time.Time, len(to)), make([]*time.Time, len(to)), make([]*time.Time, len(to))
	failures, missed := make([]int, len(to)), make([]int, len(to))
	for i, a := range to {
		ids[i], next[i], retry[i], waiting[i], failures[i], missed[i] = a.ID, a.NextAt, a.RetryAt, a.WaitingAt, a.Failures, a.WaitMissed
	}
	_, err := s.db.Exec(ctx, `
		update schedules s set next_at = a.next_at, retry_at = a.retry_at, failures = a.failures, waiting_at = a.waiting_at, waiting_missed = a.missed
		from unnest($1::uuid[], $2::timestamptz[], $3::timestamptz[], $4::int[], $5::timestamptz[], $6::int[])
			as a(id, next_at, retry_at, failures, waiting_at, missed)
		where s.id = a.id`, ids, next, retry, failures, waiting, missed)
	return fail(err, "moving schedules on")
}
