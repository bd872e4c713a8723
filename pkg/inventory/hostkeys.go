package inventory

import (
	"context"

	"github.com/google/uuid"

	"github.com/rollcallhq/rollcall/pkg/fleet"
	"github.com/rollcallhq/rollcall/pkg/store"
)

const maxReason = 1000 // bytes of why somebody decided

func keyEntry(verb string, k fleet.HostKey) fleet.AuditEntry {
	return fleet.AuditEntry{
		Action: "host_key." + verb, ResourceType: "host_key", ResourceID: idOrNone(k.ID),
		Details: map[string]any{
			"host_id": k.HostID.String(), "algorithm": k.Algorithm, "fingerprint": k.Fingerprint, "reason": k.Reason,
		},
	}
}

// TrustHostKey decides on behalf of actor, an admin, that the host may be known by the key, and returns the key.
// Where it takes the place of another, which is what the state changed means, the trusted keys of its algorithm are
// revoked. A revoked key is a Conflict; one that is trusted already stays so.
func (s *Service) TrustHostKey(ctx context.Context, actor fleet.Actor, host, key uuid.UUID, reason string) (fleet.HostKey, error) {
	return s.decide(ctx, actor, host, key, fleet.HostKeyTrusted, reason)
}

// RevokeHostKey decides on behalf of actor, an admin, that the host must not be known by the key any more: a host that
// shows it is offered no credential. It returns the key. One that is revoked already stays so.
func (s *Service) RevokeHostKey(ctx context.Context, actor fleet.Actor, host, key uuid.UUID, reason string) (fleet.HostKey, error) {
	return s.decide(ctx, actor, host, key, fleet.HostKeyRevoked, reason)
}

func verbOf(state fleet.HostKeyState) string {
	if state == fleet.HostKeyTrusted {
		return "trust"
	}
	return "revoke"
}

func (s *Service) decide(ctx context.Context, actor fleet.Actor, host, key uuid.UUID, state fleet.HostKeyState, reason string) (fleet.HostKey, error) {
	if err := s.requireAdmin(ctx, actor, keyEntry(verbOf(state), fleet.HostKey{ID: key, HostID: host})); err != nil {
		return fleet.HostKey{}, err
	}
	if reason != "" && !printable(reason, maxReason) {
		return fleet.HostKey{}, fleet.InvalidField("reason", "at most %d printable characters", maxReason)
	}
	var decided fleet.HostKey
	err := s.Store.InTx(ctx, func(tx *store.Store) error {
		if err := tx.LockHost(ctx, host); err != nil {
			return err
		}
		if _, err := tx.Host(ctx, actor.Scope(), host); err != nil {
			return err
		}
		keys, err := tx.HostKeys(ctx, actor.Scope(), host)
		if err != nil {
			return err
		}
		k, err := pick(keys, key)
		if err != nil {
			return err
		}
		decided = k
		switch {
		case k.State == state:
			return nil
		case k.State == fleet.HostKeyRevoked:
			return fleet.Errorf(fleet.Conflict, "the key was revoked; give the host a new one and trust that").WithCode("revoked")
		case k.State == fleet.HostKeyChanged && state == fleet.HostKeyTrusted:
			if err := revokeReplaced(ctx, tx, actor, keys, k); err != nil {
				return err
			}
		}
		if decided, err = tx.DecideHostKey(ctx, host, key, state, actor.String(), reason); err != nil {
			return err
		}
		return tx.Audit(ctx, actor, keyEntry(verbOf(state), decided))
	})
	return decided, err
}

func pick(keys []fleet.HostKey, id uuid.UUID) (fleet.HostKey, error) {
	for _, k := range keys {
		if k.ID == id {
			return k, nil
		}
	}
	return fleet.HostKey{}, fleet.Errorf(fleet.NotFound, "there is no such host key")
}

// revokeReplaced revokes the trusted keys whose place k takes.
func revokeReplaced(ctx context.Context, tx *store.Store, actor fleet.Actor, keys []fleet.HostKey, k fleet.HostKey) error {
	for _, old := range keys {
		if old.State != fleet.HostKeyTrusted || old.Algorithm != k.Algorithm {
			continue
		}
		revoked, err := tx.DecideHostKey(ctx, k.HostID, old.ID, fleet.HostKeyRevoked, actor.String(), "replaced by "+k.Fingerprint)
		if err != nil {
			return err
		}
		if err := tx.Audit(ctx, actor, keyEntry("revoke", revoked)); err != nil {
			return err
		}
	}
	return nil
}
