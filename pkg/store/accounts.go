package store

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/rollcallhq/rollcall/pkg/fleet"
)

// Users returns a page of the users that were not deleted, newest first, and the cursor of the next page.
func (s *Store) Users(ctx context.Context, page fleet.Page) ([]fleet.User, string, error) {
	w := newWhere()
	w.and("u.deleted_at is null")
	if page.After != "" {
		key, err := keyOf(page.After)
		if err != nil {
			return nil, "", err
		}
		id, err := uuid.Parse(key)
		if err != nil {
			return nil, "", fleet.InvalidField("cursor", "this is not a cursor that a list has answered with")
		}
		w.add("u.id < @after", "after", id)
	}
	limit := limitOf(page)
	rows, _ := s.db.Query(ctx, "select "+userColumns+" from users u where "+w.String()+
		fmt.Sprintf(" order by u.id desc limit %d", limit+1), w.args)
	found, err := pgx.CollectRows(rows, scanUser)
	if err != nil {
		return nil, "", fail(err, "listing users")
	}
	found, next := cut(found, limit, func(u fleet.User) string { return u.ID.String() })
	return found, next, nil
}

// LockUsers makes whoever else locks users wait until the transaction ends: rules about several users, such as that an
// admin stays, hold only if nobody changes another one meanwhile.
func (s *Store) LockUsers(ctx context.Context) error {
	_, err := s.db.Exec(ctx, "select pg_advisory_xact_lock(hashtext('rollcall.users'))")
	return fail(err, "locking users")
}

// OtherAdmin reports whether there is an enabled admin without a selector besides the user of the ID.
func (s *Store) OtherAdmin(ctx context.Context, id uuid.UUID) (bool, error) {
	var is bool
	err := s.db.QueryRow(ctx, `
		select exists (select from users where id <> $1 and role = 'admin' and selector is null and disabled_at is null)`, id).Scan(&is)
	return is, fail(err, "looking for another admin")
}

// UpdateUser stores the role, the selector and the times of disabling and deletion of u over the version that it was
// read at. Another version is an error of kind Precondition.
func (s *Store) UpdateUser(ctx context.Context, u fleet.User) error {
	tag, err := s.db.Exec(ctx, `
		update users set role = $2, selector = nullif($3, ''), disabled_at = $4, deleted_at = $5, version = version + 1, updated_at = now()
		where id = $1 and version = $6`, u.ID, u.Role, u.Selector, u.DisabledAt, u.DeletedAt, u.Version)
	if err == nil && tag.RowsAffected() == 0 {
		return fleet.Errorf(fleet.Precondition, "the user was changed meanwhile; read it again")
	}
	return fail(err, "changing a user")
}

// EndSessions makes all sessions that the user has worthless and returns the epoch of those that it will have.
func (s *Store) EndSessions(ctx context.Context, id uuid.UUID) (epoch int64, err error) {
	err = s.db.QueryRow(ctx, "update users set session_epoch = session_epoch + 1 where id = $1 returning session_epoch", id).Scan(&epoch)
	return epoch, notFound(err, "user")
}

// RevokeAPITokens ends all API tokens of the user.
func (s *Store) RevokeAPITokens(ctx context.Context, user uuid.UUID) error {
	_, err := s.db.Exec(ctx, "update api_tokens set revoked_at = now() where user_id = $1 and revoked_at is null", user)
	return fail(err, "revoking API tokens")
}

// A PasswordReset is what is kept of a one-time link with which a user sets a password.
type PasswordReset struct {
	UserID    uuid.UUID
	Hash      []byte // SHA-256 of its token; written and looked up, never read back
	ExpiresAt time.Time
	CreatedBy string
}

// SetPasswordReset stores a user's link in place of an earlier one.
func (s *Store) SetPasswordReset(ctx context.Context, r PasswordReset) error {
	_, err := s.db.Exec(ctx, `
		insert into password_resets (user_id, hash, expires_at, created_by) values ($1, $2, $3, $4)
		on conflict (user_id) do update set hash = excluded.hash, expires_at = excluded.expires_at,
			created_by = excluded.created_by, created_at = now()`, r.UserID, r.Hash, r.ExpiresAt, r.CreatedBy)
	return fail(err, "storing a password link")
}

// PasswordReset returns the link of the hash, expired ones too. A hash that is not known is an error of kind NotFound.
func (s *Store) PasswordReset(ctx context.Context, hash []byte) (PasswordReset, error) {
	var r PasswordReset
	err := s.db.QueryRow(ctx, "select user_id, expires_at, created_by from password_resets where hash = $1", hash).
		Scan(&r.UserID, &r.ExpiresAt, &r.CreatedBy)
	return r, notFound(err, "password link")
}

// TakePasswordReset removes the link of the hash; of many who do it at once one does. A hash that is not known, or not
// any more, is an error of kind NotFound.
func (s *Store) TakePasswordReset(ctx context.Context, hash []byte) error {
	tag, err := s.db.Exec(ctx, "delete from password_resets where hash = $1", hash)
	if err == nil && tag.RowsAffected() == 0 {
		return fleet.Errorf(fleet.NotFound, "there is no such password link")
	}
	return fail(err, "taking a password link")
}

// DropPasswordReset removes the user's link, if there is one.
func (s *Store) DropPasswordReset(ctx context.Context, user uuid.UUID) error {
	_, err := s.db.Exec(ctx, "delete from password_resets where user_id = $1", user)
	return fail(err, "dropping a password link")
}
