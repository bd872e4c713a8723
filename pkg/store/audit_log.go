package store

import (
	"context"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/rollcallhq/rollcall/pkg/fleet"
)

// An AuditFilter selects entries of the audit log. The zero value selects all of it.
type AuditFilter struct {
	Actor    string    // exactly, such as user:admin
	Action   string    // exactly, or all that begin like this if it ends in .*, as host.*
	Resource string    // its type, or type:id
	Outcome  string    // ok or denied
	Address  string    // an address or a network that holds it
	Since    time.Time // inclusive; zero means unbounded
	Until    time.Time // exclusive; zero means unbounded
}

// check returns an error of kind Invalid for an address that PostgreSQL would not read.
func (f AuditFilter) check() error {
	_, badAddress := netip.ParseAddr(f.Address)
	_, badNetwork := netip.ParsePrefix(f.Address)
	if f.Address != "" && (badAddress != nil && badNetwork != nil || strings.Contains(f.Address, "%")) {
		return fleet.InvalidField("address", "it is an IP address or a network such as 192.0.2.0/24")
	}
	return nil
}

func (f AuditFilter) where(w *where) {
	if f.Actor != "" {
		w.add("actor = @actor", "actor", f.Actor)
	}
	if group, all := strings.CutSuffix(f.Action, "*"); all {
		w.add("starts_with(action, @action)", "action", group)
	} else if f.Action != "" {
		w.add("action = @action", "action", f.Action)
	}
	if kind, id, one := strings.Cut(f.Resource, ":"); f.Resource != "" {
		w.add("resource_type = @resource_type", "resource_type", kind)
		if one {
			w.add("resource_id = @resource_id", "resource_id", id)
		}
	}
	if f.Outcome != "" {
		w.add("outcome = @outcome", "outcome", f.Outcome)
	}
	if f.Address != "" {
		w.add("ip_address <<= @address::text::inet", "address", f.Address)
	}
	if !f.Since.IsZero() {
		w.add("created_at >= @since", "since", f.Since)
	}
	if !f.Until.IsZero() {
		w.add("created_at < @until", "until", f.Until)
	}
}

const auditColumns = `life, tx::text::bigint, id, created_at, user_id, actor, action, outcome, resource_type, resource_id, details::text,
	coalesce(abbrev(ip_address), '')`

func scanAuditRecord(row pgx.CollectableRow) (fleet.AuditRecord, error) {
	var r fleet.AuditRecord
	var details string
	err := row.Scan(&r.Life, &r.Tx, &r.ID, &r.CreatedAt, &r.UserID, &r.Actor, &r.Action, &r.Outcome, &r.ResourceType, &r.ResourceID,
		&details, &r.Address)
	r.CreatedAt, r.Details = r.CreatedAt.UTC(), []byte(details)
	return r, err
}

// auditQuery returns the statement of a page of the audit log.
func auditQuery(f AuditFilter, p fleet.Page) (string, pgx.NamedArgs, error) {
	if err := f.check(); err != nil {
		return "", nil, err
	}
	w := newWhere()
	f.where(w)
	if p.After != "" {
		at, id, err := readAuditCursor(p.After)
		if err != nil {
			return "", nil, err
		}
		w.add("created_at <= @after", "after", at) // what a plan prunes partitions by
		w.and("(created_at, id) < (@after, " + w.arg(id) + "::uuid)")
	}
	limit := w.arg(limitOf(p) + 1)
	return "select " + auditColumns + " from audit_logs where " + w.String() + " order by created_at desc, id desc limit " + limit, w.args, nil
}

func readAuditCursor(cursor string) (time.Time, uuid.UUID, error) {
	key, err := keyOf(cursor)
	if err != nil {
		return time.Time{}, uuid.UUID{}, err
	}
	micros, id, _ := strings.Cut(key, " ")
	at, badTime := strconv.ParseInt(micros, 10, 64)
	parsed, badID := uuid.Parse(id)
	const most = int64(1) << 52 // microseconds: some 140 years
	if badTime != nil || badID != nil || at < 0 || at > most {
		return time.Time{}, uuid.UUID{}, fleet.InvalidField("cursor", "this is not a cursor that a list has answered with")
	}
	return time.UnixMicro(at).UTC(), parsed, nil
}

// AuditRecords returns entries of the audit log, newest first, and the cursor of the page after them. They are about everything, so that
// a scope which is bounded sees none of them. A filter or a cursor that cannot be read is an error of kind Invalid.
func (s *Store) AuditRecords(ctx context.Context, scope fleet.Scope, f AuditFilter, p fleet.Page) ([]fleet.AuditRecord, string, error) {
	if scope.SeesNothing() || scope.Selector() != nil {
		return nil, "", nil
	}
	sql, args, err := auditQuery(f, p)
	if err != nil {
		return nil, "", err
	}
	rows, _ := s.db.Query(ctx, sql, args)
	records, err := pgx.CollectRows(rows, scanAuditRecord)
	if err != nil {
		return nil, "", fail(err, "reading the audit log")
	}
	next := ""
	if limit := limitOf(p); len(records) > limit {
		records = records[:limit]
		last := records[limit-1]
		next = cursorOf(strconv.FormatInt(last.CreatedAt.UnixMicro(), 10) + " " + last.ID.String())
	}
	return records, next, nil
}
