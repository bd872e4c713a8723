package store

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/jackc/pgx/v5"

	"github.com/rollcallhq/rollcall/pkg/fleet"
)

// A where collects the predicates that were asked for, and their arguments. Predicates that were not asked for do
// not appear: "x is null or column = x" would cost a generic plan.
type where struct {
	conditions []string
	args       pgx.NamedArgs
}

func newWhere() *where { return &where{args: pgx.NamedArgs{}} }

// add appends a condition; name and value are its argument, and name stands in it as @name.
func (w *where) add(condition, name string, value any) {
	w.conditions = append(w.conditions, condition)
	w.args[name] = value
}

// and appends a condition without an argument.
func (w *where) and(condition string) { w.conditions = append(w.conditions, condition) }

// arg adds an argument under a fresh name and returns its placeholder.
func (w *where) arg(value any) string {
	name := fmt.Sprintf("p%d", len(w.args))
	w.args[name] = value
	return "@" + name
}

// String returns the conditions joined by and; true if there are none.
func (w *where) String() string {
	if len(w.conditions) == 0 {
		return "true"
	}
	return strings.Join(w.conditions, "\n  and ")
}

// scope bounds the query to what the scope sees of the hosts h.
func (w *where) scope(scope fleet.Scope) {
	if scope.SeesNothing() {
		w.and("false")
		return
	}
	if bound := scope.Selector(); bound != nil {
		w.selector(bound)
	}
}

// scoped returns the condition that bounds the hosts h to the scope, for use inside a larger one.
func (w *where) scoped(scope fleet.Scope) string {
	inner := where{args: w.args}
	inner.scope(scope)
	return inner.String()
}

// cursorOf returns the opaque cursor of a list's key.
func cursorOf(key string) string { return base64.RawURLEncoding.EncodeToString([]byte(key)) }

// keyOf returns the key of a cursor.
func keyOf(cursor string) (string, error) {
	key, err := base64.RawURLEncoding.DecodeString(cursor)
	if err != nil || len(key) > 512 || !utf8.Valid(key) || bytes.IndexByte(key, 0) >= 0 { // what no text can hold
		return "", fleet.InvalidField("cursor", "this is not a cursor that a list has answered with")
	}
	return string(key), nil
}

// Bounds of a list.
const (
	defaultLimit = 100
	maxLimit     = 1000
)

func limitOf(p fleet.Page) int {
	if p.Limit <= 0 {
		return defaultLimit
	}
	return min(p.Limit, maxLimit)
}

// cut returns the first limit items and the cursor of the next page, from a list read with one item more.
func cut[T any](items []T, limit int, key func(T) string) ([]T, string) {
	if len(items) <= limit {
		return items, ""
	}
	items = items[:limit]
	return items, cursorOf(key(items[limit-1]))
}
