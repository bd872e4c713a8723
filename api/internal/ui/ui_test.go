package ui_test

import (
	"context"
	"crypto/sha256"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/go-chi/chi/v5"

	"github.com/rollcallhq/rollcall/api/internal/ui"
	"github.com/rollcallhq/rollcall/pkg/account"
	"github.com/rollcallhq/rollcall/pkg/collection"
	"github.com/rollcallhq/rollcall/pkg/ephemeral"
	"github.com/rollcallhq/rollcall/pkg/fleet"
	"github.com/rollcallhq/rollcall/pkg/queue"
	"github.com/rollcallhq/rollcall/pkg/store"
	"github.com/rollcallhq/rollcall/pkg/storetest"
)

// accounts lets one user in.
type accounts struct{ err error }

func (a accounts) LoginCookie(_ context.Context, username, password string, _ account.Client) (account.Cookie, error) {
	switch {
	case a.err != nil:
		return account.Cookie{}, a.err
	case username != "admin" || password != "right":
		return account.Cookie{}, fleet.Errorf(fleet.Unauthenticated, "user name or password is wrong")
	}
	return account.Cookie{Secret: "s", ExpiresAt: time.Now().Add(time.Hour)}, nil
}

func (a accounts) Logout(context.Context, fleet.Actor) error { return a.err }

// A site is the pages on a database of the test's own, looked at by one actor.
type site struct {
	t       *testing.T
	store   *store.Store
	handler http.Handler
	actor   fleet.Actor
}

func admin() fleet.Actor { return fleet.Actor{Kind: fleet.ActorUser, Name: "admin", Role: fleet.Admin} }

func newSite(t *testing.T, a accounts) *site {
	t.Helper()
	s := &site{t: t, store: storetest.New(t), actor: admin()}
	// Nothing listens there: what is triggered is left to the relay.
	client, err := ephemeral.Open("redis://127.0.0.1:1/0", ephemeral.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = client.Close() })
	log := slog.New(slog.DiscardHandler)
	server, err := ui.New(ui.Config{
		Store: s.store, Collections: collection.New(collection.Config{Store: s.store, Queue: queue.New(client), Log: log}),
		Accounts: a, Log: log,
		Actor:  func(context.Context) fleet.Actor { return s.actor },
		Client: func(*http.Request) account.Client { return account.Client{} },
		SetCookie: func(w http.ResponseWriter, _ *http.Request, c account.Cookie) {
			http.SetCookie(w, &http.Cookie{Name: "c", Value: c.Secret})
		},
		ClearCookie: func(http.ResponseWriter, *http.Request) {},
	})
	if err != nil {
		t.Fatal(err)
	}
	r := chi.NewRouter()
	server.Routes(r)
	s.handler = r
	return s
}

func (s *site) get(path string) (int, string, http.Header) {
	return s.do(httptest.NewRequestWithContext(s.t.Context(), http.MethodGet, path, nil))
}

func (s *site) post(path string, form url.Values) (int, string, http.Header) {
	r := httptest.NewRequestWithContext(s.t.Context(), http.MethodPost, path, strings.NewReader(form.Encode()))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	return s.do(r)
}

func (s *site) do(r *http.Request) (int, string, http.Header) {
	s.t.Helper()
	w := httptest.NewRecorder()
	s.handler.ServeHTTP(w, r)
	body, err := io.ReadAll(w.Result().Body)
	if err != nil {
		s.t.Fatal(err)
	}
	return w.Code, string(body), w.Header()
}

// collected stores a host with a task that ended with the state and, unless it failed, with a report.
func (s *site) collected(name string, state fleet.TaskState, failure *fleet.Failure) (fleet.Host, fleet.Collection) {
	s.t.Helper()
	ctx := s.t.Context()
	h, err := s.store.AddHost(ctx, fleet.Host{
		ID: fleet.NewID(), Name: name, Address: "192.0.2.7", Port: 22, Site: fleet.DefaultSite,
		Connection: fleet.ConnectionSSH, Enabled: true, Labels: map[string]string{"env": "<prod>"},
	})
	if err != nil {
		s.t.Fatal(err)
	}
	c := s.open(h)
	messages, err := s.store.Outbox(ctx, &c.ID, 1)
	if err != nil || len(messages) != 1 {
		s.t.Fatalf("outbox = %v, %v", messages, err)
	}
	claim, err := s.store.ClaimTask(ctx, messages[0], fleet.NewID())
	if err != nil || claim == nil {
		s.t.Fatalf("claim = %v, %v", claim, err)
	}
	e := store.Ending{Lease: store.LeaseOf(claim.Task), Host: h.ID, State: state, Failure: failure, At: time.Now()}
	if state != fleet.TaskFailed {
		e.Findings = []fleet.Finding{{
			Type: "os", SchemaVersion: 1, Status: fleet.ReportOK, ContentHash: sha256.Sum256([]byte(name)),
			Facts:       []byte(`{"id":"debian","kernel":{"release":"6.1"},"id_like":[],"hw":null,"evil":"<script>alert(1)</script>"}`),
			Metrics:     []byte(`{"uptime_seconds":12.5,"up":true}`),
			Unavailable: map[string]string{"hw.serial": "no_permission"},
		}}
	}
	if held, err := s.store.EndTask(ctx, e); err != nil || !held {
		s.t.Fatalf("ending = %v, %v", held, err)
	}
	return h, c
}

