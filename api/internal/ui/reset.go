package ui

import (
	"net/http"

	"github.com/rollcallhq/rollcall/pkg/account"
	"github.com/rollcallhq/rollcall/pkg/fleet"
)

// resetPage is all that reset.html may use.
type resetPage struct {
	Token   string // that was sent and not accepted with the password; the first time it comes out of the address, by script
	Problem string
	Done    bool
}

const resetTitle = "Set a password"

// reset is where a one-time link leads. Its token stands behind the # of the address, which no browser sends and hence no
// log holds; a script puts it into the form.
func (s *Server) reset(w http.ResponseWriter, r *http.Request) error {
	return s.render(w, r, http.StatusOK, "reset.html", layout{Title: resetTitle, Page: resetPage{}})
}

func (s *Server) setPassword(w http.ResponseWriter, r *http.Request) error {
	r.Body = http.MaxBytesReader(w, r.Body, maxForm)
	if err := r.ParseForm(); err != nil {
		return fleet.Wrap(err, fleet.Invalid, "The form could not be read.")
	}
	page, password := resetPage{Token: r.PostForm.Get("token")}, r.PostForm.Get("password")
	if password != r.PostForm.Get("again") {
		page.Problem = "The two passwords are not the same."
		return s.render(w, r, http.StatusUnprocessableEntity, "reset.html", layout{Title: resetTitle, Page: page})
	}
	err := s.Accounts.ResetPassword(r.Context(), page.Token, password, s.Client(r))
	switch {
	case err == nil:
		return s.render(w, r, http.StatusOK, "reset.html", layout{Title: resetTitle, Page: resetPage{Done: true}})
	case fleet.CodeOf(err) == account.CodeResetLinkInvalid:
		page = resetPage{Problem: "This link is not good any more: it was used, replaced by a newer one, or is older than a day. Ask an admin for another."}
		return s.render(w, r, http.StatusUnauthorized, "reset.html", layout{Title: resetTitle, Page: page})
	case fleet.KindOf(err) == fleet.Invalid:
		page.Problem = sentence(err)
		return s.render(w, r, http.StatusUnprocessableEntity, "reset.html", layout{Title: resetTitle, Page: page})
	default:
		return err
	}
}

// sentence returns the first thing that is wrong with a password.
func sentence(err error) string {
	if fields := fleet.FieldsOf(err); len(fields) > 0 {
		return "The password " + fields[0].Message + "."
	}
	return "The password is not accepted."
}
