package ui

import (
	"net/http"

	"github.com/go-chi/chi/v5"
	"github.com/google/uuid"

	"github.com/rollcallhq/rollcall/pkg/collection"
	"github.com/rollcallhq/rollcall/pkg/fleet"
	"github.com/rollcallhq/rollcall/pkg/store"
)

// hostPage is all that host.html may use.
type hostPage struct {
	Row        hostRow
	Reports    []reportView
	Keys       []fleet.HostKey
	MayCollect bool
}

// A reportView is a report with its values as trees.
type reportView struct {
	Report      fleet.Report
	Facts       []node
	Metrics     []node
	Unavailable map[string]string
}

func view(report fleet.Report) (reportView, error) {
	facts, err := tree(report.Facts)
	if err != nil {
		return reportView{}, fleet.Wrap(err, fleet.TooLarge, "This report is too large for a page; read its JSON.")
	}
	metrics, err := tree(report.Metrics)
	return reportView{Report: report, Facts: facts, Metrics: metrics, Unavailable: report.Unavailable}, err
}

func idOf(r *http.Request) (uuid.UUID, error) {
	id, err := uuid.Parse(chi.URLParam(r, "id"))
	if err != nil {
		return id, fleet.Errorf(fleet.NotFound, "There is no such page.")
	}
	return id, nil
}

// host shows a host's latest reports.
func (s *Server) host(w http.ResponseWriter, r *http.Request) error {
	id, err := idOf(r)
	if err != nil {
		return err
	}
	actor := s.Actor(r.Context())
	h, err := s.Store.Host(r.Context(), actor.Scope(), id)
	if err != nil {
		return err
	}
	rows, err := s.rows(r, actor.Scope(), []fleet.Host{h})
	if err != nil {
		return err
	}
	page := hostPage{Row: rows[0], MayCollect: actor.Require(fleet.Operator) == nil && h.Enabled}
	reports, err := s.Store.LatestReports(r.Context(), actor.Scope(), id, "")
	if err != nil {
		return err
	}
	for _, report := range reports {
		v, err := view(report)
		if err != nil {
			return err
		}
		page.Reports = append(page.Reports, v)
	}
	if page.Keys, err = s.Store.HostKeys(r.Context(), actor.Scope(), id); err != nil {
		return err
	}
	return s.render(w, r, http.StatusOK, "host.html", layout{Title: h.Name, Page: page})
}

// collect asks for a collection of one host and shows it.
func (s *Server) collect(w http.ResponseWriter, r *http.Request) error {
	id, err := idOf(r)
	if err != nil {
		return err
	}
	triggered, err := s.Collections.Trigger(r.Context(), s.Actor(r.Context()),
		collection.Request{HostIDs: []uuid.UUID{id}, Priority: fleet.PriorityInteractive})
	if err != nil {
		return err
	}
	http.Redirect(w, r, "/collections/"+triggered.Collection.ID.String(), http.StatusSeeOther)
	return nil
}

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
	page, err := view(report)
	if err != nil {
		return err
	}
	return s.render(w, r, http.StatusOK, "report.html", layout{Title: report.Type + " of " + report.Host, Page: page})
}

// collectionPage is all that collection.html may use.
type collectionPage struct {
	Collection fleet.Collection
	Tasks      []taskRow
	More       bool
}

type taskRow struct{ fleet.Task }

// Remedy returns what to do about the task's failure.
func (t taskRow) Remedy() string { return t.Code.Info().Remedy }

// collection shows how far a collection is; while it is open, the page is read again every two seconds.
func (s *Server) collection(w http.ResponseWriter, r *http.Request) error {
	id, err := idOf(r)
	if err != nil {
		return err
	}
	scope := s.Actor(r.Context()).Scope()
	c, err := s.Store.Collection(r.Context(), scope, id)
	if err != nil {
		return err
	}
	tasks, next, err := s.Store.Tasks(r.Context(), scope, id, store.TaskFilter{}, fleet.Page{Limit: 200})
	if err != nil {
		return err
	}
	page := collectionPage{Collection: c, More: next != ""}
	for _, t := range tasks {
		page.Tasks = append(page.Tasks, taskRow{t})
	}
	l := layout{Title: "Collection", Page: page}
	if !c.State.Ended() {
		l.Refresh = 2
	}
	return s.render(w, r, http.StatusOK, "collection.html", l)
}
