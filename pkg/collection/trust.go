package collection

import (
	"bytes"
	"context"
	"time"

	"github.com/rollcallhq/rollcall/pkg/fleet"
	"github.com/rollcallhq/rollcall/pkg/remote"
	"github.com/rollcallhq/rollcall/pkg/store"
)

// seenEvery bounds how often it is noted that a trusted key was seen again.
const seenEvery = time.Hour

// A trust decides on the host key that a host shows, before any credential is offered.
type trust struct {
	store *store.Store
	host  fleet.Host
	known []fleet.HostKey
}

func newTrust(ctx context.Context, s *store.Store, h fleet.Host) (trust, error) {
	known, err := s.HostKeys(ctx, fleet.Everything(), h.ID)
	return trust{store: s, host: h, known: known}, err
}

// algorithms returns those of the trusted keys, so that the host is asked for one of them.
func (t trust) algorithms() []string {
	var algorithms []string
	for _, k := range t.known {
		if k.State == fleet.HostKeyTrusted {
			algorithms = append(algorithms, k.Algorithm)
		}
	}
	return algorithms
}

// verify answers nil for a trusted key and for the very first one under trust on first use, which is pinned with an
// audit entry. Every other key is recorded, to be decided on, and refused.
func (t trust) verify(ctx context.Context, shown remote.Key) error {
	for _, k := range t.known {
		if bytes.Equal(k.Key, shown.Blob) {
			return t.decided(ctx, k)
		}
	}
	state := fleet.HostKeyPending
	if len(t.algorithms()) > 0 {
		state = fleet.HostKeyChanged
	}
	if policy := t.host.SSH.HostKeyPolicy; len(t.known) == 0 && (policy == "" || policy == fleet.HostKeyTOFU) {
		state = fleet.HostKeyTrusted
	}
	return t.record(ctx, shown, state)
}

// decided answers what was decided on a known key.
func (t trust) decided(ctx context.Context, k fleet.HostKey) error {
	if k.State == fleet.HostKeyTrusted && time.Since(k.LastSeen) < seenEvery {
		return nil
	}
	k, err := t.store.RecordHostKey(ctx, k)
	if err != nil {
		return err
	}
	return refusal(k)
}

func (t trust) record(ctx context.Context, shown remote.Key, state fleet.HostKeyState) error {
	key := fleet.HostKey{
		ID: fleet.NewID(), HostID: t.host.ID, Algorithm: shown.Algorithm, Key: shown.Blob, Fingerprint: shown.Fingerprint, State: state,
	}
	if state == fleet.HostKeyTrusted {
		key.DecidedBy, key.Reason = fleet.System().String(), "first use"
	}
	err := t.store.InTx(ctx, func(tx *store.Store) error {
		var err error
		if key, err = tx.RecordHostKey(ctx, key); err != nil {
			return err
		}
		return tx.Audit(ctx, fleet.System(), fleet.AuditEntry{
			Action: "host_key." + verbOf(key.State), ResourceType: "host", ResourceID: t.host.ID.String(),
			Details: map[string]any{"host": t.host.Name, "fingerprint": key.Fingerprint, "algorithm": key.Algorithm},
		})
	})
	if err != nil {
		return err
	}
	return refusal(key)
}

func verbOf(state fleet.HostKeyState) string {
	if state == fleet.HostKeyTrusted {
		return "pin"
	}
	return "refuse"
}

// refusal returns why a key of that state is refused, or nil for a trusted one.
func refusal(k fleet.HostKey) error {
	code := fleet.CodeHostKeyUnknown
	switch k.State {
	case fleet.HostKeyTrusted:
		return nil
	case fleet.HostKeyChanged:
		code = fleet.CodeHostKeyChanged
	case fleet.HostKeyRevoked:
		code = fleet.CodeHostKeyRevoked
	case fleet.HostKeyPending:
	}
	return fleet.Fail(code, nil, "fingerprint", k.Fingerprint, "algorithm", k.Algorithm)
}
