package ui_test

import (
	"context"
	"html"
	"net/http"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/rollcallhq/rollcall/pkg/ephemeral"
	"github.com/rollcallhq/rollcall/pkg/fleet"
	"github.com/rollcallhq/rollcall/pkg/token"
)

const right = "correct horse battery"

// rightHash is the hash of right, made once because it is slow on purpose.
var rightHash = sync.OnceValues(func() (string, error) { return token.NewPasswords(0).Hash(context.Background(), right) })

// newSiteOfPeople returns a site whose admin is signed in, with the password right.
func newSiteOfPeople(t *testing.T) *site {
	t.Helper()
	s := newSite(t, accounts{})
	hash, err := rightHash()
	if err != nil {
		t.Fatal(err)
	}
	s.actor = s.signsIn(s.person("admin", fleet.Admin, "", hash), "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0")
	return s
}

// person stores a user; without a hash with a password that nobody knows.
func (s *site) person(name string, role fleet.Role, selector, hash string) fleet.User {
	s.t.Helper()
	u := fleet.User{ID: fleet.NewID(), Username: name, PasswordHash: hash, Role: role, Selector: selector}
	if err := s.store.AddUser(s.t.Context(), u); err != nil {
		s.t.Fatal(err)
	}
	return s.stored(u.ID)
}

func (s *site) stored(id uuid.UUID) fleet.User {
	s.t.Helper()
	u, err := s.store.User(s.t.Context(), id)
	if err != nil {
		s.t.Fatal(err)
	}
	return u
}

// signsIn begins a session of the user and returns who asks with it.
func (s *site) signsIn(u fleet.User, agent string) fleet.Actor {
	s.t.Helper()
	id, now := fleet.NewID(), time.Now()
	err := s.sessions.CreateSession(s.t.Context(), ephemeral.Session{
		ID: id, UserID: u.ID, RefreshHash: make([]byte, 32), CreatedAt: now, ExpiresAt: now.Add(time.Hour), Address: "192.0.2.7", UserAgent: agent, Epoch: s.stored(u.ID).SessionEpoch,
	})
	if err != nil {
		s.t.Fatal(err)
	}
	a := fleet.Actor{Kind: fleet.ActorUser, ID: u.ID, UserID: &u.ID, SessionID: &id, Name: u.Username, Role: u.Role}
	if u.Selector != "" {
		selector, err := fleet.ParseSelector(u.Selector)
		if err != nil {
			s.t.Fatal(err)
		}
		a.Selector = &selector
	}
	return a
}

// living returns how many sessions the user has.
func (s *site) living(u fleet.User) int {
	s.t.Helper()
	sessions, err := s.sessions.UserSessions(s.t.Context(), u.ID)
	if err != nil {
		s.t.Fatal(err)
	}
	n := 0
	for _, session := range sessions {
		if session.Epoch == s.stored(u.ID).SessionEpoch {
			n++
		}
	}
	return n
}

// answers posts a form and insists on the answer: a status, where it leads, and words that are in its page.
func (s *site) answers(path string, form map[string]string, status int, to string, words ...string) string {
	s.t.Helper()
	values := map[string][]string{}
	for name, value := range form {
		values[name] = []string{value}
	}
	code, body, header := s.post(path, values)
	if code != status || header.Get("Location") != to {
		s.t.Fatalf("POST %s = %d to %q, want %d to %q: %s", path, code, header.Get("Location"), status, to, body)
	}
	text := html.UnescapeString(body)
	for _, word := range words {
		if !strings.Contains(text, word) {
			s.t.Errorf("POST %s lacks %q: %s", path, word, text)
		}
	}
	if status == http.StatusOK && (header.Get("Cache-Control") != "no-store" || !strings.Contains(body, "</html>")) {
		s.t.Errorf("POST %s is no whole page, or may be kept", path)
	}
	return body
}

var (
	besideField = regexp.MustCompile(`<p class="wrong" id="([a-z_]+)-wrong" role="alert">([^<]+)</p>`)
	shownOnce   = regexp.MustCompile(`<code id="copied"[^>]*>([^<]+)</code>`)
)

// wrong returns what a page says beside its fields, by their names.
func wrong(body string) map[string]string {
	found := map[string]string{}
	for _, m := range besideField.FindAllStringSubmatch(body, -1) {
		found[m[1]] = html.UnescapeString(m[2])
	}
	return found
}

// secretOf returns what the page shows this once.
func (s *site) secretOf(body string) string {
	s.t.Helper()
	m := shownOnce.FindStringSubmatch(body)
	if m == nil {
		s.t.Fatalf("nothing is shown once: %s", body)
	}
	return html.UnescapeString(m[1])
}
