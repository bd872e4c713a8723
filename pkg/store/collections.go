package store

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/rollcallhq/rollcall/pkg/fleet"
)

// collectionColumns is the one list of a collection's columns, the same in collections and collection_history.
const collectionColumns = `c.id, c.created_at, c.kind, c.requested_by, c.actor, coalesce(c.selector, ''), c.host_ids, c.report_types,
	c.priority, c.state, c.total, c.skipped, c.deadline_seconds, coalesce(c.max_parallel, 0), c.expires_at, c.schedule_id, c.due_at,
	c.started_at, c.finished_at, c.cancel_requested_at, c.counts, c.errors`

type skippedColumn struct {
	HostID uuid.UUID  `json:"host_id"`
	Host   string     `json:"host"`
	Reason fleet.Code `json:"reason"`
}

type countsColumn struct {
	Total     int `json:"total"`
	Queued    int `json:"queued"`
	Running   int `json:"running"`
	Succeeded int `json:"succeeded"`
	Partial   int `json:"partial"`
	Failed    int `json:"failed"`
	Cancelled int `json:"cancelled"`
}

func scanCollection(row pgx.CollectableRow) (fleet.Collection, error) {
	var c fleet.Collection
	var skipped []skippedColumn
	var deadline int
	var scheduleID *uuid.UUID
	var dueAt *time.Time
	var counts *countsColumn
	err := row.Scan(&c.ID, &c.CreatedAt, &c.Kind, &c.RequestedBy, &c.Actor, &c.Selector, &c.HostIDs, &c.ReportTypes,
		&c.Priority, &c.State, &c.Counts.Total, &skipped, &deadline, &c.MaxParallel, &c.ExpiresAt, &scheduleID, &dueAt,
		&c.StartedAt, &c.FinishedAt, &c.CancelledAt, &counts, &c.Errors)
	c.Deadline = time.Duration(deadline) * time.Second
	for _, s := range skipped {
		c.Skipped = append(c.Skipped, fleet.Skipped(s))
	}
	if scheduleID != nil && dueAt != nil {
		c.Schedule = &fleet.Due{ScheduleID: *scheduleID, At: *dueAt}
	}
	if counts != nil {
		c.Counts = fleet.Counts(*counts)
	}
	return c, err
}

// AddCollection stores c with a task for each enabled host that it selects within the scope, in one statement, and
// returns it with its total and the hosts that were skipped. c.ID is a UUIDv7; c selects by HostIDs or, if there are
// none, by selector. It may have selected no host at all: whether that is an error is the caller's rule.
func (s *Store) AddCollection(ctx context.Context, scope fleet.Scope, c fleet.Collection, selector *fleet.Selector) (fleet.Collection, error) {
	c.CreatedAt = fleet.TimeOf(c.ID)
	w := newWhere()
	w.and("h.retired_at is null")
	w.scope(scope, "h")
	if len(c.HostIDs) > 0 {
		w.add("h.id = any(@host_ids)", "host_ids", c.HostIDs)
	} else {
		w.selector(selector, "h")
		w.args["host_ids"] = nil
	}
	w.collectionArgs(c)
	var skipped []skippedColumn
	err := s.db.QueryRow(ctx, `
		with picked as materialized (
			select h.id, h.name, h.site, h.enabled from hosts h where `+w.String()+`
		), skipped as materialized (
			select coalesce(jsonb_agg(jsonb_build_object('host_id', id, 'host', name, 'reason', 'host_disabled') order by name), '[]') as hosts
			from (select id, name from picked where not enabled order by name limit 1000) p
		), collection as (
			insert into collections (id, created_at, kind, requested_by, actor, selector, host_ids, report_types, priority, state,
				total, skipped, deadline_seconds, max_parallel, expires_at, schedule_id, due_at)
			select @id, @created_at, @kind, @requested_by, @actor, nullif(@selector, ''), @host_ids::uuid[], @report_types, @priority, 'pending',
				(select count(*) from picked where enabled), (select hosts from skipped), @deadline_seconds, nullif(@max_parallel::int, 0), @expires_at,
				@schedule_id::uuid, @due_at::timestamptz
		), tasks as (
			insert into tasks (id, collection_id, created_at, host_id, site, priority, expires_at)
			select uuid_v7(@created_at), @id, @created_at, id, site, @priority, @expires_at from picked where enabled
		)
		select (select count(*) from picked where enabled), (select hosts from skipped)`, w.args).Scan(&c.Counts.Total, &skipped)
	if err != nil {
		return c, fail(err, "adding a collection")
	}
	c.State = fleet.CollectionPending
	c.Counts.Queued = c.Counts.Total
	c.Skipped = nil
	for _, s := range skipped {
		c.Skipped = append(c.Skipped, fleet.Skipped(s))
	}
	return c, nil
}

