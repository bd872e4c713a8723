package store

import (
	"context"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/rollcallhq/rollcall/pkg/fleet"
)

const userColumns = `u.id, u.username, u.password_hash, u.role, coalesce(u.selector, ''), u.version, u.created_at, u.updated_at, u.disabled_at,
	u.deleted_at, u.session_epoch, u.last_login_at`

func scanUser(row pgx.CollectableRow) (fleet.User, error) {
	var u fleet.User
	err := row.Scan(userTargets(&u)...)
	return u, err
}

func userTargets(u *fleet.User) []any {
	return []any{
		&u.ID, &u.Username, &u.PasswordHash, &u.Role, &u.Selector, &u.Version, &u.CreatedAt, &u.UpdatedAt, &u.DisabledAt,
		&u.DeletedAt, &u.SessionEpoch, &u.LastLoginAt,
	}
}

// User returns the user of the ID, disabled and deleted ones too.
func (s *Store) User(ctx context.Context, id uuid.UUID) (fleet.User, error) {
	rows, _ := s.db.Query(ctx, "select "+userColumns+" from users u where u.id = $1", id)
	u, err := pgx.CollectExactlyOneRow(rows, scanUser)
	return u, notFound(err, "user")
}

// UserByName returns the user of the name, which is in lower case, disabled ones too but not deleted ones.
func (s *Store) UserByName(ctx context.Context, name string) (fleet.User, error) {
	rows, _ := s.db.Query(ctx, "select "+userColumns+" from users u where u.username = $1 and u.deleted_at is null", name)
	u, err := pgx.CollectExactlyOneRow(rows, scanUser)
	return u, notFound(err, "user")
}

// AddFirstUser stores u if there is no user yet, and reports whether it did. Any number of processes may call it
// at once.
func (s *Store) AddFirstUser(ctx context.Context, u fleet.User) (bool, error) {
	added := false
	err := s.InTx(ctx, func(tx *Store) error {
		if _, err := tx.db.Exec(ctx, "select pg_advisory_xact_lock(hashtext('rollcall.first_user'))"); err != nil {
			return err
		}
		tag, err := tx.db.Exec(ctx, `
			insert into users (id, username, password_hash, role)
			select $1, $2, $3, $4 where not exists (select from users)`, u.ID, u.Username, u.PasswordHash, u.Role)
		added = err == nil && tag.RowsAffected() == 1
		return err
	})
	return added, fail(err, "adding the first user")
}

// HasUsers reports whether there is any user.
func (s *Store) HasUsers(ctx context.Context) (bool, error) {
	var has bool
	err := s.db.QueryRow(ctx, "select exists (select from users)").Scan(&has)
	return has, fail(err, "looking for users")
}

// AddUser stores a new user. A name that any user has or had is an error of kind Conflict and code name_taken.
func (s *Store) AddUser(ctx context.Context, u fleet.User) error {
	_, err := s.db.Exec(ctx, `
		insert into users (id, username, password_hash, role, selector) values ($1, $2, $3, $4, nullif($5, ''))`,
		u.ID, u.Username, u.PasswordHash, u.Role, u.Selector)
	if violates(err, uniqueViolation, "users_username_key") {
		const taken = "a user of that name exists already, or did once"
		return fleet.Errorf(fleet.Conflict, taken).WithCode("name_taken").
			WithFields(fleet.FieldError{Field: "username", Code: "name_taken", Message: taken})
	}
	return fail(err, "adding a user")
}

// SetPassword stores a user's new password hash.
func (s *Store) SetPassword(ctx context.Context, id uuid.UUID, hash string) error {
	_, err := s.db.Exec(ctx, "update users set password_hash = $2, version = version + 1, updated_at = now() where id = $1", id, hash)
	return fail(err, "setting a password")
}

// NoteLogin notes that a user signed in at that time, which is not a change of the user: the version stays.
func (s *Store) NoteLogin(ctx context.Context, id uuid.UUID, at time.Time) error {
	_, err := s.db.Exec(ctx, "update users set last_login_at = greatest(last_login_at, $2) where id = $1", id, at)
	return fail(err, "noting a sign-in")
}
