package rest

import (
	"context"
	"net/http"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humachi"

	"github.com/rollcallhq/rollcall/api/internal/session"
	"github.com/rollcallhq/rollcall/pkg/account"
	"github.com/rollcallhq/rollcall/pkg/fleet"
	"github.com/rollcallhq/rollcall/pkg/wire"
)

// FromClient catches the request itself, for where it comes from.
type FromClient struct{ request *http.Request }

// Resolve is called by huma before the handler.
func (in *FromClient) Resolve(hc huma.Context) []error {
	in.request, _ = humachi.Unwrap(hc)
	return nil
}

type loginInput struct {
	FromClient
	Body wire.Login
}

type refreshInput struct {
	FromClient
	Body wire.Refresh
}

func (s *server) registerAuth() {
	unauthorized := []int{http.StatusUnauthorized}
	register(s, operation{
		id: "login", method: http.MethodPost, path: "/auth/login", tag: "auth", summary: "Sign in", extra: unauthorized,
		description: "Begins a session. A wrong password and an unknown user are answered alike.",
	}, s.login)
	register(s, operation{
		id: "refresh", method: http.MethodPost, path: "/auth/refresh", tag: "auth", summary: "Exchange a refresh token for new tokens",
		extra: unauthorized, description: "A refresh token is good once; one that is used again ends its session.",
	}, s.refresh)
	register(s, operation{
		id: "logout", method: http.MethodPost, path: "/auth/logout", tag: "auth", summary: "Sign out", role: fleet.Viewer,
		description: "Ends the session, and with it every token of it, at once.",
	}, s.logout)
	register(s, operation{
		id: "me", method: http.MethodGet, path: "/auth/me", tag: "auth", summary: "Who is asking", role: fleet.Viewer,
	}, s.me)
}

func (s *server) login(ctx context.Context, in *loginInput) (*body[wire.Tokens], error) {
	tokens, err := s.Accounts.Login(ctx, in.Body.Username, string(in.Body.Password), s.Guard.Client(in.request))
	return tokensBody(tokens, err)
}

func (s *server) refresh(ctx context.Context, in *refreshInput) (*body[wire.Tokens], error) {
	tokens, err := s.Accounts.Refresh(ctx, string(in.Body.RefreshToken), s.Guard.Client(in.request))
	return tokensBody(tokens, err)
}

func tokensBody(t account.Tokens, err error) (*body[wire.Tokens], error) {
	if err != nil {
		return nil, err
	}
	return answer(wire.Tokens{
		AccessToken: t.Access, TokenType: "Bearer", ExpiresIn: int(t.ExpiresIn.Seconds()), RefreshToken: t.Refresh,
	}), nil
}

func (s *server) logout(ctx context.Context, _ *struct{}) (*none, error) {
	return &none{}, s.Accounts.Logout(ctx, session.Actor(ctx))
}

func (s *server) me(ctx context.Context, _ *struct{}) (*body[wire.Actor], error) {
	who, err := s.Accounts.Me(ctx, session.Actor(ctx))
	if err != nil {
		return nil, err
	}
	view := wire.Actor{
		ID: who.Actor.ID, Kind: string(who.Actor.Kind), Name: who.Actor.Name, Username: who.Username, UserID: who.Actor.UserID,
		Role: string(who.Actor.Role), ExpiresAt: utc(who.ExpiresAt),
	}
	if who.Actor.Selector != nil {
		view.Selector = new(who.Actor.Selector.String())
	}
	return answer(view), nil
}
