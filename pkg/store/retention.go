package store

import (
	"context"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/rollcallhq/rollcall/pkg/fleet"
)

// A Part is what is kept for one time.
type Part string

// The parts.
const (
	PartReports     Part = "reports"
	PartMetrics     Part = "metrics"
	PartChanges     Part = "changes"
	PartFacts       Part = "facts" // periods of facts, and with them the contents
	PartFirings     Part = "firings"
	PartTasks       Part = "tasks"
	PartCollections Part = "collections"
	PartAudit       Part = "audit"
)

// A Floor is since when a part is kept: what is older has been removed, or is about to be.
type Floor struct {
	Part      Part
	Type      string // of report; empty: of all types
	KeptSince time.Time
}

// Floors returns since when what is kept, by part and type. A part of which nothing was ever removed has none.
func (s *Store) Floors(ctx context.Context) ([]Floor, error) {
	rows, _ := s.db.Query(ctx, `
		select f.part, coalesce(t.name, ''), f.kept_since
		from retention_floors f left join report_types t on t.id = f.report_type order by 1, 2`)
	floors, err := pgx.CollectRows(rows, pgx.RowToStructByPos[Floor])
	return floors, fail(err, "reading since when things are kept")
}

// RaiseFloor notes, before it is done, that what of a part is older than since will be removed; of one type of report, or of
// all for the empty one.
func (s *Store) RaiseFloor(ctx context.Context, part Part, reportType string, since time.Time) error {
	_, err := s.db.Exec(ctx, `
		insert into retention_floors as f (part, report_type, kept_since)
		values ($1, coalesce((select id from report_types where name = nullif($2, '')), 0), $3)
		on conflict (part, report_type) do update set kept_since = excluded.kept_since where f.kept_since < excluded.kept_since`,
		string(part), reportType, since)
	return fail(err, "noting since when things are kept")
}

// KeptSince returns since when reports of the type are kept, of any type for the empty one: the zero time if none was ever
// removed.
func (s *Store) KeptSince(ctx context.Context, part Part, reportType string) (time.Time, error) {
	var since *time.Time
	err := s.db.QueryRow(ctx, `
		select max(f.kept_since) from retention_floors f
		where f.part = $1 and (f.report_type = 0 or f.report_type = (select id from report_types where name = nullif($2, '')))`,
		string(part), reportType).Scan(&since)
	if since == nil {
		return time.Time{}, fail(err, "reading since when things are kept")
	}
	return *since, fail(err, "reading since when things are kept")
}

// CodeNoLongerKept is the code of errors that mean: it was there once, and its time is over.
const CodeNoLongerKept = "no_longer_kept"

// stillKept returns an error of kind NotFound if what is asked for is older than what is kept.
func (s *Store) stillKept(ctx context.Context, part Part, reportType string, at time.Time) error {
	since, err := s.KeptSince(ctx, part, reportType)
	if err == nil && at.Before(since) {
		return fleet.Errorf(fleet.NotFound, "this is older than what is kept: %s since %s", part, since.UTC().Format(time.DateOnly)).WithCode(CodeNoLongerKept)
	}
	return err
}

const typeRetentionColumns = "t.name, r.days, r.set_by, r.set_at"

// TypeRetentions returns the types of report that are kept shorter than the others, by name.
func (s *Store) TypeRetentions(ctx context.Context) ([]fleet.TypeRetention, error) {
	rows, _ := s.db.Query(ctx, "select "+typeRetentionColumns+" from type_retention r join report_types t on t.id = r.report_type order by t.name")
	all, err := pgx.CollectRows(rows, pgx.RowToStructByPos[fleet.TypeRetention])
	return all, fail(err, "listing how long types are kept")
}

// SetTypeRetention keeps a type of report for so many days. A type that there is not is NotFound.
func (s *Store) SetTypeRetention(ctx context.Context, reportType string, days int, by string) (fleet.TypeRetention, error) {
	rows, _ := s.db.Query(ctx, `
		with r as (
			insert into type_retention (report_type, days, set_by) select id, $2, $3 from report_types where name = $1
			on conflict (report_type) do update set days = excluded.days, set_by = excluded.set_by, set_at = now()
			returning *
		)
		select `+typeRetentionColumns+" from r join report_types t on t.id = r.report_type", reportType, days, by)
	set, err := pgx.CollectExactlyOneRow(rows, pgx.RowToStructByPos[fleet.TypeRetention])
	return set, notFound(err, "type of report")
}

// UnsetTypeRetention keeps a type of report as long as the others again. One that is not kept shorter is NotFound.
func (s *Store) UnsetTypeRetention(ctx context.Context, reportType string) error {
	tag, err := s.db.Exec(ctx, "delete from type_retention where report_type = (select id from report_types where name = $1)", reportType)
	if err == nil && tag.RowsAffected() == 0 {
		return fleet.Errorf(fleet.NotFound, "this type of report is not kept shorter than the others")
	}
	return fail(err, "keeping a type as long as the others")
}

// HostsAfter returns the IDs of at most limit hosts that follow on after, retired ones too, in their order.
func (s *Store) HostsAfter(ctx context.Context, scope fleet.Scope, after uuid.UUID, limit int) ([]uuid.UUID, error) {
	w := newWhere()
	w.add("h.id > @after", "after", after)
	w.scope(scope)
	w.args["limit"] = limit
	rows, _ := s.db.Query(ctx, "select h.id from hosts h where "+w.String()+" order by h.id limit @limit", w.args)
	ids, err := pgx.CollectRows(rows, pgx.RowTo[uuid.UUID])
	return ids, fail(err, "going through the hosts")
}

