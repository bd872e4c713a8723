package account

import (
	"context"
	"errors"
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
	if err := s.ownedSession(ctx, *actor.UserID, id); err != nil {
		return fmt.Errorf("revoking a session: %w", err)
	}
	// The entry is written first: one about a session that Redis then does not end is better than an end without one.
	if err := s.audit(ctx, actor, sessionEntry(id, actor.Name)); err != nil {
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

// RevokeUserSession ends one session of a user, at once. Who may is as for Users; it may be the actor's own. One that is
// not the user's, or has ended, is an error of kind NotFound.
func (s *Service) RevokeUserSession(ctx context.Context, actor fleet.Actor, user, id uuid.UUID) error {
	if err := requireManager(actor); err != nil {
		return err
	}
	err := s.managing(ctx, actor, func(tx *store.Store) error {
		owner, err := managed(ctx, tx, user)
		if err != nil {
			return err
		}
		if err := s.ownedSession(ctx, user, id); err != nil {
			return err
		}
		// Of an entry about a session that goes on and an end without an entry the former is better: it is written first.
		return tx.Audit(ctx, actor, sessionEntry(id, owner.Username))
	})
	if err == nil {
		err = s.sessions.DeleteSession(ctx, id)
	}
	if err != nil {
		return fmt.Errorf("revoking a session: %w", err)
	}
	return nil
}

// ownedSession returns an error of kind NotFound unless there is such a session and it is the user's.
func (s *Service) ownedSession(ctx context.Context, user, id uuid.UUID) error {
	session, err := s.sessions.Session(ctx, id)
	if fleet.KindOf(err) == fleet.Unauthenticated || err == nil && session.UserID != user {
		return fleet.Errorf(fleet.NotFound, "there is no such session")
	}
	return err
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
		return fmt.Errorf("ending sessions: %w", stored(err))
	}
	return nil
}

// endOthers ends the sessions of the actor's user in Redis, but takes the actor's into the new epoch, before anybody can
// find it in the old one.
func (s *Service) endOthers(ctx context.Context, actor fleet.Actor, epoch int64) error {
	s.users.drop(*actor.UserID)
	if err := s.sessions.SetSessionEpoch(ctx, *actor.SessionID, epoch); err != nil {
		return fmt.Errorf("keeping the session: %w", stored(err))
	}
	if err := s.sessions.DeleteUserSessions(ctx, *actor.UserID, *actor.SessionID); err != nil {
		return fmt.Errorf("ending the other sessions: %w", stored(err))
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

// A storedError is the error of a change that is stored and that Redis could not be told of.
type storedError struct{ cause error }

func (e storedError) Error() string { return e.cause.Error() }

func (e storedError) Unwrap() error { return e.cause }

// stored says in err that what was asked for is done.
func stored(err error) error {
	if e, ok := errors.AsType[*fleet.Error](err); ok {
		told := *e
		told.Message = "it is done, but the session store does not answer; the sessions that this ends are dead within two seconds"
		err = &told
	}
	return storedError{err}
}

// Stored reports whether err is about nothing but that Redis could not be told of a change, which is stored all the same:
// a password, what a user may do, or that its sessions have ended.
func Stored(err error) bool {
	_, is := errors.AsType[storedError](err)
	return is
}

func sessionEntry(id uuid.UUID, username string) fleet.AuditEntry {
	return fleet.AuditEntry{
		Action: "session.revoke", ResourceType: "session", ResourceID: id.String(),
		Details: map[string]any{"sessions": "one", "username": username},
	}
}

func revokeEntry(id uuid.UUID, name, which string) fleet.AuditEntry {
	return fleet.AuditEntry{
		Action: "session.revoke", ResourceType: "user", ResourceID: id.String(),
		Details: map[string]any{"sessions": which, "username": name},
	}
}
