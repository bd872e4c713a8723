package account

import (
	"context"
	"fmt"

	"github.com/google/uuid"

	"github.com/rollcallhq/rollcall/pkg/ephemeral"
	"github.com/rollcallhq/rollcall/pkg/fleet"
	"github.com/rollcallhq/rollcall/pkg/store"
)

// Sessions returns the living sessions of the signed-in user that the actor is, the one that expires last first; the
// actor's own is the one of its SessionID. An API token gets none: kind Forbidden. There are at most
// ephemeral.MaxSessionsPerUser.
func (s *Service) Sessions(ctx context.Context, actor fleet.Actor) ([]ephemeral.Session, error) {
	if err := requireSession(actor); err != nil {
		return nil, err
	}
	return s.living(ctx, s.store, *actor.UserID)
}

// UserSessions returns the living sessions of a user. Who may is as for Users.
func (s *Service) UserSessions(ctx context.Context, actor fleet.Actor, id uuid.UUID) ([]ephemeral.Session, error) {
	if _, err := s.User(ctx, actor, id); err != nil {
		return nil, err
	}
	return s.living(ctx, s.store, id)
}

// living leaves out the sessions of an earlier epoch, which Redis could not be told of.
func (s *Service) living(ctx context.Context, db *store.Store, id uuid.UUID) ([]ephemeral.Session, error) {
	user, err := db.User(ctx, id)
	if err != nil {
		return nil, err
	}
	sessions, err := s.sessions.UserSessions(ctx, id)
	if err != nil {
		return nil, fmt.Errorf("listing sessions: %w", err)
	}
	living := make([]ephemeral.Session, 0, len(sessions))
	for _, session := range sessions {
		if session.Epoch == user.SessionEpoch && user.DisabledAt == nil {
			living = append(living, session)
		}
	}
	return living, nil
}

// RevokeSession ends a session of the signed-in user that the actor is, at once; it may be the actor's own. Another's,
// and one that has ended, is an error of kind NotFound.
func (s *Service) RevokeSession(ctx context.Context, actor fleet.Actor, id uuid.UUID) error {
	if err := requireSession(actor); err != nil {
		return err
	}
	session, err := s.sessions.Session(ctx, id)
	if fleet.KindOf(err) == fleet.Unauthenticated || err == nil && session.UserID != *actor.UserID {
		return fleet.Errorf(fleet.NotFound, "there is no such session")
	}
	if err != nil {
		return fmt.Errorf("revoking a session: %w", err)
	}
	// The entry is written first: one about a session that Redis then does not end is better than an end without one.
	err = s.audit(ctx, actor, fleet.AuditEntry{
		Action: "session.revoke", ResourceType: "session", ResourceID: id.String(),
		Details: map[string]any{"sessions": "one", "username": actor.Name},
	})
	if err != nil {
		return fmt.Errorf("revoking a session: %w", err)
	}
	if err := s.sessions.DeleteSession(ctx, id); err != nil {
		return fmt.Errorf("revoking a session: %w", err)
	}
	return nil
}

// RevokeSessions ends all sessions of the signed-in user that the actor is, at once; with keepCurrent all but the
// actor's.
func (s *Service) RevokeSessions(ctx context.Context, actor fleet.Actor, keepCurrent bool) error {
	if err := requireSession(actor); err != nil {
		return err
	}
	which := "all"
	if keepCurrent {
		which = "others"
	}
	var epoch int64
	err := s.store.InTx(ctx, func(tx *store.Store) error {
		var err error
		if epoch, err = tx.EndSessions(ctx, *actor.UserID); err != nil {
			return err
		}
		return tx.Audit(ctx, actor, revokeEntry(*actor.UserID, actor.Name, which))
	})
	if err != nil {
		return fmt.Errorf("revoking sessions: %w", err)
	}
	if keepCurrent {
		return s.endOthers(ctx, actor, epoch)
	}
	return s.endAll(ctx, *actor.UserID)
}

// RevokeUserSessions ends all sessions of a user, at once. Who may is as for Users; it may be the actor's own.
func (s *Service) RevokeUserSessions(ctx context.Context, actor fleet.Actor, id uuid.UUID) error {
	if err := requireManager(actor); err != nil {
		return err
	}
	err := s.managing(ctx, actor, func(tx *store.Store) error {
		user, err := managed(ctx, tx, id)
		if err != nil {
			return err
		}
		if _, err := tx.EndSessions(ctx, id); err != nil {
			return err
		}
		return tx.Audit(ctx, actor, revokeEntry(id, user.Username, "all"))
	})
	if err != nil {
		return fmt.Errorf("revoking sessions: %w", err)
	}
	return s.endAll(ctx, id)
}

// endAll ends the user's sessions in Redis. Those whose epoch is over are dead even if that fails: the error says only
// that another replica may accept them for userCacheTime more.
func (s *Service) endAll(ctx context.Context, id uuid.UUID) error {
	s.users.drop(id)
	if err := s.sessions.DeleteUserSessions(ctx, id); err != nil {
		return fmt.Errorf("ending sessions: %w", err)
	}
	return nil
}

// endOthers ends the sessions of the actor's user in Redis, but takes the actor's into the new epoch, before anybody can
// find it in the old one.
func (s *Service) endOthers(ctx context.Context, actor fleet.Actor, epoch int64) error {
	s.users.drop(*actor.UserID)
	if err := s.sessions.SetSessionEpoch(ctx, *actor.SessionID, epoch); err != nil {
		return fmt.Errorf("keeping the session: %w", err)
	}
	if err := s.sessions.DeleteUserSessions(ctx, *actor.UserID, *actor.SessionID); err != nil {
		return fmt.Errorf("ending the other sessions: %w", err)
	}
	return nil
}

// requireSession returns an error unless the actor is a signed-in user.
func requireSession(actor fleet.Actor) error {
	if err := actor.Require(fleet.Viewer); err != nil {
		return err
	}
	if actor.Kind != fleet.ActorUser || actor.UserID == nil || actor.SessionID == nil {
		return fleet.Errorf(fleet.Forbidden, "only a signed-in user has sessions; sign in with a password")
	}
	return nil
}

func revokeEntry(id uuid.UUID, name, which string) fleet.AuditEntry {
	return fleet.AuditEntry{
		Action: "session.revoke", ResourceType: "user", ResourceID: id.String(),
		Details: map[string]any{"sessions": which, "username": name},
	}
}
