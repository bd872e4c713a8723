package store

import (
	"strings"
	"testing"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/rollcallhq/rollcall/pkg/fleet"
)

// DBOf returns what s runs its statements on, so that tests can look at the rows themselves.
func DBOf(s *Store) DBTX { return s.db }

// FeedCursor returns the cursor of the feed that is at another transaction.
func FeedCursor(tb testing.TB, cursor, tx string) string {
	tb.Helper()
	key, err := keyOf(cursor)
	if err != nil {
		tb.Fatal(err)
	}
	parts := strings.Split(key, " ")
	parts[2] = tx
	return cursorOf(strings.Join(parts, " "))
}

// A Statement is SQL with its arguments.
type Statement struct {
	SQL  string
	Args []any
}

// RoundStatements returns what a round of the relay runs, by what it is for.
func RoundStatements(searches []Search, turns []Turn) map[string]Statement {
	sites, priorities, actors := partyColumns(searches, func(q Search) Party { return q.Party })
	after, limits := make([]uuid.UUID, len(searches)), make([]int, len(searches))
	for i, q := range searches {
		after[i], limits[i] = q.After, q.Limit
	}
	turnSites, turnPriorities, turnActors := partyColumns(turns, func(q Turn) Party { return q.Party })
	collections, most := make([]uuid.UUID, len(turns)), make([]int, len(turns))
	for i, q := range turns {
		collections[i], most[i] = q.CollectionID, q.Limit
	}
	return map[string]Statement{
		"looking whether anyone waits": {SQL: anyoneWaits},
		"promoting":                    {SQL: promoteDelayed, Args: []any{promoteAtOnce}},
		"what is in flight":            {SQL: inFlight},
		"who waits":                    {SQL: waitingParties, Args: []any{maxParties}},
		"with what":                    {SQL: waitingCollections, Args: []any{sites, priorities, actors, after, limits}},
		"taking turns":                 {SQL: takeTurns, Args: []any{turnSites, turnPriorities, turnActors, collections, most}},
	}
}

// TakeDueSchedules is what looks for due schedules; its argument is how many.
const TakeDueSchedules = takeDueSchedules

// AuditQuery returns the statement of a page of the audit log.
func AuditQuery(f AuditFilter, p fleet.Page) (string, pgx.NamedArgs, error) { return auditQuery(f, p) }
