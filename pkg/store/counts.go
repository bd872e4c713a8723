package store

import (
	"context"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/rollcallhq/rollcall/pkg/fleet"
)

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
	w.scope(scope)
	rows, _ := s.db.Query(ctx, `
		select t.collection_id, t.state, coalesce(t.error_code, ''), count(*), min(t.started_at), max(t.finished_at) from (
			select collection_id, host_id, state, null::text as error_code, started_at, null::timestamptz as finished_at
			from tasks where collection_id = any(@ids)
			union all
			select collection_id, host_id, state, error_code, started_at, finished_at from task_history
			where collection_id = any(@ids) and created_at between @oldest and @newest
		) t join hosts h on h.id = t.host_id
		where `+w.String()+`
		group by 1, 2, 3`, w.args)
	whole := make(map[uuid.UUID]int, len(at))
	for id, i := range at {
		whole[id] = found[i].Counts.Total
		found[i].Counts, found[i].Errors = fleet.Counts{}, map[fleet.Code]int{}
	}
	var id uuid.UUID
	var state fleet.TaskState
	var code fleet.Code
	var n int
	var started, finished *time.Time
	last := make(map[uuid.UUID]*time.Time, len(ids))
	_, err := pgx.ForEachRow(rows, []any{&id, &state, &code, &n, &started, &finished}, func() error {
		c := &found[at[id]]
		c.Counts.Add(state, n)
		if code != "" {
			c.Errors[code] += n
		}
		if started != nil && (c.StartedAt == nil || started.Before(*c.StartedAt)) {
			c.StartedAt = new(*started)
		}
		if finished != nil && (last[id] == nil || finished.After(*last[id])) {
			last[id] = new(*finished)
		}
		return nil
	})
	if err != nil {
		return fail(err, "counting tasks")
	}
	if err := s.countReseals(ctx, scope, found, at); err != nil {
		return err
	}
	for _, i := range at {
		if scope.Selector() != nil && found[i].State.Ended() { // what it saw of it may have ended otherwise
			found[i].State = found[i].Counts.Outcome()
		}
		found[i].State = stateOf(found[i])
		if found[i].State.Ended() && found[i].FinishedAt == nil { // nobody has frozen it yet
			found[i].FinishedAt = last[found[i].ID]
		}
	}
	for id, i := range at {
		if scope.Selector() != nil && found[i].Counts.Total != whole[id] { // its text may name hosts that the scope does not see
			found[i].Selector = ""
		}
	}
	return s.hideHosts(ctx, scope, found)
}

// hideHosts takes the hosts that the scope does not see out of what the collections name one by one.
func (s *Store) hideHosts(ctx context.Context, scope fleet.Scope, found []fleet.Collection) error {
	if scope.Selector() == nil {
		return nil
	}
	var named []uuid.UUID
	for _, c := range found {
		named = append(named, c.HostIDs...)
		for _, skipped := range c.Skipped {
			named = append(named, skipped.HostID)
		}
	}
	if len(named) == 0 {
		return nil
	}
	w := newWhere()
	w.add("h.id = any(@named)", "named", named)
	w.scope(scope)
	rows, _ := s.db.Query(ctx, "select h.id from hosts h where "+w.String(), w.args)
	ids, err := pgx.CollectRows(rows, pgx.RowTo[uuid.UUID])
	if err != nil {
		return fail(err, "looking which hosts may be seen")
	}
	visible := make(map[uuid.UUID]bool, len(ids))
	for _, id := range ids {
		visible[id] = true
	}
	for i := range found {
		c := &found[i]
		c.HostIDs = slices.DeleteFunc(c.HostIDs, func(id uuid.UUID) bool { return !visible[id] })
		c.Skipped = slices.DeleteFunc(c.Skipped, func(s fleet.Skipped) bool { return !visible[s.HostID] })
	}
	return nil
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
