package wire

import (
	"time"

	"github.com/google/uuid"

	"github.com/rollcallhq/rollcall/pkg/fleet"
)

// A HostKey is an SSH key that a host has shown.
type HostKey struct {
	ID          uuid.UUID `json:"id" format:"uuid"`
	HostID      uuid.UUID `json:"host_id" format:"uuid"`
	Algorithm   string    `json:"algorithm" example:"ssh-ed25519"`
	Key         []byte    `json:"key" doc:"the public key in the wire format of SSH"`
	Fingerprint string    `json:"fingerprint" example:"SHA256:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU"`
	State       string    `json:"state" enum:"pending,trusted,changed,revoked"`
	FirstSeen   time.Time `json:"first_seen"`
	LastSeen    time.Time `json:"last_seen"`
	DecidedBy   *string   `json:"decided_by"`
	Reason      *string   `json:"reason"`
}

// A HostKeyDecision says why a host key is trusted or revoked.
type HostKeyDecision struct {
	Reason *string `json:"reason,omitempty" nullable:"true" maxLength:"1000" doc:"kept with the key and in the audit log"`
}

// HostKeyView returns k as the API shows it.
func HostKeyView(k fleet.HostKey) HostKey {
	return HostKey{
		ID: k.ID, HostID: k.HostID, Algorithm: k.Algorithm, Key: k.Key, Fingerprint: k.Fingerprint, State: string(k.State),
		FirstSeen: utc(k.FirstSeen), LastSeen: utc(k.LastSeen), DecidedBy: orNull(k.DecidedBy), Reason: orNull(k.Reason),
	}
}
