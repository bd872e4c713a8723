package ui

import (
	"net/http"
	"net/url"
	"time"

	"github.com/google/uuid"

	"github.com/rollcallhq/rollcall/pkg/facts"
	"github.com/rollcallhq/rollcall/pkg/fleet"
	"github.com/rollcallhq/rollcall/pkg/store"
)

const (
	changesPerPage = 75
	groupsPerPage  = 50
	maxPattern     = 512 // bytes that a pattern may have
)

// changesPage is all that changes.html may use.
type changesPage struct {
	Form    changeForm
	Types   []string // to choose from
	Problem string   // why the filters cannot be read
	Changes []changeRow
	Groups  []groupRow
	Next    string // the link to the next page
	Later   bool   // whether this is not the first page
	Each    string // the link to the same, change by change
	Grouped string // and by what is the same
	Events  string // the stream of what comes; empty where it cannot be followed
	Reset   string
	Span    string // how far back groups reach where nobody says
}

// A changeRow is a change as a page shows it.
type changeRow struct {
	Change  fleet.Change
	Path    string
	Delta   delta
	HostAt  string // the link to the host at that time
	History string // the link to the history of the path
	Diff    string // the link to the two reports
	Held    string // how long the former value held; empty: nobody knows, or there was none
}

func changeRows(changes []fleet.Change) []changeRow {
	rows, left := make([]changeRow, len(changes)), maxUnfolded
	for i, c := range changes {
		host := "/hosts/" + c.HostID.String()
		rows[i] = changeRow{
			Change: c, Delta: showDelta(c.Kind(), c.Before, c.After, unitAt(c.Type, c.Path)),
			HostAt:  host + "?" + url.Values{"type": {c.Type}, "as_of": {iso(c.SeenAt)}}.Encode(),
			History: historyLink(host, c.Type, c.Path), Path: cutName(c.Path),
			Diff: diffLink(c.BeforeReportID, c.AfterReportID),
		}
		rows[i].Delta.spare(&left)
		if c.BeforeSince != nil && c.Before != nil {
			rows[i].Held = span(c.SeenAt.Sub(*c.BeforeSince))
		}
	}
	return rows
}

// historyLink returns the address of the history of a path of the host at that address; empty for one that is too long.
func historyLink(host, reportType, path string) string {
	if len(path) > maxLink {
		return ""
	}
	return host + "/history?" + url.Values{"type": {reportType}, "path": {path}}.Encode()
}

// diffLink returns the address of the difference of two reports, or of the later one if there is no other.
func diffLink(before *uuid.UUID, after uuid.UUID) string {
	if before == nil {
		return "/reports/" + after.String()
	}
	return "/reports/" + before.String() + "/diff?to=" + after.String()
}

func unitAt(reportType, path string) unit {
	p, err := facts.ParsePath(path)
	if err != nil {
		return plain
	}
	return unitOf(reportType, p)
}

// A groupRow is a change that hosts have in common, as a page shows it.
type groupRow struct {
	Group fleet.ChangeGroup
	Path  string
	Delta delta
	Each  string // the link to the changes one by one
	More  int    // hosts that are not named
}

// groupRows returns the groups with links that keep the parameters of the page.
func groupRows(groups []fleet.ChangeGroup, stay url.Values) []groupRow {
	rows, left := make([]groupRow, len(groups)), maxUnfolded
	for i, g := range groups {
		path := g.Path
		if len(path) > maxPattern {
			path = ""
		}
		rows[i] = groupRow{
			Path:  cutName(g.Path),
			Group: g, Delta: showDelta(g.Kind(), g.Before, g.After, unitAt(g.Type, g.Path)), More: g.Hosts - len(g.Sample),
			Each: link("/changes", stay, "group", "false", "type", g.Type, "path", path, "since", iso(g.FirstSeen), "until", iso(g.LastSeen.Add(tickTime))),
		}
		rows[i].Delta.spare(&left)
	}
	return rows
}

// changes shows what changed on the hosts, newest first.
func (s *Server) changes(w http.ResponseWriter, r *http.Request) error {
	q := r.URL.Query()
	stay := keep(q, "host", "selector", "type", "path", "since", "until")
	page := changesPage{
		Later: q.Get("cursor") != "", Reset: "/changes",
		Each: link("/changes", stay, "group", "false"), Grouped: link("/changes", stay, "group", "true"),
	}
	var err error
	if page.Types, err = s.typeNames(r.Context()); err != nil {
		return err
	}
	form, filter, err := s.readChangeForm(r)
	page.Form = form
	l := layout{Title: "Changes", Nav: "changes"}
	if kind := fleet.KindOf(err); kind == fleet.Invalid {
		page.Problem = fleet.MessageOf(err)
		l.Page = page
		return s.render(w, r, http.StatusUnprocessableEntity, "changes.html", l)
	} else if err != nil {
		return err
	}
	scope := s.Actor(r.Context()).Scope()
	var next string
	if form.Group {
		var groups []fleet.ChangeGroup
		groups, next, err = s.Store.ChangeGroups(r.Context(), scope, filter, fleet.Page{Limit: groupsPerPage, After: q.Get("cursor")})
		page.Groups, page.Span = groupRows(groups, stay), spanOf(filter.Since)
	} else {
		var changes []fleet.Change
		changes, next, err = s.Store.LastChanges(r.Context(), scope, filter, fleet.Page{Limit: changesPerPage, After: q.Get("cursor")})
		page.Changes = changeRows(changes)
		if !page.Later && filter.Until.IsZero() {
			page.Events = events(filter)
		}
	}
	if err != nil {
		return err
	}
	if next != "" {
		page.Next = link("/changes", stay, "group", q.Get("group"), "cursor", next)
	}
	l.Page = page
	return s.render(w, r, http.StatusOK, "changes.html", l)
}

// spanOf says how far back groups reach where nobody says.
func spanOf(since time.Time) string {
	if !since.IsZero() {
		return ""
	}
	return span(store.GroupPeriod)
}
