package account

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/rollcallhq/rollcall/pkg/fleet"
	"github.com/rollcallhq/rollcall/pkg/store"
	"github.com/rollcallhq/rollcall/pkg/token"
)

const (
	// ResetLifetime is how long a one-time link is good.
	ResetLifetime = 24 * time.Hour
	// ResetPath is the page of the web UI that sets a password; the token follows behind a #, where no server, proxy or
	// log gets to see it.
	ResetPath = "/reset"

	// CodeResetLinkInvalid is the code of the error about a one-time link that is unknown, used, replaced or expired, or
	// whose user is disabled, which are not told apart.
	CodeResetLinkInvalid = "reset_link_invalid"
	// CodeWrongPassword is the code of the error about a current password that is not.
	CodeWrongPassword = "wrong_password"
)

// A ResetLink lets whoever has it set the password of one user, once. It is kept nowhere in this form.
type ResetLink struct {
	Token     string
	ExpiresAt time.Time
}

// Path returns the path of the link below the address at which the web UI is reached.
func (l ResetLink) Path() string { return ResetPath + "#" + l.Token }

// ResetLink makes a one-time link for a user, in place of an earlier one. What the user has until it is used, the
// password and sessions, stays good. Who may is as for Users; one's own password is changed with ChangePassword
// (Conflict, code own_account). A disabled user gets none: Conflict, code user_disabled.
func (s *Service) ResetLink(ctx context.Context, actor fleet.Actor, id uuid.UUID) (ResetLink, error) {
	if err := requireOther(actor, id); err != nil {
		return ResetLink{}, err
	}
	var link *ResetLink
	err := s.managing(ctx, actor, func(tx *store.Store) error {
		user, err := managed(ctx, tx, id)
		if err != nil {
			return err
		}
		if user.DisabledAt != nil {
			return fleet.Errorf(fleet.Conflict, "%s is disabled; enable it first", user.Username).WithCode("user_disabled")
		}
		if link, err = s.newLink(ctx, tx, actor, id); err != nil {
			return err
		}
		return tx.Audit(ctx, actor, fleet.AuditEntry{
			Action: "user.reset", ResourceType: "user", ResourceID: id.String(),
			Details: map[string]any{"username": user.Username, "expires_at": link.ExpiresAt.Format(time.RFC3339)},
		})
	})
	if err != nil {
		return ResetLink{}, fmt.Errorf("making a password link: %w", err)
	}
	return *link, nil
}

// RecoveryLink is ResetLink for whoever may write to the database, where no admin can sign in any more: it asks nobody, and the
// audit log names the system. An unknown name is an error of kind NotFound.
func RecoveryLink(ctx context.Context, st *store.Store, username string) (ResetLink, error) {
	user, err := st.UserByName(ctx, username)
	if err != nil {
		return ResetLink{}, err
	}
	s := Service{store: st, now: time.Now}
	return s.ResetLink(ctx, fleet.System(), user.ID)
}

func (s *Service) newLink(ctx context.Context, tx *store.Store, actor fleet.Actor, id uuid.UUID) (*ResetLink, error) {
	plain, hash := token.NewResetToken()
	expires := s.now().UTC().Truncate(time.Second).Add(ResetLifetime)
	err := tx.SetPasswordReset(ctx, store.PasswordReset{UserID: id, Hash: hash, ExpiresAt: expires, CreatedBy: actor.String()})
	return &ResetLink{Token: plain, ExpiresAt: expires}, err
}

// ResetPassword sets the password of the user whose one-time link it is, and ends all sessions of the user. A link that
// is not good, for whatever reason, is an error of kind Unauthenticated and code reset_link_invalid; a bad password is
// one of kind Invalid about the field password, and leaves the link good. Too many attempts of one address are a
// *LimitError. If Redis does not answer before anything is done, nothing is done: kind Unavailable.
func (s *Service) ResetPassword(ctx context.Context, plain, password string, from Client) error {
	if err := s.count(ctx, "reset:"+limitAddress(from.Address), s.options.Refreshes); err != nil {
		return err
	}
	if err := token.CheckPassword(password); err != nil {
		return err
	}
	secret, ok := token.HashResetToken(plain)
	if !ok {
		return resetLinkInvalid()
	}
	if _, err := s.resetOf(ctx, s.store, secret); err != nil { // before the work of hashing, of which strangers get none
		return err
	}
	hash, err := s.hash(ctx, password)
	if err != nil {
		return err
	}
	var user fleet.User
	err = s.store.InTx(ctx, func(tx *store.Store) error {
		var err error
		if user, err = s.resetOf(ctx, tx, secret); err != nil {
			return err
		}
		if err := tx.TakePasswordReset(ctx, secret); fleet.KindOf(err) == fleet.NotFound {
			return resetLinkInvalid()
		} else if err != nil {
			return err
		}
		_, err = storePassword(ctx, tx, user.ID, hash)
		if err != nil {
			return err
		}
		self := fleet.Actor{Kind: fleet.ActorUser, ID: user.ID, UserID: &user.ID, Name: user.Username, Address: cleanAddress(from.Address)}
		return tx.Audit(ctx, self, passwordEntry(user.ID, "link"))
	})
	if err != nil {
		return fmt.Errorf("setting a password with a link: %w", err)
	}
	s.users.drop(user.ID)
	if err := s.sessions.DeleteUserSessions(ctx, user.ID); err != nil { // they are dead all the same, by their epoch
		s.log.WarnContext(ctx, "sessions left to expire after a password was set", "user", user.Username, "error", err)
	}
	return nil
}

