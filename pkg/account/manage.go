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

// Codes of errors about managing users.
const (
	CodeLastAdmin  = "last_admin"  // the change would leave no enabled admin without a selector
	CodeOwnAccount = "own_account" // nobody changes what an actor itself may do
)

// A NewUser is a user to be made.
type NewUser struct {
	Username string // lower-case letters, digits and . _ @ -, at most 63
	Password string // empty: the user sets one with a one-time link
	Role     fleet.Role
	Selector string // empty or *: all hosts
}

// A UserChange is what of a user is to change; nil leaves it as it is.
type UserChange struct {
	Role     *fleet.Role
	Selector *string // empty or *: all hosts
	Disabled *bool   // a disabled user's sessions have ended, its API tokens are refused until it is enabled again
}

// Users returns a page of the users, newest first and without their password hashes, and the cursor of the next page.
//
// Users are read and changed by admins without a selector only: somebody who may do everything to some hosts could make
// an account that may do it to all. Everybody else is refused with kind Forbidden. An API token of such an admin may,
// unless it has a narrower role or selector.
func (s *Service) Users(ctx context.Context, actor fleet.Actor, page fleet.Page) (users []fleet.User, next string, err error) {
	if err := requireManager(actor); err != nil {
		return nil, "", err
	}
	if users, next, err = s.store.Users(ctx, page); err != nil {
		return nil, "", err
	}
	for i := range users {
		users[i].PasswordHash = ""
	}
	return users, next, nil
}

// User returns a user without its password hash. One that was deleted is an error of kind NotFound.
func (s *Service) User(ctx context.Context, actor fleet.Actor, id uuid.UUID) (fleet.User, error) {
	if err := requireManager(actor); err != nil {
		return fleet.User{}, err
	}
	return managed(ctx, s.store, id)
}

// CreateUser makes a user, and a one-time link for it if there is no password; link is nil otherwise. A bad field is
// named by an error of kind Invalid; a name that any user has or had is one of kind Conflict and code name_taken.
func (s *Service) CreateUser(ctx context.Context, actor fleet.Actor, in NewUser) (user fleet.User, link *ResetLink, err error) {
	if err := requireManager(actor); err != nil {
		return fleet.User{}, nil, err
	}
	if err := in.check(); err != nil {
		return fleet.User{}, nil, err
	}
	password := in.Password
	if password == "" {
		password = newPassword() // that nobody knows
	}
	hash, err := s.hash(ctx, password)
	if err != nil {
		return fleet.User{}, nil, err
	}
	id := fleet.NewIDAt(s.now())
	err = s.managing(ctx, actor, func(tx *store.Store) error {
		err := tx.AddUser(ctx, fleet.User{ID: id, Username: in.Username, PasswordHash: hash, Role: in.Role, Selector: in.Selector})
		if err != nil {
			return err
		}
		if link = nil; in.Password == "" {
			if link, err = s.newLink(ctx, tx, actor, id); err != nil {
				return err
			}
		}
		if user, err = managed(ctx, tx, id); err != nil {
			return err
		}
		entry := userEntry("create", user)
		entry.Details["password_given"] = in.Password != ""
		return tx.Audit(ctx, actor, entry)
	})
	if err != nil {
		return fleet.User{}, nil, fmt.Errorf("making a user: %w", err)
	}
	return user, link, nil
}

