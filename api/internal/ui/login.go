package ui

import (
	"net/http"
	"net/url"
	"strings"

	"github.com/rollcallhq/rollcall/pkg/fleet"
)

// loginPage is all that login.html may use.
type loginPage struct {
	Next     string // where to go afterwards
	Username string
	Problem  string
}

// maxForm bounds what a form may send.
const maxForm = 64 << 10

func loginURL(r *http.Request) string {
	if r.Method != http.MethodGet || r.URL.Path == "/" && r.URL.RawQuery == "" {
		return "/login"
	}
	return "/login?" + url.Values{"next": {r.URL.RequestURI()}}.Encode()
}

// local returns next if it is a path of ours, so that nobody is sent to a stranger's page after signing in.
func local(next string) string {
	if !strings.HasPrefix(next, "/") || strings.HasPrefix(next, "//") || strings.ContainsAny(next, "\\\r\n") {
		return "/"
	}
	return next
}

func (s *Server) login(w http.ResponseWriter, r *http.Request) error {
	next := local(r.URL.Query().Get("next"))
	if s.Actor(r.Context()).Kind != "" {
		http.Redirect(w, r, next, http.StatusSeeOther) //nolint:gosec // local has made it one of our own paths
		return nil
	}
	return s.render(w, r, http.StatusOK, "login.html", layout{Title: "Sign in", Page: loginPage{Next: next}})
}

func (s *Server) signIn(w http.ResponseWriter, r *http.Request) error {
	r.Body = http.MaxBytesReader(w, r.Body, maxForm)
	if err := r.ParseForm(); err != nil {
		return fleet.Wrap(err, fleet.Invalid, "The form could not be read.")
	}
	page := loginPage{Next: local(r.PostForm.Get("next")), Username: r.PostForm.Get("username")}
	cookie, err := s.Accounts.LoginCookie(r.Context(), page.Username, r.PostForm.Get("password"), s.Client(r))
	switch fleet.KindOf(err) {
	case fleet.OK:
		s.SetCookie(w, r, cookie)
		http.Redirect(w, r, page.Next, http.StatusSeeOther)
		return nil
	case fleet.Unauthenticated, fleet.Invalid:
		page.Problem = "Username or password is wrong."
		return s.render(w, r, http.StatusUnauthorized, "login.html", layout{Title: "Sign in", Page: page})
	default:
		return err
	}
}

func (s *Server) signOut(w http.ResponseWriter, r *http.Request) error {
	s.ClearCookie(w, r)
	if actor := s.Actor(r.Context()); actor.Kind != "" {
		if err := s.Accounts.Logout(r.Context(), actor); err != nil {
			return err
		}
	}
	http.Redirect(w, r, "/login", http.StatusSeeOther)
	return nil
}