func (w *where) collectionArgs(c fleet.Collection) {
	var scheduleID *uuid.UUID
	var dueAt *time.Time
	if c.Schedule != nil {
		scheduleID, dueAt = &c.Schedule.ScheduleID, &c.Schedule.At
	}
	for name, value := range map[string]any{
		"id": c.ID, "created_at": c.CreatedAt, "kind": c.Kind, "requested_by": c.RequestedBy, "actor": c.Actor,
		"selector": c.Selector, "report_types": c.ReportTypes, "priority": c.Priority,
		"deadline_seconds": int(c.Deadline / time.Second), "max_parallel": c.MaxParallel, "expires_at": c.ExpiresAt,
		"schedule_id": scheduleID, "due_at": dueAt,
	} {
		w.args[name] = value
	}
}

// Collection returns the collection of the ID with its counts: the frozen ones, or, while it is open or when the
// scope does not see everything, those of the tasks that the scope sees.
func (s *Store) Collection(ctx context.Context, scope fleet.Scope, id uuid.UUID) (fleet.Collection, error) {
	if scope.SeesNothing() {
		return fleet.Collection{}, fleet.Errorf(fleet.NotFound, "there is no such collection")
	}
	rows, _ := s.db.Query(ctx, `
		select `+collectionColumns+` from collections c where c.id = $1
		union all
		select `+collectionColumns+` from collection_history c where c.id = $1 and c.created_at = $2
		limit 1`, id, fleet.TimeOf(id))
	c, err := pgx.CollectExactlyOneRow(rows, scanCollection)
	if err != nil {
		return c, notFound(err, "collection")
	}
	found := []fleet.Collection{c}
	if err := s.count(ctx, scope, found); err != nil {
		return c, err
	}
	if scope.Selector() != nil && found[0].Counts.Total == 0 {
		return fleet.Collection{}, fleet.Errorf(fleet.NotFound, "there is no such collection")
	}
	return found[0], nil
}

// Collections returns a page of the collections, newest first, and the cursor of the next page. An actor with a
// scope sees the collections that have a task in it.
func (s *Store) Collections(ctx context.Context, scope fleet.Scope, page fleet.Page) ([]fleet.Collection, string, error) {
	if scope.SeesNothing() {
		return nil, "", nil
	}
	w := newWhere()
	if page.After != "" {
		id, err := idCursor(page.After)
		if err != nil {
			return nil, "", err
		}
		w.add("c.id < @after", "after", id)
		w.args["after_time"] = fleet.TimeOf(id)
	}
	history := *w
	if page.After != "" {
		history.and("c.created_at <= @after_time")
	}
	if scope.Selector() != nil {
		w.and(`exists (select from tasks t join hosts h on h.id = t.host_id where t.collection_id = c.id and ` + w.scoped(scope, "h") + `
			union all select from task_history t join hosts h on h.id = t.host_id where t.collection_id = c.id and t.created_at = c.created_at and ` + w.scoped(scope, "h") + ")")
		history.conditions = append(history.conditions, w.conditions[len(w.conditions)-1])
	}
	limit := limitOf(page)
	rows, _ := s.db.Query(ctx, fmt.Sprintf(`
		(select %[1]s from collections c where %[2]s order by c.id desc limit %[4]d)
		union all
		(select %[1]s from collection_history c where %[3]s order by c.created_at desc, c.id desc limit %[4]d)
		order by 1 desc limit %[4]d`, collectionColumns, w, &history, limit+1), w.args)
	found, err := pgx.CollectRows(rows, scanCollection)
	if err != nil {
		return nil, "", fail(err, "listing collections")
	}
	found, next := cut(found, limit, func(c fleet.Collection) string { return c.ID.String() })
	return found, next, s.count(ctx, scope, found)
}

