package rest

import (
	"context"
	"encoding/json"
	"net/http"

	"github.com/google/uuid"

	"github.com/rollcallhq/rollcall/api/internal/session"
	"github.com/rollcallhq/rollcall/pkg/account"
	"github.com/rollcallhq/rollcall/pkg/fleet"
	"github.com/rollcallhq/rollcall/pkg/wire"
)

const (
	usersPath   = "/users"
	resetSuffix = "/reset"
)

func (s *server) registerUsers() {
	const managers = "Only for admins without a selector, because who may do everything to some hosts could make an account that may do it to all."
	one := usersPath + "/{id}"
	register(s, operation{
		id: "listUsers", method: http.MethodGet, path: usersPath, tag: "users", summary: "List users, newest first", role: fleet.Admin,
		description: managers + " Deleted users are not listed.",
	}, s.listUsers)
	register(s, operation{
		id: "createUser", method: http.MethodPost, path: usersPath, tag: "users", summary: "Add a user", role: fleet.Admin, status: http.StatusCreated,
		description: managers + " Without a password the answer has a one-time link with which the user sets one.",
	}, s.createUser)
	register(s, operation{
		id: "getUser", method: http.MethodGet, path: one, tag: "users", summary: "A user", role: fleet.Admin, description: managers,
	}, s.getUser)
	register(s, operation{
		id: "updateUser", method: http.MethodPatch, path: one, tag: "users", summary: "Change a user", role: fleet.Admin,
		description: managers + " Nobody changes the own account (409 own_account), and an enabled admin without a selector remains (409 last_admin). " +
			"Disabling ends all sessions at once. Should it answer 503 session_store_unavailable, it is done all the same.",
	}, s.updateUser)
	register(s, operation{
		id: "deleteUser", method: http.MethodDelete, path: one, tag: "users", summary: "Delete a user", role: fleet.Admin,
		description: managers + " The user is disabled for good, its sessions and API tokens end at once, and it is not listed any more. " +
			"Its name stays taken, because the audit log names people by it.",
	}, s.deleteUser)
	register(s, operation{
		id: "resetUser", method: http.MethodPost, path: one + resetSuffix, tag: "users", summary: "Make a one-time link", role: fleet.Admin,
		description: managers + " With the link the user sets a password within 24 hours, once. A newer one replaces it. It is shown this once.",
	}, s.resetUser)
	register(s, operation{
		id: "listUserSessions", method: http.MethodGet, path: one + "/sessions", tag: "users", summary: "Where a user is signed in", role: fleet.Admin,
		description: managers,
	}, s.listUserSessions)
	register(s, operation{
		id: "revokeUserSessions", method: http.MethodDelete, path: one + "/sessions", tag: "users", summary: "End all sessions of a user", role: fleet.Admin,
		description: managers + " They end at once.",
	}, s.revokeUserSessions)
	register(s, operation{
		id: "revokeUserSession", method: http.MethodDelete, path: one + "/sessions/{session_id}", tag: "users", summary: "End one session of a user", role: fleet.Admin,
		description: managers + " It ends at once.",
	}, s.revokeUserSession)
	register(s, operation{
		id: "listUserTokens", method: http.MethodGet, path: one + tokensPath, tag: "users", summary: "List a user's API tokens", role: fleet.Admin,
		description: managers + " Without those that were revoked. Those of a disabled user are refused until it is enabled again.",
	}, s.listUserTokens)
	register(s, operation{
		id: "revokeUserToken", method: http.MethodDelete, path: one + tokensPath + "/{token_id}", tag: "users", summary: "Revoke an API token of a user", role: fleet.Admin,
		description: managers + " It is worthless at once.",
	}, s.revokeUserToken)
}

func (s *server) listUsers(ctx context.Context, in *Paged) (*body[wire.List[wire.User]], error) {
	users, next, err := s.Accounts.Users(ctx, session.Actor(ctx), in.page())
	if err != nil {
		return nil, err
	}
	return answer(wire.ListOf(users, next, wire.UserView)), nil
}

type createUserInput struct{ Body wire.UserInput }

