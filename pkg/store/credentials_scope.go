package store

import (
	"context"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/rollcallhq/rollcall/pkg/fleet"
)

// A CredentialReach says which hosts use a credential, to log in or to become root.
type CredentialReach struct {
	Inside  bool // one that the scope sees
	Outside bool // one that it does not see
}

// Seen reports whether a scope of that reach sees the credential: not where only others' hosts use it.
func (r CredentialReach) Seen() bool { return r.Inside || !r.Outside }

// CredentialReaches returns the reach of the credentials. One that no host uses is not there, and so has the zero reach.
func (s *Store) CredentialReaches(ctx context.Context, scope fleet.Scope, credentials []uuid.UUID) (map[uuid.UUID]CredentialReach, error) {
	reaches := map[uuid.UUID]CredentialReach{}
	if len(credentials) == 0 {
		return reaches, nil
	}
	w := newWhere()
	w.add("u.id = any(@credentials)", "credentials", credentials)
	w.and("h.retired_at is null")
	seen := w.scoped(scope)
	rows, _ := s.db.Query(ctx, `
		select u.id, bool_or(`+seen+`), bool_or(not (`+seen+`))
		from hosts h cross join lateral (values (h.credential_id), (h.become_credential_id)) u(id)
		where (h.credential_id = any(@credentials) or h.become_credential_id = any(@credentials)) and `+w.String()+" group by 1", w.args)
	var id uuid.UUID
	var reach CredentialReach
	_, err := pgx.ForEachRow(rows, []any{&id, &reach.Inside, &reach.Outside}, func() error { reaches[id] = reach; return nil })
	return reaches, fail(err, "reading which hosts use credentials")
}