// byIndex makes a statement go through indexes, row by row: what it looks for is few rows of large tables, whatever the
// statistics of a table that grows or shrinks all the time may say.
const byIndex = "select set_config('enable_seqscan', 'off', true), set_config('enable_hashjoin', 'off', true), set_config('enable_mergejoin', 'off', true)"

// removal runs one statement that removes rows, within the transaction it is called in, and returns how many.
func (s *Store) removal(ctx context.Context, doing, sql string, args pgx.NamedArgs) (int, error) {
	if _, err := s.db.Exec(ctx, byIndex); err != nil {
		return 0, fail(err, doing)
	}
	tag, err := s.db.Exec(ctx, sql, args)
	return int(tag.RowsAffected()), fail(err, doing)
}

// Each of the removals takes at most limit rows, and belongs into a short transaction of InJob.

// RemoveReportsOfType removes reports of a type of these hosts that are older than before. The newest report of a host is
// kept, however old it is.
func (s *Store) RemoveReportsOfType(ctx context.Context, hosts []uuid.UUID, reportType string, before time.Time, limit int) (int, error) {
	return s.removal(ctx, "removing reports", `
		delete from report_rows r using (
			select o.id, o.created_at from unnest(@hosts::uuid[]) h(id)
			cross join lateral (
				select r.id, r.created_at from report_rows r
				where r.host_id = h.id and r.report_type = (select id from report_types where name = @type) and r.created_at < @before
				order by r.created_at limit @limit
			) o
			where not exists (
				select from latest_reports l
				where l.host_id = h.id and l.report_type = (select id from report_types where name = @type) and l.report_id = o.id)
			limit @limit
		) old
		where r.id = old.id and r.created_at = old.created_at and r.created_at < @before`,
		pgx.NamedArgs{"hosts": hosts, "type": reportType, "before": before, "limit": limit})
}

// RemoveMetricsOfType removes metrics of a type of these hosts that are older than before.
func (s *Store) RemoveMetricsOfType(ctx context.Context, hosts []uuid.UUID, reportType string, before time.Time, limit int) (int, error) {
	return s.removal(ctx, "removing metrics", `
		delete from report_metrics m using (
			select o.report_id, o.created_at from unnest(@hosts::uuid[]) h(id)
			cross join lateral (
				select m.report_id, m.created_at from report_metrics m
				where m.host_id = h.id and m.report_type = (select id from report_types where name = @type) and m.created_at < @before
				order by m.created_at limit @limit
			) o
			limit @limit
		) old
		where m.report_id = old.report_id and m.created_at = old.created_at and m.created_at < @before`,
		pgx.NamedArgs{"hosts": hosts, "type": reportType, "before": before, "limit": limit})
}

// RemoveChangesOfType removes changes of a type of these hosts that were seen before that time. Facts are then known to
// hold since the newest of them.
func (s *Store) RemoveChangesOfType(ctx context.Context, hosts []uuid.UUID, reportType string, before time.Time, limit int) (int, error) {
	n := 0
	_, err := s.db.Exec(ctx, byIndex)
	if err == nil {
		err = s.db.QueryRow(ctx, `
		with gone as (
			delete from changes c using (
				select o.id, o.seen_at from unnest(@hosts::uuid[]) h(id)
				cross join lateral (
					select c.id, c.seen_at from changes c
					where c.host_id = h.id and c.report_type = (select id from report_types where name = @type) and c.seen_at < @before
					order by c.seen_at limit @limit
				) o
				limit @limit
			) old
			where c.id = old.id and c.seen_at = old.seen_at and c.seen_at < @before
			returning c.host_id, c.report_type, c.seen_at
		), noted as (
			insert into fact_baselines as b (host_id, report_type, pattern, known_since)
			select host_id, report_type, '', max(seen_at) from gone group by 1, 2 order by 1, 2
			on conflict (host_id, report_type, pattern) do update set known_since = greatest(b.known_since, excluded.known_since)
		)
		select count(*) from gone`, pgx.NamedArgs{"hosts": hosts, "type": reportType, "before": before, "limit": limit}).Scan(&n)
	}
	return n, fail(err, "removing changes")
}

// RemovePeriods removes periods of facts that were over and last confirmed before that time: of one type of report, or of all
// for the empty one. Reports that are older must have been removed before: a report's contents are kept as long as its period.
func (s *Store) RemovePeriods(ctx context.Context, reportType string, before time.Time, limit int) (int, error) {
	w := newWhere()
	w.add("p.valid_to < @before and p.last_confirmed_at < @before", "before", before)
	if reportType != "" {
		w.add("p.report_type = (select id from report_types where name = @type)", "type", reportType)
	}
	w.args["limit"] = limit
	return s.removal(ctx, "removing periods of facts", `
		delete from fact_periods p using (
			select p.host_id, p.report_type, p.valid_from from fact_periods p where `+w.String()+`
			order by p.valid_to limit @limit for update skip locked
		) old
		where p.host_id = old.host_id and p.report_type = old.report_type and p.valid_from = old.valid_from`, w.args)
}

// NoteBaselines notes since when facts of these hosts are known to hold where the changes of a month, which is about to be
// dropped, would have told.
func (s *Store) NoteBaselines(ctx context.Context, hosts []uuid.UUID, month time.Time) error {
	_, err := s.db.Exec(ctx, byIndex)
	if err == nil {
		_, err = s.db.Exec(ctx, `
			insert into fact_baselines as b (host_id, report_type, pattern, known_since)
			select c.host_id, c.report_type, '', max(c.seen_at) from changes c
			where c.host_id = any($1) and c.seen_at >= $2 and c.seen_at < $2 + interval '1 month'
			group by 1, 2 order by 1, 2
			on conflict (host_id, report_type, pattern) do update set known_since = excluded.known_since where b.known_since < excluded.known_since`,
			hosts, month)
	}
	return fail(err, "noting since when facts are known")
}
