package rest

import (
	"context"
	"net/http"

	"github.com/rollcallhq/rollcall/api/internal/session"
	"github.com/rollcallhq/rollcall/pkg/account"
	"github.com/rollcallhq/rollcall/pkg/fleet"
	"github.com/rollcallhq/rollcall/pkg/store"
	"github.com/rollcallhq/rollcall/pkg/wire"
)

const tokensPath = "/tokens"

func (s *server) registerTokens() {
	register(s, operation{
		id: "listTokens", method: http.MethodGet, path: tokensPath, tag: "tokens", summary: "List one's API tokens", role: fleet.Viewer,
	}, s.listTokens)
	register(s, operation{
		id: "createToken", method: http.MethodPost, path: tokensPath, tag: "tokens", summary: "Make an API token", role: fleet.Viewer,
		status:      http.StatusCreated,
		description: "The token speaks for its user, with the user's role and selector as they are at each use, and within its own if it has any. It is shown this once.",
	}, s.createToken)
	register(s, operation{
		id: "revokeToken", method: http.MethodDelete, path: tokensPath + "/{id}", tag: "tokens", summary: "Revoke an API token", role: fleet.Viewer,
	}, s.revokeToken)
}

func (s *server) listTokens(ctx context.Context, _ *struct{}) (*body[wire.List[wire.APIToken]], error) {
	tokens, err := s.Accounts.Tokens(ctx, session.Actor(ctx)) // at most store.MaxAPITokens
	return apiTokensBody(tokens, err)
}

func apiTokensBody(tokens []store.APIToken, err error) (*body[wire.List[wire.APIToken]], error) {
	if err != nil {
		return nil, err
	}
	return answer(wire.ListOf(tokens, "", tokenView)), nil
}

func tokenView(t store.APIToken) wire.APIToken {
	view := wire.APIToken{ID: t.ID, Name: t.Name, CreatedAt: t.CreatedAt.UTC(), ExpiresAt: utc(t.ExpiresAt), LastUsedAt: utc(t.LastUsedAt)}
	if t.Role != "" {
		view.Role = new(string(t.Role))
	}
	if t.Selector != "" {
		view.Selector = &t.Selector
	}
	return view
}

type createTokenInput struct{ Body wire.TokenInput }

func (s *server) createToken(ctx context.Context, in *createTokenInput) (*made[wire.NewAPIToken], error) {
	asked := account.NewToken{Name: in.Body.Name, ExpiresAt: in.Body.ExpiresAt}
	if in.Body.Role != nil {
		asked.Role = fleet.Role(*in.Body.Role)
	}
	if in.Body.Selector != nil {
		asked.Selector = *in.Body.Selector
	}
	t, plain, err := s.Accounts.CreateNarrowToken(ctx, session.Actor(ctx), asked)
	if err != nil {
		return nil, err
	}
	return &made[wire.NewAPIToken]{
		Location: prefix + tokensPath + "/" + t.ID.String(), Body: wire.NewAPIToken{APIToken: tokenView(t), Token: plain},
	}, nil
}

func (s *server) revokeToken(ctx context.Context, in *ByID) (*none, error) {
	return &none{}, s.Accounts.RevokeToken(ctx, session.Actor(ctx), in.ID)
}
