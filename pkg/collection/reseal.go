package collection

import (
	"context"
	"time"

	"github.com/google/uuid"

	"github.com/rollcallhq/rollcall/pkg/fleet"
	"github.com/rollcallhq/rollcall/pkg/secret"
	"github.com/rollcallhq/rollcall/pkg/store"
)

const (
	resealBatch = 50 // seals in one transaction: some ten milliseconds of work
	resealBeats = 2  // how many heartbeats pass between two looks
)

// announced returns self with the IDs of its keys.
func announced(self fleet.Worker, keys *secret.OpenKeys) fleet.Worker {
	if keys == nil {
		return self
	}
	self.OpenKeys, self.CurrentKeys = nil, nil
	for _, site := range self.Sites {
		for i, id := range keys.KeyIDs(site) {
			self.OpenKeys = append(self.OpenKeys, site+"/"+id)
			if i == 0 {
				self.CurrentKeys = append(self.CurrentKeys, site+"/"+id)
			}
		}
	}
	return self
}

// resealAll seals anew whatever of the worker's sites is to be, as long as ctx lasts. What is to be done stands in the
// database alone: no message can be lost, and Redis may be down.
func (w *Worker) resealAll(ctx context.Context) {
	tick := time.NewTicker(resealBeats * w.pace.beat)
	defer tick.Stop()
	var failing time.Time
	for {
		n, err := w.reseal(ctx)
		if err != nil && ctx.Err() == nil && time.Since(failing) > time.Minute {
			failing = time.Now()
			w.Log.WarnContext(ctx, "round failed", "loop", "reseal", "error", err)
		}
		if n == resealBatch && err == nil && ctx.Err() == nil {
			continue
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// reseal seals a batch anew and returns how many seals it took. All of it is one transaction: a worker that is killed leaves
// the former seals as they were, and another one takes them.
func (w *Worker) reseal(ctx context.Context) (int, error) {
	if w.Keys == nil || len(w.Self.CurrentKeys) == 0 {
		return 0, nil
	}
	taken := 0
	collections := map[uuid.UUID]bool{}
	err := w.Store.InTx(ctx, func(tx *store.Store) error {
		clear(collections)
		seals, err := tx.TakeReseals(ctx, w.Self, resealBatch)
		if err != nil {
			return err
		}
		taken = len(seals)
		ended := make([]fleet.Reseal, 0, len(seals))
		for _, o := range seals {
			r, err := w.resealOne(ctx, tx, o)
			if err != nil {
				return err
			}
			if r.State != fleet.TaskQueued {
				ended = append(ended, r)
				collections[o.CollectionID] = true
			}
		}
		return tx.EndReseals(ctx, w.Self.ID, ended)
	})
	if err != nil {
		return 0, err
	}
	for id := range collections {
		if _, err := w.Store.FinishCollections(ctx, &id, 1); err != nil {
			return taken, err
		}
	}
	if taken > 0 {
		w.Log.InfoContext(ctx, "seals renewed", "seals", taken)
	}
	return taken, nil
}

// resealOne seals one seal anew within tx. A seal that somebody replaced meanwhile stays queued: what is there now is looked
// at again.
func (w *Worker) resealOne(ctx context.Context, tx *store.Store, o store.OutdatedSeal) (fleet.Reseal, error) {
	r := fleet.Reseal{CollectionID: o.CollectionID, CredentialID: o.CredentialID, Site: o.Seal.Site, State: fleet.TaskQueued}
	keyID, sealed, err := w.Keys.Reseal(o.Seal.Site, o.Seal.KeyID, o.CredentialID, o.Seal.Sealed)
	if err != nil || keyID != o.WantedKey {
		r.State, r.Code = fleet.TaskFailed, fleet.CodeSealBroken
		if err == nil || fleet.CodeOf(err) == secret.CodeNoOpenKey {
			r.Code = fleet.CodeNoOpenKey
		}
		w.Log.WarnContext(ctx, "seal not renewed", "credential_id", o.CredentialID, "site", o.Seal.Site, "key_id", o.Seal.KeyID, "code", r.Code)
		return r, nil
	}
	replaced, err := tx.ReplaceSeal(ctx, o.CredentialID, o.Seal, fleet.Seal{Site: o.Seal.Site, KeyID: keyID, Sealed: sealed})
	if err != nil || !replaced {
		return r, err
	}
	r.State = fleet.TaskSucceeded
	return r, tx.Audit(ctx, fleet.System(), fleet.AuditEntry{
		Action: "credential.reseal", ResourceType: "credential", ResourceID: o.CredentialID.String(),
		Details: map[string]any{
			"site": o.Seal.Site, "from_key": o.Seal.KeyID, "key_id": keyID, "collection_id": o.CollectionID, "worker_id": w.Self.ID,
		},
	})
}
