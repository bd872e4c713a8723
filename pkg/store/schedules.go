package store

import (
	"context"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/rollcallhq/rollcall/pkg/fleet"
)

const scheduleColumns = `s.id, s.name, s.cron, s.timezone, s.selector, s.report_types, s.priority, s.jitter_seconds, s.overlap, s.misfire,
	s.enabled, s.owner_id, s.next_at, s.version, s.created_at, s.updated_at`

func scanSchedule(row pgx.CollectableRow) (fleet.Schedule, error) {
	var s fleet.Schedule
	var jitter int
	err := row.Scan(&s.ID, &s.Name, &s.Cron, &s.Timezone, &s.Selector, &s.ReportTypes, &s.Priority, &jitter, &s.Overlap, &s.Misfire,
		&s.Enabled, &s.OwnerID, &s.NextAt, &s.Version, &s.CreatedAt, &s.UpdatedAt)
	s.Jitter = time.Duration(jitter) * time.Second
	return s, err
}

func scheduleArgs(sch fleet.Schedule) pgx.NamedArgs {
	return pgx.NamedArgs{
		"id": sch.ID, "name": sch.Name, "cron": sch.Cron, "timezone": sch.Timezone, "selector": sch.Selector,
		"report_types": sch.ReportTypes, "priority": sch.Priority, "jitter": int(sch.Jitter / time.Second), "overlap": sch.Overlap,
		"misfire": sch.Misfire, "enabled": sch.Enabled, "owner": sch.OwnerID, "next_at": sch.NextAt, "version": sch.Version,
	}
}

func scheduleWriteError(err error, doing string) error {
	if violates(err, uniqueViolation, "schedules_name_key") {
		return fleet.Errorf(fleet.Conflict, "a schedule of that name exists already").WithCode("name_taken").
			WithFields(fleet.FieldError{Field: "name", Code: "name_taken", Message: "a schedule of that name exists already"})
	}
	return fail(err, doing)
}

// AddSchedule stores a new schedule and returns it as stored. A name that is taken is a Conflict.
func (s *Store) AddSchedule(ctx context.Context, sch fleet.Schedule) (fleet.Schedule, error) {
	rows, _ := s.db.Query(ctx, `
		insert into schedules as s (id, name, cron, timezone, selector, report_types, priority, jitter_seconds, overlap, misfire, enabled, owner_id, next_at)
		values (@id, @name, @cron, @timezone, @selector, @report_types, @priority, @jitter, @overlap, @misfire, @enabled, @owner, @next_at)
		returning `+scheduleColumns, scheduleArgs(sch))
	stored, err := pgx.CollectExactlyOneRow(rows, scanSchedule)
	return stored, scheduleWriteError(err, "adding a schedule")
}

// Schedule returns the schedule of the ID.
func (s *Store) Schedule(ctx context.Context, id uuid.UUID) (fleet.Schedule, error) {
	rows, _ := s.db.Query(ctx, "select "+scheduleColumns+" from schedules s where s.id = $1", id)
	sch, err := pgx.CollectExactlyOneRow(rows, scanSchedule)
	return sch, notFound(err, "schedule")
}

// Schedules returns all schedules by name.
func (s *Store) Schedules(ctx context.Context, page fleet.Page) ([]fleet.Schedule, string, error) {
	after := ""
	if page.After != "" {
		key, err := keyOf(page.After)
		if err != nil {
			return nil, "", err
		}
		after = key
	}
	limit := limitOf(page)
	rows, _ := s.db.Query(ctx, "select "+scheduleColumns+" from schedules s where s.name > $1 order by s.name limit $2", after, limit+1)
	found, err := pgx.CollectRows(rows, scanSchedule)
	if err != nil {
		return nil, "", fail(err, "listing schedules")
	}
	found, next := cut(found, limit, func(s fleet.Schedule) string { return s.Name })
	return found, next, nil
}

// RemoveSchedule deletes the schedule; its firings stay.
func (s *Store) RemoveSchedule(ctx context.Context, id uuid.UUID) error {
	tag, err := s.db.Exec(ctx, "delete from schedules where id = $1", id)
	if err == nil && tag.RowsAffected() == 0 {
		return fleet.Errorf(fleet.NotFound, "there is no such schedule")
	}
	return fail(err, "removing a schedule")
}

