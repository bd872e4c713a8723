package store

import (
	"context"

	"github.com/google/uuid"
)

// ReplacePasswordHash stores another hash of the password that a user has already, and does nothing if the user has
// another password by now. It does not count as a change of the user.
func (s *Store) ReplacePasswordHash(ctx context.Context, id uuid.UUID, old, hash string) error {
	_, err := s.db.Exec(ctx, "update users set password_hash = $3 where id = $1 and password_hash = $2", id, old, hash)
	return fail(err, "replacing a password hash")
}