// count fills in the counts and errors of those of the collections whose frozen ones do not serve, and the state
// that follows from them.
func (s *Store) count(ctx context.Context, scope fleet.Scope, found []fleet.Collection) error {
	var ids []uuid.UUID
	at := map[uuid.UUID]int{}
	oldest, newest := time.Time{}, time.Time{}
	for i, c := range found {
		if c.State.Ended() && scope.Selector() == nil {
			continue
		}
		ids = append(ids, c.ID)
		at[c.ID] = i
		if oldest.IsZero() || c.CreatedAt.Before(oldest) {
			oldest = c.CreatedAt
		}
		if c.CreatedAt.After(newest) {
			newest = c.CreatedAt
		}
	}
	if len(ids) == 0 {
		return nil
	}
	w := newWhere()
	w.args["ids"], w.args["oldest"], w.args["newest"] = ids, oldest, newest
	w.scope(scope, "h")
	rows, _ := s.db.Query(ctx, `
		select t.collection_id, t.state, coalesce(t.error_code, ''), count(*), min(t.started_at) from (
			select collection_id, host_id, state, null::text as error_code, started_at from tasks where collection_id = any(@ids)
			union all
			select collection_id, host_id, state, error_code, started_at from task_history
			where collection_id = any(@ids) and created_at between @oldest and @newest
		) t join hosts h on h.id = t.host_id
		where `+w.String()+`
		group by 1, 2, 3`, w.args)
	for _, i := range at {
		found[i].Counts, found[i].Errors = fleet.Counts{}, map[fleet.Code]int{}
	}
	var id uuid.UUID
	var state fleet.TaskState
	var code fleet.Code
	var n int
	var started *time.Time
	_, err := pgx.ForEachRow(rows, []any{&id, &state, &code, &n, &started}, func() error {
		c := &found[at[id]]
		c.Counts.Add(state, n)
		if code != "" {
			c.Errors[code] += n
		}
		if started != nil && (c.StartedAt == nil || started.Before(*c.StartedAt)) {
			c.StartedAt = new(*started)
		}
		return nil
	})
	for _, i := range at {
		found[i].State = stateOf(found[i])
	}
	return fail(err, "counting tasks")
}

// stateOf returns the state that follows from the counts. A collection whose last task has ended is ended, even if
// nobody has frozen it yet.
func stateOf(c fleet.Collection) fleet.CollectionState {
	open := c.Counts.Queued + c.Counts.Running
	switch {
	case c.State.Ended():
		return c.State
	case open == 0 && c.Counts.Total > 0:
		return c.Counts.Outcome()
	case c.Counts.Queued < c.Counts.Total || c.StartedAt != nil:
		return fleet.CollectionRunning
	default:
		return fleet.CollectionPending
	}
}

// idCursor returns the ID of a list's cursor.
func idCursor(cursor string) (uuid.UUID, error) {
	key, err := keyOf(cursor)
	if err != nil {
		return uuid.Nil, err
	}
	id, err := uuid.Parse(key)
	if err != nil {
		return uuid.Nil, fleet.InvalidField("cursor", "this is not a cursor that this list has answered with")
	}
	return id, nil
}