// resetOf returns the user of a link that is good.
func (s *Service) resetOf(ctx context.Context, db *store.Store, hash []byte) (fleet.User, error) {
	reset, err := db.PasswordReset(ctx, hash)
	if fleet.KindOf(err) == fleet.NotFound || err == nil && !s.now().Before(reset.ExpiresAt) {
		return fleet.User{}, resetLinkInvalid()
	}
	if err != nil {
		return fleet.User{}, err
	}
	user, err := db.User(ctx, reset.UserID)
	if err == nil && user.DisabledAt != nil {
		err = resetLinkInvalid()
	}
	return user, err
}

func resetLinkInvalid() error {
	return fleet.Errorf(fleet.Unauthenticated, "this link is not good, or not any more; ask an admin for another").WithCode(CodeResetLinkInvalid)
}

// ChangePassword changes the password of the signed-in user that the actor is, ends all its sessions but the actor's, and
// makes a one-time link worthless. A wrong current password counts like a wrong sign-in and is an error of kind Invalid
// and code wrong_password about the field current_password; a bad new one is about new_password. An API token changes
// no password: kind Forbidden. An error of code session_store_unavailable after the password was changed says that Redis
// could not be told: then all sessions have ended, the actor's too.
func (s *Service) ChangePassword(ctx context.Context, actor fleet.Actor, current, password string) error {
	if err := actor.Require(fleet.Viewer); err != nil {
		return err
	}
	if actor.Kind != fleet.ActorUser || actor.UserID == nil || actor.SessionID == nil {
		return fleet.Errorf(fleet.Forbidden, "only a signed-in user changes its password; sign in with a password")
	}
	if err := token.CheckPassword(password); err != nil {
		return fleet.InvalidField("new_password", "%s", fieldMessage(err))
	}
	if current == password {
		return fleet.InvalidField("new_password", "is the current password")
	}
	user, err := s.verify(ctx, actor.Name, current, Client{Address: actor.Address})
	if fleet.CodeOf(err) == CodeInvalidCredentials {
		return fleet.InvalidField("current_password", "is wrong").WithCode(CodeWrongPassword)
	}
	if err != nil {
		return err
	}
	hash, err := s.hash(ctx, password)
	if err != nil {
		return err
	}
	var epoch int64
	err = s.store.InTx(ctx, func(tx *store.Store) error {
		if err := tx.DropPasswordReset(ctx, user.ID); err != nil {
			return err
		}
		var err error
		if epoch, err = storePassword(ctx, tx, user.ID, hash); err != nil {
			return err
		}
		return tx.Audit(ctx, actor, passwordEntry(user.ID, "current_password"))
	})
	if err != nil {
		return fmt.Errorf("changing a password: %w", err)
	}
	return s.endOthers(ctx, actor, epoch)
}

// storePassword stores a password's hash and ends the user's sessions; what goes on does so in the epoch it returns.
func storePassword(ctx context.Context, tx *store.Store, id uuid.UUID, hash string) (epoch int64, err error) {
	if err := tx.SetPassword(ctx, id, hash); err != nil {
		return 0, err
	}
	return tx.EndSessions(ctx, id)
}

func passwordEntry(id uuid.UUID, with string) fleet.AuditEntry {
	return fleet.AuditEntry{
		Action: "auth.password", ResourceType: "user", ResourceID: id.String(), Details: map[string]any{"with": with},
	}
}

// hash hashes a new password within the time that a sign-in may take.
func (s *Service) hash(ctx context.Context, password string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, s.options.PasswordWait)
	defer cancel()
	hash, err := s.passwords.Hash(ctx, password)
	if err != nil {
		return "", fmt.Errorf("hashing a password: %w", err)
	}
	return hash, nil
}

// fieldMessage returns what is wrong with the field that err is about.
func fieldMessage(err error) string {
	if fields := fleet.FieldsOf(err); len(fields) > 0 {
		return fields[0].Message
	}
	return fleet.MessageOf(err)
}
