package ui

import (
	"net/http"
	"net/url"
	"time"

	"github.com/rollcallhq/rollcall/pkg/fleet"
)

// longAgo is the age of a report at which a page says that nobody knows what was since.
const longAgo = 26 * time.Hour

// A reportView is a report as a page shows it.
type reportView struct {
	Report  fleet.Report
	Facts   factsView
	Metrics metricsView
	Numbers factsView // the metrics as they stand in the report
	JSON    string    // the link to all of it
	Search  string
	Table   string
	Whole   string        // the link to the page without search and table
	Gap     time.Duration // between the report and the time that the page is about, where it is long; else 0
	Seen    time.Time     // when the facts were last seen to hold, where there is a gap
	Carried bool          // whether some facts are from earlier reports
}

// newReportView returns the view of a report for a page about a time.
func newReportView(report fleet.Report, at time.Time) reportView {
	v := reportView{Report: report, Carried: report.Status == fleet.ReportPartial}
	seen := report.CreatedAt
	if c := report.ConfirmedAt; c != nil && c.After(seen) {
		seen = *c // also later than at: then the facts held before and after
	}
	if gap := at.Sub(seen); gap > longAgo {
		v.Gap, v.Seen = gap, seen
	}
	return v
}

// Confirmed returns when the facts were last seen to hold, if that was later than the report.
func (v reportView) Confirmed() *time.Time {
	if c := v.Report.ConfirmedAt; c != nil && c.Sub(v.Report.CreatedAt) > time.Second {
		return c
	}
	return nil
}

// GapInWords returns the length of the gap.
func (v reportView) GapInWords() string { return span(v.Gap) }

// report shows one report.
func (s *Server) report(w http.ResponseWriter, r *http.Request) error {
	id, err := idOf(r)
	if err != nil {
		return err
	}
	report, err := s.Store.Report(r.Context(), s.Actor(r.Context()).Scope(), id)
	if err != nil {
		return err
	}
	q := r.URL.Query()
	page := newReportView(report, report.CreatedAt)
	page.Search, page.Table, page.Whole, page.JSON = q.Get("q"), q.Get("table"), r.URL.Path, "/api/v1/reports/"+id.String()
	query := factsQuery{
		Type: report.Type, History: "/hosts/" + report.HostID.String() + "/history", Base: r.URL.Path, Self: keep(q, "q", "table"),
		Search: page.Search, Table: page.Table, After: q.Get("after"), Metrics: report.Metrics,
	}
	page.Facts = showFacts(report, query)
	if page.Table == "" && page.Search == "" && len(report.Metrics) > 0 {
		page.Numbers = showFacts(fleet.Report{Type: report.Type, Facts: report.Metrics}, factsQuery{Type: report.Type})
	}
	return s.render(w, r, http.StatusOK, "report.html", layout{Title: report.Type + " of " + report.Host, Nav: "hosts", Page: page})
}

// keep returns those of the parameters that have a value.
func keep(q url.Values, names ...string) url.Values {
	out := url.Values{}
	for _, name := range names {
		if v := q.Get(name); v != "" {
			out.Set(name, v)
		}
	}
	return out
}
