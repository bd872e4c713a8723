package store

import (
	"context"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/rollcallhq/rollcall/pkg/fleet"
)

// A ScheduleReach says of which hosts a schedule collects, as its owner may.
type ScheduleReach struct {
	Inside  bool // of one that the scope sees
	Outside bool // of one that it does not see
	Own     bool // its owner sees what the scope sees
}

// Seen reports whether a scope of that reach sees the schedule.
func (r ScheduleReach) Seen() bool { return r.Inside || r.Own }

// Whole reports whether a scope of that reach may do with the schedule what its role allows: it is about no other hosts.
func (r ScheduleReach) Whole() bool { return r.Seen() && !r.Outside }

// ScheduleReaches returns the reach of each of the schedules, in their order.
func (s *Store) ScheduleReaches(ctx context.Context, scope fleet.Scope, schedules []fleet.Schedule) ([]ScheduleReach, error) {
	reaches := make([]ScheduleReach, len(schedules))
	if scope.Selector() == nil || len(schedules) == 0 {
		for i := range reaches {
			reaches[i] = ScheduleReach{Inside: !scope.SeesNothing(), Own: !scope.SeesNothing()}
		}
		return reaches, nil
	}
	owners, err := s.selectorsOf(ctx, schedules)
	if err != nil {
		return nil, err
	}
	batch := &pgx.Batch{}
	for i, sch := range schedules {
		owner := owners[i]
		reaches[i].Own = owner != nil && owner.String() == scope.Selector().String()
		w := newWhere()
		w.and("h.retired_at is null")
		w.selector(read(sch.Selector))
		if owner != nil {
			w.selector(owner)
		}
		seen := w.scoped(scope)
		batch.Queue("select exists (select from hosts h where "+w.String()+" and "+seen+"), exists (select from hosts h where "+w.String()+" and not ("+seen+"))", w.args).
			QueryRow(func(row pgx.Row) error { return row.Scan(&reaches[i].Inside, &reaches[i].Outside) })
	}
	return reaches, fail(s.db.SendBatch(ctx, batch).Close(), "reading which hosts schedules are about")
}

// selectorsOf returns what the owners of the schedules may see; nil: everything. Nobody's schedule picks nothing.
func (s *Store) selectorsOf(ctx context.Context, schedules []fleet.Schedule) ([]*fleet.Selector, error) {
	ids := make([]uuid.UUID, 0, len(schedules))
	for _, sch := range schedules {
		if sch.OwnerID != nil {
			ids = append(ids, *sch.OwnerID)
		}
	}
	rows, _ := s.db.Query(ctx, "select id, coalesce(selector, '') from users where id = any($1)", ids)
	texts := map[uuid.UUID]string{}
	var id uuid.UUID
	var text string
	if _, err := pgx.ForEachRow(rows, []any{&id, &text}, func() error { texts[id] = text; return nil }); err != nil {
		return nil, fail(err, "reading the owners of schedules")
	}
	selectors := make([]*fleet.Selector, len(schedules))
	for i, sch := range schedules {
		text, known := "", false
		if sch.OwnerID != nil {
			text, known = texts[*sch.OwnerID]
		}
		if !known || text != "" {
			selectors[i] = read(text)
		}
	}
	return selectors, nil
}

// read returns the selector of a stored text; one that cannot be read picks nothing.
func read(text string) *fleet.Selector {
	selector, err := fleet.ParseSelector(text)
	if err != nil {
		return &fleet.Selector{}
	}
	return &selector
}

// seenSchedules returns those of the schedules that the scope sees, without what it must not know of them.
func (s *Store) seenSchedules(ctx context.Context, scope fleet.Scope, found []fleet.Schedule) ([]fleet.Schedule, error) {
	if scope.SeesNothing() {
		return nil, nil
	}
	if scope.Selector() == nil {
		return found, nil
	}
	reaches, err := s.ScheduleReaches(ctx, scope, found)
	if err != nil {
		return nil, err
	}
	seen := make([]fleet.Schedule, 0, len(found))
	for i, sch := range found {
		if !reaches[i].Seen() {
			continue
		}
		if !reaches[i].Whole() {
			sch.Selector = ""
		}
		seen = append(seen, sch)
	}
	return seen, nil
}
