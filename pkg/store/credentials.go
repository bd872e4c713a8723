package store

import (
	"context"
	"fmt"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/rollcallhq/rollcall/pkg/fleet"
)

const credentialColumns = `c.id, c.name, c.kind, c.username, coalesce(c.fingerprint, ''), c.version, c.created_at, c.updated_at,
	array(select site from credential_seals s where s.credential_id = c.id order by site)`

func scanCredential(row pgx.CollectableRow) (fleet.Credential, error) {
	var c fleet.Credential
	err := row.Scan(&c.ID, &c.Name, &c.Kind, &c.Username, &c.Fingerprint, &c.Version, &c.CreatedAt, &c.UpdatedAt, &c.Sites)
	return c, err
}

// Credential returns the credential of the ID, without its secret.
func (s *Store) Credential(ctx context.Context, id uuid.UUID) (fleet.Credential, error) {
	rows, _ := s.db.Query(ctx, "select "+credentialColumns+" from credentials c where c.id = $1", id)
	c, err := pgx.CollectExactlyOneRow(rows, scanCredential)
	return c, notFound(err, "credential")
}

// CredentialsByName returns the credentials of the names; names without one are absent.
func (s *Store) CredentialsByName(ctx context.Context, names []string) (map[string]fleet.Credential, error) {
	rows, _ := s.db.Query(ctx, "select "+credentialColumns+" from credentials c where c.name = any($1)", names)
	found, err := pgx.CollectRows(rows, scanCredential)
	byName := make(map[string]fleet.Credential, len(found))
	for _, c := range found {
		byName[c.Name] = c
	}
	return byName, fail(err, "reading credentials by name")
}

// Credentials returns a page of the credentials by name, without their secrets, and the cursor of the next page.
func (s *Store) Credentials(ctx context.Context, page fleet.Page) ([]fleet.Credential, string, error) {
	w := newWhere()
	if page.After != "" {
		name, err := keyOf(page.After)
		if err != nil {
			return nil, "", err
		}
		w.add("c.name > @after", "after", name)
	}
	limit := limitOf(page)
	rows, _ := s.db.Query(ctx, "select "+credentialColumns+" from credentials c where "+w.String()+
		fmt.Sprintf(" order by c.name limit %d", limit+1), w.args)
	found, err := pgx.CollectRows(rows, scanCredential)
	if err != nil {
		return nil, "", fail(err, "listing credentials")
	}
	found, next := cut(found, limit, func(c fleet.Credential) string { return c.Name })
	return found, next, nil
}

// AddCredential stores a new credential with its seals.
func (s *Store) AddCredential(ctx context.Context, c fleet.Credential, seals []fleet.Seal) error {
	_, err := s.db.Exec(ctx, `
		insert into credentials (id, name, kind, username, fingerprint) values ($1, $2, $3, $4, nullif($5, ''))`,
		c.ID, c.Name, c.Kind, c.Username, c.Fingerprint)
	if err != nil {
		return credentialWriteError(err, "adding a credential")
	}
	return s.setSeals(ctx, c.ID, seals)
}

// UpdateCredential stores c over the version it was read at; seals, unless nil, replace the earlier ones.
func (s *Store) UpdateCredential(ctx context.Context, c fleet.Credential, seals []fleet.Seal) error {
	tag, err := s.db.Exec(ctx, `
		update credentials set name = $2, kind = $3, username = $4, fingerprint = nullif($5, ''), version = version + 1, updated_at = now()
		where id = $1 and version = $6`,
		c.ID, c.Name, c.Kind, c.Username, c.Fingerprint, c.Version)
	if err != nil {
		return credentialWriteError(err, "changing a credential")
	}
	if tag.RowsAffected() == 0 {
		return fleet.Errorf(fleet.Precondition, "the credential was changed meanwhile; read it again")
	}
	if seals == nil {
		return nil
	}
	if _, err := s.db.Exec(ctx, "delete from credential_seals where credential_id = $1", c.ID); err != nil {
		return fail(err, "replacing seals")
	}
	return s.setSeals(ctx, c.ID, seals)
}

func (s *Store) setSeals(ctx context.Context, id uuid.UUID, seals []fleet.Seal) error {
	for _, seal := range seals {
		_, err := s.db.Exec(ctx, `
			insert into credential_seals (credential_id, site, key_id, sealed) values ($1, $2, $3, $4)`,
			id, seal.Site, seal.KeyID, seal.Sealed)
		if err != nil {
			return fail(err, "storing a seal")
		}
	}
	return nil
}

func credentialWriteError(err error, doing string) error {
	if violates(err, uniqueViolation, "credentials_name_key") {
		return fleet.Errorf(fleet.Conflict, "a credential of that name exists already").WithCode("name_taken").
			WithFields(fleet.FieldError{Field: "name", Code: "name_taken", Message: "a credential of that name exists already"})
	}
	return fail(err, doing)
}

// RemoveCredential deletes the credential and its seals. One that hosts use is a Conflict.
func (s *Store) RemoveCredential(ctx context.Context, id uuid.UUID) error {
	tag, err := s.db.Exec(ctx, "delete from credentials where id = $1", id)
	if sqlState(err) == foreignKeyViolation {
		return fleet.Errorf(fleet.Conflict, "hosts use this credential; give them another one first").WithCode("in_use")
	}
	if err == nil && tag.RowsAffected() == 0 {
		return fleet.Errorf(fleet.NotFound, "there is no such credential")
	}
	return fail(err, "removing a credential")
}

// CredentialFor returns the credential with the seal that workers of the site can open; for workers only.
// A credential that is not sealed to the site is NotFound.
func (s *Store) CredentialFor(ctx context.Context, id uuid.UUID, site string) (fleet.Credential, fleet.Seal, error) {
	var c fleet.Credential
	seal := fleet.Seal{Site: site}
	err := s.db.QueryRow(ctx, `
		select c.id, c.name, c.kind, c.username, s.key_id, s.sealed
		from credentials c join credential_seals s on s.credential_id = c.id and s.site = $2
		where c.id = $1`, id, site).Scan(&c.ID, &c.Name, &c.Kind, &c.Username, &seal.KeyID, &seal.Sealed)
	return c, seal, notFound(err, "credential for this site")
}