// ChangeUser changes a user. A version other than 0 is the one that the caller has read: another is an error of kind
// Precondition. Nobody changes itself (Conflict, code own_account), and an enabled admin without a selector always
// remains (Conflict, code last_admin). Disabling ends all of the user's sessions, at once; the user stays disabled even
// where the error is of kind Unavailable and code session_store_unavailable: Redis could not be told, and the sessions
// are dead all the same, because the database says so. A change of role or selector shows in sessions that go on at
// once at this replica, and within two seconds at others.
func (s *Service) ChangeUser(ctx context.Context, actor fleet.Actor, id uuid.UUID, version int64, change UserChange) (user fleet.User, err error) {
	if err := requireOther(actor, id); err != nil {
		return fleet.User{}, err
	}
	ended := false
	err = s.managing(ctx, actor, func(tx *store.Store) error {
		before, err := readVersion(ctx, tx, id, version)
		if err != nil {
			return err
		}
		after, err := change.applied(before, s.now())
		if err != nil {
			return err
		}
		if user = before; sameRights(before, after) {
			return nil
		}
		if err := keepAdmin(ctx, tx, before, after); err != nil {
			return err
		}
		ended = before.DisabledAt == nil && after.DisabledAt != nil
		if err := s.storeUser(ctx, tx, after, ended); err != nil {
			return err
		}
		if user, err = managed(ctx, tx, id); err != nil {
			return err
		}
		entry := userEntry("update", user)
		entry.Details["before"] = rights(before)
		return tx.Audit(ctx, actor, entry)
	})
	if err != nil {
		return fleet.User{}, fmt.Errorf("changing a user: %w", err)
	}
	s.users.drop(id)
	if ended {
		return user, s.endAll(ctx, id)
	}
	return user, nil
}

// DeleteUser disables a user for good: its sessions end, its API tokens are revoked, and it is not listed any more. The
// row stays, and so does the name, which nobody gets again, because the audit log names people by it. version and the
// errors are those of ChangeUser.
func (s *Service) DeleteUser(ctx context.Context, actor fleet.Actor, id uuid.UUID, version int64) error {
	if err := requireOther(actor, id); err != nil {
		return err
	}
	nobodys, err := s.hash(ctx, newPassword())
	if err != nil {
		return err
	}
	err = s.managing(ctx, actor, func(tx *store.Store) error {
		before, err := readVersion(ctx, tx, id, version)
		if err != nil {
			return err
		}
		after := before
		if after.DisabledAt == nil {
			after.DisabledAt = new(s.now().UTC())
		}
		after.DeletedAt = new(s.now().UTC())
		if err := keepAdmin(ctx, tx, before, after); err != nil {
			return err
		}
		if err := s.storeUser(ctx, tx, after, true); err != nil {
			return err
		}
		if err := tx.RevokeAPITokens(ctx, id); err != nil {
			return err
		}
		if err := tx.SetPassword(ctx, id, nobodys); err != nil {
			return err
		}
		return tx.Audit(ctx, actor, userEntry("delete", before))
	})
	if err != nil {
		return fmt.Errorf("deleting a user: %w", err)
	}
	return s.endAll(ctx, id)
}

// storeUser stores a changed user; one that is shut out loses its sessions and its one-time link with it.
func (s *Service) storeUser(ctx context.Context, tx *store.Store, after fleet.User, out bool) error {
	if err := tx.UpdateUser(ctx, after); err != nil || !out {
		return err
	}
	if err := tx.DropPasswordReset(ctx, after.ID); err != nil {
		return err
	}
	_, err := tx.EndSessions(ctx, after.ID)
	return err
}

// managing runs f in a transaction within which no other user is managed, if the actor may still manage users: it may
// have lost the right since it was authenticated.
func (s *Service) managing(ctx context.Context, actor fleet.Actor, f func(tx *store.Store) error) error {
	return s.store.InTx(ctx, func(tx *store.Store) error {
		if err := tx.LockUsers(ctx); err != nil {
			return err
		}
		if actor.UserID != nil {
			self, err := tx.User(ctx, *actor.UserID)
			if err != nil {
				return err
			}
			if self.DisabledAt != nil || self.Role != fleet.Admin || self.Selector != "" {
				return fleet.Errorf(fleet.Forbidden, "managing users needs an enabled admin without a selector")
			}
		}
		return f(tx)
	})
}

// requireManager returns an error unless the actor is an admin without a selector.
func requireManager(actor fleet.Actor) error {
	if err := actor.Require(fleet.Admin); err != nil {
		return err
	}
	if actor.Selector != nil {
		return fleet.Errorf(fleet.Forbidden, "users are managed by admins who see all hosts; %s is bound to a selector", actor)
	}
	return nil
}

