package rest

import (
	"context"
	"net/http"

	"github.com/google/uuid"

	"github.com/rollcallhq/rollcall/api/internal/session"
	"github.com/rollcallhq/rollcall/pkg/fleet"
	"github.com/rollcallhq/rollcall/pkg/wire"
)

const hostKeysPath = hostsPath + "/{id}/host-keys"

func (s *server) registerHostKeys() {
	register(s, operation{
		id: "listHostKeys", method: http.MethodGet, path: hostKeysPath, tag: "host keys", summary: "List the SSH keys that a host has shown", role: fleet.Viewer,
	}, s.listHostKeys)
	register(s, operation{
		id: "trustHostKey", method: http.MethodPost, path: hostKeysPath + "/{key_id}/trust", tag: "host keys", summary: "Trust a host key", role: fleet.Admin,
		description: "Trusting a key that took the place of another revokes the trusted ones of its algorithm.",
	}, s.trustHostKey)
	register(s, operation{
		id: "revokeHostKey", method: http.MethodPost, path: hostKeysPath + "/{key_id}/revoke", tag: "host keys", summary: "Revoke a host key", role: fleet.Admin,
		description: "A host that shows a revoked key is offered no credential.",
	}, s.revokeHostKey)
}

func (s *server) listHostKeys(ctx context.Context, in *ByID) (*body[wire.List[wire.HostKey]], error) {
	scope := session.Actor(ctx).Scope()
	if _, err := s.Store.Host(ctx, scope, in.ID); err != nil {
		return nil, err
	}
	keys, err := s.Store.HostKeys(ctx, scope, in.ID)
	if err != nil {
		return nil, err
	}
	return answer(wire.ListOf(keys, "", wire.HostKeyView)), nil
}

type decideInput struct {
	ByID
	KeyID uuid.UUID             `path:"key_id" format:"uuid"`
	Body  *wire.HostKeyDecision `required:"false"`
}

func (in *decideInput) reason() string {
	if in.Body == nil {
		return ""
	}
	return orZero(in.Body.Reason)
}

func (s *server) trustHostKey(ctx context.Context, in *decideInput) (*body[wire.HostKey], error) {
	k, err := s.Inventory.TrustHostKey(ctx, session.Actor(ctx), in.ID, in.KeyID, in.reason())
	if err != nil {
		return nil, err
	}
	return answer(wire.HostKeyView(k)), nil
}

func (s *server) revokeHostKey(ctx context.Context, in *decideInput) (*body[wire.HostKey], error) {
	k, err := s.Inventory.RevokeHostKey(ctx, session.Actor(ctx), in.ID, in.KeyID, in.reason())
	if err != nil {
		return nil, err
	}
	return answer(wire.HostKeyView(k)), nil
}
