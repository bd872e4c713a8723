// Package store is PostgreSQL: all SQL that Go runs, one file per entity, each with one column list and one scan.
//
// Reads of host-related things take a fleet.Scope, whose zero value sees nothing. Writes belong to services, which
// call them inside InTx together with the audit entry of the change.
package store

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/rollcallhq/rollcall/pkg/fleet"
)

// A DBTX is what a Store runs its statements on: a pool, or a transaction.
type DBTX interface {
	Exec(ctx context.Context, sql string, args ...any) (pgconn.CommandTag, error)
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
	QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
	SendBatch(ctx context.Context, b *pgx.Batch) pgx.BatchResults
	Begin(ctx context.Context) (pgx.Tx, error)
}

// A Store reads and writes everything that lasts. It is safe for concurrent use unless it belongs to a transaction.
type Store struct {
	db   DBTX
	inTx bool
}

// New returns a Store on db, which is a pool or, in tests, a transaction that is rolled back at the end.
func New(db DBTX) *Store { return &Store{db: db} }

// Options bound a pool. The zero value takes the defaults.
type Options struct {
	Name             string        // application_name, seen in pg_stat_activity
	MaxConns         int           // default 20
	MinConns         int           // kept open when idle; default 0
	ConnectTimeout   time.Duration // default 3s
	StatementTimeout time.Duration // default 30s
	LockTimeout      time.Duration // default 10s
	IdleTxTimeout    time.Duration // a transaction that waits for us longer is ended; default 60s
	MaxConnIdle      time.Duration // default 5m

	Tracer pgx.QueryTracer // is told of every statement; nil: nobody is
}

func (o Options) withDefaults() Options {
	def := func(d *time.Duration, v time.Duration) {
		if *d == 0 {
			*d = v
		}
	}
	def(&o.ConnectTimeout, 3*time.Second)
	def(&o.StatementTimeout, 30*time.Second)
	def(&o.LockTimeout, 10*time.Second)
	def(&o.IdleTxTimeout, time.Minute)
	def(&o.MaxConnIdle, 5*time.Minute)
	if o.MaxConns == 0 {
		o.MaxConns = 20
	}
	if o.Name == "" {
		o.Name = "rollcall"
	}
	return o
}

// OpenPool returns a pool for the DSN; it does not connect yet. The caller closes it.
func OpenPool(ctx context.Context, dsn string, o Options) (*pgxpool.Pool, error) {
	o = o.withDefaults()
	config, err := pgxpool.ParseConfig(dsn)
	if err != nil {
		return nil, fmt.Errorf("reading the database URL: %w", err)
	}
	config.MaxConns = int32(min(o.MaxConns, 10_000))                 //nolint:gosec // bounded
	config.MinIdleConns = int32(min(o.MinConns, o.MaxConns, 10_000)) //nolint:gosec // bounded
	config.MaxConnIdleTime = o.MaxConnIdle
	config.MaxConnLifetime = time.Hour
	config.MaxConnLifetimeJitter = 10 * time.Minute
	config.HealthCheckPeriod = 15 * time.Second
	config.ConnConfig.ConnectTimeout = o.ConnectTimeout
	config.ConnConfig.Tracer = o.Tracer
	params := config.ConnConfig.RuntimeParams
	params["application_name"] = o.Name
	params["timezone"] = "UTC"
	// The tables of open work grow from nothing to many thousands of rows within a second: a plan that was kept from
	// when they were empty reads them whole for each row.
	params["plan_cache_mode"] = "force_custom_plan"
	params["statement_timeout"] = milliseconds(o.StatementTimeout)
	params["lock_timeout"] = milliseconds(o.LockTimeout)
	params["idle_in_transaction_session_timeout"] = milliseconds(o.IdleTxTimeout)
	pool, err := pgxpool.NewWithConfig(ctx, config)
	if err != nil {
		return nil, fmt.Errorf("opening the database pool: %w", err)
	}
	return pool, nil
}

func milliseconds(d time.Duration) string { return strconv.FormatInt(d.Milliseconds(), 10) }

// Ping answers nil when the database answers.
func (s *Store) Ping(ctx context.Context) error {
	_, err := s.db.Exec(ctx, "select 1")
	return fail(err, "asking the database")
}

// Now returns the database's clock.
func (s *Store) Now(ctx context.Context) (time.Time, error) {
	var now time.Time
	err := s.db.QueryRow(ctx, "select clock_timestamp()").Scan(&now)
	return now, fail(err, "asking the database's clock")
}

// maxPartitionRetries bounds how often a transaction that met no partition is run again: a transaction can touch
// several partitioned tables, each of which may lack its month.
const maxPartitionRetries = 8

// InTx calls f with a Store whose every statement belongs to one transaction. It commits if f returns nil, and
// otherwise rolls back and returns f's error. Inside f use only the Store that f is given; a nested InTx is a
// savepoint. When an insert meets no partition, the partition is made outside and f is called again, and so it
// is after a deadlock or a serialization failure: f must not have effects outside the transaction that cannot
// be repeated.
func (s *Store) InTx(ctx context.Context, f func(tx *Store) error) error {
	for attempt := 0; ; attempt++ {
		err := pgx.BeginFunc(ctx, s.db, func(tx pgx.Tx) error { return f(&Store{db: tx, inTx: true}) })
		if err == nil || s.inTx || attempt >= maxPartitionRetries {
			return fail(err, "running a transaction")
		}
		if p, ok := missingPartition(err); ok {
			if made := s.MakePartition(ctx, p.table, p.month); made != nil {
				return errors.Join(err, made)
			}
			continue
		}
		if !isTransient(err) {
			return fail(err, "running a transaction")
		}
	}
}

// like turns a text into a pattern for ILIKE that matches it anywhere.
func like(text string) string {
	return "%" + strings.NewReplacer(`\`, `\\`, `%`, `\%`, `_`, `\_`).Replace(text) + "%"
}

// RedactURL returns a database URL without its password, for logs and error messages.
func RedactURL(dsn string) string {
	u, err := url.Parse(dsn)
	if err != nil || u.Host == "" {
		return "(a DSN that is not a URL)"
	}
	return u.Redacted()
}

// notFound turns the absence of a row into an error of kind NotFound.
func notFound(err error, what string) error {
	if errors.Is(err, pgx.ErrNoRows) {
		return fleet.Errorf(fleet.NotFound, "there is no such %s", what)
	}
	return fail(err, "reading a "+what)
}
