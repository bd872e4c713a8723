package account

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/rollcallhq/rollcall/pkg/ephemeral"
	"github.com/rollcallhq/rollcall/pkg/fleet"
	"github.com/rollcallhq/rollcall/pkg/store"
	"github.com/rollcallhq/rollcall/pkg/token"
)

// Authenticate returns the actor that a bearer token, an access token or an API token, speaks for. A token that was
// good once is an error of code token_expired, one that was never good or has been revoked of code token_invalid, and
// one whose session has ended of code session_ended; all are of kind Unauthenticated. An access token cannot be judged
// while Redis is down: kind Unavailable, code session_store_unavailable. The actor has no address yet.
func (s *Service) Authenticate(ctx context.Context, bearer string) (fleet.Actor, error) {
	if strings.HasPrefix(bearer, token.APITokenPrefix) {
		return s.authenticateToken(ctx, bearer)
	}
	access, err := s.signer.Verify(bearer, s.now())
	if err != nil {
		return fleet.Actor{}, err
	}
	return s.authenticateSession(ctx, access.SessionID, access.UserID)
}

// AuthenticateCookie returns the actor that the secret of a LoginCookie speaks for. Its errors are those of
// Authenticate.
func (s *Service) AuthenticateCookie(ctx context.Context, secret string) (fleet.Actor, error) {
	id, ok := parseCookieSecret(secret)
	if !ok {
		return fleet.Actor{}, invalidToken("the session cookie is not valid")
	}
	return s.authenticateSession(ctx, id, uuid.Nil)
}

// authenticateSession returns the actor of a living session. If claimed is not nil it has to be the session's user.
func (s *Service) authenticateSession(ctx context.Context, id, claimed uuid.UUID) (fleet.Actor, error) {
	session, err := s.sessions.Session(ctx, id)
	if err != nil {
		return fleet.Actor{}, fmt.Errorf("looking for the session: %w", err)
	}
	if claimed != uuid.Nil && claimed != session.UserID {
		return fleet.Actor{}, invalidToken("the access token is not valid")
	}
	user, err := s.users.get(ctx, s.store, session.UserID, s.now())
	if err != nil {
		return fleet.Actor{}, fmt.Errorf("looking for the session's user: %w", err)
	}
	if user.epoch != session.Epoch { // it has ended, or another replica has counted the epoch up within userCacheTime
		if user, err = s.users.fetch(ctx, s.store, session.UserID, s.now()); err != nil {
			return fleet.Actor{}, fmt.Errorf("looking for the session's user: %w", err)
		}
	}
	if user.disabled || user.epoch != session.Epoch {
		return fleet.Actor{}, sessionEnded()
	}
	actor := user.actor()
	actor.SessionID = &id
	return actor, nil
}

// tokenTouchTime is how exact the time of an API token's last use is.
const tokenTouchTime = time.Minute

// authenticateToken needs no Redis, so that scripts go on working without it.
func (s *Service) authenticateToken(ctx context.Context, plain string) (fleet.Actor, error) {
	hash, ok := token.HashAPIToken(plain)
	if !ok {
		return fleet.Actor{}, invalidToken("the API token is not valid")
	}
	t, owner, err := s.store.APITokenByHash(ctx, hash)
	if fleet.KindOf(err) == fleet.NotFound {
		return fleet.Actor{}, invalidToken("the API token is not valid")
	}
	if err != nil {
		return fleet.Actor{}, fmt.Errorf("looking for the API token: %w", err)
	}
	now := s.now()
	switch {
	case t.RevokedAt != nil, owner.DisabledAt != nil:
		return fleet.Actor{}, invalidToken("the API token is not valid")
	case t.ExpiresAt != nil && !now.Before(*t.ExpiresAt):
		return fleet.Actor{}, fleet.Errorf(fleet.Unauthenticated, "the API token has expired").WithCode(token.CodeTokenExpired)
	}
	actor, err := tokenActor(t, owner)
	if err != nil {
		return fleet.Actor{}, fmt.Errorf("reading the API token: %w", err)
	}
	if t.LastUsedAt == nil || now.Sub(*t.LastUsedAt) >= tokenTouchTime {
		if err := s.store.TouchAPIToken(ctx, t.ID, now); err != nil {
			s.log.WarnContext(ctx, "use of an API token not noted", "token_id", t.ID, "error", err)
		}
	}
	return actor, nil
}

// tokenActor returns the actor of an API token, which never may or sees more than its owner does now.
func tokenActor(t store.APIToken, owner fleet.User) (fleet.Actor, error) {
	user, err := newIdentity(owner)
	if err != nil {
		return fleet.Actor{}, err
	}
	actor := user.actor()
	if t.Role != "" && actor.Require(t.Role) == nil {
		actor.Role = t.Role
	}
	if t.Selector != "" {
		text := t.Selector
		if user.selector != nil {
			text = narrowed(user.selector, text)
		}
		if actor.Selector, err = storedSelector(text); err != nil {
			return fleet.Actor{}, err
		}
	}
	actor.Kind, actor.ID, actor.Name = fleet.ActorToken, t.ID, t.Name
	return actor, nil
}

func invalidToken(message string) error {
	return fleet.Errorf(fleet.Unauthenticated, "%s", message).WithCode(token.CodeTokenInvalid)
}

func sessionEnded() error {
	return fleet.Errorf(fleet.Unauthenticated, "the session has ended; sign in again").WithCode(ephemeral.CodeSessionEnded)
}
