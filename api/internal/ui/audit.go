package ui

import (
	"encoding/hex"
	"net/http"
	"net/url"
	"time"

	"github.com/rollcallhq/rollcall/pkg/fleet"
)

const (
	auditPerPage = 75
	maxAuditText = 300 // bytes of a filter, as in the API
)

// auditPage is all that audit.html may use.
type auditPage struct {
	Form    auditForm
	Problem string // why the filters cannot be read
	Rows    []auditRow
	Next    string // the link to the next page
	Later   bool   // whether this is not the first page
	CSV     string // the links to all entries that the filters choose
	NDJSON  string
	Seal    fleet.AuditSeal // the newest; the zero value if there is none
	Late    time.Duration   // for how long the oldest entry without a seal waits; 0: not for too long
}

// Root returns the root of the newest seal as rollcall audit verify --expect-root takes it.
func (p auditPage) Root() string { return hex.EncodeToString(p.Seal.Root[:]) }

// ShortRoot returns as much of the root as two people compare.
func (p auditPage) ShortRoot() string { return p.Root()[:16] }

// An auditRow is an entry as the page shows it.
type auditRow struct {
	Entry    fleet.AuditRecord
	Details  *value // nil: there are none
	Unsealed bool
	ByActor  string // the links to the entries alike
	ByAction string
	ByThing  string
}

// Denied reports whether it was refused.
func (r auditRow) Denied() bool { return r.Entry.Outcome == "denied" }

func auditRows(entries []fleet.AuditRecord, sealed fleet.AuditPosition, stay url.Values) []auditRow {
	rows, left := make([]auditRow, len(entries)), maxUnfolded
	for i, e := range entries {
		thing := e.ResourceType
		if e.ResourceID != "" {
			thing += ":" + e.ResourceID
		}
		rows[i] = auditRow{
			Entry: e, Unsealed: e.Compare(sealed) > 0,
			ByActor: auditLink(stay, "actor", e.Actor), ByAction: auditLink(stay, "action", e.Action), ByThing: auditLink(stay, "resource", thing),
		}
		if details := string(e.Details); details != "" && details != "{}" {
			v := showValue(e.Details, plain)
			v.spare(&left)
			rows[i].Details = &v
		}
		rows[i].Entry.ResourceID = cutName(e.ResourceID)
	}
	return rows
}

// auditLink returns the address of the entries that are alike in one more way; empty for what no filter takes.
func auditLink(stay url.Values, name, text string) string {
	if text == "" || len(text) > maxAuditText {
		return ""
	}
	return link("/audit", stay, name, text)
}

// audit shows who did what to what, newest first.
func (s *Server) audit(w http.ResponseWriter, r *http.Request) error {
	ctx, actor := r.Context(), s.Actor(r.Context())
	if err := actor.Require(fleet.Admin); err != nil {
		return err
	}
	if actor.Selector != nil {
		return fleet.Errorf(fleet.Forbidden, "the audit log is about everything, and you may see only some hosts")
	}
	q := r.URL.Query()
	stay := keep(q, auditFilters()...)
	page := auditPage{Later: q.Get("cursor") != ""}
	l := layout{Title: "Audit", Nav: "audit"}
	form, filter, err := readAuditForm(q)
	page.Form = form
	var entries []fleet.AuditRecord
	var next string
	if err == nil {
		entries, next, err = s.Store.AuditRecords(ctx, actor.Scope(), filter, fleet.Page{Limit: auditPerPage, After: q.Get("cursor")})
	}
	if fleet.KindOf(err) == fleet.Invalid {
		page.Problem = fleet.MessageOf(err)
		l.Page = page
		return s.render(w, r, http.StatusUnprocessableEntity, "audit.html", l)
	} else if err != nil {
		return err
	}
	if page.Seal, err = s.Store.LastAuditSeal(ctx); err != nil {
		return err
	}
	backlog, err := s.Store.AuditBacklog(ctx)
	if err != nil {
		return err
	}
	if backlog > fleet.SealLate {
		page.Late = backlog
	}
	page.Rows = auditRows(entries, page.Seal.To, stay)
	if next != "" {
		page.Next = link("/audit", stay, "cursor", next)
	}
	page.CSV, page.NDJSON = exportLink(filter, "csv"), exportLink(filter, "ndjson")
	l.Page = page
	return s.render(w, r, http.StatusOK, "audit.html", l)
}
