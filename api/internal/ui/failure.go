package ui

import (
	"net/http"

	"github.com/rollcallhq/rollcall/pkg/account"
	"github.com/rollcallhq/rollcall/pkg/fleet"
)

// A failure is what happened, what it means and what to do.
type failure struct {
	Status  int
	Title   string
	Message string
	Advice  string
}

// fail shows why a page could not be shown. It is the one place where the pages turn an error's kind into a status.
func (s *Server) fail(w http.ResponseWriter, r *http.Request, err error) {
	f := failure{Message: fleet.MessageOf(err)}
	switch fleet.KindOf(err) {
	case fleet.OK, fleet.Internal:
		f.Status, f.Title, f.Advice = http.StatusInternalServerError, "Something went wrong", "Try again; if it happens again, the log of the api process says why."
		s.Log.ErrorContext(r.Context(), "page failed", "path", r.URL.Path, "error", err)
	case fleet.Invalid:
		f.Status, f.Title, f.Advice = http.StatusUnprocessableEntity, "That cannot be done", "Go back and correct what the message names."
	case fleet.NotFound:
		f.Status, f.Title, f.Advice = http.StatusNotFound, "Not here", "It does not exist, or it lies outside of what you may see."
	case fleet.Conflict, fleet.Precondition:
		f.Status, f.Title, f.Advice = http.StatusConflict, "Not now", "Read the page again to see how things stand."
	case fleet.Unauthenticated:
		http.Redirect(w, r, loginURL(r), http.StatusSeeOther)
		return
	case fleet.Forbidden:
		f.Status, f.Title, f.Advice = http.StatusForbidden, "You may not do that", "An admin can give you the role for it."
	case fleet.TooLarge:
		f.Status, f.Title = http.StatusRequestEntityTooLarge, "Too large"
	case fleet.Exhausted:
		f.Status, f.Title, f.Advice = http.StatusTooManyRequests, "Too many attempts", "Wait a minute, then try again."
	case fleet.Unavailable:
		f.Status, f.Title, f.Advice = http.StatusServiceUnavailable, "Not available right now", "Nothing is lost. Try again in a moment; /health says what is down."
		w.Header().Set("Retry-After", "2")
		if account.Stored(err) {
			f.Title, f.Advice = "Done, but not everywhere yet", "There is nothing to do again. If you are signed out now, sign in again."
			w.Header().Del("Retry-After")
		}
	}
	if err := s.render(w, r, f.Status, "failure.html", layout{Title: f.Title, Page: f}); err != nil {
		s.Log.ErrorContext(r.Context(), "failure page failed", "error", err)
		http.Error(w, f.Title, f.Status)
	}
}
