package ui

import (
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/google/uuid"

	"github.com/rollcallhq/rollcall/pkg/account"
	"github.com/rollcallhq/rollcall/pkg/fleet"
)

// userPage is all that user.html may use.
type userPage struct {
	User     fleet.User
	Self     bool // whether it is who looks, and so changes nothing here
	Form     userForm
	Sessions []sessionRow
	Tokens   []tokenRow
	Secret   *shownSecret // a link that was just made
	Hosts    string       // the link to the hosts that it is bound to
	Did      string       // the links to the audit log: of what it did
	Done     string       // and of what was done to it
}

// Path returns the address of the page.
func (p userPage) Path() string { return userURL(p.User.ID) }

func userURL(id uuid.UUID) string { return usersURL + "/" + id.String() }

func formOfUser(u fleet.User) userForm {
	return userForm{Username: u.Username, Role: string(u.Role), Selector: u.Selector, Version: strconv.FormatInt(u.Version, 10)}
}

// user shows a user: what it may do, where it is signed in and its API tokens.
func (s *Server) user(w http.ResponseWriter, r *http.Request) error {
	page, err := s.userPage(r)
	if err != nil {
		return err
	}
	return s.showUser(w, r, http.StatusOK, page)
}

// userPage reads everything that the page of a user shows.
func (s *Server) userPage(r *http.Request) (page userPage, err error) {
	id, err := idOf(r)
	if err != nil {
		return page, err
	}
	ctx, actor := r.Context(), s.Actor(r.Context())
	if page.User, err = s.Accounts.User(ctx, actor, id); err != nil {
		return page, err
	}
	sessions, err := s.Accounts.UserSessions(ctx, actor, id)
	if err != nil {
		return page, err
	}
	tokens, err := s.Accounts.UserTokens(ctx, actor, id)
	if err != nil {
		return page, err
	}
	under := userURL(id)
	if isSelf(actor, id) {
		under = meURL // the same, and one's own page afterwards
	}
	page.Form = formOfUser(page.User)
	page.Sessions, page.Tokens = sessionRows(actor, sessions, under), tokenRows(tokens, time.Now(), under)
	return page, nil
}

// showUser adds what needs no reading.
func (s *Server) showUser(w http.ResponseWriter, r *http.Request, status int, page userPage) error {
	u := page.User
	page.Self, page.Hosts = isSelf(s.Actor(r.Context()), u.ID), hostsOf(u.Selector)
	page.Did = link("/audit", url.Values{"actor": {"user:" + u.Username}})
	page.Done = link("/audit", url.Values{"resource": {"user:" + u.ID.String()}})
	return s.render(w, r, status, "user.html", layout{Title: u.Username, Nav: "users", Page: page})
}

// changeUser takes what a user may do from now on.
func (s *Server) changeUser(w http.ResponseWriter, r *http.Request) error {
	page, err := s.userPage(r)
	if err != nil {
		return err
	}
	if err := readForm(w, r); err != nil {
		return err
	}
	form := readUserForm(r.PostForm)
	form.Username = page.User.Username
	version, err := strconv.ParseInt(form.Version, 10, 64)
	if err != nil || version <= 0 { // 0 would be: whatever it is by now
		return fleet.Errorf(fleet.Invalid, "The form could not be read.")
	}
	_, err = s.Accounts.ChangeUser(r.Context(), s.Actor(r.Context()), page.User.ID, version, account.UserChange{
		Role: new(fleet.Role(form.Role)), Selector: &form.Selector,
	})
	if err == nil {
		http.Redirect(w, r, page.Path(), http.StatusSeeOther)
		return nil
	}
	status, ok := formStatus(err)
	if !ok || fleet.CodeOf(err) == account.CodeOwnAccount { // whose page has no form to say it beside
		return err
	}
	form.troubles = troublesOf(err, "role", "selector")
	if fleet.KindOf(err) == fleet.Precondition {
		form.Problem = "Somebody has changed this user meanwhile. What it may do now stands above; save again to replace that."
		form.Version = page.Form.Version
	}
	page.Form = form
	return s.showUser(w, r, status, page)
}

func (s *Server) disableUser(w http.ResponseWriter, r *http.Request) error {
	return s.setDisabled(w, r, true)
}

func (s *Server) enableUser(w http.ResponseWriter, r *http.Request) error {
	return s.setDisabled(w, r, false)
}

func (s *Server) setDisabled(w http.ResponseWriter, r *http.Request, disabled bool) error {
	return s.doneToUser(w, r, func(id uuid.UUID) error {
		_, err := s.Accounts.ChangeUser(r.Context(), s.Actor(r.Context()), id, 0, account.UserChange{Disabled: &disabled})
		return err
	})
}

// doneToUser does something to the user of the address and shows its page.
func (s *Server) doneToUser(w http.ResponseWriter, r *http.Request, do func(id uuid.UUID) error) error {
	id, err := idOf(r)
	if err != nil {
		return err
	}
	if err := do(id); err != nil {
		return err
	}
	http.Redirect(w, r, userURL(id), http.StatusSeeOther)
	return nil
}

// deleteUser deletes a user for whoever has ticked that they are sure.
func (s *Server) deleteUser(w http.ResponseWriter, r *http.Request) error {
	id, err := idOf(r)
	if err != nil {
		return err
	}
	actor := s.Actor(r.Context())
	if err := requireManager(actor); err != nil {
		return err
	}
	if err := readForm(w, r); err != nil {
		return err
	}
	if r.PostForm.Get("sure") != "yes" {
		return fleet.Errorf(fleet.Invalid, "Tick the box beside the button to delete the user.")
	}
	if err := s.Accounts.DeleteUser(r.Context(), actor, id, 0); err != nil {
		return err
	}
	http.Redirect(w, r, usersURL, http.StatusSeeOther)
	return nil
}

// resetUser makes a one-time link and shows it, this once. Everything else is read before: a link that was made and is not
// shown would be lost.
func (s *Server) resetUser(w http.ResponseWriter, r *http.Request) error {
	page, err := s.userPage(r)
	if err != nil {
		return err
	}
	reset, err := s.Accounts.ResetLink(r.Context(), s.Actor(r.Context()), page.User.ID)
	if err != nil {
		return err
	}
	page.Secret = resetSecret(r, page.User, reset)
	return s.showUser(w, r, http.StatusOK, page)
}

func (s *Server) endUserSessions(w http.ResponseWriter, r *http.Request) error {
	return s.doneToUser(w, r, func(id uuid.UUID) error {
		return s.Accounts.RevokeUserSessions(r.Context(), s.Actor(r.Context()), id)
	})
}

func (s *Server) endUserSession(w http.ResponseWriter, r *http.Request) error {
	session, err := partOf(r, "session")
	if err != nil {
		return err
	}
	return s.doneToUser(w, r, func(id uuid.UUID) error {
		return unlessGone(s.Accounts.RevokeUserSession(r.Context(), s.Actor(r.Context()), id, session))
	})
}

func (s *Server) revokeUserToken(w http.ResponseWriter, r *http.Request) error {
	token, err := partOf(r, "token")
	if err != nil {
		return err
	}
	return s.doneToUser(w, r, func(id uuid.UUID) error {
		return unlessGone(s.Accounts.RevokeUserToken(r.Context(), s.Actor(r.Context()), id, token))
	})
}

// unlessGone returns the error of ending something, unless it has ended before: then it is as gone as was wanted, and who
// presses twice has no use for an error.
func unlessGone(err error) error {
	if fleet.KindOf(err) == fleet.NotFound {
		return nil
	}
	return err
}
