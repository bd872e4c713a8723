package ui

import (
	"net/http"

	"github.com/google/uuid"

	"github.com/rollcallhq/rollcall/pkg/facts"
	"github.com/rollcallhq/rollcall/pkg/fleet"
	"github.com/rollcallhq/rollcall/pkg/report"
)

// maxDifferences is how many differences a page shows.
const maxDifferences = 200

// diffPage is all that diff.html may use.
type diffPage struct {
	From, To fleet.Report
	Changes  []differenceRow
	Others   []differenceRow // that are no changes of the host
	left     int             // bytes of values that can still be unfolded
	More     int             // differences that are not shown
	JSON     string
	Swap     string // the link to the difference the other way round
}

type differenceRow struct {
	Path    string
	Delta   delta
	Why     string // why it is no change, in words
	History string
}

// diff shows what differs between two reports.
func (s *Server) diff(w http.ResponseWriter, r *http.Request) error {
	id, err := idOf(r)
	if err != nil {
		return err
	}
	to := uuid.Nil
	if text := r.URL.Query().Get("to"); text != "" {
		if to, err = uuid.Parse(text); err != nil {
			return fleet.InvalidField("to", "this is not the ID of a report")
		}
	}
	d, err := s.reports.Diff(r.Context(), s.Actor(r.Context()).Scope(), id, to)
	if err != nil {
		return err
	}
	page := diffPage{
		From: d.From, To: d.To, Swap: diffLink(&d.To.ID, d.From.ID),
		JSON: "/api/v1/reports/" + d.From.ID.String() + "/diff?to=" + d.To.ID.String(),
	}
	page.fill(d)
	return s.render(w, r, http.StatusOK, "diff.html", layout{Title: d.From.Type + " of " + d.From.Host + ": difference", Nav: "hosts", Page: page})
}

func (p *diffPage) fill(d report.Diff) {
	p.left = maxUnfolded
	for _, c := range d.Comparison.Changes {
		p.add(&p.Changes, c, "")
	}
	for _, c := range d.Comparison.Unlearned {
		p.add(&p.Others, c.Difference, whyInWords(c.Why))
	}
}

func (p *diffPage) add(to *[]differenceRow, d facts.Difference, why string) {
	if len(p.Changes)+len(p.Others) >= maxDifferences {
		p.More++
		return
	}
	path := d.Path.String()
	row := differenceRow{Path: cutName(path), Delta: showDelta(string(d.Kind()), d.Before, d.After, unitOf(p.From.Type, d.Path)), Why: why}
	if p.From.HostID == p.To.HostID && len(d.Path) > 0 {
		row.History = historyLink("/hosts/"+p.To.HostID.String(), p.To.Type, path)
	}
	row.Delta.spare(&p.left)
	*to = append(*to, row)
}

// whyInWords returns why a difference is no change of the host.
func whyInWords(why facts.Unlearned) string {
	switch why {
	case facts.UnlearnedUnavailable:
		return "one of the two reports could not tell"
	case facts.UnlearnedSchema:
		return "a newer release of the collector reads it differently"
	}
	return string(why)
}
