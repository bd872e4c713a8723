package store

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/rollcallhq/rollcall/pkg/fleet"
)

// settle returns the statement that moves hosts to how fresh they are, and puts what moved into the feed. It looks at
// the hosts f for which the condition holds. Whoever ends a task has the row of host_status by then, and what it reads
// here was committed before: of a task that ends and of time that passes neither can undo the other.
func settle(condition, locking string) string {
	return `
	with moving as materialized (
		select f.host_id, f.status as before, x.status as after, case x.status when 'failing' then st.error_code end as code
		from host_freshness f join hosts h on h.id = f.host_id join host_status st on st.host_id = f.host_id
		cross join lateral (select freshness_of(h.enabled, st.state, st.succeeded_at, f.allowed_seconds, now()) as status) x
		where ` + condition + ` and (f.status, f.code) is distinct from (x.status, case x.status when 'failing' then st.error_code end)
		` + locking + `
	)` + move
}

// settleUnasked is settle for hosts that no task of has ended yet.
func settleUnasked(condition, locking string) string {
	return `
	with moving as materialized (
		select f.host_id, f.status as before, x.status as after, null::text as code
		from host_freshness f join hosts h on h.id = f.host_id
		cross join lateral (select freshness_of(h.enabled, null, null, f.allowed_seconds, now()) as status) x
		where ` + condition + ` and f.status <> x.status and not exists (select from host_status st where st.host_id = f.host_id)
		` + locking + `
	)` + move
}

const move = `, moved as (
		update host_freshness f set status = m.after, code = m.code, since = case when f.status = m.after then f.since else now() end
		from moving m where f.host_id = m.host_id
	)
	insert into freshness_changes (host_id, before, after, code) select host_id, before, after, code from moving`

// How the rows are locked: in one order by whoever waits for them, and left to others by the pass.
const (
	inOrder    = "order by f.host_id for update of f, st"
	inOrderOne = "order by f.host_id for update of f"
	notBusy    = "limit $1 for update of f, st skip locked"
	notBusyOne = "limit $1 for update of f skip locked"
)

// keep gives hosts their row, under the name that they have now.
func keep(condition string) string {
	return fmt.Sprintf(`
	insert into host_freshness as f (host_id, name, status, code, allowed_seconds)
	select h.id, h.name, x.status, case x.status when 'failing' then st.error_code end, %[2]d
	from hosts h left join host_status st on st.host_id = h.id
	cross join lateral (select freshness_of(h.enabled, st.state, st.succeeded_at, %[2]d, now()) as status) x
	where h.retired_at is null and %[1]s
	on conflict (host_id) do update set name = excluded.name where f.name <> excluded.name`, condition, int(fleet.DefaultAllowedAge/time.Second))
}

// keepFreshness keeps how fresh the hosts are, which have just been written.
func (s *Store) keepFreshness(ctx context.Context, hosts ...uuid.UUID) error {
	if len(hosts) == 0 {
		return nil
	}
	batch := &pgx.Batch{}
	batch.Queue(keep("h.id = any($1)"), hosts)
	batch.Queue(settle("f.host_id = any($1)", inOrder), hosts)
	batch.Queue(settleUnasked("f.host_id = any($1)", inOrderOne), hosts)
	return fail(s.db.SendBatch(ctx, batch).Close(), "keeping how fresh hosts are")
}

// KeepFreshness mends what writers of a former release have left out: hosts without a row, with another name, or
// retired with one.
func (s *Store) KeepFreshness(ctx context.Context) error {
	batch := &pgx.Batch{}
	batch.Queue(keep("not exists (select from host_freshness f where f.host_id = h.id and f.name = h.name)"))
	batch.Queue("delete from host_freshness f using hosts h where h.id = f.host_id and h.retired_at is not null")
	return fail(s.db.SendBatch(ctx, batch).Close(), "keeping how fresh hosts are")
}

// SettleFreshness moves at most limit of the hosts that time, a schedule or a former release has made more or less fresh
// than they are said to be, and puts that into the feed. It leaves out those that are being written, and returns how
// many it moved.
func (s *Store) SettleFreshness(ctx context.Context, limit int) (int, error) {
	moved := 0
	for _, statement := range []string{settle("true", notBusy), settleUnasked("true", notBusyOne)} {
		tag, err := s.db.Exec(ctx, statement, limit)
		if err != nil {
			return moved, fail(err, "moving hosts to how fresh they are")
		}
		moved += int(tag.RowsAffected())
	}
	return moved, nil
}

// HostStatuses returns how fresh the hosts are and how the last task of each of them went; hosts that the scope does not
// see, and retired ones, are absent.
func (s *Store) HostStatuses(ctx context.Context, scope fleet.Scope, hosts []uuid.UUID) (map[uuid.UUID]fleet.HostStatus, error) {
	w := newWhere()
	w.add("h.id = any(@hosts)", "hosts", hosts)
	w.and("h.retired_at is null")
	w.scope(scope)
	w.args["default"] = int(fleet.DefaultAllowedAge / time.Second)
	rows, _ := s.db.Query(ctx, `
		select h.id, coalesce(f.status, freshness_of(h.enabled, st.state, st.succeeded_at, @default, now())), coalesce(f.since, h.created_at),
			coalesce(f.allowed_seconds, @default), f.schedule_id,
			coalesce(st.collection_id, '00000000-0000-0000-0000-000000000000'), coalesce(st.state, ''), coalesce(st.error_code, ''),
			st.finished_at, st.succeeded_at, coalesce(st.failures, 0)
		from hosts h left join host_freshness f on f.host_id = h.id left join host_status st on st.host_id = h.id
		where `+w.String(), w.args)
	statuses, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (fleet.HostStatus, error) {
		var st fleet.HostStatus
		var allowed int
		var finished *time.Time
		err := row.Scan(&st.HostID, &st.Freshness, &st.Since, &allowed, &st.CoveredBy, &st.CollectionID, &st.State, &st.Code,
			&finished, &st.SucceededAt, &st.Failures)
		st.Allowed = time.Duration(allowed) * time.Second
		if finished != nil {
			st.FinishedAt = *finished
		}
		return st, err
	})
	byHost := make(map[uuid.UUID]fleet.HostStatus, len(statuses))
	for _, st := range statuses {
		byHost[st.HostID] = st
	}
	return byHost, fail(err, "reading the hosts' status")
}

// FreshnessCounts returns how many hosts of which site are how fresh, by site and from the freshest on.
func (s *Store) FreshnessCounts(ctx context.Context, scope fleet.Scope) ([]fleet.FreshnessCount, error) {
	w := newWhere()
	w.scope(scope)
	w.args["order"] = fleet.Freshnesses()
	rows, _ := s.db.Query(ctx, `
		select h.site, f.status, count(*) from host_freshness f join hosts h on h.id = f.host_id
		where `+w.String()+" group by 1, 2 order by 1, array_position(@order::text[], f.status)", w.args)
	counts, err := pgx.CollectRows(rows, pgx.RowToStructByPos[fleet.FreshnessCount])
	return counts, fail(err, "counting hosts by how fresh they are")
}

// TakeFreshnessPass reports whether it is the caller's turn to make a pass: one in each period, by whichever scheduler
// asks first.
func (s *Store) TakeFreshnessPass(ctx context.Context, every time.Duration) (bool, error) {
	tag, err := s.db.Exec(ctx, `
		update freshness_pass set passed_at = clock_timestamp()
		where passed_at is null or passed_at not between clock_timestamp() - $1::interval and clock_timestamp()`, every)
	return tag.RowsAffected() == 1, fail(err, "taking a pass over how fresh hosts are")
}
