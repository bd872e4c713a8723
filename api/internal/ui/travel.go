package ui

import (
	"net/http"
	"time"

	"github.com/google/uuid"

	"github.com/rollcallhq/rollcall/pkg/fleet"
	"github.com/rollcallhq/rollcall/pkg/store"
)

// fieldTime is how a field of the type datetime-local writes a time; the pages mean UTC.
const fieldTime = "2006-01-02T15:04:05"

// readTime reads a time of an address: RFC 3339, or as a field of a form writes it. The empty text is the zero time.
func readTime(name, text string) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	for _, layout := range []string{time.RFC3339Nano, fieldTime, "2006-01-02T15:04", time.DateOnly} {
		if t, err := time.Parse(layout, text); err == nil && t.Year() >= 1970 && t.Year() < 9999 {
			return t.UTC(), nil
		}
	}
	return time.Time{}, fleet.InvalidField(name, "this is not a time such as 2026-10-01T12:00:00Z")
}

// A travel is the way through a host's past.
type travel struct {
	At      time.Time // zero: now
	Field   string    // At as the form has it
	Latest  string    // the highest value of the form
	Hidden  []param   // what the form keeps of the address
	Now     string    // the link back to now
	Back    *stop     // to before the last change
	Forward *stop     // to the next change
	Present bool
}

type param struct{ Name, Value string }

// A stop is a change that one can go to.
type stop struct {
	Link string
	At   time.Time // of the change
}

// tickTime is how exact times of reports are.
const tickTime = time.Millisecond

// travel finds the changes of the host, of one type unless it is empty, next to the time.
func (s *Server) travel(r *http.Request, host uuid.UUID, reportType string, at time.Time) (travel, error) {
	scope := s.Actor(r.Context()).Scope()
	stay := keep(r.URL.Query(), "type", "range", "metric", "q")
	t := travel{At: at, Present: at.IsZero(), Now: link(r.URL.Path, stay), Latest: time.Now().UTC().Format(fieldTime)}
	for name := range stay {
		t.Hidden = append(t.Hidden, param{name, stay.Get(name)})
	}
	filter := store.ChangeFilter{HostID: &host, Type: reportType}
	if !t.Present {
		t.Field = at.UTC().Format(fieldTime)
		filter.Until = at.Add(tickTime)
	}
	last, _, err := s.Store.LastChanges(r.Context(), scope, filter, fleet.Page{Limit: 1})
	if err != nil {
		return t, err
	}
	for _, c := range last {
		t.Back = &stop{link(r.URL.Path, stay, "as_of", iso(c.SeenAt.Add(-tickTime))), c.SeenAt}
	}
	if t.Present {
		return t, nil
	}
	filter.Since, filter.Until = at.Add(tickTime), time.Time{}
	next, err := s.Store.Changes(r.Context(), scope, filter, fleet.Page{Limit: 1})
	if err != nil {
		return t, err
	}
	for _, c := range next.Items {
		t.Forward = &stop{link(r.URL.Path, stay, "as_of", iso(c.SeenAt)), c.SeenAt}
	}
	return t, nil
}
