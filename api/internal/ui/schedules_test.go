package ui_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/rollcallhq/rollcall/pkg/fleet"
)

// nightly is a form that is filled in.
func nightly(changes ...string) url.Values {
	form := url.Values{
		"name": {"nightly"}, "cron": {"30 2 * * *"}, "timezone": {"Europe/Berlin"}, "selector": {"env=prod"}, "types": {"os, cpu"},
		"jitter": {"10m"}, "overlap": {"queue"}, "misfire": {"skip"}, "priority": {"normal"}, "blackouts": {"sat,sun 22:00-06:00"},
		"do": {"save"},
	}
	for i := 0; i < len(changes); i += 2 {
		form.Set(changes[i], changes[i+1])
	}
	return form
}

// adds posts the form, insists that the schedule is stored, and returns the path of its page.
func (s *site) adds(form url.Values) string {
	s.t.Helper()
	code, body, header := s.post("/schedules", form)
	if code != http.StatusSeeOther || !strings.HasPrefix(header.Get("Location"), "/schedules/") {
		s.t.Fatalf("POST /schedules = %d to %q: %s", code, header.Get("Location"), body)
	}
	return header.Get("Location")
}

// newSiteOfAdmin returns a site whose admin is a user that there is, as the owner of a schedule has to be.
func newSiteOfAdmin(t *testing.T) *site {
	t.Helper()
	s := newSite(t, accounts{})
	user := fleet.User{ID: fleet.NewID(), Username: "admin", PasswordHash: "x", Role: fleet.Admin}
	if err := s.store.AddUser(t.Context(), user); err != nil {
		t.Fatal(err)
	}
	s.actor.ID, s.actor.UserID = user.ID, &user.ID
	return s
}

func TestAScheduleIsMadeAndChanged(t *testing.T) {
	t.Parallel()
	s := newSiteOfAdmin(t)
	s.see("/schedules", http.StatusOK, "No schedules yet", "/schedules/new")
	s.see("/schedules/new", http.StatusOK, `name="cron"`, "Preview")
	page := s.adds(nightly())
	body := s.see(page, http.StatusOK, "nightly", "30 2 * * *", "Europe/Berlin", "os, cpu", "10m", "one waits for its end", "are left out", "sat,sun 22:00-06:00", "02:30:00 CE", "Nothing yet")
	if n := strings.Count(body, "02:30:00 CE"); n != 5 {
		t.Errorf("%d coming moments are shown, want 5", n)
	}
	s.see("/schedules", http.StatusOK, "nightly", "not yet", "30 2 * * *", `href="/hosts?selector=env%3Dprod"`)

	code, body, header := s.post(page, nightly("cron", "0 4 * * *", "version", "1"))
	if code != http.StatusSeeOther {
		t.Fatalf("changing it = %d: %s", code, body)
	}
	s.see(header.Get("Location"), http.StatusOK, "0 4 * * *", "04:00:00 CE")
	if code, body, _ = s.post(page, nightly("cron", "0 5 * * *", "version", "1")); code != http.StatusConflict || !strings.Contains(body, "0 5 * * *") {
		t.Errorf("changing what has been changed meanwhile = %d, want 409 and the form as it was filled in", code)
	}
}

func TestAFormOfAScheduleIsPreviewed(t *testing.T) {
	t.Parallel()
	s := newSiteOfAdmin(t)
	code, body, _ := s.post("/schedules", nightly("do", "preview"))
	if code != http.StatusOK || strings.Count(body, "02:30:00 CE") != 5 || !strings.Contains(body, "Nothing is stored") || !strings.Contains(body, `value="env=prod"`) {
		t.Errorf("the preview = %d: %s", code, body)
	}
	s.see("/schedules", http.StatusOK, "No schedules yet")
}

