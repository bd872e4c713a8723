package store

import (
	"context"
	"encoding/json"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/rollcallhq/rollcall/pkg/fleet"
)

// hostRow is a new host as AddHosts hands it to the database.
type hostRow struct {
	ID           uuid.UUID         `json:"id"`
	Name         string            `json:"name"`
	Address      string            `json:"address"`
	Port         int               `json:"port"`
	Site         string            `json:"site"`
	Labels       map[string]string `json:"labels"`
	CredentialID *uuid.UUID        `json:"credential_id"`
	Connection   fleet.Connection  `json:"connection"`
	JumpHostID   *uuid.UUID        `json:"jump_host_id"`
	SSH          sshColumn         `json:"ssh"`
	Enabled      bool              `json:"enabled"`
}

func hostRowOf(h fleet.Host) hostRow {
	labels := h.Labels
	if labels == nil {
		labels = map[string]string{}
	}
	return hostRow{
		ID: h.ID, Name: h.Name, Address: h.Address, Port: h.Port, Site: h.Site, Labels: labels, CredentialID: h.CredentialID,
		Connection: h.Connection, JumpHostID: h.JumpHostID, SSH: sshColumn(h.SSH), Enabled: h.Enabled,
	}
}

// AddHosts stores new hosts in one statement and returns the IDs of those that it stored. A host whose name is taken
// is left out.
func (s *Store) AddHosts(ctx context.Context, hosts []fleet.Host) (map[uuid.UUID]bool, error) {
	made := make([]hostRow, len(hosts))
	for i, h := range hosts {
		made[i] = hostRowOf(h)
	}
	rows, _ := s.db.Query(ctx, `
		insert into hosts (id, name, address, port, site, labels, credential_id, connection, jump_host_id, ssh, enabled)
		select id, name, address, port, site, labels, credential_id, connection, jump_host_id, ssh, enabled
		from jsonb_to_recordset($1::jsonb) as n (id uuid, name text, address text, port int, site text, labels jsonb,
			credential_id uuid, connection text, jump_host_id uuid, ssh jsonb, enabled boolean)
		on conflict (name) where retired_at is null do nothing
		returning id`, string(jsonOf(made)))
	ids, err := pgx.CollectRows(rows, pgx.RowTo[uuid.UUID])
	if err != nil {
		return nil, hostWriteError(err, "adding hosts")
	}
	stored := make(map[uuid.UUID]bool, len(ids))
	for _, id := range ids {
		stored[id] = true
	}
	return stored, s.keepFreshness(ctx, ids...)
}

// auditRow is an audit entry as AuditAll hands it to the database.
type auditRow struct {
	ID         uuid.UUID       `json:"id"`
	CreatedAt  time.Time       `json:"created_at"`
	Action     string          `json:"action"`
	Outcome    string          `json:"outcome"`
	Type       string          `json:"resource_type"`
	ResourceID string          `json:"resource_id"`
	Details    json.RawMessage `json:"details"`
}

// AuditAll is Audit for many entries of one actor, in one statement.
func (s *Store) AuditAll(ctx context.Context, actor fleet.Actor, entries []fleet.AuditEntry) error {
	if len(entries) == 0 {
		return nil
	}
	rows := make([]auditRow, len(entries))
	for i, e := range entries {
		id := fleet.NewID()
		rows[i] = auditRow{
			ID: id, CreatedAt: fleet.TimeOf(id), Action: e.Action, Outcome: "ok", Type: e.ResourceType, ResourceID: e.ResourceID,
			Details: json.RawMessage("{}"),
		}
		if e.Details != nil {
			rows[i].Details = jsonOf(e.Details)
		}
		if e.Denied {
			rows[i].Outcome = "denied"
		}
	}
	_, err := s.db.Exec(ctx, `
		insert into audit_logs (id, created_at, user_id, actor, action, outcome, resource_type, resource_id, details, ip_address)
		select id, created_at, $2, $3, action, outcome, resource_type, resource_id, details, nullif($4, '')::inet
		from jsonb_to_recordset($1::jsonb) as e (id uuid, created_at timestamptz, action text, outcome text, resource_type text,
			resource_id text, details jsonb)`, string(jsonOf(rows)), actor.UserID, actor.String(), actor.Address)
	return fail(err, "writing the audit log")
}

// LockCredential makes the transaction wait for every other one that has locked the credential. One that does not
// exist is NotFound.
func (s *Store) LockCredential(ctx context.Context, id uuid.UUID) error {
	var locked uuid.UUID
	err := s.db.QueryRow(ctx, "select id from credentials where id = $1 for update", id).Scan(&locked)
	return notFound(err, "credential")
}

// CredentialsByID returns the credentials of the IDs, without their secrets; IDs without one are absent.
func (s *Store) CredentialsByID(ctx context.Context, ids []uuid.UUID) (map[uuid.UUID]fleet.Credential, error) {
	rows, _ := s.db.Query(ctx, "select "+credentialColumns+" from credentials c where c.id = any($1)", ids)
	found, err := pgx.CollectRows(rows, scanCredential)
	byID := make(map[uuid.UUID]fleet.Credential, len(found))
	for _, c := range found {
		byID[c.ID] = c
	}
	return byID, fail(err, "reading credentials by ID")
}

// KeepSeals removes the seals of the credential for all sites but those.
func (s *Store) KeepSeals(ctx context.Context, credential uuid.UUID, sites []string) error {
	_, err := s.db.Exec(ctx, "delete from credential_seals where credential_id = $1 and site <> all($2)", credential, sites)
	return fail(err, "removing seals")
}

// SitesUsing returns the sites of the hosts within the scope that use the credential, by name.
func (s *Store) SitesUsing(ctx context.Context, scope fleet.Scope, credential uuid.UUID) ([]string, error) {
	w := newWhere()
	w.add("(h.credential_id = @credential or h.become_credential_id = @credential)", "credential", credential)
	w.and("h.retired_at is null")
	w.scope(scope)
	rows, _ := s.db.Query(ctx, "select distinct h.site from hosts h where "+w.String()+" order by 1", w.args)
	sites, err := pgx.CollectRows(rows, pgx.RowTo[string])
	return sites, fail(err, "reading the sites of a credential")
}
