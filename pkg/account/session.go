package account

import (
	"context"
	"fmt"
	"time"

	"github.com/rollcallhq/rollcall/pkg/ephemeral"
	"github.com/rollcallhq/rollcall/pkg/fleet"
	"github.com/rollcallhq/rollcall/pkg/token"
)

// Refresh exchanges a refresh token for new tokens. A token that was exchanged before ends its session, because one
// of the two who had it has stolen it: code refresh_token_reused, and an entry in the audit log. One whose session
// has ended has code session_ended, one that was never good token_invalid; all are of kind Unauthenticated.
func (s *Service) Refresh(ctx context.Context, refreshToken string, from Client) (Tokens, error) {
	if err := s.count(ctx, "refresh:"+limitAddress(from.Address), s.options.Refreshes); err != nil {
		return Tokens{}, err
	}
	id, hash, ok := token.ParseRefreshToken(refreshToken)
	if !ok {
		return Tokens{}, invalidToken("the refresh token is not valid")
	}
	session, err := s.sessions.Session(ctx, id)
	if err != nil {
		return Tokens{}, fmt.Errorf("refreshing: %w", err)
	}
	user, err := s.users.fetch(ctx, s.store, session.UserID, s.now())
	if err != nil {
		return Tokens{}, fmt.Errorf("refreshing: %w", err)
	}
	if user.disabled || user.epoch != session.Epoch {
		return Tokens{}, sessionEnded()
	}
	refresh, newHash := token.NewRefreshToken(id)
	if _, err := s.sessions.RotateRefresh(ctx, id, hash, newHash); err != nil {
		return Tokens{}, s.refused(ctx, user, session, from, err)
	}
	access, err := s.signer.Issue(token.Access{UserID: user.id, SessionID: id}, s.now())
	if err != nil {
		return Tokens{}, err
	}
	return Tokens{Access: access, Refresh: refresh, ExpiresIn: token.AccessLifetime}, nil
}

// refused returns why a refresh was refused. A reused token is written to the audit log, once, as its session has
// ended with it. A hash that never was one of the session is only a forged token, and says no more than that.
func (s *Service) refused(ctx context.Context, user identity, session ephemeral.Session, from Client, cause error) error {
	if fleet.CodeOf(cause) != ephemeral.CodeRefreshReused {
		return fmt.Errorf("refreshing: %w", cause)
	}
	actor := user.actor()
	actor.SessionID, actor.Address = &session.ID, cleanAddress(from.Address)
	err := s.audit(context.WithoutCancel(ctx), actor, fleet.AuditEntry{
		Action: "auth.refresh", Denied: true, ResourceType: "session", ResourceID: session.ID.String(),
		Details: map[string]any{"reason": ephemeral.CodeRefreshReused},
	})
	if err != nil {
		s.log.ErrorContext(ctx, "reuse of a refresh token not in the audit log", "session_id", session.ID, "error", err)
	}
	return fmt.Errorf("refreshing: %w", cause)
}

// Logout ends the actor's session at once, with every token and cookie of it. An actor without a session, such as an
// API token, is an error of kind Invalid.
func (s *Service) Logout(ctx context.Context, actor fleet.Actor) error {
	if err := actor.Require(fleet.Viewer); err != nil {
		return err
	}
	if actor.SessionID == nil {
		return fleet.Errorf(fleet.Invalid, "an API token has no session to end; revoke the token instead").WithCode("no_session")
	}
	if err := s.sessions.DeleteSession(ctx, *actor.SessionID); err != nil {
		return fmt.Errorf("signing out: %w", err)
	}
	err := s.audit(context.WithoutCancel(ctx), actor, fleet.AuditEntry{ // it has ended, even if the caller has left
		Action: "auth.logout", ResourceType: "session", ResourceID: actor.SessionID.String(),
	})
	if err != nil {
		return fmt.Errorf("signing out: %w", err)
	}
	return nil
}

// An Identity is what an actor may know of itself.
type Identity struct {
	Actor     fleet.Actor
	Username  string     // of the user, also where the actor is an API token of it
	ExpiresAt *time.Time // of the session or API token; nil: never
}

// Me returns who the actor is.
func (s *Service) Me(ctx context.Context, actor fleet.Actor) (Identity, error) {
	if err := actor.Require(fleet.Viewer); err != nil {
		return Identity{}, err
	}
	me := Identity{Actor: actor, Username: actor.Name}
	if actor.SessionID != nil {
		session, err := s.sessions.Session(ctx, *actor.SessionID)
		if err != nil {
			return Identity{}, fmt.Errorf("reading the actor's session: %w", err)
		}
		me.ExpiresAt = &session.ExpiresAt
	}
	if actor.Kind != fleet.ActorToken || actor.UserID == nil {
		return me, nil
	}
	user, err := s.users.get(ctx, s.store, *actor.UserID, s.now())
	if err != nil {
		return Identity{}, fmt.Errorf("reading the token's owner: %w", err)
	}
	me.Username = user.name
	tokens, err := s.store.APITokens(ctx, *actor.UserID)
	if err != nil {
		return Identity{}, fmt.Errorf("reading the actor's token: %w", err)
	}
	for _, t := range tokens {
		if t.ID == actor.ID {
			me.ExpiresAt = t.ExpiresAt
		}
	}
	return me, nil
}
