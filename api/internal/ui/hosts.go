package ui

import (
	"net/http"
	"net/url"

	"github.com/google/uuid"

	"github.com/rollcallhq/rollcall/pkg/fleet"
	"github.com/rollcallhq/rollcall/pkg/store"
)

// hostsPage is all that hosts.html may use.
type hostsPage struct {
	Selector string
	Status   fleet.Freshness   // that is asked for; empty: any
	Code     fleet.Code        // of failing hosts
	Statuses []fleet.Freshness // that can be asked for
	Problem  string            // why the selector cannot be read
	Total    int
	Hosts    []hostRow
	Next     string // the link to the next page
	Changes  string // the link to the changes of the hosts that the selector picks
}

// Filtered reports whether not all hosts are asked for.
func (p hostsPage) Filtered() bool { return p.Selector != "" || p.Status != "" || p.Code != "" }

type hostRow struct {
	Host    fleet.Host
	Status  *fleet.HostStatus
	Reports []store.LatestReport
}

// Remedy returns what to do about the host's last failure.
func (h hostRow) Remedy() string { return h.Status.Code.Info().Remedy }

// Meaning returns what the host's last failure was.
func (h hostRow) Meaning() string { return h.Status.Code.Info().Meaning }

// hosts is the list of the hosts with their last reports.
func (s *Server) hosts(w http.ResponseWriter, r *http.Request) error {
	q := r.URL.Query()
	page := hostsPage{
		Selector: q.Get("selector"), Status: fleet.Freshness(q.Get("status")), Code: fleet.Code(q.Get("code")), Statuses: fleet.Freshnesses(),
	}
	page.Changes = "/changes?" + url.Values{"selector": {page.Selector}}.Encode()
	if page.Status != fleet.HostFailing {
		page.Code = "" // only these have one
	}
	filter := fleet.HostFilter{Status: page.Status, Code: page.Code}
	if page.Selector != "" {
		selector, err := fleet.ParseSelector(page.Selector)
		if err != nil {
			page.Problem = fleet.MessageOf(err)
			return s.render(w, r, http.StatusUnprocessableEntity, "hosts.html", layout{Title: "Hosts", Nav: "hosts", Page: page})
		}
		filter.Selector = &selector
	}
	scope := s.Actor(r.Context()).Scope()
	hosts, next, err := s.Store.Hosts(r.Context(), scope, filter, fleet.Page{Limit: 200, After: r.URL.Query().Get("cursor")})
	if err != nil {
		return err
	}
	if page.Total, err = s.Store.CountHosts(r.Context(), scope, filter); err != nil {
		return err
	}
	if page.Hosts, err = s.rows(r, scope, hosts); err != nil {
		return err
	}
	if next != "" {
		page.Next = link("/hosts", url.Values{}, "selector", page.Selector, "status", string(page.Status), "code", string(page.Code), "cursor", next)
	}
	return s.render(w, r, http.StatusOK, "hosts.html", layout{Title: "Hosts", Nav: "hosts", Page: page})
}

func (s *Server) rows(r *http.Request, scope fleet.Scope, hosts []fleet.Host) ([]hostRow, error) {
	ids := make([]uuid.UUID, len(hosts))
	for i, h := range hosts {
		ids[i] = h.ID
	}
	reports, err := s.Store.LatestOf(r.Context(), scope, ids)
	if err != nil {
		return nil, err
	}
	statuses, err := s.Store.HostStatuses(r.Context(), scope, ids)
	if err != nil {
		return nil, err
	}
	rows := make([]hostRow, len(hosts))
	for i, h := range hosts {
		rows[i] = hostRow{Host: h, Reports: reports[h.ID]}
		if status, ok := statuses[h.ID]; ok {
			rows[i].Status = &status
		}
	}
	return rows, nil
}
