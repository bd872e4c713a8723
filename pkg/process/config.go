package process

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"time"

	"golang.org/x/term"

	"github.com/rollcallhq/rollcall/pkg/housekeeping"
	"github.com/rollcallhq/rollcall/pkg/settings"
	"github.com/rollcallhq/rollcall/pkg/store"
	"github.com/rollcallhq/rollcall/pkg/telemetry"
)

// How a process comes by its schema.
const (
	MigrateAuto = "auto" // it migrates at start; any number of processes may do so at once
	MigrateWait = "wait" // it waits until another process has migrated
)

// Config is what every process is told. It says nothing about keys: those belong to single processes.
type Config struct {
	DatabaseURL string
	OwnerURL    string // of the role that owns the tables and migrates; empty: the same role does both
	Migrate     string
	Database    store.Options
	RedisURL    string
	RedisPool   int
	Traces      string      // where they go; empty: nowhere
	Version     string      // of the program, for traces
	Connections Connections // of each listener
	Log         telemetry.Options
}

// Read reads the configuration of every process. The caller reads its own beside it and asks r for the problems.
func Read(r *settings.Reader) Config {
	c := Config{
		DatabaseURL: r.PostgresURL("DATABASE_URL", true, "PostgreSQL: the database that everything is kept in"),
		OwnerURL:    r.PostgresURL("DATABASE_OWNER_URL", false, "PostgreSQL as the role that owns the tables and migrates; without it the role of DATABASE_URL does both"),
		Migrate:     r.OneOf("ROLLCALL_MIGRATE", MigrateAuto, "whether this process migrates at start or waits for another one that does", MigrateAuto, MigrateWait),
		RedisURL:    r.RedisURL("REDIS_URL", true, "Redis: queues, sessions and limits"),
		RedisPool:   r.Int("ROLLCALL_REDIS_POOL", 50, 5, 10_000, "connections to Redis at most"),
	}
	c.Database = store.Options{
		MaxConns:         r.Int("ROLLCALL_DB_MAX_CONNS", 20, 2, 1000, "connections to PostgreSQL at most"),
		MinConns:         r.Int("ROLLCALL_DB_MIN_CONNS", 2, 0, 1000, "idle connections to PostgreSQL that are kept open"),
		ConnectTimeout:   r.Duration("ROLLCALL_DB_CONNECT_TIMEOUT", 3*time.Second, 100*time.Millisecond, time.Minute, "the longest a connection to PostgreSQL may take"),
		StatementTimeout: r.Duration("ROLLCALL_DB_STATEMENT_TIMEOUT", 30*time.Second, 100*time.Millisecond, time.Hour, "the longest a statement may take"),
		LockTimeout:      r.Duration("ROLLCALL_DB_LOCK_TIMEOUT", 10*time.Second, 100*time.Millisecond, time.Hour, "the longest a statement may wait for a lock"),
		IdleTxTimeout:    r.Duration("ROLLCALL_DB_IDLE_TX_TIMEOUT", time.Minute, time.Second, time.Hour, "the longest a transaction may wait for its process"),
		MaxConnIdle:      r.Duration("ROLLCALL_DB_CONN_IDLE", 5*time.Minute, time.Second, 24*time.Hour, "how long an idle connection is kept beyond the kept ones"),
	}
	c.Connections = ReadConnections(r)
	c.Log = ReadLog(r)
	c.Traces = ReadTraces(r)
	if r.String("DATABASE_REPLICA_URL", "", "", "not supported yet by this release: refused if set") != "" {
		r.Refuse("DATABASE_REPLICA_URL", errors.New("is not supported yet by this release; unset it"))
	}
	return c
}

// ReadLog reads how to log.
func ReadLog(r *settings.Reader) telemetry.Options {
	return telemetry.Options{
		Level: r.Level("ROLLCALL_LOG_LEVEL", slog.LevelInfo, "the least level that is logged"),
		Format: r.OneOf("ROLLCALL_LOG_FORMAT", telemetry.FormatAuto, "auto is tint on a terminal and json otherwise",
			telemetry.FormatAuto, telemetry.FormatTint, telemetry.FormatJSON),
	}
}

// Bounds of the queue's limit: by default some twenty times everything of 10,000 hosts, and never more than can be counted
// in a moment.
const (
	defaultQueueLimit = 200_000
	maxQueueLimit     = 5_000_000
)

// ReadQueueLimit reads how many tasks may wait before bulk work is refused.
func ReadQueueLimit(r *settings.Reader) int {
	return r.Int("ROLLCALL_QUEUE_LIMIT", defaultQueueLimit, 1, maxQueueLimit,
		"tasks that may wait before new bulk work is refused; normal work is at twice as many, interactive work never")
}

// maxRetentionMonths bounds the retentions, as a day does: whoever means less means something else.
const maxRetentionMonths = 240

// ReadRetention reads how long reports and metrics are kept.
func ReadRetention(r *settings.Reader) housekeeping.Retention {
	def, low, high := housekeeping.DefaultRetention(), settings.Days(1), settings.Months(maxRetentionMonths)
	kept := housekeeping.Retention{
		Reports: r.Period("ROLLCALL_RETENTION", def.Reports, low, high,
			"how long reports, changes, ended tasks and firings are kept; audit entries never shorter than 13 months"),
		Metrics: r.Period("ROLLCALL_METRICS_RETENTION", def.Metrics, low, high, "how long metrics are kept, no longer than reports"),
	}
	if now := time.Now(); kept.Metrics.Before(now).Before(kept.Reports.Before(now)) {
		r.Refuse("ROLLCALL_METRICS_RETENTION", fmt.Errorf("%s is longer than reports are kept, ROLLCALL_RETENTION=%s", kept.Metrics, kept.Reports))
	}
	return kept
}

// Others names the variables that some process of Rollcall reads, so that one environment may serve all of them. It is
// called after this process has read its own.
func Others(r *settings.Reader) {
	r.Known("ROLLCALL_HTTP_ADDR", "ROLLCALL_GRPC_ADDR", "ROLLCALL_OPS_ADDR", "ROLLCALL_SIGNING_KEY", "ROLLCALL_SIGNING_KEY_OLD",
		"ROLLCALL_SEAL_KEYS", "ROLLCALL_OPEN_KEYS", "ROLLCALL_DOORS", "ROLLCALL_ADMIN_PASSWORD", "ROLLCALL_SITES",
		"ROLLCALL_WORKER_CONCURRENCY", "ROLLCALL_WORKER_DRAIN", "ROLLCALL_DRAIN", "ROLLCALL_LOCAL",
		"ROLLCALL_RATE_LIMIT", "ROLLCALL_TOKEN_RATE_LIMIT", "ROLLCALL_QUEUE_LIMIT", "ROLLCALL_RETENTION", "ROLLCALL_METRICS_RETENTION", "ROLLCALL_TRUSTED_PROXIES", "ROLLCALL_CORS_ORIGINS", "ROLLCALL_TLS_CERT", "ROLLCALL_TLS_KEY", "ROLLCALL_CA_CERT", "ROLLCALL_URL", "ROLLCALL_TOKEN", "ROLLCALL_DATA", "ROLLCALL_VERSION",
		"ROLLCALL_TEST_DATABASE_URL")
}

// Logger returns the logger of a service that writes to w, which is a terminal or not.
func Logger(w io.Writer, service string, o telemetry.Options) *slog.Logger {
	o.Service = service
	if f, ok := w.(*os.File); ok {
		o.Terminal = term.IsTerminal(int(f.Fd()))
	}
	return telemetry.NewLogger(w, o)
}
