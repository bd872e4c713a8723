package store

import (
	"strings"
	"testing"
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
