package ui

import (
	"net/http"
	"net/url"
	"time"

	"github.com/rollcallhq/rollcall/pkg/facts"
	"github.com/rollcallhq/rollcall/pkg/fleet"
)

const periodsPerPage = 100

// historyPage is all that history.html may use.
type historyPage struct {
	Host    fleet.Host
	Type    string
	Path    string
	Types   []string
	Problem string
	Periods []periodRow
	Next    string
	Tab     string // the link to the report as it is
	Later   bool
}

// A periodRow is a time in which the path had one value.
type periodRow struct {
	Period fleet.PathPeriod
	Value  value
	Nobody bool   // whether there was a gap before the next value in which nobody looked
	HostAt string // the link to the host at its beginning
	Report string // the link to its first report
}

// history shows which values a path of a host's facts has had.
func (s *Server) history(w http.ResponseWriter, r *http.Request) error {
	id, err := idOf(r)
	if err != nil {
		return err
	}
	scope, q := s.Actor(r.Context()).Scope(), r.URL.Query()
	h, err := s.Store.Host(r.Context(), scope, id)
	if err != nil {
		return err
	}
	page := historyPage{Host: h, Type: q.Get("type"), Path: q.Get("path"), Later: q.Get("cursor") != ""}
	if page.Types, err = s.typeNames(r.Context()); err != nil {
		return err
	}
	page.Tab = "/hosts/" + id.String() + "?" + url.Values{"type": {page.Type}}.Encode()
	l := layout{Title: "History of " + page.Path + " of " + h.Name, Nav: "hosts"}
	path, err := facts.ParsePath(page.Path)
	switch {
	case err != nil:
		page.Problem = fleet.MessageOf(err)
	case page.Type == "" || len(path) == 0:
		page.Problem = "Name a type, such as os, and a path, such as kernel.release."
	}
	if page.Problem != "" {
		l.Page = page
		return s.render(w, r, http.StatusUnprocessableEntity, "history.html", l)
	}
	page.Path = path.String()
	periods, next, err := s.Store.PathHistory(r.Context(), scope, id, page.Type, path, time.Time{}, time.Time{},
		fleet.Page{Limit: periodsPerPage, After: q.Get("cursor")})
	if err != nil {
		return err
	}
	for _, p := range periods {
		page.Periods = append(page.Periods, periodRow{
			Period: p, Value: showValue(p.Value, unitOf(page.Type, path)), Nobody: p.To != nil && p.To.Sub(p.ConfirmedAt) > longAgo,
			HostAt: "/hosts/" + id.String() + "?" + url.Values{"type": {page.Type}, "as_of": {iso(p.From)}}.Encode(),
			Report: "/reports/" + p.ReportID.String(),
		})
	}
	if next != "" {
		page.Next = link(r.URL.Path, keep(q, "type", "path"), "cursor", next)
	}
	l.Page = page
	return s.render(w, r, http.StatusOK, "history.html", l)
}