// TakeDueSchedule locks and returns one schedule that is due, and the database's clock, or nil if there is none that
// another replica has not taken. It belongs into the transaction that fires it.
func (s *Store) TakeDueSchedule(ctx context.Context) (*fleet.Schedule, time.Time, error) {
	var now time.Time
	if err := s.db.QueryRow(ctx, "select clock_timestamp()").Scan(&now); err != nil {
		return nil, now, fail(err, "asking the database's clock")
	}
	rows, _ := s.db.Query(ctx, "select "+scheduleColumns+` from schedules s
		where s.enabled and s.next_at <= $1 order by s.next_at limit 1 for update skip locked`, now)
	sch, err := pgx.CollectExactlyOneRow(rows, scanSchedule)
	if isNoRows(err) {
		return nil, now, nil
	}
	return &sch, now, fail(err, "looking for a due schedule")
}

// AddFiring records what came of a schedule's moment. It reports false if that moment has been fired already.
func (s *Store) AddFiring(ctx context.Context, f fleet.Firing) (bool, error) {
	tag, err := s.db.Exec(ctx, `
		insert into firings (schedule_id, due_at, fired_at, collection_id, reason) values ($1, $2, $3, $4, nullif($5, ''))
		on conflict (schedule_id, due_at) do nothing`, f.ScheduleID, f.DueAt, f.FiredAt, f.CollectionID, f.Reason)
	return tag.RowsAffected() == 1, fail(err, "recording a firing")
}

// SetNextAt stores when the schedule is due next; nil means never again.
func (s *Store) SetNextAt(ctx context.Context, id uuid.UUID, next *time.Time) error {
	_, err := s.db.Exec(ctx, "update schedules set next_at = $2 where id = $1", id, next)
	return fail(err, "moving a schedule on")
}

// HasOpenCollection reports whether a collection of the schedule has not ended.
func (s *Store) HasOpenCollection(ctx context.Context, schedule uuid.UUID) (bool, error) {
	var open bool
	err := s.db.QueryRow(ctx, `
		select exists (select from tasks t join collections c on c.id = t.collection_id where c.schedule_id = $1)`, schedule).Scan(&open)
	return open, fail(err, "looking for an open collection")
}

// Firings returns a page of the schedule's firings, newest first, and the cursor of the next page.
func (s *Store) Firings(ctx context.Context, schedule uuid.UUID, page fleet.Page) ([]fleet.Firing, string, error) {
	w := newWhere()
	w.add("schedule_id = @schedule", "schedule", schedule)
	if page.After != "" {
		key, err := keyOf(page.After)
		if err != nil {
			return nil, "", err
		}
		at, err := time.Parse(time.RFC3339Nano, key)
		if err != nil {
			return nil, "", fleet.InvalidField("cursor", "this is not a cursor that this list has answered with")
		}
		w.add("due_at < @after", "after", at)
	}
	limit := limitOf(page)
	w.args["limit"] = limit + 1
	rows, _ := s.db.Query(ctx, `
		select schedule_id, due_at, fired_at, collection_id, coalesce(reason, '') from firings
		where `+w.String()+" order by due_at desc limit @limit", w.args)
	firings, err := pgx.CollectRows(rows, pgx.RowToStructByPos[fleet.Firing])
	if err != nil {
		return nil, "", fail(err, "listing firings")
	}
	firings, next := cut(firings, limit, func(f fleet.Firing) string { return f.DueAt.Format(time.RFC3339Nano) })
	return firings, next, nil
}

// UpdateSchedule stores sch over the version it was read at. Another version is a Precondition error.
func (s *Store) UpdateSchedule(ctx context.Context, sch fleet.Schedule) (fleet.Schedule, error) {
	rows, _ := s.db.Query(ctx, `
		update schedules s set name = @name, cron = @cron, timezone = @timezone, selector = @selector, report_types = @report_types,
			priority = @priority, jitter_seconds = @jitter, overlap = @overlap, misfire = @misfire, enabled = @enabled, owner_id = @owner,
			next_at = @next_at, version = version + 1, updated_at = now()
		where id = @id and version = @version
		returning `+scheduleColumns, scheduleArgs(sch))
	stored, err := pgx.CollectExactlyOneRow(rows, scanSchedule)
	if isNoRows(err) {
		return fleet.Schedule{}, fleet.Errorf(fleet.Precondition, "the schedule was changed meanwhile; read it again")
	}
	return stored, scheduleWriteError(err, "changing a schedule")
}