func TestWhatIsFilledInWronglyIsSaid(t *testing.T) {
	t.Parallel()
	s := newSiteOfAdmin(t)
	save, both := []string{"save"}, []string{"save", "preview"}
	tests := []struct {
		name, field, value, want string
		do                       []string
	}{
		{"no cron expression", "cron", "whenever", "cron", both},
		{"an unknown time zone", "timezone", "Mars/Olympus", "timezone", both},
		{"no length of time", "jitter", "soon", "jitter", both},
		{"no window", "blackouts", "at night", "blackouts", both},
		{"no time", "ends_at", "tomorrow", "ends_at", both},
		{"a selector that cannot be read", "selector", "env==", "selector", save},
		{"no name", "name", "", "name", save},
		{"an unknown type", "types", "os,horoscope", "report_types", save},
	}
	for _, tt := range tests {
		for _, do := range tt.do {
			code, body, _ := s.post("/schedules", nightly(tt.field, tt.value, "do", do))
			_, problem, found := strings.Cut(body, `role="alert">`)
			problem, _, _ = strings.Cut(problem, "</p>")
			if code != http.StatusUnprocessableEntity || !found || !strings.Contains(problem, tt.want) {
				t.Errorf("%s, %s: %d and %q", tt.name, do, code, problem)
			}
		}
	}
}

func TestAScheduleIsPausedRunAndDeleted(t *testing.T) {
	t.Parallel()
	s := newSiteOfAdmin(t)
	s.host("web-1", "env", "prod")
	page := s.adds(nightly())
	posts := func(path, to string, form url.Values) {
		t.Helper()
		if code, body, header := s.post(path, form); code != http.StatusSeeOther || !strings.HasPrefix(header.Get("Location"), to) {
			t.Errorf("POST %s = %d to %q, want %q: %s", path, code, header.Get("Location"), to, body)
		}
	}
	posts(page+"/pause", page, nil)
	posts(page+"/pause", page, nil)
	s.see(page, http.StatusOK, "paused", "Resume")
	s.see("/schedules", http.StatusOK, "paused")
	posts(page+"/resume", page, nil)
	s.lacks(s.see(page, http.StatusOK), "paused")
	posts(page+"/run", "/collections/", nil)
	if code, _, _ := s.post(page+"/delete", nil); code != http.StatusUnprocessableEntity {
		t.Errorf("deleting without the tick = %d", code)
	}
	posts(page+"/delete", "/schedules", url.Values{"sure": {"yes"}})
	s.see(page, http.StatusNotFound)
}

func TestThePageOfAScheduleShowsWhatCameOfItsMoments(t *testing.T) {
	t.Parallel()
	s := newSiteOfAdmin(t)
	page := s.adds(nightly())
	id, err := uuid.Parse(strings.TrimPrefix(page, "/schedules/"))
	if err != nil {
		t.Fatal(err)
	}
	due := time.Now().Add(-time.Hour).Truncate(time.Second)
	collection := fleet.NewID()
	var firings []fleet.Firing
	for i, f := range []fleet.Firing{
		{Outcome: fleet.OutcomeCollected, CollectionID: &collection, Missed: 3},
		{Outcome: fleet.OutcomeOverlap, Reason: "overlap: the last collection has not ended"},
	} {
		f.ScheduleID, f.DueAt = id, due.Add(time.Duration(i)*time.Second)
		firings = append(firings, f)
	}
	if _, err := s.store.RecordFirings(t.Context(), firings); err != nil {
		t.Fatal(err)
	}
	s.see(page, http.StatusOK, "/collections/"+collection.String(), "3 earlier moments", "overlap", "the last collection has not ended", "60 min")
	s.see("/schedules", http.StatusOK, "overlap")
}

func TestOnlyAdminsChangeSchedules(t *testing.T) {
	t.Parallel()
	s := newSiteOfAdmin(t)
	page := s.adds(nightly())
	s.actor.Role = fleet.Viewer
	body := s.see(page, http.StatusOK, "nightly")
	s.lacks(body, "<button>Run now", ">Pause<", `name="cron"`)
	s.lacks(s.see("/schedules", http.StatusOK, "nightly"), "New schedule")
	s.see("/schedules/new", http.StatusForbidden)
	for _, path := range []string{"/schedules", page, page + "/pause", page + "/run", page + "/delete"} {
		form := nightly("sure", "yes")
		if code, _, _ := s.post(path, form); code != http.StatusForbidden {
			t.Errorf("POST %s as a viewer = %d, want 403", path, code)
		}
	}
}
