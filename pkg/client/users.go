package client

import (
	"context"
	"iter"
	"net/http"
	"net/url"

	"github.com/google/uuid"

	"github.com/rollcallhq/rollcall/pkg/wire"
)

// Users returns users, newest first, fetched page by page. An error ends them.
func (c *Client) Users(ctx context.Context, options ...CallOption) iter.Seq2[wire.User, error] {
	return pages[wire.User](ctx, c, "/users", nil, options)
}

// User returns one user.
func (c *Client) User(ctx context.Context, id uuid.UUID) (wire.User, error) {
	var user wire.User
	return user, c.get(ctx, userPath(id), nil, &user)
}

func userPath(id uuid.UUID) string { return "/users/" + id.String() }

// AddUser adds a user. Without a password its one-time link is in the answer and nowhere else.
func (c *Client) AddUser(ctx context.Context, in wire.UserInput, options ...CallOption) (wire.NewUser, error) {
	var user wire.NewUser
	return user, c.post(ctx, "/users", in, &user, options)
}

// UpdateUser changes what patch says of a user; a selector that is empty lifts its bounds.
func (c *Client) UpdateUser(ctx context.Context, id uuid.UUID, patch wire.UserPatch, options ...CallOption) (wire.User, error) {
	var user wire.User
	return user, c.patch(ctx, userPath(id), patch, &user, options)
}

// RemoveUser disables a user for good, with its sessions and API tokens. Its name stays taken.
func (c *Client) RemoveUser(ctx context.Context, id uuid.UUID, options ...CallOption) error {
	return c.remove(ctx, userPath(id), options)
}

// ResetUser makes a one-time link with which the user sets a password, in place of an earlier one. It is in the answer and
// nowhere else.
func (c *Client) ResetUser(ctx context.Context, id uuid.UUID, options ...CallOption) (wire.ResetLink, error) {
	var link wire.ResetLink
	return link, c.post(ctx, userPath(id)+"/reset", nil, &link, options)
}

// UserSessions returns where a user is signed in.
func (c *Client) UserSessions(ctx context.Context, id uuid.UUID) ([]wire.Session, error) {
	return listed[wire.Session](ctx, c, userPath(id)+"/sessions", nil)
}

// RevokeUserSession ends a session of a user, at once.
func (c *Client) RevokeUserSession(ctx context.Context, user, id uuid.UUID) error {
	return c.remove(ctx, userPath(user)+"/sessions/"+id.String(), nil)
}

// UserTokens returns the API tokens of a user, newest first, without their secrets.
func (c *Client) UserTokens(ctx context.Context, user uuid.UUID) ([]wire.APIToken, error) {
	return listed[wire.APIToken](ctx, c, userPath(user)+"/tokens", nil)
}

// RevokeUserToken makes an API token of a user worthless, at once.
func (c *Client) RevokeUserToken(ctx context.Context, user, id uuid.UUID) error {
	return c.remove(ctx, userPath(user)+"/tokens/"+id.String(), nil)
}

// RevokeUserSessions ends all sessions of a user, at once.
func (c *Client) RevokeUserSessions(ctx context.Context, id uuid.UUID) error {
	return c.remove(ctx, userPath(id)+"/sessions", nil)
}

// ChangePassword changes the password of whoever is signed in. All its other sessions end.
func (c *Client) ChangePassword(ctx context.Context, current, password string) error {
	return c.post(ctx, "/auth/password", wire.PasswordChange{CurrentPassword: wire.Secret(current), NewPassword: wire.Secret(password)}, nil, nil)
}

// ResetPassword sets a password with the token of a one-time link; nobody has to be signed in. It is never sent twice: who
// loses the answer finds out by signing in.
func (c *Client) ResetPassword(ctx context.Context, token, password string) error {
	r := c.newCall(http.MethodPost, "/auth/reset", nil)
	r.open = true
	if err := r.withBody(jsonType, wire.PasswordReset{Token: wire.Secret(token), Password: wire.Secret(password)}); err != nil {
		return err
	}
	return c.do(ctx, r, nil)
}

// Sessions returns where the caller is signed in.
func (c *Client) Sessions(ctx context.Context) ([]wire.Session, error) {
	return listed[wire.Session](ctx, c, "/auth/sessions", nil)
}

// RevokeSession ends a session of the caller, at once.
func (c *Client) RevokeSession(ctx context.Context, id uuid.UUID) error {
	return c.remove(ctx, "/auth/sessions/"+id.String(), nil)
}

// RevokeSessions ends all sessions of the caller, at once; with keepCurrent all but the one that it calls with.
func (c *Client) RevokeSessions(ctx context.Context, keepCurrent bool) error {
	r := c.newCall(http.MethodDelete, "/auth/sessions", nil)
	if keepCurrent {
		r.query = url.Values{"keep_current": {"true"}}
	}
	return c.do(ctx, r, nil)
}
