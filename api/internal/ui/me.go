package ui

import (
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/rollcallhq/rollcall/pkg/account"
	"github.com/rollcallhq/rollcall/pkg/fleet"
	"github.com/rollcallhq/rollcall/pkg/store"
)

const (
	meURL = "/me"
	// tokenLifetime is what the form of a new API token proposes.
	tokenLifetime = 90 * 24 * time.Hour
)

// mePage is all that me.html may use.
type mePage struct {
	Actor    fleet.Actor
	Hosts    string // the link to the hosts that it is bound to
	Notice   string // what was just done
	Sessions []sessionRow
	Lost     bool // whether the sessions could not be read
	Others   bool // whether there are others than this one
	Password troubles
	Tokens   []tokenRow
	Form     tokenForm
	Secret   *shownSecret // an API token that was just made
}

// A tokenForm is a new API token as it was filled in.
type tokenForm struct {
	troubles
	Name      string
	Role      string // empty: the owner's
	Selector  string
	ExpiresAt string // as a field of a form has it, UTC; empty: never
	Roles     []roleChoice
}

func readTokenForm(q url.Values) tokenForm {
	text := func(name string) string { return strings.TrimSpace(q.Get(name)) }
	return tokenForm{Name: text("name"), Role: text("role"), Selector: text("selector"), ExpiresAt: text("expires_at")}
}

// asked returns the API token that the form asks for.
func (f tokenForm) asked() (account.NewToken, error) {
	in := account.NewToken{Name: f.Name, Role: fleet.Role(f.Role), Selector: f.Selector}
	expires, err := readTime("expires_at", f.ExpiresAt)
	if err == nil && !expires.IsZero() {
		in.ExpiresAt = &expires
	}
	return in, err
}

// me shows who is signed in: what it may do, where it is signed in and its API tokens.
func (s *Server) me(w http.ResponseWriter, r *http.Request) error {
	page, err := s.mePage(r)
	if err != nil {
		return err
	}
	return s.showMe(w, r, http.StatusOK, page)
}

// mePage reads everything that the page shows.
func (s *Server) mePage(r *http.Request) (page mePage, err error) {
	ctx, now := r.Context(), time.Now()
	page.Actor = s.Actor(ctx)
	page.Form.ExpiresAt = now.Add(tokenLifetime).UTC().Truncate(24 * time.Hour).Format(fieldTime)
	if page.Actor.Selector != nil {
		page.Hosts = hostsOf(page.Actor.Selector.String())
	}
	tokens, err := s.Accounts.Tokens(ctx, page.Actor)
	if err != nil {
		return page, err
	}
	page.Tokens = tokenRows(tokens, now, meURL)
	return page, s.readSessions(r, &page)
}

func (s *Server) readSessions(r *http.Request, page *mePage) error {
	sessions, err := s.Accounts.Sessions(r.Context(), page.Actor)
	page.Sessions = sessionRows(page.Actor, sessions, meURL)
	page.Others = len(sessions) > 1
	return err
}

func (s *Server) showMe(w http.ResponseWriter, r *http.Request, status int, page mePage) error {
	page.Form.Roles = rolesUpTo(page.Actor.Role)
	return s.render(w, r, status, "me.html", layout{Title: "Your account", Nav: "me", Page: page})
}

// Fields of the form of a new password that the service names.
const (
	currentField = "current_password"
	newField     = "new_password"
	againField   = "again"
)

