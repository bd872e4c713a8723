package inventory

import (
	"context"
	"maps"
	"reflect"
	"slices"

	"github.com/google/uuid"

	"github.com/rollcallhq/rollcall/pkg/fleet"
	"github.com/rollcallhq/rollcall/pkg/store"
)

// CodeOutsideScope is the code of the refusal of a write by somebody who could not see its result.
const CodeOutsideScope = "outside_scope"

func hostEntry(verb string, id uuid.UUID, details map[string]any) fleet.AuditEntry {
	return fleet.AuditEntry{Action: "host." + verb, ResourceType: "host", ResourceID: idOrNone(id), Details: details}
}

func idOrNone(id uuid.UUID) string {
	if id == uuid.Nil {
		return ""
	}
	return id.String()
}

// AddHost stores a new host on behalf of actor, an admin, and returns it as stored. Zero fields take their defaults:
// port 22, site default, connection ssh, and the address localhost where the connection is local. A bad field is
// Invalid and named, a name that is taken a Conflict, and a host that the actor could not see Forbidden.
func (s *Service) AddHost(ctx context.Context, actor fleet.Actor, h fleet.Host) (fleet.Host, error) {
	if err := s.requireAdmin(ctx, actor, hostEntry("create", uuid.Nil, nil)); err != nil {
		return fleet.Host{}, err
	}
	h = withDefaults(h)
	if err := checkHost(h); err != nil {
		return fleet.Host{}, err
	}
	if err := s.inScope(ctx, actor, h, "create"); err != nil {
		return fleet.Host{}, err
	}
	h.ID = fleet.NewID()
	var stored fleet.Host
	err := s.Store.InTx(ctx, func(tx *store.Store) error {
		if err := checkCredentials(ctx, tx, actor, h); err != nil {
			return err
		}
		var err error
		if stored, err = tx.AddHost(ctx, h); err != nil {
			return err
		}
		return tx.Audit(ctx, actor, hostEntry("create", h.ID, hostFields(stored)))
	})
	return stored, err
}

// inScope refuses a host that the actor could not see.
func (s *Service) inScope(ctx context.Context, actor fleet.Actor, h fleet.Host, verb string) error {
	if actor.Scope().Sees(h) {
		return nil
	}
	s.denied(ctx, actor, hostEntry(verb, h.ID, map[string]any{"name": h.Name}))
	return outsideScope(actor)
}

func outsideScope(actor fleet.Actor) error {
	return fleet.Errorf(fleet.Forbidden, "the host would lie outside of what %s may see", actor).WithCode(CodeOutsideScope)
}

// UpdateHost lets change alter the host as it is now, on behalf of actor, an admin, and stores the outcome. A version
// other than 0 is the one that the caller has read: another is a Precondition error. Another address, port or site
// may be another machine, so the trust in the host's keys is suspended: no credential is offered before somebody
// has trusted a key anew. change may be called more than once, each time with a fresh host, and must not keep it.
func (s *Service) UpdateHost(ctx context.Context, actor fleet.Actor, id uuid.UUID, version int64, change func(*fleet.Host) error) (fleet.Host, error) {
	if err := s.requireAdmin(ctx, actor, hostEntry("update", id, nil)); err != nil {
		return fleet.Host{}, err
	}
	var stored fleet.Host
	err := s.Store.InTx(ctx, func(tx *store.Store) error {
		if err := tx.LockHost(ctx, id); err != nil {
			return err
		}
		before, err := tx.Host(ctx, actor.Scope(), id)
		if err != nil {
			return err
		}
		if version != 0 && version != before.Version {
			return fleet.Errorf(fleet.Precondition, "the host was changed meanwhile; read it again")
		}
		after := before
		after.Labels = maps.Clone(before.Labels)
		if err := change(&after); err != nil {
			return err
		}
		after.ID, after.Version, after.MachineID = before.ID, before.Version, before.MachineID
		after = withDefaults(after)
		if err := checkHost(after); err != nil {
			return err
		}
		if !actor.Scope().Sees(after) {
			return outsideScope(actor)
		}
		stored, err = s.storeChange(ctx, tx, actor, before, after)
		return err
	})
	if fleet.CodeOf(err) == CodeOutsideScope {
		s.denied(ctx, actor, hostEntry("update", id, nil))
	}
	return stored, err
}

// storeChange stores a checked change of a host within tx and returns the host as stored. Without a difference
// nothing is written.
func (s *Service) storeChange(ctx context.Context, tx *store.Store, actor fleet.Actor, before, after fleet.Host) (fleet.Host, error) {
	changed := changes(before, after)
	if len(changed) == 0 {
		return before, nil
	}
	if !equalIDs(before.CredentialID, after.CredentialID) || before.Site != after.Site ||
		!equalIDs(before.SSH.BecomeCredentialID, after.SSH.BecomeCredentialID) {
		if err := checkCredentials(ctx, tx, actor, after); err != nil {
			return fleet.Host{}, err
		}
	}
	stored, err := tx.UpdateHost(ctx, after)
	if err != nil {
		return fleet.Host{}, err
	}
	if err := suspendKeys(ctx, tx, actor, before, after); err != nil {
		return fleet.Host{}, err
	}
	return stored, tx.Audit(ctx, actor, hostEntry("update", after.ID, map[string]any{"name": after.Name, "changed": changed}))
}

