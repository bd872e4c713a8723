package store_test

import (
	"encoding/base64"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/rollcallhq/rollcall/pkg/fleet"
	"github.com/rollcallhq/rollcall/pkg/store"
	"github.com/rollcallhq/rollcall/pkg/storetest"
)

// listed is how many items each list of the tests has.
const listed = 7

// lists returns every list that is read by pages, as the keys of a page's items and the cursor of the next page.
func lists(t *testing.T, s *store.Store) map[string]func(fleet.Page) ([]string, string, error) {
	t.Helper()
	schedule, now := fleet.NewID(), time.Now()
	var ended uuid.UUID
	for i := range listed {
		addHost(t, s, fmt.Sprintf("web-%d", i))
		name := fmt.Sprintf("thing %d", i)
		if err := s.AddUser(t.Context(), aUser(fmt.Sprintf("user%d", i))); err != nil {
			t.Fatal(err)
		}
		if err := s.AddCredential(t.Context(), fleet.Credential{ID: fleet.NewID(), Name: name, Kind: fleet.CredentialPassword, Username: "u"}, nil); err != nil {
			t.Fatal(err)
		}
		if _, err := s.AddSchedule(t.Context(), aSchedule(name)); err != nil {
			t.Fatal(err)
		}
		if _, err := s.RecordFirings(t.Context(), []fleet.Firing{{ScheduleID: schedule, DueAt: now.Add(-time.Duration(i) * time.Microsecond)}}); err != nil {
			t.Fatal(err)
		}
	}
	for i := range listed - 1 { // some collections are frozen, some are open
		c, messages := collect(t, s)
		if i >= 3 {
			continue
		}
		worker := aWorker(t, s)
		for n, m := range messages {
			e := ending(claim(t, s, m, worker.ID), fleet.TaskSucceeded)
			if i == 0 { // one report of each host, all of one millisecond
				e.At, e.Findings = now, []fleet.Finding{finding("os", `{}`, "")}
			}
			if i == 1 && n == 0 { // tasks that have ended and open ones in one list
				ended = c.ID
				end(t, s, e)
				break
			}
			end(t, s, e)
		}
		if _, err := s.FinishCollections(t.Context(), &c.ID, 1); err != nil {
			t.Fatal(err)
		}
	}
	collect(t, s)
	everything := fleet.Everything()
	return map[string]func(fleet.Page) ([]string, string, error){
		"hosts": func(p fleet.Page) ([]string, string, error) {
			items, next, err := s.Hosts(t.Context(), everything, fleet.HostFilter{}, p)
			return namesOf(items, func(h fleet.Host) string { return h.Name }), next, err
		},
		"credentials": func(p fleet.Page) ([]string, string, error) {
			items, next, err := s.Credentials(t.Context(), p)
			return namesOf(items, func(c fleet.Credential) string { return c.Name }), next, err
		},
		"users": func(p fleet.Page) ([]string, string, error) {
			items, next, err := s.Users(t.Context(), p)
			return namesOf(items, func(u fleet.User) string { return u.Username }), next, err
		},
		"collections": func(p fleet.Page) ([]string, string, error) {
			items, next, err := s.Collections(t.Context(), everything, p)
			return namesOf(items, func(c fleet.Collection) string { return c.ID.String() }), next, err
		},
		"collections of a scope": func(p fleet.Page) ([]string, string, error) {
			items, next, err := s.Collections(t.Context(), scopeOf(t, "name=web-0"), p)
			return namesOf(items, func(c fleet.Collection) string { return c.ID.String() }), next, err
		},
		"tasks": func(p fleet.Page) ([]string, string, error) {
			items, next, err := s.Tasks(t.Context(), everything, ended, store.TaskFilter{}, p)
			return namesOf(items, func(t fleet.Task) string { return t.ID.String() }), next, err
		},
		"reports": func(p fleet.Page) ([]string, string, error) {
			items, next, err := s.Reports(t.Context(), everything, fleet.ReportFilter{Type: "os", Since: now.Add(-time.Hour), Until: now.Add(time.Hour)}, p)
			return namesOf(items, func(r fleet.Report) string { return r.ID.String() }), next, err
		},
		"schedules": func(p fleet.Page) ([]string, string, error) {
			items, next, err := s.Schedules(t.Context(), fleet.Everything(), store.ScheduleFilter{}, p)
			return namesOf(items, func(s fleet.Schedule) string { return s.Name }), next, err
		},
		"firings": func(p fleet.Page) ([]string, string, error) {
			items, next, err := s.Firings(t.Context(), schedule, p)
			return namesOf(items, func(f fleet.Firing) string { return f.DueAt.String() }), next, err
		},
	}
}