func (s *server) createUser(ctx context.Context, in *createUserInput) (*made[wire.NewUser], error) {
	if in.Body.Password != nil && *in.Body.Password == "" {
		return nil, fleet.InvalidField("password", "is empty; leave it out for a one-time link")
	}
	user, link, err := s.Accounts.CreateUser(ctx, session.Actor(ctx), account.NewUser{
		Username: in.Body.Username, Password: string(orZero(in.Body.Password)), Role: fleet.Role(in.Body.Role), Selector: orZero(in.Body.Selector),
	})
	if err != nil {
		return nil, err
	}
	out := wire.NewUser{User: wire.UserView(user)}
	if link != nil {
		out.Reset = new(linkView(*link))
	}
	return &made[wire.NewUser]{Location: prefix + usersPath + "/" + user.ID.String(), ETag: etagOf(user.Version), Body: out}, nil
}

func linkView(l account.ResetLink) wire.ResetLink {
	return wire.ResetLink{Path: l.Path(), Token: l.Token, ExpiresAt: l.ExpiresAt.UTC()}
}

func (s *server) getUser(ctx context.Context, in *ByID) (*versioned[wire.User], error) {
	return userBody(s.Accounts.User(ctx, session.Actor(ctx), in.ID))
}

func userBody(u fleet.User, err error) (*versioned[wire.User], error) {
	if err != nil {
		return nil, err
	}
	return &versioned[wire.User]{ETag: etagOf(u.Version), Body: wire.UserView(u)}, nil
}

type updateUserInput struct {
	ByID
	IfMatch
	Body    wire.UserPatch
	RawBody []byte `contentType:"application/merge-patch+json"`
}

func (s *server) updateUser(ctx context.Context, in *updateUserInput) (*versioned[wire.User], error) {
	version, err := in.version()
	if err != nil {
		return nil, err
	}
	var given map[string]json.RawMessage
	if err := json.Unmarshal(in.RawBody, &given); err != nil {
		return nil, fleet.Wrap(err, fleet.Invalid, "the patch is not an object")
	}
	for _, field := range []string{"role", "disabled"} {
		if string(given[field]) == "null" {
			return nil, fleet.InvalidField(field, "it cannot be removed")
		}
	}
	change := account.UserChange{Selector: in.Body.Selector, Disabled: in.Body.Disabled}
	if in.Body.Role != nil {
		change.Role = new(fleet.Role(*in.Body.Role))
	}
	if string(given["selector"]) == "null" {
		change.Selector = new("")
	}
	return userBody(s.Accounts.ChangeUser(ctx, session.Actor(ctx), in.ID, version, change))
}

func (s *server) deleteUser(ctx context.Context, in *deleteInput) (*none, error) {
	version, err := in.version()
	if err != nil {
		return nil, err
	}
	return &none{}, s.Accounts.DeleteUser(ctx, session.Actor(ctx), in.ID, version)
}

func (s *server) resetUser(ctx context.Context, in *ByID) (*body[wire.ResetLink], error) {
	link, err := s.Accounts.ResetLink(ctx, session.Actor(ctx), in.ID)
	if err != nil {
		return nil, err
	}
	return answer(linkView(link)), nil
}

func (s *server) listUserSessions(ctx context.Context, in *ByID) (*body[wire.List[wire.Session]], error) {
	actor := session.Actor(ctx)
	sessions, err := s.Accounts.UserSessions(ctx, actor, in.ID)
	return sessionsBody(actor, sessions, err)
}

func (s *server) revokeUserSessions(ctx context.Context, in *ByID) (*none, error) {
	return &none{}, s.Accounts.RevokeUserSessions(ctx, session.Actor(ctx), in.ID)
}

type userSessionInput struct {
	ByID
	Session uuid.UUID `path:"session_id" format:"uuid"`
}

func (s *server) revokeUserSession(ctx context.Context, in *userSessionInput) (*none, error) {
	return &none{}, s.Accounts.RevokeUserSession(ctx, session.Actor(ctx), in.ID, in.Session)
}

func (s *server) listUserTokens(ctx context.Context, in *ByID) (*body[wire.List[wire.APIToken]], error) {
	tokens, err := s.Accounts.UserTokens(ctx, session.Actor(ctx), in.ID) // at most store.MaxAPITokens
	return apiTokensBody(tokens, err)
}

type userTokenInput struct {
	ByID
	Token uuid.UUID `path:"token_id" format:"uuid"`
}

func (s *server) revokeUserToken(ctx context.Context, in *userTokenInput) (*none, error) {
	return &none{}, s.Accounts.RevokeUserToken(ctx, session.Actor(ctx), in.ID, in.Token)
}
