// Package doctor looks at a whole deployment, as one api sees it, and says what is wrong with it and what to do about
// that. Each check is made by itself: what one cannot tell keeps no other from telling.
package doctor

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/rollcallhq/rollcall/pkg/ephemeral"
	"github.com/rollcallhq/rollcall/pkg/fleet"
	"github.com/rollcallhq/rollcall/pkg/store"
)

// A Status is how bad a finding is.
type Status string

// The statuses.
const (
	OK      Status = "ok"
	Warning Status = "warning" // it works, and will not for ever
	Failed  Status = "failed"  // something does not work
)

// A Finding is what a check found.
type Finding struct {
	Name   string
	Status Status
	Detail string // a sentence
	Cure   string // a sentence; empty where nothing has to be done
}

// checkTimeout bounds each check; they are made at once.
const checkTimeout = 3 * time.Second

// Config is what a Doctor looks at.
type Config struct {
	Store      *store.Store
	Redis      *ephemeral.Store
	PoolSize   int // connections to PostgreSQL that each process may have
	QueueLimit int // see collection.Config; 0: none
	Log        *slog.Logger
}

// A Doctor makes diagnoses. It is safe for concurrent use; the diagnoses are made one after the other.
type Doctor struct {
	Config
	turn chan struct{}
}

// New returns a Doctor.
func New(c Config) *Doctor { return &Doctor{Config: c, turn: make(chan struct{}, 1)} }

// A check looks at one thing. An error means that it could not be looked at.
type check struct {
	name string
	look func(ctx context.Context) (Finding, error)
	cure string // of not being able to look
}

func (d *Doctor) checks() []check {
	const (
		database = "Check that PostgreSQL runs and that the api's DATABASE_URL leads to it."
		redis    = "Check that Redis runs and that the api's REDIS_URL leads to it."
	)
	return []check{
		{"database", d.database, database},
		{"migrations", d.migrations, database},
		{"connections", d.connections, database},
		{"partitions", d.partitions, database},
		{"redis", d.redis, redis},
		{"redis_persistence", d.persistence, redis},
		{"redis_memory", d.memory, redis},
		{"workers", d.workers, database},
		{"queues", d.queues, database},
		{"stuck_tasks", d.stuck, database},
		{"clocks", d.clocks, database},
		{"files", d.files, "Look at the limit of open files of the api by hand (ulimit -n)."},
	}
}

// Diagnose makes all checks at once and returns what they found, in an order that does not change. It takes a little
// over three seconds at most, and waits before that for a diagnosis that is under way; the error is that ctx ended.
func (d *Doctor) Diagnose(ctx context.Context) ([]Finding, error) {
	select {
	case d.turn <- struct{}{}:
		defer func() { <-d.turn }()
	case <-ctx.Done():
		return nil, fleet.Wrap(ctx.Err(), fleet.Unavailable, "another diagnosis takes too long; try again shortly")
	}
	checks := d.checks()
	found := make([]chan Finding, len(checks))
	ctx, cancel := context.WithTimeout(ctx, checkTimeout)
	defer cancel()
	for i, c := range checks {
		found[i] = make(chan Finding, 1) // so that a check that nobody waits for any more can end
		go func() { found[i] <- d.one(ctx, c) }()
	}
	findings := make([]Finding, len(checks))
	for i, c := range checks {
		select {
		case findings[i] = <-found[i]:
		case <-ctx.Done():
			findings[i] = late(found[i], c)
		}
	}
	return findings, nil
}

// late returns what a check found in the last moment, or that it took too long.
func late(found chan Finding, c check) Finding {
	select {
	case f := <-found:
		return f
	default:
		return Finding{Name: c.name, Status: Failed, Detail: fmt.Sprintf("No answer within %s.", checkTimeout), Cure: c.cure}
	}
}

// one makes a check, whatever becomes of it.
func (d *Doctor) one(ctx context.Context, c check) (f Finding) {
	defer func() {
		if v := recover(); v != nil {
			d.Log.ErrorContext(ctx, "check of the doctor panicked", "check", c.name, "panic", v)
			f = Finding{Name: c.name, Status: Failed, Detail: "The check itself has a fault; the api's log has the details.", Cure: "Report it."}
		}
	}()
	f, err := c.look(ctx)
	if err != nil {
		d.Log.WarnContext(ctx, "check of the doctor failed", "check", c.name, "error", err)
		detail := sentence(fleet.MessageOf(err))
		if fleet.KindOf(err) == fleet.Internal {
			detail = "This could not be looked at; the api's log has the details."
		}
		f = Finding{Status: Failed, Detail: detail, Cure: c.cure}
	}
	f.Name = c.name
	return f
}

// sentence makes a sentence of a message.
func sentence(message string) string {
	first, size := utf8.DecodeRuneInString(message)
	message = string(unicode.ToUpper(first)) + message[size:]
	if !strings.HasSuffix(message, ".") {
		message += "."
	}
	return message
}

// Worst returns the worst status of the findings.
func Worst(findings []Finding) Status {
	worst := OK
	for _, f := range findings {
		if f.Status == Failed {
			return Failed
		}
		if f.Status == Warning {
			worst = Warning
		}
	}
	return worst
}

func well(form string, args ...any) (Finding, error) {
	return Finding{Status: OK, Detail: fmt.Sprintf(form, args...)}, nil
}

func warn(cure, form string, args ...any) (Finding, error) {
	return Finding{Status: Warning, Detail: fmt.Sprintf(form, args...), Cure: cure}, nil
}

func bad(cure, form string, args ...any) (Finding, error) {
	return Finding{Status: Failed, Detail: fmt.Sprintf(form, args...), Cure: cure}, nil
}
