package store

import (
	"context"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/rollcallhq/rollcall/pkg/fleet"
)

// MaxAPITokens is how many API tokens that have not been revoked a user may have; expired ones count.
const MaxAPITokens = 100

// An APIToken is what is kept of an API token.
type APIToken struct {
	ID         uuid.UUID
	UserID     uuid.UUID
	Name       string
	Hash       []byte     // SHA-256 of the token; written and looked up, never read back
	Role       fleet.Role // empty: the owner's
	Selector   string     // empty: the owner's
	CreatedAt  time.Time
	ExpiresAt  *time.Time // nil: never
	LastUsedAt *time.Time // right to a minute; nil: not yet
	RevokedAt  *time.Time
}

const apiTokenColumns = `t.id, t.user_id, t.name, coalesce(t.role, ''), coalesce(t.selector, ''), t.created_at, t.expires_at,
	t.last_used_at, t.revoked_at`

func (t *APIToken) targets() []any {
	return []any{
		&t.ID, &t.UserID, &t.Name, &t.Role, &t.Selector, &t.CreatedAt, &t.ExpiresAt, &t.LastUsedAt, &t.RevokedAt,
	}
}

func scanAPIToken(row pgx.CollectableRow) (APIToken, error) {
	var t APIToken
	err := row.Scan(t.targets()...)
	return t, err
}

// APITokenByHash returns the API token of the hash, expired and revoked ones too, and the user it belongs to, who may
// be disabled. A hash that is not known is an error of kind NotFound.
func (s *Store) APITokenByHash(ctx context.Context, hash []byte) (APIToken, fleet.User, error) {
	type pair struct {
		token APIToken
		user  fleet.User
	}
	rows, _ := s.db.Query(ctx, "select "+apiTokenColumns+", "+userColumns+`
		from api_tokens t join users u on u.id = t.user_id where t.hash = $1`, hash)
	p, err := pgx.CollectExactlyOneRow(rows, func(row pgx.CollectableRow) (pair, error) {
		var p pair
		err := row.Scan(append(p.token.targets(), userTargets(&p.user)...)...)
		return p, err
	})
	return p.token, p.user, notFound(err, "API token")
}

// APITokens returns the user's API tokens that have not been revoked, newest first; there are at most MaxAPITokens.
func (s *Store) APITokens(ctx context.Context, user uuid.UUID) ([]APIToken, error) {
	rows, _ := s.db.Query(ctx, "select "+apiTokenColumns+`
		from api_tokens t where t.user_id = $1 and t.revoked_at is null order by t.created_at desc, t.id desc`, user)
	tokens, err := pgx.CollectRows(rows, scanAPIToken)
	return tokens, fail(err, "listing API tokens")
}

// AddAPIToken stores a new API token. Its user having MaxAPITokens already is an error of kind Conflict and code
// too_many_tokens. It belongs into a transaction, because it locks the user to count right.
func (s *Store) AddAPIToken(ctx context.Context, t APIToken) error {
	if _, err := s.db.Exec(ctx, "select from users where id = $1 for no key update", t.UserID); err != nil {
		return fail(err, "locking the owner of an API token")
	}
	tag, err := s.db.Exec(ctx, `
		insert into api_tokens (id, user_id, name, hash, role, selector, created_at, expires_at)
		select @id, @user_id, @name, @hash, nullif(@role, ''), nullif(@selector, ''), @created_at, @expires_at
		where (select count(*) from api_tokens where user_id = @user_id and revoked_at is null) < @most`,
		pgx.NamedArgs{
			"id": t.ID, "user_id": t.UserID, "name": t.Name, "hash": t.Hash, "role": string(t.Role), "selector": t.Selector,
			"created_at": t.CreatedAt, "expires_at": t.ExpiresAt, "most": MaxAPITokens,
		})
	if err == nil && tag.RowsAffected() == 0 {
		return fleet.Errorf(fleet.Conflict, "there are %d API tokens already; revoke one first", MaxAPITokens).WithCode("too_many_tokens")
	}
	return fail(err, "adding an API token")
}

// RevokeAPIToken ends an API token of the user and returns it. One that is not the user's, or was revoked before, is
// an error of kind NotFound.
func (s *Store) RevokeAPIToken(ctx context.Context, user, id uuid.UUID) (APIToken, error) {
	rows, _ := s.db.Query(ctx, `
		update api_tokens t set revoked_at = now() where t.id = $1 and t.user_id = $2 and t.revoked_at is null
		returning `+apiTokenColumns, id, user)
	t, err := pgx.CollectExactlyOneRow(rows, scanAPIToken)
	return t, notFound(err, "API token")
}

// TouchAPIToken notes that an API token was used at now. Within a minute of the last note it writes nothing.
func (s *Store) TouchAPIToken(ctx context.Context, id uuid.UUID, now time.Time) error {
	_, err := s.db.Exec(ctx, `
		update api_tokens set last_used_at = $2
		where id = $1 and (last_used_at is null or last_used_at <= $2::timestamptz - interval '1 minute')`, id, now)
	return fail(err, "noting the use of an API token")
}