// RequestCancel marks an open collection as to be cancelled and ends its queued tasks. It returns how many those
// were; the running ones are ended by their workers. An ended collection is a Conflict.
func (s *Store) RequestCancel(ctx context.Context, id uuid.UUID) (int, error) {
	tag, err := s.db.Exec(ctx, `
		update collections set cancel_requested_at = coalesce(cancel_requested_at, now()) where id = $1`, id)
	if err != nil {
		return 0, fail(err, "cancelling a collection")
	}
	if tag.RowsAffected() == 0 {
		return 0, fleet.Errorf(fleet.Conflict, "the collection has ended already").WithCode("ended")
	}
	return s.endQueued(ctx, "t.collection_id = @id", fleet.TaskCancelled, fleet.CodeCancelled, pgx.NamedArgs{"id": id})
}

// FinishCollections freezes and moves to history those of the open collections that have no open task, at most
// limit of them; only, unless nil, names the one to look at. It returns what it finished.
func (s *Store) FinishCollections(ctx context.Context, only *uuid.UUID, limit int) ([]uuid.UUID, error) {
	condition := "true"
	if only != nil {
		condition = "c.id = @only"
	}
	rows, _ := s.db.Query(ctx, `
		with ended as materialized (
			select c.id, c.created_at from collections c
			where `+condition+` and not exists (select from tasks t where t.collection_id = c.id)
			order by c.id limit @limit for update skip locked
		), by_code as (
			select e.id, t.state, t.error_code, count(*) as n, min(t.started_at) as started_at, max(t.finished_at) as finished_at
			from ended e left join task_history t on t.collection_id = e.id and t.created_at = e.created_at
			group by 1, 2, 3
		), counted as (
			select id,
				coalesce(sum(n) filter (where state = 'succeeded'), 0) as succeeded,
				coalesce(sum(n) filter (where state = 'partial'), 0) as partial,
				coalesce(sum(n) filter (where state = 'failed'), 0) as failed,
				coalesce(sum(n) filter (where state = 'cancelled'), 0) as cancelled,
				min(started_at) as started_at, max(finished_at) as finished_at
			from by_code group by 1
		), errors as (
			select id, jsonb_object_agg(error_code, n) as errors
			from (select id, error_code, sum(n) as n from by_code where error_code is not null group by 1, 2) x group by 1
		), moved as (
			delete from collections c using counted k where c.id = k.id
			returning c.*, k.succeeded as k_succeeded, k.partial as k_partial, k.failed as k_failed, k.cancelled as k_cancelled,
				k.started_at as k_started, k.finished_at as k_finished
		)
		insert into collection_history (id, created_at, kind, requested_by, actor, selector, host_ids, report_types, priority, state,
			total, skipped, deadline_seconds, max_parallel, expires_at, schedule_id, due_at, started_at, finished_at, cancel_requested_at,
			counts, errors)
		select m.id, m.created_at, m.kind, m.requested_by, m.actor, m.selector, m.host_ids, m.report_types, m.priority,
			case when m.k_succeeded = m.total then 'succeeded'
				when m.k_succeeded + m.k_partial > 0 then 'partial'
				when m.k_failed > 0 then 'failed' else 'cancelled' end,
			m.total, m.skipped, m.deadline_seconds, m.max_parallel, m.expires_at, m.schedule_id, m.due_at, m.k_started,
			coalesce(m.k_finished, now()), m.cancel_requested_at,
			jsonb_build_object('total', m.total, 'queued', 0, 'running', 0, 'succeeded', m.k_succeeded, 'partial', m.k_partial,
				'failed', m.k_failed, 'cancelled', m.k_cancelled),
			coalesce(e.errors, '{}')
		from moved m left join errors e on e.id = m.id
		returning id`, pgx.NamedArgs{"only": only, "limit": limit})
	ids, err := pgx.CollectRows(rows, pgx.RowTo[uuid.UUID])
	return ids, fail(err, "finishing collections")
}
