package ui

import (
	"cmp"
	"net/http"
	"net/url"
	"time"

	"github.com/google/uuid"

	"github.com/rollcallhq/rollcall/pkg/fleet"
	"github.com/rollcallhq/rollcall/pkg/store"
)

// hostChanges is how many changes the page of a host shows.
const hostChanges = 50

// hostPage is all that host.html may use.
type hostPage struct {
	Row        hostRow
	MayCollect bool
	Tabs       []choice
	Travel     travel
	Type       string // of the tab; empty: the summary
	Summary    []factRow
	Reports    []reportLine
	Keys       []fleet.HostKey
	Changes    []changeRow
	AllChanges string // the link to all changes
	Report     *reportView
}

// A reportLine is a report as the summary names it.
type reportLine struct {
	Type      string
	Link      string
	CreatedAt time.Time
	Status    fleet.ReportStatus
}

// host shows a host as it is, or as it was at a time.
func (s *Server) host(w http.ResponseWriter, r *http.Request) error {
	id, err := idOf(r)
	if err != nil {
		return err
	}
	actor, q := s.Actor(r.Context()), r.URL.Query()
	h, err := s.Store.Host(r.Context(), actor.Scope(), id)
	if err != nil {
		return err
	}
	at, err := readTime("as_of", q.Get("as_of"))
	if err != nil {
		return err
	}
	if at.After(time.Now()) { // which is how it is
		at = time.Time{}
	}
	rows, err := s.rows(r, actor.Scope(), []fleet.Host{h})
	if err != nil {
		return err
	}
	page := hostPage{Row: rows[0], Type: q.Get("type"), MayCollect: actor.Require(fleet.Operator) == nil && h.Enabled}
	if page.Travel, err = s.travel(r, id, page.Type, at); err != nil {
		return err
	}
	page.tabs(r.URL)
	if page.Type == "" {
		err = s.summary(r, &page, at)
	} else {
		page.Report, err = s.tab(r, page, at)
	}
	if err != nil {
		return err
	}
	return s.render(w, r, http.StatusOK, "host.html", layout{Title: h.Name, Nav: "hosts", Page: page})
}

// tabs fills in the links to the summary and to a tab for each type that the host has reports of.
func (p *hostPage) tabs(here *url.URL) {
	stay := keep(here.Query(), "as_of", "range")
	p.Tabs = []choice{{"Summary", link(here.Path, stay, "range", ""), p.Type == ""}}
	known := p.Type == ""
	for _, l := range p.Row.Reports {
		p.Tabs = append(p.Tabs, choice{l.Type, link(here.Path, stay, "type", l.Type), l.Type == p.Type})
		known = known || l.Type == p.Type
	}
	if !known {
		p.Tabs = append(p.Tabs, choice{p.Type, link(here.Path, stay, "type", p.Type), true})
	}
}

// reportsAt returns the newest report of each type, or those of a time; of one type unless it is empty.
func (s *Server) reportsAt(r *http.Request, host uuid.UUID, reportType string, at time.Time) ([]fleet.Report, error) {
	scope := s.Actor(r.Context()).Scope()
	if at.IsZero() {
		return s.Store.LatestReports(r.Context(), scope, host, reportType)
	}
	return s.Store.ReportsAsOf(r.Context(), scope, host, reportType, at)
}

// summary fills in what matters most of all reports, and what changed last.
func (s *Server) summary(r *http.Request, page *hostPage, at time.Time) error {
	scope, id := s.Actor(r.Context()).Scope(), page.Row.Host.ID
	reports, err := s.reportsAt(r, id, "", at)
	if err != nil {
		return err
	}
	page.Summary = summarise(reports)
	for _, report := range reports {
		page.Reports = append(page.Reports, reportLine{report.Type, "/reports/" + report.ID.String(), report.CreatedAt, report.Status})
	}
	filter := store.ChangeFilter{HostID: &id}
	all := url.Values{"host": {page.Row.Host.Name}, "group": {"false"}}
	if !at.IsZero() {
		filter.Until = at.Add(tickTime)
		all.Set("until", iso(filter.Until))
	}
	changes, next, err := s.Store.LastChanges(r.Context(), scope, filter, fleet.Page{Limit: hostChanges})
	if err != nil {
		return err
	}
	page.Changes = changeRows(changes)
	if next != "" {
		page.AllChanges = "/changes?" + all.Encode()
	}
	page.Keys, err = s.Store.HostKeys(r.Context(), scope, id)
	return err
}

// tab returns the report of the page's type with its facts, since when they hold, and its metrics; nil if there is
// none at that time.
func (s *Server) tab(r *http.Request, page hostPage, at time.Time) (*reportView, error) {
	host, q := page.Row.Host, r.URL.Query()
	reports, err := s.reportsAt(r, host.ID, page.Type, at)
	if err != nil || len(reports) == 0 {
		return nil, err
	}
	report := reports[0]
	sinces, err := s.Store.FactSinces(r.Context(), s.Actor(r.Context()).Scope(), host.ID, page.Type, at)
	if err != nil {
		return nil, err
	}
	self := keep(q, "type", "as_of", "q", "table")
	v := newReportView(report, cmp.Or(at, time.Now()))
	v.JSON = "/api/v1/hosts/" + host.ID.String() + "/reports/" + url.PathEscape(page.Type)
	if !at.IsZero() {
		v.JSON += "?" + url.Values{"as_of": {iso(at)}}.Encode()
	}
	v.Search, v.Table, v.Whole = q.Get("q"), q.Get("table"), link(r.URL.Path, self, "q", "", "table", "")
	v.Facts = showFacts(report, factsQuery{
		Type: report.Type, History: "/hosts/" + host.ID.String() + "/history", Base: r.URL.Path, Self: self,
		Search: v.Search, Table: v.Table, After: q.Get("after"), Sinces: &sinces, Metrics: report.Metrics,
	})
	if v.Table == "" && v.Search == "" {
		v.Metrics, err = s.metrics(r, report, cmp.Or(at, time.Now()))
	}
	return &v, err
}