// requireOther is requireManager for what nobody does to itself, nor with an API token of its own.
func requireOther(actor fleet.Actor, id uuid.UUID) error {
	if err := requireManager(actor); err != nil {
		return err
	}
	if actor.UserID != nil && *actor.UserID == id {
		return fleet.Errorf(fleet.Conflict, "nobody does this to the own account; ask another admin").WithCode(CodeOwnAccount)
	}
	return nil
}

// managed returns a user that was not deleted, without its password hash.
func managed(ctx context.Context, db *store.Store, id uuid.UUID) (fleet.User, error) {
	user, err := db.User(ctx, id)
	if err == nil && user.DeletedAt != nil {
		err = fleet.Errorf(fleet.NotFound, "there is no such user")
	}
	if err != nil {
		return fleet.User{}, err
	}
	user.PasswordHash = ""
	return user, nil
}

func readVersion(ctx context.Context, tx *store.Store, id uuid.UUID, version int64) (fleet.User, error) {
	user, err := managed(ctx, tx, id)
	if err == nil && version != 0 && version != user.Version {
		return user, fleet.Errorf(fleet.Precondition, "the user was changed meanwhile; read it again")
	}
	return user, err
}

// keepAdmin refuses a change that leaves nobody who can undo it.
func keepAdmin(ctx context.Context, tx *store.Store, before, after fleet.User) error {
	if !manages(before) || manages(after) {
		return nil
	}
	other, err := tx.OtherAdmin(ctx, before.ID)
	if err == nil && !other {
		err = fleet.Errorf(fleet.Conflict, "%s is the last enabled admin who sees all hosts; make another one first", before.Username).
			WithCode(CodeLastAdmin)
	}
	return err
}

func manages(u fleet.User) bool {
	return u.Role == fleet.Admin && u.Selector == "" && u.DisabledAt == nil
}

func sameRights(a, b fleet.User) bool {
	return a.Role == b.Role && a.Selector == b.Selector && (a.DisabledAt == nil) == (b.DisabledAt == nil)
}

// applied returns the user that the change makes of u, once it is checked.
func (c UserChange) applied(u fleet.User, now time.Time) (fleet.User, error) {
	if c.Role != nil {
		u.Role = *c.Role
	}
	if c.Selector != nil {
		u.Selector = *c.Selector
	}
	if c.Disabled != nil && *c.Disabled != (u.DisabledAt != nil) {
		if u.DisabledAt = nil; *c.Disabled {
			u.DisabledAt = new(now.UTC())
		}
	}
	var err error
	u.Selector, err = checkRights(u.Role, u.Selector)
	return u, err
}

// check checks what is to be made, and brings the selector into its form.
func (in *NewUser) check() error {
	if !validUsername(in.Username) {
		return fleet.InvalidField("username",
			"needs 1 to %d lower-case letters, digits and . _ @ -, the first of them a letter or digit", maxUsernameBytes)
	}
	var err error
	if in.Selector, err = checkRights(in.Role, in.Selector); err != nil || in.Password == "" {
		return err
	}
	return token.CheckPassword(in.Password)
}

// checkRights returns the selector as it is stored: in its canonical form, and nothing for the one that every host
// matches.
func checkRights(role fleet.Role, selector string) (string, error) {
	if !role.Valid() {
		return "", fleet.InvalidField("role", "is one of viewer, operator and admin")
	}
	if selector == "" {
		return "", nil
	}
	parsed, err := fleet.ParseSelector(selector)
	if err != nil {
		return "", err
	}
	if parsed.String() == "*" {
		return "", nil
	}
	return parsed.String(), nil
}

// userEntry is the audit entry of what was done to a user.
func userEntry(verb string, u fleet.User) fleet.AuditEntry {
	details := rights(u)
	details["username"] = u.Username
	return fleet.AuditEntry{Action: "user." + verb, ResourceType: "user", ResourceID: u.ID.String(), Details: details}
}

func rights(u fleet.User) map[string]any {
	return map[string]any{"role": string(u.Role), "selector": u.Selector, "disabled": u.DisabledAt != nil}
}
