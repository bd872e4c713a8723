package store

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"regexp"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/rollcallhq/rollcall/pkg/fleet"
)

// CodeDatabaseUnavailable is the code of errors that mean: PostgreSQL does not answer now.
const CodeDatabaseUnavailable = "database_unavailable"

// SQLSTATEs that are told apart.
const (
	uniqueViolation     = "23505"
	checkViolation      = "23514"
	foreignKeyViolation = "23503"
	deadlock            = "40P01"
	serialization       = "40001"
	readOnly            = "25006"
	undefinedTable      = "42P01"
)

// fail says what was being done when err happened and classifies what nobody has classified: a database that does
// not answer is Unavailable, everything else stays Internal.
func fail(err error, doing string) error {
	if err == nil {
		return nil
	}
	if _, ok := errors.AsType[*fleet.Error](err); ok {
		return err
	}
	if unavailable(err) {
		return fleet.Wrap(fmt.Errorf("%s: %w", doing, err), fleet.Unavailable, "The database does not answer; try again shortly.").
			WithCode(CodeDatabaseUnavailable).WithRetryAfter(time.Second)
	}
	return fmt.Errorf("%s: %w", doing, err)
}

func unavailable(err error) bool {
	if e, ok := errors.AsType[*pgconn.PgError](err); ok {
		switch {
		case strings.HasPrefix(e.Code, "08"), strings.HasPrefix(e.Code, "53"), strings.HasPrefix(e.Code, "57P"):
			return true
		case e.Code == readOnly, e.Code == "57014", e.Code == "55P03", e.Code == "25P03": // read-only; timeout of a statement, a lock, an idle transaction
			return true
		}
		return false
	}
	if _, ok := errors.AsType[*pgconn.ConnectError](err); ok {
		return true
	}
	if _, ok := errors.AsType[net.Error](err); ok {
		return true
	}
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, context.DeadlineExceeded) ||
		errors.Is(err, net.ErrClosed) || pgconn.SafeToRetry(err)
}

func sqlState(err error) string {
	if e, ok := errors.AsType[*pgconn.PgError](err); ok {
		return e.Code
	}
	return ""
}

func isTransient(err error) bool {
	state := sqlState(err)
	return state == deadlock || state == serialization
}

// violates reports whether err breaks the named constraint or unique index.
func violates(err error, state, constraint string) bool {
	e, ok := errors.AsType[*pgconn.PgError](err)
	return ok && e.Code == state && e.ConstraintName == constraint
}

// A partition is one month of a partitioned table.
type partition struct {
	table string
	month time.Time
}

var partitionKey = regexp.MustCompile(`\) = \((\d{4}-\d{2}-\d{2})`)

// missingPartition tells from the server's error which partition an insert did not find.
func missingPartition(err error) (partition, bool) {
	e, ok := errors.AsType[*pgconn.PgError](err)
	if !ok || e.Code != checkViolation || e.ConstraintName != "" || e.TableName == "" {
		return partition{}, false
	}
	p := partition{table: e.TableName, month: time.Now().UTC()}
	if m := partitionKey.FindStringSubmatch(e.Detail); m != nil {
		if day, err := time.Parse(time.DateOnly, m[1]); err == nil {
			p.month = day
		}
	}
	return p, true
}

func isNoRows(err error) bool { return errors.Is(err, pgx.ErrNoRows) }
