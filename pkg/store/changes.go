package store

import (
	"bytes"
	"context"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/rollcallhq/rollcall/pkg/facts"
	"github.com/rollcallhq/rollcall/pkg/fleet"
)

// A ChangeFilter selects changes within a scope. The zero value selects all of it.
type ChangeFilter struct {
	HostID   *uuid.UUID
	Selector *fleet.Selector // of the hosts as they are labelled now; nil: any
	Type     string
	Path     facts.Pattern
	Since    time.Time // inclusive; zero means unbounded
	Until    time.Time // exclusive; zero means unbounded
}

// A ChangePage is a page of the feed.
type ChangePage struct {
	Items    []fleet.Change
	Position string // the cursor after everything that was looked at; never empty
	More     bool   // whether the page was cut
}

// FeedEnd is the cursor of the feed's end at the time of asking.
const FeedEnd = "now"

const changeColumns = `c.id, c.host_id, h.name, t.name, c.path, c.before::text, c.after::text, c.seen_at, c.before_since, c.before_report_id,
	c.report_id, c.tx::text`

const changeJoins = " join hosts h on h.id = c.host_id join report_types t on t.id = c.report_type "

// scanChange scans changeColumns. The cursor is made by the caller.
func scanChange(row pgx.CollectableRow) (change, error) {
	var c change
	var before, after *string
	err := row.Scan(&c.ID, &c.HostID, &c.Host, &c.Type, &c.Path, &before, &after, &c.SeenAt, &c.BeforeSince, &c.BeforeReportID,
		&c.AfterReportID, &c.tx)
	c.Before, c.After = bytesOf(before), bytesOf(after)
	return c, err
}

// A change is one that knows its transaction.
type change struct {
	fleet.Change
	tx string
}

func bytesOf(text *string) []byte {
	if text == nil {
		return nil
	}
	return []byte(*text)
}

// A feedPosition is a place in the feed: everything up to it has been seen. The feed is ordered by the transaction that
// wrote a change, and shows only transactions older than all that are still open: nothing is ever added before a
// position that anybody has been given.
type feedPosition struct {
	life string // of the cluster
	tx   string
	id   uuid.UUID
}

// String returns the position as a cursor.
func (p feedPosition) String() string {
	return cursorOf(strings.Join([]string{"f", p.life, p.tx, p.id.String()}, " "))
}

// before reports the position of everything older than the transaction tx.
func (p feedPosition) before(tx string) feedPosition {
	n, err := strconv.ParseUint(tx, 10, 64)
	if err != nil || n == 0 {
		return p
	}
	return feedPosition{life: p.life, tx: strconv.FormatUint(n-1, 10), id: uuid.Max}
}

// later returns the later one of two positions. The end of the feed may be seen to go back a little, where a transaction
// that another database began cannot be told from one of ours yet; a reader must not go back with it.
func later(a, b feedPosition) feedPosition {
	x, _ := strconv.ParseUint(a.tx, 10, 64) // both have been read or made before
	y, _ := strconv.ParseUint(b.tx, 10, 64)
	if x > y {
		return a
	}
	if x == y && bytes.Compare(a.id[:], b.id[:]) > 0 {
		return a
	}
	return b
}

// readPosition reads a cursor of the feed; the empty one is its beginning.
func readPosition(cursor, life string) (feedPosition, error) {
	if cursor == "" {
		return feedPosition{life: life, tx: "0"}, nil
	}
	key, err := keyOf(cursor)
	if err != nil {
		return feedPosition{}, err
	}
	parts := strings.Split(key, " ")
	if len(parts) != 4 || parts[0] != "f" {
		return feedPosition{}, fleet.InvalidField("cursor", "this is not a cursor that the feed has answered with")
	}
	id, badID := uuid.Parse(parts[3])
	tx, badTx := strconv.ParseUint(parts[2], 10, 64)
	if badID != nil || badTx != nil || tx > math.MaxInt64 {
		return feedPosition{}, fleet.InvalidField("cursor", "this is not a cursor that the feed has answered with")
	}
	if parts[1] != life {
		return feedPosition{}, outdatedCursor()
	}
	return feedPosition{life: life, tx: parts[2], id: id}, nil
}

