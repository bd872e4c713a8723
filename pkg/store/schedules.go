package store

import (
	"context"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/rollcallhq/rollcall/pkg/fleet"
)

const scheduleColumns = `s.id, s.name, s.cron, s.timezone, s.selector, s.report_types, s.priority, s.jitter_seconds, s.overlap, s.misfire,
	s.blackouts, s.enabled, s.ends_at, s.owner_id, s.next_at, s.retry_at, s.failures, s.waiting_at, s.waiting_missed, s.version, s.created_at, s.updated_at`

type blackoutColumn struct {
	Days     []string   `json:"days,omitempty"`
	From     string     `json:"from,omitempty"`
	To       string     `json:"to,omitempty"`
	StartsAt *time.Time `json:"starts_at,omitempty"`
	EndsAt   *time.Time `json:"ends_at,omitempty"`
}

func scanSchedule(row pgx.CollectableRow) (fleet.Schedule, error) {
	var s fleet.Schedule
	var jitter int
	var blackouts []blackoutColumn
	err := row.Scan(&s.ID, &s.Name, &s.Cron, &s.Timezone, &s.Selector, &s.ReportTypes, &s.Priority, &jitter, &s.Overlap, &s.Misfire,
		&blackouts, &s.Enabled, &s.EndsAt, &s.OwnerID, &s.NextAt, &s.RetryAt, &s.Failures, &s.WaitingAt, &s.WaitMissed, &s.Version, &s.CreatedAt, &s.UpdatedAt)
	s.Jitter = time.Duration(jitter) * time.Second
	for _, b := range blackouts {
		s.Blackouts = append(s.Blackouts, fleet.Blackout(b))
	}
	return s, err
}

func scheduleArgs(sch fleet.Schedule) pgx.NamedArgs {
	blackouts := make([]blackoutColumn, len(sch.Blackouts))
	for i, b := range sch.Blackouts {
		blackouts[i] = blackoutColumn(b)
	}
	return pgx.NamedArgs{
		"id": sch.ID, "name": sch.Name, "cron": sch.Cron, "timezone": sch.Timezone, "selector": sch.Selector,
		"report_types": sch.ReportTypes, "priority": sch.Priority, "jitter": int(sch.Jitter / time.Second), "overlap": sch.Overlap,
		"misfire": sch.Misfire, "blackouts": blackouts, "enabled": sch.Enabled, "ends_at": sch.EndsAt, "owner": sch.OwnerID,
		"next_at": sch.NextAt, "retry_at": sch.RetryAt, "failures": sch.Failures, "waiting_at": sch.WaitingAt, "waiting_missed": sch.WaitMissed,
		"version": sch.Version,
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
		insert into schedules as s (id, name, cron, timezone, selector, report_types, priority, jitter_seconds, overlap, misfire, blackouts,
			enabled, ends_at, owner_id, next_at)
		values (@id, @name, @cron, @timezone, @selector, @report_types, @priority, @jitter, @overlap, @misfire, @blackouts,
			@enabled, @ends_at, @owner, @next_at)
		returning `+scheduleColumns, scheduleArgs(sch))
	stored, err := pgx.CollectExactlyOneRow(rows, scanSchedule)
	return stored, scheduleWriteError(err, "adding a schedule")
}

// Schedule returns the schedule of the ID as the scope sees it: see Schedules.
func (s *Store) Schedule(ctx context.Context, scope fleet.Scope, id uuid.UUID) (fleet.Schedule, error) {
	found, err := s.schedule(ctx, id, "")
	if err != nil {
		return found, err
	}
	seen, err := s.seenSchedules(ctx, scope, []fleet.Schedule{found})
	if err == nil && len(seen) == 0 {
		err = fleet.Errorf(fleet.NotFound, "there is no such schedule")
	}
	if err != nil {
		return fleet.Schedule{}, err
	}
	return seen[0], nil
}

// LockSchedule is Schedule, and until the transaction ends nobody else fires or changes it.
func (s *Store) LockSchedule(ctx context.Context, id uuid.UUID) (fleet.Schedule, error) {
	return s.schedule(ctx, id, " for update")
}

func (s *Store) schedule(ctx context.Context, id uuid.UUID, lock string) (fleet.Schedule, error) {
	rows, _ := s.db.Query(ctx, "select "+scheduleColumns+" from schedules s where s.id = $1"+lock, id)
	sch, err := pgx.CollectExactlyOneRow(rows, scanSchedule)
	return sch, notFound(err, "schedule")
}

// A ScheduleFilter says which schedules are meant. Its zero value means all.
type ScheduleFilter struct {
	Name    string // the one of that name
	Enabled *bool
}

// Schedules returns a page of the schedules that the filter means, by name, and the cursor of the next page. A scope
// with a selector sees those that pick one of its hosts, and those of owners of the same scope; of one that picks other
// hosts, too, it does not see the selector, which may name them. Its pages may be shorter than was asked for.
func (s *Store) Schedules(ctx context.Context, scope fleet.Scope, f ScheduleFilter, page fleet.Page) ([]fleet.Schedule, string, error) {
	w := newWhere()
	if page.After != "" {
		key, err := keyOf(page.After)
		if err != nil {
			return nil, "", err
		}
		w.add("s.name > @after", "after", key)
	}
	if f.Name != "" {
		w.add("s.name = @name", "name", f.Name)
	}
	if f.Enabled != nil {
		w.add("s.enabled = @enabled", "enabled", *f.Enabled)
	}
	limit := limitOf(page)
	w.args["limit"] = limit + 1
	rows, _ := s.db.Query(ctx, "select "+scheduleColumns+" from schedules s where "+w.String()+" order by s.name limit @limit", w.args)
	found, err := pgx.CollectRows(rows, scanSchedule)
	if err != nil {
		return nil, "", fail(err, "listing schedules")
	}
	found, next := cut(found, limit, func(s fleet.Schedule) string { return s.Name })
	found, err = s.seenSchedules(ctx, scope, found)
	return found, next, err
}

// UpdateSchedule stores sch over the version it was read at. Another version is a Precondition error.
func (s *Store) UpdateSchedule(ctx context.Context, sch fleet.Schedule) (fleet.Schedule, error) {
	rows, _ := s.db.Query(ctx, `
		update schedules s set name = @name, cron = @cron, timezone = @timezone, selector = @selector, report_types = @report_types,
			priority = @priority, jitter_seconds = @jitter, overlap = @overlap, misfire = @misfire, blackouts = @blackouts, enabled = @enabled,
			ends_at = @ends_at, owner_id = @owner, next_at = @next_at, retry_at = @retry_at, failures = @failures, waiting_at = @waiting_at,
			waiting_missed = @waiting_missed, version = version + 1, updated_at = now()
		where id = @id and version = @version
		returning `+scheduleColumns, scheduleArgs(sch))
	stored, err := pgx.CollectExactlyOneRow(rows, scanSchedule)
	if isNoRows(err) {
		return fleet.Schedule{}, fleet.Errorf(fleet.Precondition, "the schedule was changed meanwhile; read it again")
	}
	return stored, scheduleWriteError(err, "changing a schedule")
}

// RemoveSchedule deletes the schedule; its firings stay.
func (s *Store) RemoveSchedule(ctx context.Context, id uuid.UUID) error {
	tag, err := s.db.Exec(ctx, "delete from schedules where id = $1", id)
	if err == nil && tag.RowsAffected() == 0 {
		return fleet.Errorf(fleet.NotFound, "there is no such schedule")
	}
	return fail(err, "removing a schedule")
}
