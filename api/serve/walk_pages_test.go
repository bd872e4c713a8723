package serve

import (
	"maps"
	"net/http"
	"net/http/httptest"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/go-chi/chi/v5"

	"github.com/rollcallhq/rollcall/api/internal/session"
	"github.com/rollcallhq/rollcall/api/internal/ui"
	"github.com/rollcallhq/rollcall/pkg/fleet"
)

// pages returns the rule of each page, by its route.
func pages() map[string]rule {
	const viewer, admin = fleet.Viewer, fleet.Admin
	return map[string]rule{
		"/":                   {role: viewer, effect: filtered, path: "/"},
		"/hosts":              {role: viewer, effect: filtered, path: "/hosts"},
		"/hosts/{id}":         {role: viewer, effect: hidden, path: "/hosts/$host"},
		"/hosts/{id}/history": {role: viewer, effect: hidden, path: "/hosts/$host/history?type=os&path=what"},
		"/changes":            {role: viewer, effect: filtered, path: "/changes"},
		"/system":             {role: viewer, effect: filtered, path: "/system"},
		"/collectors":         {role: viewer, effect: plain, path: "/collectors"},
		"/collectors/{name}":  {role: viewer, effect: plain, path: "/collectors/$collector"},
		"/reports/{id}":       {role: viewer, effect: hidden, path: "/reports/$report"},
		"/reports/{id}/diff":  {role: viewer, effect: hidden, path: "/reports/$earlier_report/diff?to=$report"},
		"/collections/{id}":   {role: viewer, effect: hidden, path: "/collections/$collection"},
		"/schedules":          {role: viewer, effect: filtered, path: "/schedules"},
		"/schedules/new":      {role: admin, effect: plain, path: "/schedules/new"},
		"/audit":              {role: admin, effect: unscopedOnly, path: "/audit"},
		"/users":              {role: admin, effect: unscopedOnly, path: "/users"},
		"/users/new":          {role: admin, effect: unscopedOnly, path: "/users/new"},
		"/users/{id}":         {role: admin, effect: unscopedOnly, path: "/users/$session_user"},
		"/me":                 {role: viewer, effect: plain, path: "/me"},
		"/schedules/{id}":     {role: viewer, effect: hidden, path: "/schedules/$schedule"},
	}
}

// foreign holds that no page of another site makes a browser write with its user's cookie.
func (w *walk) foreign(t *testing.T) {
	t.Helper()
	routes := chi.NewRouter()
	(&ui.Server{}).Routes(routes)
	admin := w.users[fleet.Admin][everywhere]
	tried := 0
	err := chi.Walk(routes, func(method, route string, _ http.Handler, _ ...func(http.Handler) http.Handler) error {
		if method != http.MethodPost {
			return nil
		}
		tried++
		path := regexp.MustCompile(`{[^}]+}`).ReplaceAllString(route, w.amber.ids["host"])
		for name, value := range map[string]string{"Sec-Fetch-Site": "cross-site", "Origin": "https://evil.example"} {
			r := httptest.NewRequestWithContext(t.Context(), method, "https://rollcall.example"+path, strings.NewReader("a=b"))
			r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
			r.Header.Set("Cookie", session.CookieName+"="+w.cookies[admin.ID])
			r.Header.Set(name, value)
			out := httptest.NewRecorder()
			if w.handler.ServeHTTP(out, r); out.Code != http.StatusForbidden {
				t.Errorf("POST %s with %s: %s = %d, want 403", route, name, value, out.Code)
			}
		}
		return nil
	})
	if err != nil || tried < 8 {
		t.Errorf("%d pages were written to, %v", tried, err)
	}
}

// unsigned are the pages that nobody has to sign in for.
func unsigned() []string { return []string{"/login", "/reset", "/static/*"} }

// furtherPages are what pages show of both landscapes, and what their filters can ask for.
func furtherPages() []string {
	return []string{
		"/hosts?q=quartz", "/hosts?q=amber", "/hosts?selector=env%3Dprod", "/hosts?status=failing", "/changes?selector=*", "/changes?q=what",
		"/collections/$both", "/collections/$both_open", "/schedules/$everything", "/hosts/$quartz_host",
	}
}

// pageByPage holds the pages against their rules, for people who have signed in.
func (w *walk) pageByPage(t *testing.T) {
	t.Helper()
	routes := chi.NewRouter()
	(&ui.Server{}).Routes(routes)
	table := pages()
	err := chi.Walk(routes, func(method, route string, _ http.Handler, _ ...func(http.Handler) http.Handler) error {
		if method != http.MethodGet || slices.Contains(unsigned(), route) {
			return nil
		}
		r, ok := table[route]
		if !ok {
			t.Errorf("the page %s has no rule: who may look at it, and what is the effect of a scope?", route)
			return nil
		}
		delete(table, route)
		t.Run(route, func(t *testing.T) { w.walkPage(t, r) })
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for route := range maps.Keys(table) {
		t.Errorf("there is a rule for %s, and no such page", route)
	}
	for _, path := range furtherPages() {
		for _, a := range w.walkers(byCookie)[1:] { // nobody is sent to sign in, as above
			filled := w.fill(t, path, a, true)
			w.looks(t, a, "GET "+filled, w.ask(t, a, http.MethodGet, filled, "", ""))
		}
	}
	for _, a := range w.walkers(byCookie) {
		want := http.StatusForbidden
		if a.role == "" {
			want = http.StatusUnauthorized
		} else if a.role == fleet.Admin && a.view == everywhere {
			want = http.StatusOK
		}
		if got := w.ask(t, a, http.MethodGet, "/queues/", "", ""); got.status != want {
			t.Errorf("/queues/ as %s = %d, want %d", a, got.status, want)
		}
	}
}

func (w *walk) walkPage(t *testing.T, r rule) {
	t.Helper()
	for _, a := range w.walkers(byCookie) {
		want := r.want(a)
		if a.role == "" {
			want = []int{http.StatusSeeOther} // to the page where one signs in
		}
		path := w.fill(t, r.path, a, true)
		got := w.ask(t, a, http.MethodGet, path, "", "")
		if !fits(got.status, want) {
			t.Errorf("%s as %s = %d, want %v: %.300s", path, a, got.status, want, got.body)
		}
		if a.role == "" {
			if !strings.HasPrefix(got.header.Get("Location"), "/login") {
				t.Errorf("%s as nobody leads to %q", path, got.header.Get("Location"))
			}
			continue // the way back names what was asked for, and there is nothing else
		}
		w.looks(t, a, "GET "+path, got)
	}
}
