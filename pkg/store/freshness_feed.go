package store

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/rollcallhq/rollcall/pkg/fleet"
)

// A FreshnessFilter selects what became of hosts within a scope. The zero value selects all of it.
type FreshnessFilter struct {
	HostID   *uuid.UUID
	Selector *fleet.Selector // of the hosts as they are labelled now; nil: any
	After    fleet.Freshness // what they became; empty: anything
	Since    time.Time       // inclusive; zero means unbounded
}

// A FreshnessPage is a page of the feed of what became of hosts.
type FreshnessPage struct {
	Items    []fleet.FreshnessChange
	Position string // the cursor after everything that was looked at; never empty
	More     bool   // whether the page was cut
}

// FreshnessChanges returns a page of the feed of what became of hosts, as Changes does of the feed of changes: oldest
// first, after the cursor page.After; "" is its beginning and FeedEnd its end. A cursor of another life of the cluster is
// an error of kind Conflict with the code cursor_outdated.
func (s *Store) FreshnessChanges(ctx context.Context, scope fleet.Scope, f FreshnessFilter, page fleet.Page) (FreshnessPage, error) {
	var life, horizon string
	err := s.db.QueryRow(ctx, "select cluster_life(), feed_horizon()::text").Scan(&life, &horizon)
	if err != nil {
		return FreshnessPage{}, fail(err, "reading the end of the feed")
	}
	end := feedPosition{life: life}.before(horizon)
	if page.After == FeedEnd {
		return FreshnessPage{Position: end.String()}, nil
	}
	from, err := readPosition(page.After, life)
	if err != nil {
		return FreshnessPage{}, err
	}
	w := newWhere()
	w.freshnessFilter(scope, f)
	w.add("c.tx < @horizon::text::xid8", "horizon", horizon)
	w.add("(c.tx, c.id) > (@tx::text::xid8, @id)", "tx", from.tx)
	w.args["id"] = from.id
	limit := limitOf(page)
	rows, _ := s.db.Query(ctx, fmt.Sprintf(`
		select c.id, c.host_id, h.name, c.before, c.after, coalesce(c.code, ''), c.seen_at, c.tx::text
		from freshness_changes c join hosts h on h.id = c.host_id where %s order by c.tx, c.id limit %d`, w, limit+1), w.args)
	found, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (fleet.FreshnessChange, error) {
		var c fleet.FreshnessChange
		var tx string
		err := row.Scan(&c.ID, &c.HostID, &c.Host, &c.Before, &c.After, &c.Code, &c.SeenAt, &tx)
		c.Cursor = feedPosition{life: life, tx: tx, id: c.ID}.String()
		return c, err
	})
	if err != nil {
		return FreshnessPage{}, fail(err, "reading the feed of what became of hosts")
	}
	out := FreshnessPage{Items: found[:min(limit, len(found))], Position: later(from, end).String(), More: len(found) > limit}
	if out.More {
		out.Position = out.Items[limit-1].Cursor
	}
	return out, nil
}

func (w *where) freshnessFilter(scope fleet.Scope, f FreshnessFilter) {
	w.scope(scope)
	if f.HostID != nil {
		w.add("c.host_id = @host", "host", *f.HostID)
	}
	if f.Selector != nil {
		w.selector(f.Selector)
	}
	if f.After != "" {
		w.add("c.after = @status", "status", f.After)
	}
	if !f.Since.IsZero() {
		w.add("c.seen_at >= @since", "since", f.Since)
	}
}

// ForgetFreshnessChanges removes at most limit of what the feed of what became of hosts holds for longer than age, the
// oldest first. It returns how many.
func (s *Store) ForgetFreshnessChanges(ctx context.Context, age time.Duration, limit int) (int, error) {
	tag, err := s.db.Exec(ctx, `
		delete from freshness_changes where id = any(array(
			select id from freshness_changes where seen_at < now() - $1::interval order by seen_at limit $2 for update skip locked))`, age, limit)
	return int(tag.RowsAffected()), fail(err, "forgetting what became of hosts")
}
