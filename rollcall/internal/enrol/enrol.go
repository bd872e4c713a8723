// Package enrol makes simulated hosts known to an installation, past its doors: whoever may write to its database may
// enrol. rollcall up and the demo of compose.yaml do so.
package enrol

import (
	"bytes"
	"context"
	"fmt"

	"github.com/google/uuid"

	"github.com/rollcallhq/rollcall/pkg/fleet"
	"github.com/rollcallhq/rollcall/pkg/inventory"
	"github.com/rollcallhq/rollcall/pkg/simulate"
	"github.com/rollcallhq/rollcall/pkg/store"
)

// Simulated imports the hosts of a running fleet, or updates them, and returns their IDs in its order. They may be at
// other ports than the last time with other keys; because they are ours, the keys that wait for a decision are trusted.
func Simulated(ctx context.Context, st *store.Store, stock *inventory.Service, f *simulate.Fleet) ([]uuid.UUID, error) {
	hosts, err := simulated(ctx, st, stock, f)
	if err != nil {
		return nil, fmt.Errorf("importing simulated hosts: %w", err)
	}
	return hosts, nil
}

func simulated(ctx context.Context, st *store.Store, stock *inventory.Service, f *simulate.Fleet) ([]uuid.UUID, error) {
	if err := importAll(ctx, stock, f); err != nil {
		return nil, err
	}
	fingerprints := map[string]string{}
	names := []string{}
	for _, h := range f.Hosts() {
		fingerprints[h.Name] = h.Fingerprint
		names = append(names, h.Name)
	}
	hosts, err := st.HostsByName(ctx, fleet.Everything(), names)
	if err != nil {
		return nil, err
	}
	ids := make([]uuid.UUID, 0, len(names))
	for _, name := range names {
		h := hosts[name]
		ids = append(ids, h.ID)
		if err := trust(ctx, st, stock, h, fingerprints[name]); err != nil {
			return nil, err
		}
	}
	return ids, nil
}

func importAll(ctx context.Context, stock *inventory.Service, f *simulate.Fleet) error {
	var list bytes.Buffer
	if err := f.WriteInventory(&list); err != nil {
		return err
	}
	var refused error
	_, err := stock.Import(ctx, fleet.System(), "ndjson", false, &list, func(o inventory.Outcome) {
		if o.Result == inventory.Refused && refused == nil {
			refused = fmt.Errorf("line %d, host %s: %w", o.Line, o.Name, o.Err)
		}
	})
	if err != nil {
		return err
	}
	return refused
}

func trust(ctx context.Context, st *store.Store, stock *inventory.Service, h fleet.Host, fingerprint string) error {
	keys, err := st.HostKeys(ctx, fleet.Everything(), h.ID)
	if err != nil {
		return err
	}
	for _, k := range keys {
		if k.State == fleet.HostKeyPending && k.Fingerprint == fingerprint {
			if _, err := stock.TrustHostKey(ctx, fleet.System(), h.ID, k.ID, "simulated by this process"); err != nil {
				return err
			}
		}
	}
	return nil
}
