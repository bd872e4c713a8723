package store

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"
)

// A ServerState is what the doctor wants to know of the database server itself.
type ServerState struct {
	Version    string // as the server says it: 15.4 (Debian 15.4-1)
	Number     int    // 150004
	ReadOnly   bool   // a standby, or switched to read-only
	Fsync      bool   // off: a crash of the machine may destroy everything
	FullPages  bool   // full_page_writes; off: the same
	SyncCommit string // synchronous_commit; off: a crash loses what was answered just before
	// OwnsAudit says that this role may change and remove audit entries: the log shows tampering, and does not prevent it.
	OwnsAudit bool
}

// ServerState returns how the database server is set.
func (s *Store) ServerState(ctx context.Context) (ServerState, error) {
	var v ServerState
	err := s.db.QueryRow(ctx, `
		select current_setting('server_version'), current_setting('server_version_num')::int, current_setting('transaction_read_only')::boolean,
			current_setting('fsync')::boolean, current_setting('full_page_writes')::boolean, current_setting('synchronous_commit'),
			coalesce(has_table_privilege(to_regclass('audit_logs'), 'update'), false)`).
		Scan(&v.Version, &v.Number, &v.ReadOnly, &v.Fsync, &v.FullPages, &v.SyncCommit, &v.OwnsAudit)
	return v, fail(err, "asking how the database server is set")
}

// Migrations returns at which migration the schema is, 0 for none, and which one this program expects.
func (s *Store) Migrations(ctx context.Context) (have, want int32, err error) {
	if want, err = ExpectedMigration(); err != nil {
		return 0, 0, err
	}
	err = s.db.QueryRow(ctx, "select coalesce((select version from "+versionTable+"), 0)").Scan(&have)
	if sqlState(err) == undefinedTable {
		return 0, want, nil
	}
	return have, want, fail(err, "asking for the schema's version")
}

// A ConnectionState is how many connections the database server has and may have.
type ConnectionState struct {
	Max       int // for everybody but superusers
	Used      int // by anybody, to any of its databases
	Ours      int // of those, by processes of Rollcall to this database
	Processes int // of Rollcall that hold connections to this database, as far as can be told: at least so many
}

// ConnectionState returns how many connections there are. A process is told from another one by its kind and address;
// workers, which may share both, by their heartbeats.
func (s *Store) ConnectionState(ctx context.Context) (ConnectionState, error) {
	var c ConnectionState
	err := s.db.QueryRow(ctx, `
		with ours as (
			select application_name as kind, client_addr as address from pg_stat_activity
			where datname = current_database() and application_name like 'rollcall-%'
		)
		select current_setting('max_connections')::int - current_setting('superuser_reserved_connections')::int
				- coalesce(current_setting('reserved_connections', true)::int, 0),
			(select coalesce(sum(numbackends), 0)::int from pg_stat_database),
			(select count(*) from ours),
			(select count(*) from (select distinct kind, address from ours where kind <> 'rollcall-worker') others)
				+ (select count(*) from workers where seen_at > now() - interval '10 seconds')`).
		Scan(&c.Max, &c.Used, &c.Ours, &c.Processes)
	return c, fail(err, "counting connections")
}

// A WaitingState is what waits in a site's lane.
type WaitingState struct {
	Site     string
	Priority string
	Tasks    int
	Oldest   time.Duration // how long the one that has waited longest has
}

// WaitingState returns what waits and might be worked now, by site and lane. No more than limit tasks are looked at.
func (s *Store) WaitingState(ctx context.Context, limit int) ([]WaitingState, error) {
	rows, _ := s.db.Query(ctx, `
		select site, priority, count(*), extract(epoch from clock_timestamp() - min(created_at))::float8
		from (
			select site, priority, created_at from tasks
			where state = 'queued' and (not_before is null or not_before <= now()) limit $1
		) t
		group by site, priority order by site, priority`, limit)
	found, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (WaitingState, error) {
		var w WaitingState
		var age float64
		err := row.Scan(&w.Site, &w.Priority, &w.Tasks, &age)
		w.Oldest = seconds(age)
		return w, err
	})
	return found, fail(err, "looking at what waits")
}

func seconds(n float64) time.Duration { return time.Duration(n * float64(time.Second)) }

// A StuckState counts the tasks that something should have moved on.
type StuckState struct {
	Orphaned int // running on a worker that has not been heard of
	Overdue  int // open, and past their deadline
	Unrung   int // queued, with no message put on the queue, at sites where nothing is in flight: it is not that others come first
	Running  int // all that run
}

// StuckState counts the tasks that are where they are for longer than patience: nothing sweeps them up.
func (s *Store) StuckState(ctx context.Context, patience time.Duration) (StuckState, error) {
	var v StuckState
	err := s.db.QueryRow(ctx, `
		select
			(select count(*) from tasks t left join workers w on w.id = t.worker_id
				where t.state = 'running' and coalesce(w.seen_at, t.claimed_at, t.created_at) < now() - $1::interval),
			(select count(*) from (select from tasks where deadline_at < now() - $1::interval limit 10000) overdue),
			(select count(*) from (select from tasks t where state = 'queued' and dispatched_at is null
				and coalesce(not_before, created_at) < now() - $1::interval
				and site not in (select site from tasks where dispatched_at is not null) limit 10000) unrung),
			(select count(*) from tasks where state = 'running')`, patience).
		Scan(&v.Orphaned, &v.Overdue, &v.Unrung, &v.Running)
	return v, fail(err, "looking for stuck tasks")
}
