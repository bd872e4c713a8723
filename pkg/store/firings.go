package store

import (
	"context"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/rollcallhq/rollcall/pkg/fleet"
)

// firingColumns are of firings f. A former release wrote the outcome into the reason only, of which it is the first word.
const firingColumns = `f.schedule_id, f.due_at, f.fired_at, f.collection_id,
	coalesce(f.outcome, case when f.collection_id is not null then 'collected' else split_part(f.reason, ':', 1) end), coalesce(f.reason, ''), f.missed`

// settled says of firings f that what came of it is final.
const settled = "coalesce(f.outcome not in ('waiting', 'queue_full', 'failed'), true)"

// SettledMoments returns those of the moments of which is known for good what came of them.
func (s *Store) SettledMoments(ctx context.Context, moments []fleet.Due) (map[fleet.Due]bool, error) {
	ids, at := make([]uuid.UUID, len(moments)), make([]time.Time, len(moments))
	for i, m := range moments {
		ids[i], at[i] = m.ScheduleID, m.At
	}
	rows, _ := s.db.Query(ctx, `
		select m.place from unnest($1::uuid[], $2::timestamptz[]) with ordinality as m(id, at, place)
		where exists (select from firings f where f.schedule_id = m.id and f.due_at = m.at and `+settled+`)`, ids, at)
	found, err := pgx.CollectRows(rows, pgx.RowTo[int])
	fired := make(map[fleet.Due]bool, len(found))
	for _, place := range found {
		fired[moments[place-1]] = true
	}
	return fired, fail(err, "looking for fired moments")
}

// RecordFirings stores what came of moments, over what is known of them unless that is final, and returns the database's
// clock, which is their FiredAt. No moment may be named twice.
func (s *Store) RecordFirings(ctx context.Context, firings []fleet.Firing) (time.Time, error) {
	n := len(firings)
	ids, due, collections := make([]uuid.UUID, n), make([]time.Time, n), make([]*uuid.UUID, n)
	outcomes, reasons, missed := make([]string, n), make([]string, n), make([]int, n)
	for i, f := range firings {
		ids[i], due[i], collections[i], outcomes[i], reasons[i], missed[i] = f.ScheduleID, f.DueAt, f.CollectionID, string(f.Outcome), f.Reason, f.Missed
	}
	var now time.Time
	err := s.db.QueryRow(ctx, `
		with clock as materialized (
			select clock_timestamp() as now
		), recorded as (
			insert into firings as f (schedule_id, due_at, fired_at, collection_id, outcome, reason, missed)
			select m.id, m.due, clock.now, m.collection, m.outcome, nullif(m.reason, ''), m.missed
			from clock, unnest($1::uuid[], $2::timestamptz[], $3::uuid[], $4::text[], $5::text[], $6::int[]) as m(id, due, collection, outcome, reason, missed)
			on conflict (schedule_id, due_at) do update set fired_at = excluded.fired_at, collection_id = excluded.collection_id,
				outcome = excluded.outcome, reason = excluded.reason, missed = greatest(f.missed, excluded.missed)
			where not `+settled+`
		)
		select now from clock`, ids, due, collections, outcomes, reasons, missed).Scan(&now)
	return now, fail(err, "recording firings")
}

// Firings returns a page of the schedule's firings, newest first, and the cursor of the next page.
func (s *Store) Firings(ctx context.Context, schedule uuid.UUID, page fleet.Page) ([]fleet.Firing, string, error) {
	w := newWhere()
	w.add("f.schedule_id = @schedule", "schedule", schedule)
	if page.After != "" {
		key, err := keyOf(page.After)
		if err != nil {
			return nil, "", err
		}
		at, err := time.Parse(time.RFC3339Nano, key)
		if err != nil {
			return nil, "", fleet.InvalidField("cursor", "this is not a cursor that this list has answered with")
		}
		w.add("f.due_at < @after", "after", at)
	}
	limit := limitOf(page)
	w.args["limit"] = limit + 1
	rows, _ := s.db.Query(ctx, "select "+firingColumns+" from firings f where "+w.String()+" order by f.due_at desc limit @limit", w.args)
	firings, err := pgx.CollectRows(rows, pgx.RowToStructByPos[fleet.Firing])
	if err != nil {
		return nil, "", fail(err, "listing firings")
	}
	firings, next := cut(firings, limit, func(f fleet.Firing) string { return f.DueAt.Format(time.RFC3339Nano) })
	return firings, next, nil
}

// ScheduleStates returns what each of the schedules has done lately, by its ID.
func (s *Store) ScheduleStates(ctx context.Context, ids []uuid.UUID) (map[uuid.UUID]fleet.ScheduleState, error) {
	states := make(map[uuid.UUID]fleet.ScheduleState, len(ids))
	rows, _ := s.db.Query(ctx, `
		select s.id, exists (`+openCollections+` and c.schedule_id = s.id),
			(select collection_id from (
				select f.due_at, f.collection_id from firings f where f.schedule_id = s.id order by f.due_at desc limit 100
			) lately where collection_id is not null order by due_at desc limit 1),
			f.due_at, f.fired_at, f.collection_id, f.outcome, f.reason, f.missed
		from unnest($1::uuid[]) as s(id)
		left join lateral (
			select `+firingColumns+` from firings f where f.schedule_id = s.id order by f.due_at desc limit 1
		) as f(schedule_id, due_at, fired_at, collection_id, outcome, reason, missed) on true`, ids)
	var id uuid.UUID
	var state fleet.ScheduleState
	var due, fired *time.Time
	var collection *uuid.UUID
	var outcome, reason *string
	var missed *int
	_, err := pgx.ForEachRow(rows, []any{&id, &state.Open, &state.LastCollection, &due, &fired, &collection, &outcome, &reason, &missed}, func() error {
		state.Last = nil
		if due != nil && fired != nil && outcome != nil && reason != nil && missed != nil {
			state.Last = &fleet.Firing{
				ScheduleID: id, DueAt: *due, FiredAt: *fired, CollectionID: collection, Outcome: fleet.Outcome(*outcome), Reason: *reason, Missed: *missed,
			}
		}
		states[id] = state
		return nil
	})
	return states, fail(err, "reading what schedules have done")
}
