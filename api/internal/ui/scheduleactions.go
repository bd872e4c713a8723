package ui

import (
	"net/http"

	"github.com/google/uuid"

	"github.com/rollcallhq/rollcall/pkg/fleet"
)

const schedulesURL = "/schedules"

// newSchedule shows the empty form.
func (s *Server) newSchedule(w http.ResponseWriter, r *http.Request) error {
	if err := s.Actor(r.Context()).Require(fleet.Admin); err != nil {
		return err
	}
	form := scheduleForm{Action: schedulesURL, Timezone: "UTC", Overlap: string(fleet.OverlapSkip), Misfire: string(fleet.MisfireOnce)}
	return s.showSchedule(w, r, http.StatusOK, schedulePage{Form: form})
}

// addSchedule takes the form of a new schedule.
func (s *Server) addSchedule(w http.ResponseWriter, r *http.Request) error {
	return s.takeSchedule(w, r, schedulePage{})
}

// changeSchedule takes the form of a schedule that is stored.
func (s *Server) changeSchedule(w http.ResponseWriter, r *http.Request) error {
	stored, err := s.scheduleOf(r)
	if err != nil {
		return err
	}
	return s.takeSchedule(w, r, schedulePage{Schedule: stored})
}

// takeSchedule previews or stores what was filled in. What is wrong with it is shown beside the form, which stays as it
// was filled in.
func (s *Server) takeSchedule(w http.ResponseWriter, r *http.Request, page schedulePage) error {
	actor := s.Actor(r.Context())
	if err := actor.Require(fleet.Admin); err != nil {
		return err
	}
	var err error
	if page.Form, err = readScheduleForm(w, r); err != nil {
		return err
	}
	page.Form.Action = schedulesURL
	if page.Stored() {
		page.Form.Action += "/" + page.Schedule.ID.String()
	}
	sch, err := page.Form.Schedule()
	if err == nil && r.PostForm.Get("do") == "preview" {
		page.Preview = true
		if page.Next, err = s.Schedules.Preview(r.Context(), sch, previewed); err == nil {
			page.Schedule.Timezone = sch.Timezone // by which the moments are shown
			return s.showSchedule(w, r, http.StatusOK, page)
		}
	}
	if err == nil {
		if sch, err = s.storeSchedule(r, page.Schedule, sch); err == nil {
			http.Redirect(w, r, schedulesURL+"/"+sch.ID.String(), http.StatusSeeOther)
			return nil
		}
	}
	status, ok := formStatus(err)
	if !ok {
		return err
	}
	page.Problem, page.Preview = problemOf(err), false
	return s.showSchedule(w, r, status, page)
}

// storeSchedule adds sch, or changes the one that is stored, whose pause outlasts the change.
func (s *Server) storeSchedule(r *http.Request, stored, sch fleet.Schedule) (fleet.Schedule, error) {
	actor := s.Actor(r.Context())
	if stored.ID == uuid.Nil {
		return s.Schedules.Add(r.Context(), actor, sch)
	}
	sch.ID, sch.Enabled = stored.ID, stored.Enabled
	return s.Schedules.Update(r.Context(), actor, sch)
}

// runSchedule collects what the schedule would, and shows the collection.
func (s *Server) runSchedule(w http.ResponseWriter, r *http.Request) error {
	id, err := idOf(r)
	if err != nil {
		return err
	}
	c, err := s.Schedules.RunNow(r.Context(), s.Actor(r.Context()), id)
	if err != nil {
		return err
	}
	http.Redirect(w, r, "/collections/"+c.ID.String(), http.StatusSeeOther)
	return nil
}

func (s *Server) pauseSchedule(w http.ResponseWriter, r *http.Request) error {
	return s.enableSchedule(w, r, false)
}

func (s *Server) resumeSchedule(w http.ResponseWriter, r *http.Request) error {
	return s.enableSchedule(w, r, true)
}

func (s *Server) enableSchedule(w http.ResponseWriter, r *http.Request, enabled bool) error {
	sch, err := s.scheduleOf(r)
	if err != nil {
		return err
	}
	if sch.Enabled != enabled {
		sch.Enabled = enabled
		if _, err := s.Schedules.Update(r.Context(), s.Actor(r.Context()), sch); err != nil {
			return err
		}
	}
	http.Redirect(w, r, schedulesURL+"/"+sch.ID.String(), http.StatusSeeOther)
	return nil
}

// deleteSchedule deletes a schedule for whoever has ticked that they are sure.
func (s *Server) deleteSchedule(w http.ResponseWriter, r *http.Request) error {
	id, err := idOf(r)
	if err != nil {
		return err
	}
	r.Body = http.MaxBytesReader(w, r.Body, maxForm)
	if r.PostFormValue("sure") != "yes" {
		return fleet.Errorf(fleet.Invalid, "Tick the box beside the button to delete the schedule.")
	}
	if err := s.Schedules.Remove(r.Context(), s.Actor(r.Context()), id); err != nil {
		return err
	}
	http.Redirect(w, r, schedulesURL, http.StatusSeeOther)
	return nil
}