func outdatedCursor() error {
	return fleet.Errorf(fleet.Conflict, "the cursor is from before the database was restored or failed over, and means nothing in this one; "+
		"start again with since= and a time up to which you have seen everything").WithCode("cursor_outdated")
}

// Changes returns a page of the feed, oldest first, after the cursor page.After; "" is its beginning and FeedEnd its
// end. A cursor of another life of the cluster is an error of kind Conflict with the code cursor_outdated.
func (s *Store) Changes(ctx context.Context, scope fleet.Scope, f ChangeFilter, page fleet.Page) (ChangePage, error) {
	var life, horizon string
	err := s.db.QueryRow(ctx, "select cluster_life(), feed_horizon()::text").Scan(&life, &horizon)
	if err != nil {
		return ChangePage{}, fail(err, "reading the end of the feed")
	}
	end := feedPosition{life: life}.before(horizon)
	if page.After == FeedEnd {
		return ChangePage{Position: end.String()}, nil
	}
	from, err := readPosition(page.After, life)
	if err != nil {
		return ChangePage{}, err
	}
	w := newWhere()
	w.changeFilter(scope, f)
	w.add("c.tx < @horizon::text::xid8", "horizon", horizon)
	w.add("(c.tx, c.id) > (@tx::text::xid8, @id)", "tx", from.tx)
	w.args["id"] = from.id
	limit := limitOf(page)
	rows, _ := s.db.Query(ctx, fmt.Sprintf("select %s from changes c %s where %s order by c.tx, c.id limit %d",
		changeColumns, changeJoins, w, limit+1), w.args)
	changes, err := pgx.CollectRows(rows, scanChange)
	if err != nil {
		return ChangePage{}, fail(err, "reading the feed of changes")
	}
	out := ChangePage{Position: later(from, end).String(), More: len(changes) > limit}
	for _, c := range changes[:min(limit, len(changes))] {
		c.Cursor = feedPosition{life: life, tx: c.tx, id: c.ID}.String()
		out.Items = append(out.Items, c.Change)
	}
	if out.More {
		out.Position = out.Items[limit-1].Cursor
	}
	return out, nil
}

func (w *where) changeFilter(scope fleet.Scope, f ChangeFilter) {
	w.scope(scope)
	if f.HostID != nil {
		w.add("c.host_id = @host", "host", *f.HostID)
	}
	if f.Selector != nil {
		w.selector(f.Selector)
	}
	if f.Type != "" {
		w.add("c.report_type = (select id from report_types where name = @type)", "type", f.Type)
	}
	if pattern := f.Path.Regexp(); f.Path.String() != "" {
		w.add("c.path ~ @path", "path", pattern)
	}
	if !f.Since.IsZero() {
		w.add("c.seen_at >= @since", "since", f.Since)
	}
	if !f.Until.IsZero() {
		w.add("c.seen_at < @until", "until", f.Until)
	}
}

// LastChanges returns a page of the changes by the time they were seen, newest first, and the cursor of the next page.
// It shows what was committed when it was asked; who must not miss anything reads Changes.
func (s *Store) LastChanges(ctx context.Context, scope fleet.Scope, f ChangeFilter, page fleet.Page) ([]fleet.Change, string, error) {
	w := newWhere()
	w.changeFilter(scope, f)
	if page.After != "" {
		id, err := idCursor(page.After)
		if err != nil {
			return nil, "", err
		}
		w.add("c.seen_at <= @after_time", "after_time", fleet.TimeOf(id))
		w.add("c.id < @after", "after", id)
	}
	limit := limitOf(page)
	// An ID begins with the millisecond of seen_at, so both orders are one. By ID the primary keys of the partitions are
	// walked backwards, by time the index of a host.
	order := "c.id desc"
	if f.HostID != nil {
		order = "c.seen_at desc, c.id desc"
	}
	rows, _ := s.db.Query(ctx, fmt.Sprintf("select %s from changes c %s where %s order by %s limit %d",
		changeColumns, changeJoins, w, order, limit+1), w.args)
	found, err := pgx.CollectRows(rows, scanChange)
	if err != nil {
		return nil, "", fail(err, "listing changes")
	}
	changes := make([]fleet.Change, len(found))
	for i, c := range found {
		changes[i] = c.Change
	}
	changes, next := cut(changes, limit, func(c fleet.Change) string { return c.ID.String() })
	return changes, next, nil
}
