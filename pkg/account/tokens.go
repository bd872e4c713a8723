package account

import (
	"context"
	"fmt"
	"maps"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/google/uuid"

	"github.com/rollcallhq/rollcall/pkg/fleet"
	"github.com/rollcallhq/rollcall/pkg/store"
	"github.com/rollcallhq/rollcall/pkg/token"
)

const maxTokenName = 64 // characters

// A NewToken is an API token to be made.
type NewToken struct {
	Name      string     // 1 to 64 printable characters
	ExpiresAt *time.Time // nil: never
	Role      fleet.Role // at most the owner's; empty: whatever the owner has
	Selector  string     // narrows what the owner sees; empty or *: all of that
}

// CreateToken makes an API token that may and sees what its user does.
func (s *Service) CreateToken(ctx context.Context, actor fleet.Actor, name string, expiresAt *time.Time) (t store.APIToken, plain string, err error) {
	return s.CreateNarrowToken(ctx, actor, NewToken{Name: name, ExpiresAt: expiresAt})
}

// CreateNarrowToken makes an API token of the user that the actor is. Its role and selector bound it at each use, together
// with those that the user has then. plain is kept nowhere. A bad field is named by an error of kind Invalid: so are a
// time that has passed and a role that the user does not have. An API token may not make another, or else revoking a
// stolen one would not end the matter: kind Forbidden.
func (s *Service) CreateNarrowToken(ctx context.Context, actor fleet.Actor, in NewToken) (t store.APIToken, plain string, err error) {
	if err := actor.Require(fleet.Viewer); err != nil {
		return store.APIToken{}, "", err
	}
	if actor.Kind != fleet.ActorUser || actor.UserID == nil {
		return store.APIToken{}, "", fleet.Errorf(fleet.Forbidden, "only a signed-in user makes API tokens; sign in with a password")
	}
	now := s.now().UTC().Truncate(time.Microsecond)
	if err := checkToken(in.Name, in.ExpiresAt, now); err != nil {
		return store.APIToken{}, "", err
	}
	selector, err := checkBounds(actor, in)
	if err != nil {
		return store.APIToken{}, "", err
	}
	plain, hash := token.NewAPIToken()
	t = store.APIToken{ID: fleet.NewIDAt(now), UserID: *actor.UserID, Name: in.Name, Hash: hash, Role: in.Role, Selector: selector, CreatedAt: now, ExpiresAt: in.ExpiresAt}
	err = s.store.InTx(ctx, func(tx *store.Store) error {
		if err := tx.AddAPIToken(ctx, t); err != nil {
			return err
		}
		details := map[string]any{"name": in.Name}
		if in.ExpiresAt != nil {
			details["expires_at"] = in.ExpiresAt.UTC().Format(time.RFC3339)
		}
		if in.Role != "" {
			details["role"] = in.Role
		}
		if selector != "" {
			details["selector"] = selector
		}
		return tx.Audit(ctx, actor, fleet.AuditEntry{
			Action: "token.create", ResourceType: "token", ResourceID: t.ID.String(), Details: details,
		})
	})
	if err != nil {
		return store.APIToken{}, "", fmt.Errorf("making an API token: %w", err)
	}
	t.Hash = nil
	return t, plain, nil
}

// checkBounds returns the selector as it is stored. Role and selector are none that the actor could not be bound to.
func checkBounds(actor fleet.Actor, in NewToken) (selector string, err error) {
	if in.Role != "" {
		if !in.Role.Valid() {
			return "", fleet.InvalidField("role", "is one of viewer, operator and admin")
		}
		if actor.Require(in.Role) != nil {
			return "", fleet.InvalidField("role", "may be at most %s, which is your own", actor.Role)
		}
	}
	if selector, err = checkRights(actor.Role, in.Selector); err != nil || selector == "" || actor.Selector == nil {
		return selector, err
	}
	if _, err := fleet.ParseSelector(narrowed(actor.Selector, selector)); err != nil {
		return "", fleet.InvalidField("selector", "is too much together with your own, %s", actor.Selector)
	}
	return selector, nil
}

