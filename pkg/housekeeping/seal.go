package housekeeping

import (
	"context"
	"encoding/hex"
	"time"

	"github.com/rollcallhq/rollcall/pkg/fleet"
	"github.com/rollcallhq/rollcall/pkg/ledger"
	"github.com/rollcallhq/rollcall/pkg/store"
)

// seal seals the entries of the audit log that nothing can come before any more, a batch in each transaction. Each holds
// the job's lease, so that a keeper which was paused seals nothing twice.
func (k *Keeper) seal(ctx context.Context, lease store.JobLease) (map[string]any, error) {
	entries, began := 0, time.Now()
	var last fleet.AuditSeal
	for {
		var seals []fleet.AuditSeal
		n := 0
		err := k.Store.InJob(ctx, lease, func(tx *store.Store) error {
			before, err := tx.LastAuditSeal(ctx)
			if err != nil {
				return err
			}
			records, now, err := tx.UnsealedAudit(ctx, before.To, k.pace.sealed)
			if err != nil {
				return err
			}
			if seals, err = ledger.Seal(before, records, now); err != nil {
				return err
			}
			n = len(records)
			return tx.AddAuditSeals(ctx, seals)
		})
		if err != nil {
			return sealed(entries, last), err
		}
		for _, s := range seals { // where the log is kept elsewhere, it is what the database's owner cannot rewrite
			k.Log.InfoContext(ctx, "audit log sealed", "seal", s.Seq, "entries", s.Entries, "root", hex.EncodeToString(s.Root[:]))
			last = s
		}
		entries += n
		switch {
		case n < k.pace.sealed:
			return sealed(entries, last), nil
		case time.Since(began) > k.pace.budget:
			return sealed(entries, last), errBudget
		}
	}
}

func sealed(entries int, last fleet.AuditSeal) map[string]any {
	if entries == 0 {
		return nil
	}
	return map[string]any{"entries": entries, "seal": last.Seq, "root": hex.EncodeToString(last.Root[:])}
}
