package ui

import (
	"net/http"
	"net/url"
	"strings"

	"github.com/google/uuid"

	"github.com/rollcallhq/rollcall/pkg/account"
	"github.com/rollcallhq/rollcall/pkg/fleet"
)

const (
	usersURL     = "/users"
	usersPerPage = 200
)

// usersPage is all that users.html may use.
type usersPage struct {
	Users []userRow
	Next  string // the link to the next page
}

// A userRow is a user in the list.
type userRow struct {
	User  fleet.User
	Self  bool   // whether it is who looks
	Hosts string // the link to the hosts that it is bound to
}

// users is the list of who may sign in.
func (s *Server) users(w http.ResponseWriter, r *http.Request) error {
	actor := s.Actor(r.Context())
	found, next, err := s.Accounts.Users(r.Context(), actor, fleet.Page{Limit: usersPerPage, After: r.URL.Query().Get("cursor")})
	if err != nil {
		return err
	}
	page := usersPage{Users: make([]userRow, len(found))}
	for i, u := range found {
		page.Users[i] = userRow{User: u, Self: isSelf(actor, u.ID), Hosts: hostsOf(u.Selector)}
	}
	if next != "" {
		page.Next = link(usersURL, url.Values{"cursor": {next}})
	}
	return s.render(w, r, http.StatusOK, "users.html", layout{Title: "Users", Nav: "users", Page: page})
}

// isSelf reports whether the user is the one that the actor is or belongs to.
func isSelf(actor fleet.Actor, user uuid.UUID) bool {
	return actor.UserID != nil && *actor.UserID == user
}

// requireManager returns an error unless the actor manages users.
func requireManager(actor fleet.Actor) error {
	if err := actor.Require(fleet.Admin); err != nil {
		return err
	}
	if actor.Selector != nil {
		return fleet.Errorf(fleet.Forbidden, "users are managed by admins who see all hosts")
	}
	return nil
}

// A userForm is what a user is and may do, as its form shows it and as it was filled in.
type userForm struct {
	troubles
	Username string
	Role     string
	Selector string
	Version  string // that it was read at; empty: it is not stored yet
}

func readUserForm(q url.Values) userForm {
	text := func(name string) string { return strings.TrimSpace(q.Get(name)) }
	return userForm{Username: text("username"), Role: text("role"), Selector: text("selector"), Version: text("version")}
}

// Roles returns the roles to choose from.
func (userForm) Roles() []roleChoice { return rolesUpTo(fleet.Admin) }

// A roleChoice is a role in the words of a form.
type roleChoice struct{ Role, Text string }

// rolesUpTo returns the roles that include no more than most does.
func rolesUpTo(most fleet.Role) []roleChoice {
	all := []roleChoice{
		{string(fleet.Viewer), "viewer: reads"},
		{string(fleet.Operator), "operator: also collects and cancels"},
		{string(fleet.Admin), "admin: also changes everything"},
	}
	for i, choice := range all {
		if choice.Role == string(most) {
			return all[:i+1]
		}
	}
	return nil
}

// newUserPage is all that newuser.html may use.
type newUserPage struct{ Form userForm }

// newUser shows the empty form.
func (s *Server) newUser(w http.ResponseWriter, r *http.Request) error {
	if err := requireManager(s.Actor(r.Context())); err != nil {
		return err
	}
	return s.showNewUser(w, r, http.StatusOK, userForm{Role: string(fleet.Viewer)})
}

func (s *Server) showNewUser(w http.ResponseWriter, r *http.Request, status int, form userForm) error {
	return s.render(w, r, status, "newuser.html", layout{Title: "New user", Nav: "users", Page: newUserPage{form}})
}

// addUser makes a user and answers with its page and, this once, the link with which it sets a password.
func (s *Server) addUser(w http.ResponseWriter, r *http.Request) error {
	if err := readForm(w, r); err != nil {
		return err
	}
	form := readUserForm(r.PostForm)
	user, reset, err := s.Accounts.CreateUser(r.Context(), s.Actor(r.Context()), account.NewUser{
		Username: form.Username, Role: fleet.Role(form.Role), Selector: form.Selector,
	})
	if err != nil {
		status, ok := formStatus(err)
		if !ok {
			return err
		}
		form.troubles = troublesOf(err, "username", "role", "selector")
		return s.showNewUser(w, r, status, form)
	}
	page := userPage{User: user, Form: formOfUser(user)} // it has no session and no API token yet: nothing to read that could fail
	if reset != nil {
		page.Secret = resetSecret(r, user, *reset)
	}
	return s.showUser(w, r, http.StatusOK, page)
}

// resetSecret shows a one-time link as it is sent to its user.
func resetSecret(r *http.Request, user fleet.User, reset account.ResetLink) *shownSecret {
	return &shownSecret{Title: "A link for " + user.Username, Text: origin(r) + reset.Path(), Until: &reset.ExpiresAt}
}