func TestPagesWalkEveryListExactlyOnce(t *testing.T) {
	t.Parallel()
	s := storetest.New(t)
	for name, read := range lists(t, s) {
		whole, next, err := read(fleet.Page{})
		if err != nil || next != "" || len(whole) != listed {
			t.Errorf("%s: one page has %d items, next %q, %v; want %d", name, len(whole), next, err, listed)
			continue
		}
		for _, limit := range []int{1, 2, 3, listed - 1, listed, listed + 1, 5000} {
			var walked []string
			page := fleet.Page{Limit: limit}
			for {
				items, next, err := read(page)
				if err != nil || len(items) > limit {
					t.Fatalf("%s: %d items of %d, %v", name, len(items), limit, err)
				}
				walked = append(walked, items...)
				if next == "" {
					break
				}
				if len(items) == 0 {
					t.Fatalf("%s: an empty page with a next one", name)
				}
				page.After = next
			}
			if !slices.Equal(walked, whole) {
				t.Errorf("%s by %d: %v, want %v", name, limit, walked, whole)
			}
		}
	}
}

func TestCursorsThatNobodyAnsweredWith(t *testing.T) {
	t.Parallel()
	s := storetest.New(t)
	all := lists(t, s)
	encode := base64.RawURLEncoding.EncodeToString
	byID := []string{"collections", "collections of a scope", "reports", "firings"}
	for what, cursor := range map[string]string{
		"no base64":          "%%%",
		"text without ID":    encode([]byte("tomorrow")),
		"a byte 0":           encode([]byte("web\x00")),
		"no UTF-8":           encode([]byte{0xff, 0xfe}),
		"longer than a key":  encode(make([]byte, 600)),
		"padded base64":      "d2ViLTE=",
		"SQL":                encode([]byte("' or true --")),
		"almost an ID":       encode([]byte("01890000-0000-7000-8000-00000000000")),
		"a date without end": encode([]byte("2026-01-01T00:00:00")),
	} {
		for name, read := range all {
			items, _, err := read(fleet.Page{After: cursor})
			if err == nil && !slices.Contains(byID, name) {
				continue // every text is a place in a list by name
			}
			if fleet.KindOf(err) != fleet.Invalid || len(items) != 0 {
				t.Errorf("%s after %s: %d items, %v; want Invalid", name, what, len(items), err)
			}
		}
	}
	// A cursor of another list is read or refused, and never an internal error.
	for _, id := range []uuid.UUID{uuid.Max, uuid.Nil, uuid.New()} {
		for name, read := range all {
			if _, _, err := read(fleet.Page{After: encode([]byte(id.String()))}); err != nil && fleet.KindOf(err) != fleet.Invalid {
				t.Errorf("%s after %s: %v", name, id, err)
			}
		}
	}
}

func TestFiltersOfLists(t *testing.T) {
	t.Parallel()
	s := storetest.New(t)
	addHost(t, s, "web_1", func(h *fleet.Host) { h.Address = "Alpha.example" })
	addHost(t, s, "webX1", func(h *fleet.Host) { h.Site, h.Enabled = "eu", false })
	for what, tt := range map[string]struct {
		filter fleet.HostFilter
		want   []string
	}{
		"nothing":                       {fleet.HostFilter{}, []string{"webX1", "web_1"}},
		"a part of a name, in any case": {fleet.HostFilter{Search: "EBX"}, []string{"webX1"}},
		"an underscore is no wildcard":  {fleet.HostFilter{Search: "b_1"}, []string{"web_1"}},
		"a percent sign is none either": {fleet.HostFilter{Search: "%"}, nil},
		"a part of an address":          {fleet.HostFilter{Search: "alpha"}, []string{"web_1"}},
		"a site":                        {fleet.HostFilter{Site: "eu"}, []string{"webX1"}},
		"enabled":                       {fleet.HostFilter{Enabled: new(true)}, []string{"web_1"}},
		"disabled":                      {fleet.HostFilter{Enabled: new(false)}, []string{"webX1"}},
		"a selector and a search":       {fleet.HostFilter{Selector: selector(t, "site=eu"), Search: "web"}, []string{"webX1"}},
		"the zero selector":             {fleet.HostFilter{Selector: &fleet.Selector{}}, nil},
	} {
		hosts, _, err := s.Hosts(t.Context(), fleet.Everything(), tt.filter, fleet.Page{})
		got := namesOf(hosts, func(h fleet.Host) string { return h.Name })
		slices.Sort(got)
		if err != nil || !slices.Equal(got, tt.want) {
			t.Errorf("%s: %v, %v; want %v", what, got, err, tt.want)
		}
		if n, err := s.CountHosts(t.Context(), fleet.Everything(), tt.filter); err != nil || n != len(tt.want) {
			t.Errorf("%s: counts %d, %v", what, n, err)
		}
	}
}
