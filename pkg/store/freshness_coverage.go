package store

import (
	"context"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/rollcallhq/rollcall/pkg/fleet"
)

// A CoverageState says whether it has to be counted anew which schedule covers which host.
type CoverageState struct {
	Now     string        // what the count depends on, as it is now
	Counted string        // as it was when it was last counted; empty: never
	Since   time.Duration // since then
	Took    time.Duration // what that took
}

// CoverageState returns what the count of who covers whom depends on: hosts, schedules and their owners.
func (s *Store) CoverageState(ctx context.Context) (CoverageState, error) {
	var c CoverageState
	var since, took float64
	err := s.db.QueryRow(ctx, `
		select concat_ws(' ',
				(select concat_ws('/', count(*), max(updated_at), sum(version)) from hosts where retired_at is null),
				(select concat_ws('/', count(*), count(next_at), max(updated_at), sum(version)) from schedules where enabled),
				(select concat_ws('/', count(*), max(updated_at), sum(version)) from users where disabled_at is null)),
			p.coverage, coalesce(extract(epoch from clock_timestamp() - p.counted_at), 0)::float8, coalesce(extract(epoch from p.took), 0)::float8
		from freshness_pass p`).Scan(&c.Now, &c.Counted, &since, &took)
	c.Since, c.Took = seconds(since), seconds(took)
	return c, fail(err, "asking what the count of who covers whom depends on")
}

// SetCoverageState notes that it has been counted who covers whom, of hosts and schedules as they were in that state, and
// how long that took.
func (s *Store) SetCoverageState(ctx context.Context, state string, took time.Duration) error {
	_, err := s.db.Exec(ctx, "update freshness_pass set coverage = $1, counted_at = clock_timestamp(), took = $2", state, took)
	return fail(err, "noting who covers whom")
}

// A CoveringSchedule is what a schedule has to do with how fresh hosts are.
type CoveringSchedule struct {
	ID       uuid.UUID
	Cron     string
	Timezone string
	Jitter   time.Duration
	Selector string
	Scope    string // selector of its owner, within which it collects; empty: everything
}

// CoveringSchedules returns the schedules that will fire, by ID: they are enabled, have a next moment, and an owner who may
// collect.
func (s *Store) CoveringSchedules(ctx context.Context) ([]CoveringSchedule, error) {
	rows, _ := s.db.Query(ctx, `
		select s.id, s.cron, s.timezone, s.jitter_seconds, s.selector, coalesce(u.selector, '')
		from schedules s join users u on u.id = s.owner_id
		where s.enabled and s.next_at is not null and u.disabled_at is null and u.role in ('operator', 'admin') order by s.id`)
	found, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (CoveringSchedule, error) {
		var c CoveringSchedule
		var jitter int
		err := row.Scan(&c.ID, &c.Cron, &c.Timezone, &jitter, &c.Selector, &c.Scope)
		c.Jitter = time.Duration(jitter) * time.Second
		return c, err
	})
	return found, fail(err, "reading the schedules that cover hosts")
}

// HostsPicked returns the IDs of the hosts that each group of selectors picks: those that all of a group pick.
func (s *Store) HostsPicked(ctx context.Context, groups [][]fleet.Selector) ([][]uuid.UUID, error) {
	picked := make([][]uuid.UUID, len(groups))
	batch := &pgx.Batch{}
	for i, group := range groups {
		w := newWhere()
		w.and("h.retired_at is null")
		for _, selector := range group {
			w.selector(&selector)
		}
		batch.Queue("select h.id from hosts h where "+w.String(), w.args).Query(func(rows pgx.Rows) (err error) {
			picked[i], err = pgx.CollectRows(rows, pgx.RowTo[uuid.UUID])
			return err
		})
	}
	return picked, fail(s.db.SendBatch(ctx, batch).Close(), "reading which hosts schedules pick")
}

// Coverages returns what covers each host, as it was last counted.
func (s *Store) Coverages(ctx context.Context) (map[uuid.UUID]fleet.Coverage, error) {
	rows, _ := s.db.Query(ctx, "select host_id, schedule_id, allowed_seconds from host_freshness")
	all := map[uuid.UUID]fleet.Coverage{}
	var c fleet.Coverage
	var allowed int
	_, err := pgx.ForEachRow(rows, []any{&c.HostID, &c.ScheduleID, &allowed}, func() error {
		c.Allowed = time.Duration(allowed) * time.Second
		all[c.HostID] = c
		return nil
	})
	return all, fail(err, "reading who covers whom")
}

// SetCoverages stores what covers the hosts. It takes no more than a moment for a few thousand of them.
func (s *Store) SetCoverages(ctx context.Context, coverages []fleet.Coverage) error {
	hosts, schedules, allowed := make([]uuid.UUID, len(coverages)), make([]*uuid.UUID, len(coverages)), make([]int, len(coverages))
	for i, c := range coverages {
		hosts[i], schedules[i], allowed[i] = c.HostID, c.ScheduleID, int(c.Allowed/time.Second)
	}
	_, err := s.db.Exec(ctx, `
		with ordered as materialized (
			select f.host_id, c.schedule_id, c.allowed
			from host_freshness f join unnest($1::uuid[], $2::uuid[], $3::int[]) as c(host_id, schedule_id, allowed) on c.host_id = f.host_id
			order by f.host_id for update of f
		)
		update host_freshness f set schedule_id = o.schedule_id, allowed_seconds = o.allowed from ordered o where f.host_id = o.host_id`,
		hosts, schedules, allowed)
	return fail(err, "storing who covers whom")
}
