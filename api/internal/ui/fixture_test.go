package ui_test

import (
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/go-chi/chi/v5"

	"github.com/rollcallhq/rollcall/api/internal/ui"
	"github.com/rollcallhq/rollcall/pkg/account"
	"github.com/rollcallhq/rollcall/pkg/collection"
	"github.com/rollcallhq/rollcall/pkg/ephemeral"
	"github.com/rollcallhq/rollcall/pkg/facts"
	"github.com/rollcallhq/rollcall/pkg/fleet"
	"github.com/rollcallhq/rollcall/pkg/housekeeping"
	"github.com/rollcallhq/rollcall/pkg/queue"
	"github.com/rollcallhq/rollcall/pkg/schedule"
	"github.com/rollcallhq/rollcall/pkg/store"
	"github.com/rollcallhq/rollcall/pkg/storetest"
	"github.com/rollcallhq/rollcall/pkg/token"
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

// ResetPassword knows one link, good.
func (a accounts) ResetPassword(_ context.Context, plain, password string, _ account.Client) error {
	switch {
	case a.err != nil:
		return a.err
	case plain != "good":
		return fleet.Errorf(fleet.Unauthenticated, "the link is not good").WithCode(account.CodeResetLinkInvalid)
	case len(password) < 12:
		return fleet.InvalidField("password", "needs at least 12 characters")
	}
	return nil
}

// A service is the accounts of a site: signing in is as accounts has it, everything else is real.
type service struct {
	accounts
	managing
}

type managing struct{ *account.Service }

// A site is the pages on a database of the test's own, looked at by one actor.
type site struct {
	t        *testing.T
	store    *store.Store
	handler  http.Handler
	actor    fleet.Actor
	accounts *account.Service
	redis    *miniredis.Miniredis
	sessions *ephemeral.Store
}

func admin() fleet.Actor { return fleet.Actor{Kind: fleet.ActorUser, Name: "admin", Role: fleet.Admin} }

// newSite returns a site whose database nobody else sees. Its feed of changes stays empty, because it is all one
// transaction that is still open.
func newSite(t *testing.T, a accounts) *site {
	t.Helper()
	return siteOn(t, storetest.New(t), a)
}

// newSiteWithFeed returns a site whose changes come into the feed.
func newSiteWithFeed(t *testing.T) *site {
	t.Helper()
	s, _ := storetest.Pool(t)
	return siteOn(t, s, accounts{})
}

func siteOn(t *testing.T, db *store.Store, a accounts) *site {
	t.Helper()
	s := &site{t: t, store: db, actor: admin()}
	// Nothing listens there: what is triggered is left to the relay.
	client, err := ephemeral.Open("redis://127.0.0.1:1/0", ephemeral.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = client.Close() })
	s.realAccounts()
	log := slog.New(slog.NewTextHandler(t.Output(), nil))
	collections := collection.New(collection.Config{Store: s.store, Queue: queue.New(client), Log: log})
	server, err := ui.New(ui.Config{
		Store: s.store, Collections: collections,
		Schedules: schedule.New(schedule.Config{
			Store: s.store, Log: log, CheckTypes: collections.CheckTypes,
			Trigger: func(ctx context.Context, tx *store.Store, actor fleet.Actor, sch fleet.Schedule, _ time.Time) (fleet.Collection, error) {
				return collections.TriggerIn(ctx, tx, actor, collection.Request{Selector: sch.Selector, ReportTypes: sch.ReportTypes})
			},
		}),
		Housekeeping: housekeeping.New(housekeeping.Config{Store: s.store, Log: log}),
		Accounts:     service{a, managing{s.accounts}}, Log: log,
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

// realAccounts gives the site a service of accounts on its database and a Redis of its own.
func (s *site) realAccounts() {
	s.t.Helper()
	s.redis = miniredis.RunT(s.t)
	client, err := ephemeral.Open("redis://"+s.redis.Addr(), ephemeral.Options{})
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { _ = client.Close() })
	s.sessions = ephemeral.New(client)
	signer, err := token.NewSigner([]byte("0123456789abcdef0123456789abcdef"))
	if err != nil {
		s.t.Fatal(err)
	}
	if s.accounts, err = account.New(account.Config{Store: s.store, Sessions: s.sessions, Signer: signer, Passwords: token.NewPasswords(0)}); err != nil {
		s.t.Fatal(err)
	}
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

// see gets a page, insists that it is whole and harmless and holds the words, and returns it.
func (s *site) see(path string, status int, words ...string) string {
	s.t.Helper()
	code, body, header := s.get(path)
	if code != status {
		s.t.Fatalf("GET %s = %d, want %d: %s", path, code, status, body)
	}
	if !strings.HasPrefix(header.Get("Content-Type"), "text/html") || !strings.Contains(body, "</html>") {
		s.t.Errorf("GET %s is not a whole page", path)
	}
	if n := strings.Count(body, "<script"); n != 1 || !strings.Contains(body, `<script src="/static/app.js" defer></script>`) {
		s.t.Errorf("GET %s has %d scripts: text that was not escaped, or code in the page", path, n)
	}
	for _, inline := range []string{" style=", " onclick=", " onload=", "javascript:", "ZgotmplZ"} {
		if strings.Contains(body, inline) {
			s.t.Errorf("GET %s has %q", path, inline)
		}
	}
	for _, word := range words {
		if !strings.Contains(body, word) {
			s.t.Errorf("GET %s lacks %q", path, word)
		}
	}
	if s.t.Failed() {
		s.t.Logf("GET %s: %s", path, body[:min(len(body), 6000)])
	}
	return body
}

// lacks insists that none of the words is in the page.
func (s *site) lacks(body string, words ...string) {
	s.t.Helper()
	for _, word := range words {
		if strings.Contains(body, word) {
			s.t.Errorf("the page has %q", word)
		}
	}
}

// host stores a host with labels, given as names and values.
func (s *site) host(name string, labels ...string) fleet.Host {
	s.t.Helper()
	h := fleet.Host{
		ID: fleet.NewID(), Name: name, Address: "192.0.2.7", Port: 22, Site: fleet.DefaultSite,
		Connection: fleet.ConnectionSSH, Enabled: true, Labels: map[string]string{},
	}
	for i := 0; i+1 < len(labels); i += 2 {
		h.Labels[labels[i]] = labels[i+1]
	}
	h, err := s.store.AddHost(s.t.Context(), h)
	if err != nil {
		s.t.Fatal(err)
	}
	return h
}

// finding returns a finding of the type.
func finding(reportType, document, metrics string) fleet.Finding {
	return fleet.Finding{
		Type: reportType, SchemaVersion: 1, Status: fleet.ReportOK, Facts: []byte(document), Metrics: []byte(metrics),
		ContentHash: sha256.Sum256(fmt.Appendf(nil, "%s\x00%d\x00%s", reportType, 1, document)),
	}
}

// collect ends a task of the host at that time with the findings, or with a failure, and returns its collection.
func (s *site) collect(h fleet.Host, at time.Time, failure *fleet.Failure, findings ...fleet.Finding) fleet.Collection {
	s.t.Helper()
	ctx := s.t.Context()
	c := s.open(h)
	messages, err := s.store.Outbox(ctx, &c.ID, 1)
	if err != nil || len(messages) != 1 {
		s.t.Fatalf("outbox = %v, %v", messages, err)
	}
	claim, err := s.store.ClaimTask(ctx, messages[0], fleet.NewID())
	if err != nil || claim == nil {
		s.t.Fatalf("claim = %v, %v", claim, err)
	}
	e := store.Ending{Lease: store.LeaseOf(claim.Task), Host: h.ID, State: fleet.TaskSucceeded, Failure: failure, At: at}
	if failure != nil {
		e.State = fleet.TaskFailed
	}
	for _, f := range findings {
		e.Findings = append(e.Findings, s.following(h, f))
	}
	if held, err := s.store.EndTask(ctx, e); err != nil || !held {
		s.t.Fatalf("ending = %v, %v", held, err)
	}
	return c
}

// following says what the finding changes.
func (s *site) following(h fleet.Host, f fleet.Finding) fleet.Finding {
	s.t.Helper()
	formers, err := s.store.Formers(s.t.Context(), fleet.Everything(), h.ID, map[string][]byte{f.Type: nil})
	if err != nil {
		s.t.Fatal(err)
	}
	former := formers[f.Type]
	if former.ContentHash == nil || [32]byte(former.ContentHash) == f.ContentHash {
		return f
	}
	comparison, err := facts.Compare(former.Facts, f.Facts, facts.Options{})
	if err != nil {
		s.t.Fatal(err)
	}
	f.Follows = &fleet.Succession{ContentHash: former.ContentHash, ReportID: former.ReportID}
	for _, d := range comparison.Changes {
		f.Follows.Changes = append(f.Follows.Changes, fleet.FactChange{Path: d.Path.String(), Before: d.Before, After: d.After, Since: &former.CreatedAt})
	}
	return f
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

// reportOf returns the ID of the newest report of the host and type.
func (s *site) reportOf(h fleet.Host, reportType string) string {
	s.t.Helper()
	reports, err := s.store.LatestReports(s.t.Context(), fleet.Everything(), h.ID, reportType)
	if err != nil || len(reports) != 1 {
		s.t.Fatalf("reports = %v, %v", reports, err)
	}
	return reports[0].ID.String()
}