// open stores a collection of the host that nobody works on yet.
func (s *site) open(h fleet.Host) fleet.Collection {
	s.t.Helper()
	selector, err := fleet.ParseSelector("name=" + h.Name)
	if err != nil {
		s.t.Fatal(err)
	}
	id := fleet.NewID()
	c, err := s.store.AddCollection(s.t.Context(), fleet.Everything(), fleet.Collection{
		ID: id, Kind: fleet.KindCollect, Actor: "user:admin", Selector: selector.String(), ReportTypes: []string{"os"},
		Priority: fleet.PriorityNormal, Deadline: time.Minute, ExpiresAt: time.Now().Add(time.Hour),
	}, &selector)
	if err != nil {
		s.t.Fatal(err)
	}
	return c
}

func TestEveryPageInEveryState(t *testing.T) {
	t.Parallel()
	s := newSite(t, accounts{})
	see := func(path string, status int, words ...string) {
		t.Helper()
		code, body, header := s.get(path)
		if code != status {
			t.Errorf("GET %s = %d, want %d: %s", path, code, status, body)
		}
		if !strings.HasPrefix(header.Get("Content-Type"), "text/html") || !strings.Contains(body, "</html>") {
			t.Errorf("GET %s is not a whole page", path)
		}
		if strings.Contains(body, "<script") || strings.Contains(body, " style=") {
			t.Errorf("GET %s has inline code or text that was not escaped", path)
		}
		for _, word := range words {
			if !strings.Contains(body, word) {
				t.Errorf("GET %s lacks %q", path, word)
			}
		}
	}
	see("/", http.StatusOK, "No hosts yet")
	good, ended := s.collected("web-1", fleet.TaskSucceeded, nil)
	bad, failed := s.collected("web-2", fleet.TaskFailed, fleet.Fail(fleet.CodeTCPRefused, nil))
	waiting := s.open(good)
	see("/", http.StatusOK, "web-1", "web-2", "succeeded", "tcp_refused", "2 hosts", "none yet", "env=&lt;prod&gt;")
	see("/?selector=name%3Dweb-1", http.StatusOK, "1 host")
	see("/?selector=env%3D", http.StatusUnprocessableEntity, "position 5")
	see("/?selector=role%3Ddb", http.StatusOK, "No host matches")
	see("/?cursor=%21", http.StatusUnprocessableEntity, "cursor")
	see("/hosts/"+good.ID.String(), http.StatusOK, "Collect now", "debian", "uptime_seconds", "&lt;script&gt;", "unknown")
	see("/hosts/"+bad.ID.String(), http.StatusOK, "No reports yet", fleet.CodeTCPRefused.Info().Remedy)
	see("/hosts/"+fleet.NewID().String(), http.StatusNotFound, "Not here")
	see("/hosts/nonsense", http.StatusNotFound, "Not here")
	see("/collections/"+ended.ID.String(), http.StatusOK, "succeeded", "web-1")
	see("/collections/"+failed.ID.String(), http.StatusOK, "tcp_refused", "What to do")
	see("/collections/"+waiting.ID.String(), http.StatusOK, "pending", `http-equiv="refresh"`)
	reports, err := s.store.LatestReports(t.Context(), fleet.Everything(), good.ID, "os")
	if err != nil || len(reports) != 1 {
		t.Fatalf("reports = %v, %v", reports, err)
	}
	see("/reports/"+reports[0].ID.String(), http.StatusOK, "os of web-1", "no_permission", "/api/v1/reports/")
	see("/reports/"+fleet.NewID().String(), http.StatusNotFound)
	code, body, _ := s.get("/static/app.css")
	if code != http.StatusOK || !strings.Contains(body, "prefers-color-scheme") {
		t.Errorf("the style sheet = %d", code)
	}
}

