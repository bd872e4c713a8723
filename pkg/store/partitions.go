package store

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/rollcallhq/rollcall/pkg/fleet"
)

// MonthsAhead is how many months beyond the current one have their partitions ready.
const MonthsAhead = 3

// PartitionedTables returns the tables that are partitioned by month.
func PartitionedTables() []string {
	return []string{"report_rows", "report_metrics", "changes", "audit_logs", "firings", "task_history", "collection_history"}
}

// MakePartition makes the table's partition of the month that at lies in, in UTC. One that exists is left alone.
func (s *Store) MakePartition(ctx context.Context, table string, at time.Time) error {
	_, err := s.db.Exec(ctx, "select make_partition($1, $2::date)", table, at.UTC().Format(time.DateOnly))
	return fail(err, "making a partition")
}

// MakePartitions makes the partitions of now's month and of MonthsAhead more, in one round trip. Each table's are
// made in a transaction of their own, so that no two tables are locked at once.
func (s *Store) MakePartitions(ctx context.Context, now time.Time) error {
	first := time.Date(now.UTC().Year(), now.UTC().Month(), 1, 0, 0, 0, 0, time.UTC)
	for _, table := range PartitionedTables() {
		for ahead := range MonthsAhead + 1 {
			if err := s.MakePartition(ctx, table, first.AddDate(0, ahead, 0)); err != nil {
				return err
			}
		}
	}
	return nil
}

// MissingPartitions returns the partitions of the month of at that do not exist, by their table's name.
func (s *Store) MissingPartitions(ctx context.Context, at time.Time) ([]string, error) {
	rows, _ := s.db.Query(ctx, `
		select t from unnest($1::text[]) t
		where not exists (
			select from pg_inherits i join pg_class c on c.oid = i.inhrelid
			where i.inhparent = to_regclass(t) and c.relname = t || '_' || to_char($2::date, 'YYYY_MM'))`,
		PartitionedTables(), at.UTC().Format(time.DateOnly))
	missing, err := pgx.CollectRows(rows, pgx.RowTo[string])
	return missing, fail(err, "looking for partitions")
}

// CheckStorage answers whether reports can be stored: next month's partitions exist and an insert works. What it
// inserts is rolled back.
func (s *Store) CheckStorage(ctx context.Context, now time.Time) error {
	next := time.Date(now.UTC().Year(), now.UTC().Month()+1, 1, 0, 0, 0, 0, time.UTC)
	for _, month := range []struct {
		name string
		at   time.Time
	}{{"this", now}, {"next", next}} {
		missing, err := s.MissingPartitions(ctx, month.at)
		if err != nil {
			return err
		}
		if len(missing) > 0 {
			return fleet.Errorf(fleet.Unavailable, "%s month's partition is missing for %v; is a scheduler running?", month.name, missing)
		}
	}
	tx, err := s.db.Begin(ctx)
	if err != nil {
		return fail(err, "checking an insert")
	}
	defer func() { _ = tx.Rollback(context.WithoutCancel(ctx)) }()
	id := fleet.NewIDAt(now)
	_, err = tx.Exec(ctx, `
		insert into report_rows (id, created_at, host_id, report_type, status, content_hash)
		values ($1, $2, $1, 1, 'ok', '\x00')`, id, fleet.TimeOf(id))
	return fail(err, "checking an insert")
}

// CheckServing answers whether this pool serves what the program needs: the expected migration, and a primary.
func (s *Store) CheckServing(ctx context.Context) error {
	expected, err := ExpectedMigration()
	if err != nil {
		return err
	}
	var version int32
	var readOnly bool
	err = s.db.QueryRow(ctx, `
		select coalesce((select version from `+versionTable+`), 0), current_setting('transaction_read_only')::boolean`).
		Scan(&version, &readOnly)
	if sqlState(err) == undefinedTable {
		return fleet.Errorf(fleet.Unavailable, "the schema is missing; run rollcall migrate")
	}
	if err != nil {
		return fail(err, "asking for the schema's version")
	}
	if version < expected {
		return fleet.Errorf(fleet.Unavailable, "the schema is at migration %d, this release expects %d; run rollcall migrate", version, expected)
	}
	if readOnly {
		return fleet.Errorf(fleet.Unavailable, "the database is read-only: this is a standby, or it was switched to read-only")
	}
	return nil
}
