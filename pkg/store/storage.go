package store

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/rollcallhq/rollcall/pkg/fleet"
)

// A Relation is a table, or a partition of one, as the catalogue and the statistics know it.
type Relation struct {
	Table       string // of which it is or was a partition; its own name otherwise
	Name        string
	Month       time.Time // the first moment of a partition's month, in UTC; zero for a table of its own
	Partitioned bool      // it holds no rows itself
	Detached    bool      // a partition that does not belong to its table any more, or soon will not
	Pending     bool      // its DETACH CONCURRENTLY has begun and not ended
	Rows        int64     // estimated
	Size        fleet.StorageSize
}

// End returns the first moment after a partition's month.
func (r Relation) End() time.Time { return r.Month.AddDate(0, 1, 0) }

// monthly matches the name of a partition, and whose and of which month it is.
const monthly = `^(report_rows|report_metrics|changes|audit_logs|firings|task_history|collection_history)_([0-9]{4}_[0-9]{2})$`

// Relations returns all tables and partitions by name. It reads no table: rows are estimates of the statistics.
func (s *Store) Relations(ctx context.Context) ([]Relation, error) {
	rows, _ := s.db.Query(ctx, `
		select coalesce((regexp_match(c.relname, @monthly))[1], c.relname),
			c.relname::text, to_date((regexp_match(c.relname, @monthly))[2], 'YYYY_MM')::timestamp at time zone 'UTC', c.relkind = 'p',
			c.relname ~ @monthly and (i.inhrelid is null or i.inhdetachpending), coalesce(i.inhdetachpending, false),
			case when coalesce(st.n_live_tup, 0) > 0 then st.n_live_tup else greatest(c.reltuples, 0)::bigint end,
			coalesce(pg_table_size(c.oid), 0) - coalesce(t.bytes, 0), coalesce(pg_indexes_size(c.oid), 0), coalesce(t.bytes, 0)
		from pg_class c
		join pg_namespace n on n.oid = c.relnamespace
		left join pg_inherits i on i.inhrelid = c.oid
		left join pg_stat_all_tables st on st.relid = c.oid
		left join lateral (select pg_total_relation_size(c.reltoastrelid) as bytes where c.reltoastrelid <> 0) t on true
		where n.nspname = 'public' and c.relkind in ('r', 'p')
		order by c.relname`, pgx.NamedArgs{"monthly": monthly})
	relations, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (Relation, error) {
		var r Relation
		var month *time.Time
		err := row.Scan(&r.Table, &r.Name, &month, &r.Partitioned, &r.Detached, &r.Pending, &r.Rows, &r.Size.Heap, &r.Size.Indexes, &r.Size.Toast)
		if month != nil {
			r.Month = month.UTC()
		}
		return r, err
	})
	return relations, fail(err, "reading the catalogue")
}

// DatabaseSize returns what the database takes on disk, in bytes.
func (s *Store) DatabaseSize(ctx context.Context) (int64, error) {
	var bytes int64
	err := s.db.QueryRow(ctx, "select pg_database_size(current_database())").Scan(&bytes)
	return bytes, fail(err, "asking for the database's size")
}

// AddSample notes how large the relations are now, and forgets what was noted longer than keep ago.
func (s *Store) AddSample(ctx context.Context, relations []Relation, keep time.Duration) error {
	var names []string
	var counts, sizes []int64
	for _, r := range relations {
		if !r.Partitioned && !r.Detached {
			names, counts, sizes = append(names, r.Name), append(counts, r.Rows), append(sizes, r.Size.Total())
		}
	}
	_, err := s.db.Exec(ctx, `
		with old as (delete from storage_samples where at < now() - $4::interval)
		insert into storage_samples (at, relation, rows, bytes)
		select now(), n, r, b from unnest($1::text[], $2::bigint[], $3::bigint[]) as s(n, r, b)`, names, counts, sizes, keep)
	return fail(err, "noting how large the tables are")
}

// A RelationGrowth is by how much a relation was larger at one time than at another.
type RelationGrowth struct {
	Relation string
	Rows     int64
	Bytes    int64
}

// Growth returns by how much each relation of the newest sample has grown within a span, and the span: as many whole days,
// at most that many, as there are samples of, or else what there is. One that is new since then has grown from nothing.
// Both times are zero while there is only one sample.
func (s *Store) Growth(ctx context.Context, days int) ([]RelationGrowth, time.Time, time.Time, error) {
	rows, _ := s.db.Query(ctx, `
		with newest as (select max(at) as at from storage_samples),
		span as (
			select least($1, floor(extract(epoch from newest.at - min(s.at)) / 86400 + 0.02))::int as days
			from storage_samples s, newest group by newest.at
		),
		oldest as (
			select case when span.days = 0 then min(s.at)
				else max(s.at) filter (where s.at <= newest.at - make_interval(days => span.days) + interval '30 minutes') end as at
			from storage_samples s, newest, span group by span.days
		)
		select b.relation, b.rows - coalesce(a.rows, 0), b.bytes - coalesce(a.bytes, 0), oldest.at, newest.at
		from newest join storage_samples b on b.at = newest.at join oldest on oldest.at < newest.at
		left join storage_samples a on a.at = oldest.at and a.relation = b.relation
		order by b.relation`, days)
	var from, to time.Time
	var g RelationGrowth
	var all []RelationGrowth
	_, err := pgx.ForEachRow(rows, []any{&g.Relation, &g.Rows, &g.Bytes, &from, &to}, func() error {
		all = append(all, g)
		return nil
	})
	return all, from, to, fail(err, "reading how the tables have grown")
}