// changePassword takes a new password. What was typed is never sent back.
func (s *Server) changePassword(w http.ResponseWriter, r *http.Request) error {
	page, err := s.mePage(r)
	if err != nil {
		return err
	}
	if err := readForm(w, r); err != nil {
		return err
	}
	password := r.PostForm.Get(newField)
	if password != r.PostForm.Get(againField) {
		err = fleet.InvalidField(againField, "the two new passwords are not the same")
	} else {
		err = s.Accounts.ChangePassword(r.Context(), page.Actor, r.PostForm.Get(currentField), password)
	}
	status, ok := formStatus(err)
	switch {
	case err == nil:
		page.Notice = "Your password is changed. Your other sessions have ended; this one goes on, and so do your API tokens."
		return s.afterwards(w, r, page)
	case account.Stored(err):
		page.Notice = "Your password is changed. The session store did not answer, so all your sessions have ended, this one too: sign in again with the new password."
		page.Sessions, page.Others, page.Lost = nil, false, true
		return s.showMe(w, r, http.StatusOK, page)
	case ok:
		page.Password = passwordTroubles(err)
		return s.showMe(w, r, status, page)
	default:
		return err
	}
}

// afterwards shows the page with the sessions as they are after something was done. That they cannot be read does not take
// away from what was done.
func (s *Server) afterwards(w http.ResponseWriter, r *http.Request, page mePage) error {
	if err := s.readSessions(r, &page); err != nil {
		s.Log.WarnContext(r.Context(), "sessions not shown", "error", err)
		page.Lost = true
	}
	return s.showMe(w, r, http.StatusOK, page)
}

func passwordTroubles(err error) troubles {
	t := troublesOf(err, currentField, newField, againField)
	if fleet.CodeOf(err) == account.CodeWrongPassword {
		t.Wrong[currentField] = "This is not your password."
	}
	return t
}

// endOtherSessions ends all sessions but the one that asks.
func (s *Server) endOtherSessions(w http.ResponseWriter, r *http.Request) error {
	if err := s.Accounts.RevokeSessions(r.Context(), s.Actor(r.Context()), true); err != nil {
		return err
	}
	http.Redirect(w, r, meURL, http.StatusSeeOther)
	return nil
}

// endSession ends one session; whoever ends the own one is signed out.
func (s *Server) endSession(w http.ResponseWriter, r *http.Request) error {
	id, err := partOf(r, "session")
	if err != nil {
		return err
	}
	actor := s.Actor(r.Context())
	if err := unlessGone(s.Accounts.RevokeSession(r.Context(), actor, id)); err != nil {
		return err
	}
	to := meURL
	if actor.SessionID != nil && *actor.SessionID == id {
		s.ClearCookie(w, r)
		to = "/login"
	}
	http.Redirect(w, r, to, http.StatusSeeOther)
	return nil
}

// addToken makes an API token and shows it, this once. Everything else is read before: a token that was made and is not
// shown would be lost.
func (s *Server) addToken(w http.ResponseWriter, r *http.Request) error {
	page, err := s.mePage(r)
	if err != nil {
		return err
	}
	if err := readForm(w, r); err != nil {
		return err
	}
	form := readTokenForm(r.PostForm)
	asked, err := form.asked()
	if err == nil {
		var made store.APIToken
		var plain string
		if made, plain, err = s.Accounts.CreateNarrowToken(r.Context(), page.Actor, asked); err == nil {
			page.Tokens = append(tokenRows([]store.APIToken{made}, time.Now(), meURL), page.Tokens...)
			page.Secret = &shownSecret{Title: "The API token " + made.Name, Text: plain, Until: made.ExpiresAt}
			return s.showMe(w, r, http.StatusOK, page)
		}
	}
	status, ok := formStatus(err)
	if !ok {
		return err
	}
	form.troubles = troublesOf(err, "name", "role", "selector", "expires_at")
	page.Form = form
	return s.showMe(w, r, status, page)
}

func (s *Server) revokeToken(w http.ResponseWriter, r *http.Request) error {
	id, err := partOf(r, "token")
	if err != nil {
		return err
	}
	if err := unlessGone(s.Accounts.RevokeToken(r.Context(), s.Actor(r.Context()), id)); err != nil {
		return err
	}
	http.Redirect(w, r, meURL, http.StatusSeeOther)
	return nil
}