// suspendKeys takes back the trust in the keys of a host that may be another machine now.
func suspendKeys(ctx context.Context, tx *store.Store, actor fleet.Actor, before, after fleet.Host) error {
	if before.Address == after.Address && before.Port == after.Port && before.Site == after.Site {
		return nil
	}
	n, err := tx.SuspendHostKeys(ctx, after.ID, "the host's address has changed")
	if err != nil || n == 0 {
		return err
	}
	return tx.Audit(ctx, actor, fleet.AuditEntry{
		Action: "host_key.suspend", ResourceType: "host", ResourceID: after.ID.String(),
		Details: map[string]any{"host": after.Name, "keys": n},
	})
}

// RetireHost takes the host out of use on behalf of actor, an admin. Its reports stay and its name is free again. A
// version other than 0 is the one that the caller has read.
func (s *Service) RetireHost(ctx context.Context, actor fleet.Actor, id uuid.UUID, version int64) error {
	if err := s.requireAdmin(ctx, actor, hostEntry("retire", id, nil)); err != nil {
		return err
	}
	return s.Store.InTx(ctx, func(tx *store.Store) error {
		if err := tx.LockHost(ctx, id); err != nil {
			return err
		}
		h, err := tx.Host(ctx, actor.Scope(), id)
		if err != nil {
			return err
		}
		if version != 0 && version != h.Version {
			return fleet.Errorf(fleet.Precondition, "the host was changed meanwhile; read it again")
		}
		if err := tx.RetireHost(ctx, id); err != nil {
			return err
		}
		return tx.Audit(ctx, actor, hostEntry("retire", id, map[string]any{"name": h.Name}))
	})
}

// checkCredentials refuses a host with a credential that does not exist or cannot be opened at the host's site.
func checkCredentials(ctx context.Context, tx *store.Store, actor fleet.Actor, h fleet.Host) error {
	ids := credentialIDs(h)
	if len(ids) == 0 {
		return nil
	}
	found, err := tx.CredentialsByID(ctx, ids)
	if err != nil {
		return err
	}
	if err := usable(ctx, tx, actor, found); err != nil {
		return err
	}
	return credentialProblem(found, h)
}

// credentialIDs returns the credentials that a host uses: to log in, and to become root.
func credentialIDs(h fleet.Host) []uuid.UUID {
	var ids []uuid.UUID
	for _, id := range []*uuid.UUID{h.CredentialID, h.SSH.BecomeCredentialID} {
		if id != nil {
			ids = append(ids, *id)
		}
	}
	return ids
}

func credentialProblem(known map[uuid.UUID]fleet.Credential, h fleet.Host) error {
	const become = "ssh.become_credential_id"
	for field, id := range map[string]*uuid.UUID{"credential_id": h.CredentialID, become: h.SSH.BecomeCredentialID} {
		if id == nil {
			continue
		}
		c, ok := known[*id]
		switch {
		case !ok:
			return fieldError(field, "unknown_credential", "there is no such credential")
		case !slices.Contains(c.Sites, h.Site):
			return fieldError(field, "not_sealed_for_site", "the credential is not sealed for the host's site; add the site to it first")
		case field == become && c.Kind != fleet.CredentialPassword:
			return fieldError(field, "not_a_password", "sudo wants a password, and the credential is none")
		}
	}
	return nil
}

// fieldError returns an Invalid error about one field with a code of its own.
func fieldError(field, code, message string) error {
	return fleet.Errorf(fleet.Invalid, "%s: %s", field, message).WithCode(code).
		WithFields(fleet.FieldError{Field: field, Code: code, Message: message})
}

// hostFields returns what an admin can set of a host, by name, for comparison and for the audit log.
func hostFields(h fleet.Host) map[string]any {
	h = withDefaults(h)
	return map[string]any{
		"name": h.Name, "address": h.Address, "port": h.Port, "site": h.Site, "labels": h.Labels,
		"credential_id": textOfID(h.CredentialID), "connection": string(h.Connection), "jump_host_id": textOfID(h.JumpHostID),
		"enabled": h.Enabled, "ssh.become": string(h.SSH.Become), "ssh.host_key_policy": string(h.SSH.HostKeyPolicy),
		"ssh.become_credential_id": textOfID(h.SSH.BecomeCredentialID), "ssh.algorithms": h.SSH.Algorithms,
		"ssh.keepalive_seconds": *h.SSH.KeepaliveSeconds,
	}
}

// changes returns the fields in which the hosts differ, with both values.
func changes(before, after fleet.Host) map[string]any {
	old, changed := hostFields(before), map[string]any{}
	for field, value := range hostFields(after) {
		if !reflect.DeepEqual(old[field], value) {
			changed[field] = map[string]any{"before": old[field], "after": value}
		}
	}
	return changed
}

func textOfID(id *uuid.UUID) any {
	if id == nil {
		return nil
	}
	return id.String()
}

func equalIDs(a, b *uuid.UUID) bool { return textOfID(a) == textOfID(b) }
