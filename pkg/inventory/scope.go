package inventory

import (
	"context"
	"maps"
	"slices"

	"github.com/google/uuid"

	"github.com/rollcallhq/rollcall/pkg/fleet"
	"github.com/rollcallhq/rollcall/pkg/store"
)

// Credentials are told apart by the hosts that use them: an actor who sees some hosts only sees the credentials that one
// of his hosts uses, and those that no host uses yet, and changes none that a host of others uses.

// Credential returns the credential of the ID, if the actor sees it.
func (s *Service) Credential(ctx context.Context, actor fleet.Actor, id uuid.UUID) (fleet.Credential, error) {
	c, err := s.Store.Credential(ctx, id)
	if err == nil {
		err = mayTouchCredential(ctx, s.Store, actor, id, false)
	}
	if err != nil {
		return fleet.Credential{}, err
	}
	return c, nil
}

// Credentials returns a page of the credentials that the actor sees, by name, and the cursor of the next page. A page may
// be shorter than was asked for.
func (s *Service) Credentials(ctx context.Context, actor fleet.Actor, page fleet.Page) ([]fleet.Credential, string, error) {
	if err := actor.Require(fleet.Viewer); err != nil {
		return nil, "", err
	}
	found, next, err := s.Store.Credentials(ctx, page)
	if err != nil || actor.Selector == nil {
		return found, next, err
	}
	ids := make([]uuid.UUID, len(found))
	for i, c := range found {
		ids[i] = c.ID
	}
	reaches, err := s.Store.CredentialReaches(ctx, actor.Scope(), ids)
	if err != nil {
		return nil, "", err
	}
	return slices.DeleteFunc(found, func(c fleet.Credential) bool { return !reaches[c.ID].Seen() }), next, nil
}

// mayTouchCredential refuses a credential that the actor does not see, and, for a write, one that a host of others uses.
func mayTouchCredential(ctx context.Context, tx *store.Store, actor fleet.Actor, id uuid.UUID, write bool) error {
	if actor.Selector == nil {
		return nil
	}
	reaches, err := tx.CredentialReaches(ctx, actor.Scope(), []uuid.UUID{id})
	switch {
	case err != nil:
		return err
	case !reaches[id].Seen():
		return fleet.Errorf(fleet.NotFound, "there is no such credential")
	case write && reaches[id].Outside:
		return fleet.Errorf(fleet.Forbidden, "hosts outside of what %s may see use the credential", actor).WithCode(CodeOutsideScope)
	}
	return nil
}

// usable takes the credentials out of known that the actor does not see, so that he gives them to no host: whoever gave
// another's credential to a host of his own would be shown its secret.
func usable(ctx context.Context, tx *store.Store, actor fleet.Actor, known map[uuid.UUID]fleet.Credential) error {
	if actor.Selector == nil {
		return nil
	}
	reaches, err := tx.CredentialReaches(ctx, actor.Scope(), slices.Collect(maps.Keys(known)))
	if err != nil {
		return err
	}
	maps.DeleteFunc(known, func(id uuid.UUID, _ fleet.Credential) bool { return !reaches[id].Seen() })
	return nil
}
