package store

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/rollcallhq/rollcall/pkg/fleet"
)

// GroupPeriod is how far back groups of changes reach where nobody says otherwise.
const GroupPeriod = 7 * 24 * time.Hour

// ChangeGroups returns a page of the changes that are the same on any number of hosts, the group with the newest
// change first, and the cursor of the next page. Without f.Since they reach back GroupPeriod. Pages fit together: what is
// committed after the first one was read is not in the others.
func (s *Store) ChangeGroups(ctx context.Context, scope fleet.Scope, f ChangeFilter, page fleet.Page) ([]fleet.ChangeGroup, string, error) {
	var after groupPosition
	err := s.db.QueryRow(ctx, "select cluster_life(), feed_horizon()::text").Scan(&after.life, &after.horizon)
	if err != nil {
		return nil, "", fail(err, "reading the end of the feed")
	}
	w, having := newWhere(), ""
	if page.After != "" {
		if after, err = readGroupPosition(page.After, after.life); err != nil {
			return nil, "", err
		}
		w.args["last_seen"], w.args["key"] = after.lastSeen, after.key
		having = "having (max(c.seen_at), " + groupKey + ") < (@last_seen, @key)"
	}
	if f.Since.IsZero() {
		f.Since = time.Now().Add(-GroupPeriod)
		if page.After != "" {
			f.Since = after.since
		}
	}
	w.changeFilter(scope, f)
	w.add("c.tx < @horizon::text::xid8", "horizon", after.horizon)
	limit := limitOf(page)
	rows, _ := s.db.Query(ctx, fmt.Sprintf(`
		select t.name, c.path, c.before::text, c.after::text, count(distinct c.host_id), min(c.seen_at), max(c.seen_at),
			(array_agg(distinct h.name || ' ' || h.id order by h.name || ' ' || h.id))[1:5], %s
		from changes c %s where %s group by t.name, c.path, c.before, c.after %s
		order by max(c.seen_at) desc, %[1]s desc limit %[5]d`, groupKey, changeJoins, w, having, limit+1), w.args)
	groups, err := pgx.CollectRows(rows, scanGroup)
	if err != nil {
		return nil, "", fail(err, "grouping changes")
	}
	groups, next := cut(groups, limit, func(g group) string {
		return groupPosition{life: after.life, horizon: after.horizon, since: f.Since, lastSeen: g.LastSeen, key: g.key}.encode()
	})
	out := make([]fleet.ChangeGroup, len(groups))
	for i, g := range groups {
		out[i] = g.ChangeGroup
	}
	return out, next, nil
}

// groupKey tells groups apart whose newest changes were seen at the same time.
const groupKey = "md5(concat_ws(E'\\n', t.name, c.path, coalesce(c.before::text, '-'), coalesce(c.after::text, '-')))"

type group struct {
	fleet.ChangeGroup
	key string
}

func scanGroup(row pgx.CollectableRow) (group, error) {
	var g group
	var before, after *string
	var sample []string
	err := row.Scan(&g.Type, &g.Path, &before, &after, &g.Hosts, &g.FirstSeen, &g.LastSeen, &sample, &g.key)
	g.Before, g.After = bytesOf(before), bytesOf(after)
	for _, host := range sample {
		at := strings.LastIndexByte(host, ' ')
		id, bad := uuid.Parse(host[at+1:])
		if bad == nil {
			g.Sample = append(g.Sample, fleet.HostRef{ID: id, Name: host[:at]})
		}
	}
	return g, err
}

// A groupPosition is a place in a list of groups, and what was decided when its first page was read.
type groupPosition struct {
	life, horizon string
	since         time.Time
	lastSeen      time.Time
	key           string
}

// encode returns the position as the key of a cursor.
func (p groupPosition) encode() string {
	return strings.Join([]string{"g", p.life, p.horizon, strconv.FormatInt(p.since.UnixMicro(), 10), strconv.FormatInt(p.lastSeen.UnixMicro(), 10), p.key}, " ")
}

func readGroupPosition(cursor, life string) (groupPosition, error) {
	key, err := keyOf(cursor)
	if err != nil {
		return groupPosition{}, err
	}
	parts := strings.Split(key, " ")
	if len(parts) != 6 || parts[0] != "g" {
		return groupPosition{}, fleet.InvalidField("cursor", "this is not a cursor that groups of changes were answered with")
	}
	if parts[1] != life {
		return groupPosition{}, outdatedCursor()
	}
	_, badHorizon := strconv.ParseInt(parts[2], 10, 64)
	since, badSince := strconv.ParseInt(parts[3], 10, 64)
	last, badLast := strconv.ParseInt(parts[4], 10, 64)
	if badHorizon != nil || badSince != nil || badLast != nil {
		return groupPosition{}, fleet.InvalidField("cursor", "this is not a cursor that groups of changes were answered with")
	}
	return groupPosition{life: life, horizon: parts[2], since: time.UnixMicro(since), lastSeen: time.UnixMicro(last), key: parts[5]}, nil
}
