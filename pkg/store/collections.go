package store

import (
	"context"
	"fmt"
	"maps"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/rollcallhq/rollcall/pkg/fleet"
)

// collectionColumns is the one list of a collection's columns, the same in collections and collection_history.
const collectionColumns = `c.id, c.created_at, c.kind, c.requested_by, c.actor, coalesce(c.selector, ''), c.host_ids, c.report_types,
	c.priority, c.state, c.total, c.skipped, c.deadline_seconds, coalesce(c.max_parallel, 0), c.expires_at, c.schedule_id, c.due_at,
	c.started_at, c.finished_at, c.cancel_requested_at, c.counts, c.errors, c.jitter_seconds`

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
	var deadline, jitter int
	var scheduleID *uuid.UUID
	var dueAt *time.Time
	var counts *countsColumn
	err := row.Scan(&c.ID, &c.CreatedAt, &c.Kind, &c.RequestedBy, &c.Actor, &c.Selector, &c.HostIDs, &c.ReportTypes,
		&c.Priority, &c.State, &c.Counts.Total, &skipped, &deadline, &c.MaxParallel, &c.ExpiresAt, &scheduleID, &dueAt,
		&c.StartedAt, &c.FinishedAt, &c.CancelledAt, &counts, &c.Errors, &jitter)
	c.Jitter = time.Duration(jitter) * time.Second
	c.Deadline = time.Duration(deadline) * time.Second
	for _, s := range skipped {
		c.Skipped = append(c.Skipped, fleet.Skipped(s))
	}
	if scheduleID != nil {
		c.Schedule = &fleet.Due{ScheduleID: *scheduleID}
		if dueAt != nil {
			c.Schedule.At = *dueAt
		}
	}
	if counts != nil {
		c.Counts = fleet.Counts(*counts)
	}
	return c, err
}

// AddCollection stores c with a task for each enabled host that it selects within the scope, in one statement, and
// returns it with its total and the hosts that were skipped. c.ID is a UUIDv7; c selects by HostIDs or, if there are
// none, by selector. It may have selected no host at all: whether that is an error is the caller's rule.
//
// With a Jitter, which only a schedule's collection has, each task waits for its host's own part of it, counted from the
// moment or, more than a minute after that, from now. The part depends on the schedule and the host alone. The time that a
// task may wait for its turn is counted from then on.
func (s *Store) AddCollection(ctx context.Context, scope fleet.Scope, c fleet.Collection, selector *fleet.Selector) (fleet.Collection, error) {
	c.CreatedAt = fleet.TimeOf(c.ID)
	w := newWhere()
	w.and("h.retired_at is null")
	w.scope(scope)
	if len(c.HostIDs) > 0 {
		w.add("h.id = any(@host_ids)", "host_ids", c.HostIDs)
	} else {
		w.selector(selector)
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
				total, skipped, deadline_seconds, max_parallel, expires_at, schedule_id, due_at, jitter_seconds, trace)
			select @id, @created_at, @kind, @requested_by, @actor, nullif(@selector, ''), @host_ids::uuid[], @report_types, @priority, 'pending',
				(select count(*) from picked where enabled), (select hosts from skipped), @deadline_seconds, nullif(@max_parallel::int, 0), @expires_at,
				@schedule_id::uuid, @due_at::timestamptz, @jitter_seconds::int, nullif(@trace, '')
		), tasks as (
			insert into tasks (id, collection_id, created_at, host_id, site, priority, expires_at, requester, max_parallel, not_before)
			select uuid_v7(@created_at), @id, @created_at, id, site, @priority, @expires_at - interval '1 second' * @jitter_seconds::int + `+jitterOf+`, @actor, nullif(@max_parallel::int, 0),
				@jitter_from::timestamptz + `+jitterOf+`
			from picked where enabled
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

// jitterOf is a host's part of the jitter, in steps of a millisecond; nothing without one. The mask leaves no sign.
const jitterOf = `case when @jitter_seconds::int = 0 then interval '0' else interval '1 millisecond' *
				((hashtextextended(id::text, hashtextextended(@schedule_id::text, 0)) & 9223372036854775807) % (@jitter_seconds::bigint * 1000)) end`

// jitterGrace is how late a moment is fired at most for its tasks to keep their places.
const jitterGrace = time.Minute

func (w *where) collectionArgs(c fleet.Collection) {
	var scheduleID *uuid.UUID
	var dueAt *time.Time
	var jitterFrom *time.Time
	if c.Schedule != nil {
		scheduleID = &c.Schedule.ScheduleID
		if !c.Schedule.At.IsZero() {
			dueAt = &c.Schedule.At
		}
	}
	if c.Jitter > 0 && dueAt != nil {
		jitterFrom = dueAt
		if c.CreatedAt.Sub(*dueAt) > jitterGrace {
			jitterFrom = &c.CreatedAt
		}
	}
	maps.Copy(w.args, pgx.NamedArgs{
		"id": c.ID, "created_at": c.CreatedAt, "kind": c.Kind, "requested_by": c.RequestedBy, "actor": c.Actor,
		"selector": c.Selector, "report_types": c.ReportTypes, "priority": c.Priority,
		"deadline_seconds": int(c.Deadline / time.Second), "max_parallel": c.MaxParallel, "expires_at": c.ExpiresAt,
		"schedule_id": scheduleID, "due_at": dueAt, "jitter_from": jitterFrom, "jitter_seconds": int(c.Jitter / time.Second),
		"trace": c.Trace,
	})
}

// A Trace is where in which trace an open collection was asked for.
type Trace struct {
	CollectionID uuid.UUID
	Parent       string // a W3C traceparent
	Tasks        int    // that the collection has had in all
}

// Traces returns those of the open collections of the IDs that were asked for in a trace, in no order.
func (s *Store) Traces(ctx context.Context, ids []uuid.UUID) ([]Trace, error) {
	rows, _ := s.db.Query(ctx, "select id, trace, total from collections where id = any($1) and trace is not null", ids)
	traces, err := pgx.CollectRows(rows, pgx.RowToStructByPos[Trace])
	return traces, fail(err, "looking for the traces of collections")
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
		w.and(`exists (select from tasks t join hosts h on h.id = t.host_id where t.collection_id = c.id and ` + w.scoped(scope) + `
			union all select from task_history t join hosts h on h.id = t.host_id where t.collection_id = c.id and t.created_at = c.created_at and ` + w.scoped(scope) + ")")
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