func TestCollectFromThePage(t *testing.T) {
	t.Parallel()
	s := newSite(t, accounts{})
	h, _ := s.collected("web-1", fleet.TaskSucceeded, nil)
	code, _, header := s.post("/hosts/"+h.ID.String()+"/collect", nil)
	if code != http.StatusSeeOther || !strings.HasPrefix(header.Get("Location"), "/collections/") {
		t.Fatalf("collect = %d to %s", code, header.Get("Location"))
	}
	if code, body, _ := s.get(header.Get("Location")); code != http.StatusOK || !strings.Contains(body, "pending") {
		t.Errorf("the collection's page = %d", code)
	}
	s.actor.Role = fleet.Viewer
	if code, body, _ := s.post("/hosts/"+h.ID.String()+"/collect", nil); code != http.StatusForbidden || !strings.Contains(body, "operator") {
		t.Errorf("a viewer's collect = %d", code)
	}
	if _, body, _ := s.get("/hosts/" + h.ID.String()); strings.Contains(body, "Collect now") {
		t.Error("a viewer is offered to collect")
	}
}

func TestSigningIn(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name     string
		accounts accounts
		form     url.Values
		status   int
		location string
		words    string
	}{
		{"the right password leads to where one wanted to go", accounts{}, url.Values{"username": {"admin"}, "password": {"right"}, "next": {"/hosts/1?x=2"}}, http.StatusSeeOther, "/hosts/1?x=2", ""},
		{"never to another site", accounts{}, url.Values{"username": {"admin"}, "password": {"right"}, "next": {"//evil.example"}}, http.StatusSeeOther, "/", ""},
		{"a wrong password is not told from a wrong name", accounts{}, url.Values{"username": {"admin"}, "password": {"wrong"}}, http.StatusUnauthorized, "", "Username or password is wrong"},
		{"nothing typed", accounts{}, nil, http.StatusUnauthorized, "", "Username or password is wrong"},
		{"too many attempts", accounts{fleet.Errorf(fleet.Exhausted, "too many attempts")}, nil, http.StatusTooManyRequests, "", "Wait a minute"},
		{"no session store", accounts{fleet.Errorf(fleet.Unavailable, "the session store does not answer")}, nil, http.StatusServiceUnavailable, "", "Nothing is lost"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := newSite(t, tt.accounts)
			s.actor = fleet.Actor{}
			code, body, header := s.post("/login", tt.form)
			if code != tt.status || header.Get("Location") != tt.location || !strings.Contains(body, tt.words) {
				t.Errorf("sign-in = %d to %q: %s", code, header.Get("Location"), body)
			}
			if (header.Get("Set-Cookie") != "") != (tt.location != "") {
				t.Errorf("cookie = %q", header.Get("Set-Cookie"))
			}
		})
	}
}

func TestStrangersAreSentToSignInAndBack(t *testing.T) {
	t.Parallel()
	s := newSite(t, accounts{})
	s.actor = fleet.Actor{}
	for path, want := range map[string]string{"/": "/login", "/hosts/7?a=b": "/login?next=%2Fhosts%2F7%3Fa%3Db"} {
		if code, _, header := s.get(path); code != http.StatusSeeOther || header.Get("Location") != want {
			t.Errorf("GET %s = %d to %s, want %s", path, code, header.Get("Location"), want)
		}
	}
	if code, body, _ := s.get("/login"); code != http.StatusOK || !strings.Contains(body, `name="password"`) {
		t.Errorf("the sign-in page = %d", code)
	}
	s.actor = admin()
	if code, _, header := s.get("/login?next=%2Fhosts%2F7"); code != http.StatusSeeOther || header.Get("Location") != "/hosts/7" {
		t.Errorf("signing in twice = %d to %s", code, header.Get("Location"))
	}
	if code, _, header := s.post("/logout", nil); code != http.StatusSeeOther || header.Get("Location") != "/login" {
		t.Errorf("signing out = %d to %s", code, header.Get("Location"))
	}
}

func FuzzTree(f *testing.F) {
	for _, seed := range []string{`{"a":1}`, `{"a":{"b":[1,null,"x"]}}`, `[`, `{"a"`, strings.Repeat(`{"a":`, 50)} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(_ *testing.T, data []byte) { _, _ = ui.Tree(data) })
}