// narrowed returns the selector of what both pick.
func narrowed(outer *fleet.Selector, inner string) string {
	return "(" + outer.String() + ") and (" + inner + ")"
}

func checkToken(name string, expiresAt *time.Time, now time.Time) error {
	notPrintable := func(r rune) bool { return !unicode.IsPrint(r) }
	switch {
	case name == "" || utf8.RuneCountInString(name) > maxTokenName:
		return fleet.InvalidField("name", "needs 1 to %d characters", maxTokenName)
	case !utf8.ValidString(name) || strings.ContainsFunc(name, notPrintable) || strings.TrimSpace(name) != name:
		return fleet.InvalidField("name", "may have printable characters only, and no space at its ends")
	case expiresAt != nil && !expiresAt.After(now):
		return fleet.InvalidField("expires_at", "has passed already")
	case expiresAt != nil && expiresAt.Year() > 9999:
		return fleet.InvalidField("expires_at", "is too far away")
	}
	return nil
}

// Tokens returns the API tokens of the user behind the actor, newest first, without those that were revoked.
func (s *Service) Tokens(ctx context.Context, actor fleet.Actor) ([]store.APIToken, error) {
	if err := actor.Require(fleet.Viewer); err != nil {
		return nil, err
	}
	if actor.UserID == nil {
		return nil, nil
	}
	return s.store.APITokens(ctx, *actor.UserID)
}

// RevokeToken ends an API token of the user behind the actor at once. Another's is an error of kind NotFound. An API
// token may end itself and no other: kind Forbidden.
func (s *Service) RevokeToken(ctx context.Context, actor fleet.Actor, id uuid.UUID) error {
	if err := actor.Require(fleet.Viewer); err != nil {
		return err
	}
	if actor.UserID == nil {
		return fleet.Errorf(fleet.NotFound, "there is no such API token")
	}
	if actor.Kind != fleet.ActorUser && actor.ID != id {
		return fleet.Errorf(fleet.Forbidden, "an API token can revoke itself only; sign in with a password")
	}
	err := s.store.InTx(ctx, func(tx *store.Store) error { return revoke(ctx, tx, actor, *actor.UserID, id, nil) })
	if err != nil {
		return fmt.Errorf("revoking an API token: %w", err)
	}
	return nil
}

// revoke ends the user's API token, with an audit entry that has the further details.
func revoke(ctx context.Context, tx *store.Store, actor fleet.Actor, user, id uuid.UUID, details map[string]any) error {
	t, err := tx.RevokeAPIToken(ctx, user, id)
	if err != nil {
		return err
	}
	entry := fleet.AuditEntry{Action: "token.revoke", ResourceType: "token", ResourceID: id.String(), Details: map[string]any{"name": t.Name}}
	maps.Copy(entry.Details, details)
	return tx.Audit(ctx, actor, entry)
}

// UserTokens returns the API tokens of a user, newest first, without those that were revoked. Those of a disabled user
// are refused, and good again when it is enabled. Who may is as for Users.
func (s *Service) UserTokens(ctx context.Context, actor fleet.Actor, user uuid.UUID) ([]store.APIToken, error) {
	if _, err := s.User(ctx, actor, user); err != nil {
		return nil, err
	}
	return s.store.APITokens(ctx, user)
}

// RevokeUserToken ends an API token of a user at once. Who may is as for Users, but for the own user it is as for
// RevokeToken: an API token does not end its neighbours. One that is not the user's, or was revoked before, is an error of
// kind NotFound.
func (s *Service) RevokeUserToken(ctx context.Context, actor fleet.Actor, user, id uuid.UUID) error {
	if err := requireManager(actor); err != nil {
		return err
	}
	if actor.UserID != nil && *actor.UserID == user {
		return s.RevokeToken(ctx, actor, id)
	}
	err := s.managing(ctx, actor, func(tx *store.Store) error {
		owner, err := managed(ctx, tx, user)
		if err != nil {
			return err
		}
		return revoke(ctx, tx, actor, user, id, map[string]any{"username": owner.Username})
	})
	if err != nil {
		return fmt.Errorf("revoking a user's API token: %w", err)
	}
	return nil
}
