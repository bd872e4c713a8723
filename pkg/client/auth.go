package client

import (
	"context"
	"net/http"

	"github.com/google/uuid"

	"github.com/rollcallhq/rollcall/pkg/wire"
)

// Login begins a session and returns its tokens; the client itself stays as it is. SignIn makes a client of them.
func (c *Client) Login(ctx context.Context, username, password string) (wire.Tokens, error) {
	return c.authenticate(ctx, "/auth/login", wire.Login{Username: username, Password: wire.Secret(password)})
}

// Refresh exchanges a refresh token for new tokens. A refresh token is good once: it is never sent twice, and who
// loses the answer has to sign in again.
func (c *Client) Refresh(ctx context.Context, refreshToken string) (wire.Tokens, error) {
	return c.authenticate(ctx, "/auth/refresh", wire.Refresh{RefreshToken: wire.Secret(refreshToken)})
}

func (c *Client) authenticate(ctx context.Context, path string, body any) (wire.Tokens, error) {
	r := c.newCall(http.MethodPost, path, nil)
	r.open = true
	if err := r.withBody(jsonType, body); err != nil {
		return wire.Tokens{}, err
	}
	var tokens wire.Tokens
	return tokens, c.do(ctx, r, &tokens)
}

// Logout ends the session that the client's token belongs to, at once.
func (c *Client) Logout(ctx context.Context) error {
	return c.do(ctx, c.newCall(http.MethodPost, "/auth/logout", nil), nil)
}

// Me returns for whom the client calls.
func (c *Client) Me(ctx context.Context) (wire.Actor, error) {
	var actor wire.Actor
	return actor, c.get(ctx, "/auth/me", nil, &actor)
}

// Tokens returns the API tokens of the caller, without their secrets.
func (c *Client) Tokens(ctx context.Context) ([]wire.APIToken, error) {
	return listed[wire.APIToken](ctx, c, "/tokens", nil)
}

// CreateToken makes an API token for the caller. Its secret is in the answer and nowhere else.
func (c *Client) CreateToken(ctx context.Context, in wire.TokenInput, options ...CallOption) (wire.NewAPIToken, error) {
	var token wire.NewAPIToken
	return token, c.post(ctx, "/tokens", in, &token, options)
}

// RevokeToken makes an API token of the caller worthless, at once.
func (c *Client) RevokeToken(ctx context.Context, id uuid.UUID) error {
	return c.remove(ctx, "/tokens/"+id.String(), nil)
}
