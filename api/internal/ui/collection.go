package ui

import (
	"net/http"

	"github.com/google/uuid"

	"github.com/rollcallhq/rollcall/pkg/collection"
	"github.com/rollcallhq/rollcall/pkg/fleet"
	"github.com/rollcallhq/rollcall/pkg/store"
)

// collectionPage is all that collection.html may use.
type collectionPage struct {
	Collection fleet.Collection
	Errors     []failed
	Tasks      []taskRow
	Unserved   []fleet.SiteWait // what waits for sites that no worker serves
	More       bool
}

// failed is how many tasks ended with a code.
type failed struct {
	fleet.CodeInfo
	Tasks int
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
	page := collectionPage{Collection: c, Errors: byCode(c.Errors), More: next != ""}
	for _, t := range tasks {
		page.Tasks = append(page.Tasks, taskRow{t})
	}
	l := layout{Title: "Collection", Page: page}
	if !c.State.Ended() {
		if page.Unserved, err = s.Store.UnservedTasks(r.Context(), scope, id, collection.Silence); err != nil {
			return err
		}
		l.Page, l.Refresh = page, 2
	}
	return s.render(w, r, http.StatusOK, "collection.html", l)
}

// byCode returns how many tasks ended with which code, in the order in which codes are documented.
func byCode(errors map[fleet.Code]int) []failed {
	var out []failed
	for _, info := range fleet.Codes() {
		if n := errors[info.Code]; n > 0 {
			out = append(out, failed{info, n})
		}
	}
	return out
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
