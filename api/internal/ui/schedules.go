package ui

import (
	"net/http"
	"net/url"
	"time"

	"github.com/google/uuid"

	"github.com/rollcallhq/rollcall/pkg/fleet"
	"github.com/rollcallhq/rollcall/pkg/schedule"
	"github.com/rollcallhq/rollcall/pkg/store"
)

// schedulesPage is all that schedules.html may use.
type schedulesPage struct {
	Schedules []scheduleRow
	MayEdit   bool
	Next      string // the link to the next page
}

type scheduleRow struct {
	Schedule fleet.Schedule
	State    fleet.ScheduleState
	Hosts    string // the link to the hosts that it collects from
}

// schedulesPerPage is how many schedules one page lists.
const schedulesPerPage = 200

// schedules is the list of the schedules with what came of their last moments.
func (s *Server) schedules(w http.ResponseWriter, r *http.Request) error {
	found, next, err := s.Store.Schedules(r.Context(), s.Actor(r.Context()).Scope(), store.ScheduleFilter{}, fleet.Page{Limit: schedulesPerPage, After: r.URL.Query().Get("cursor")})
	if err != nil {
		return err
	}
	ids := make([]uuid.UUID, len(found))
	for i, sch := range found {
		ids[i] = sch.ID
	}
	states, err := s.Store.ScheduleStates(r.Context(), ids)
	if err != nil {
		return err
	}
	page := schedulesPage{MayEdit: s.Actor(r.Context()).Require(fleet.Admin) == nil}
	for _, sch := range found {
		page.Schedules = append(page.Schedules, scheduleRow{sch, states[sch.ID], hostsOf(sch.Selector)})
	}
	if next != "" {
		page.Next = link(schedulesURL, url.Values{"cursor": {next}})
	}
	return s.render(w, r, http.StatusOK, "schedules.html", layout{Title: "Schedules", Nav: "schedules", Page: page})
}

// hostsOf returns the link to the hosts that the selector picks.
func hostsOf(selector string) string { return link("/hosts", url.Values{"selector": {selector}}) }

// schedulePage is all that schedule.html may use.
type schedulePage struct {
	Schedule fleet.Schedule // as it is stored; zero: it is not yet
	Form     scheduleForm
	MayEdit  bool
	MayRun   bool
	Next     []schedule.Upcoming
	Firings  []fleet.Firing
	Older    string // the link to earlier firings
	Problem  string // why the form was not taken
	Preview  bool   // whether the form shows what is not stored yet
}

// Stored reports whether the page is of a schedule that there is.
func (p schedulePage) Stored() bool { return p.Schedule.ID != uuid.Nil }

// Hosts returns the link to the hosts that the schedule collects from.
func (p schedulePage) Hosts() string { return hostsOf(p.Schedule.Selector) }

// Local returns the moment as the clocks of the schedule's time zone show it.
func (p schedulePage) Local(at time.Time) string {
	location, err := time.LoadLocation(p.Schedule.Timezone)
	if err != nil { // a release before this one knew it
		location = time.UTC
	}
	return at.In(location).Format("Mon 2 Jan 2006 15:04:05 MST")
}

// Bounds of what the page of a schedule shows.
const (
	previewed      = 5  // coming moments
	firingsPerPage = 50 // past ones
)

// schedule shows one schedule: when it is due, what came of its last moments, and its definition.
func (s *Server) schedule(w http.ResponseWriter, r *http.Request) error {
	sch, err := s.scheduleOf(r)
	if err != nil {
		return err
	}
	page := schedulePage{Schedule: sch, Form: formOf(sch)}
	if sch.Enabled {
		if page.Next, err = s.Schedules.Next(r.Context(), s.Actor(r.Context()).Scope(), sch.ID, previewed); err != nil {
			return err
		}
	}
	return s.showSchedule(w, r, http.StatusOK, page)
}

func (s *Server) scheduleOf(r *http.Request) (fleet.Schedule, error) {
	id, err := idOf(r)
	if err != nil {
		return fleet.Schedule{}, err
	}
	return s.Store.Schedule(r.Context(), s.Actor(r.Context()).Scope(), id)
}

// showSchedule adds what the page shows beside its form.
func (s *Server) showSchedule(w http.ResponseWriter, r *http.Request, status int, page schedulePage) error {
	actor := s.Actor(r.Context())
	whole := !page.Stored() || page.Schedule.Selector != "" // of what is about others' hosts, too, the selector is not shown
	page.MayEdit, page.MayRun = whole && actor.Require(fleet.Admin) == nil, whole && actor.Require(fleet.Operator) == nil
	title := "New schedule"
	if page.Stored() {
		title = page.Schedule.Name
		firings, next, err := s.Store.Firings(r.Context(), page.Schedule.ID, fleet.Page{Limit: firingsPerPage, After: r.URL.Query().Get("cursor")})
		if err != nil {
			return err
		}
		page.Firings = firings
		if next != "" {
			page.Older = link(schedulesURL+"/"+page.Schedule.ID.String(), url.Values{"cursor": {next}})
		}
	}
	return s.render(w, r, status, "schedule.html", layout{Title: title, Nav: "schedules", Page: page})
}
