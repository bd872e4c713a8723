package store

import (
	"context"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/rollcallhq/rollcall/pkg/fleet"
)

const sealColumns = `seq, month, from_life, from_tx::text::bigint, from_id, to_life, to_tx::text::bigint, to_id, entries, entries_root, prev_root, root,
	sealed_at`

func scanSeal(row pgx.CollectableRow) (fleet.AuditSeal, error) {
	var s fleet.AuditSeal
	var entries, prev, root []byte
	err := row.Scan(&s.Seq, &s.Month, &s.From.Life, &s.From.Tx, &s.From.ID, &s.To.Life, &s.To.Tx, &s.To.ID, &s.Entries, &entries, &prev, &root,
		&s.SealedAt)
	copy(s.EntriesRoot[:], entries)
	copy(s.PrevRoot[:], prev)
	copy(s.Root[:], root)
	s.SealedAt = s.SealedAt.UTC()
	return s, err
}

// LastAuditSeal returns the newest seal; the zero value if there is none.
func (s *Store) LastAuditSeal(ctx context.Context) (fleet.AuditSeal, error) {
	rows, _ := s.db.Query(ctx, "select "+sealColumns+" from audit_seals order by seq desc limit 1")
	seals, err := pgx.CollectRows(rows, scanSeal)
	if err != nil || len(seals) == 0 {
		return fleet.AuditSeal{}, fail(err, "reading the last seal of the audit log")
	}
	return seals[0], nil
}

// AuditSeals returns seals after the one of that number, oldest first: at most limit, 1,000 where it is 0 or more.
func (s *Store) AuditSeals(ctx context.Context, after int64, limit int) ([]fleet.AuditSeal, error) {
	if limit <= 0 || limit > maxLimit {
		limit = maxLimit
	}
	rows, _ := s.db.Query(ctx, "select "+sealColumns+" from audit_seals where seq > $1 order by seq limit $2", after, limit)
	seals, err := pgx.CollectRows(rows, scanSeal)
	return seals, fail(err, "reading the seals of the audit log")
}

// UnsealedAudit returns entries after a position in the order of sealing, at most limit, and the time by the database's
// clock. It returns only what nothing can come before any more: entries of transactions older than all that are still
// open, as the feed of changes does, and those of former lives. A database that was restored on another server and not
// taken in by Migrate yet is an error of kind Unavailable: its transactions cannot be told from those of its former life.
func (s *Store) UnsealedAudit(ctx context.Context, after fleet.AuditPosition, limit int) ([]fleet.AuditRecord, time.Time, error) {
	var now time.Time
	var horizon string
	var life int
	var taken bool
	err := s.db.QueryRow(ctx, `
		select clock_timestamp(), feed_horizon()::text, audit_life, system_identifier is not distinct from (select p.system_identifier from pg_control_system() p)
		from cluster`).Scan(&now, &horizon, &life, &taken)
	if err != nil {
		return nil, now, fail(err, "asking up to where the audit log is complete")
	}
	if !taken {
		return nil, now, fleet.Errorf(fleet.Unavailable, "the database was restored from another server; run rollcall migrate")
	}
	// A statement of its own: its snapshot sees whatever has ended since the horizon was found.
	rows, _ := s.db.Query(ctx, "select "+auditColumns+` from audit_logs
		where (life, tx, id) > ($1::int, $2::text::xid8, $3::uuid) and (life < $4::int or life = $4::int and tx < $5::text::xid8)
		order by life, tx, id limit $6`, after.Life, fmtTx(after.Tx), after.ID, life, horizon, limit)
	records, err := pgx.CollectRows(rows, scanAuditRecord)
	return records, now, fail(err, "reading entries to seal")
}

// AddAuditSeals adds seals to the chain. If somebody else has added one meanwhile it is an error of kind Conflict, and
// nothing is added.
func (s *Store) AddAuditSeals(ctx context.Context, seals []fleet.AuditSeal) error {
	return s.InTx(ctx, func(tx *Store) error {
		for _, a := range seals {
			_, err := tx.db.Exec(ctx, `
				insert into audit_seals (seq, month, from_life, from_tx, from_id, to_life, to_tx, to_id, entries, entries_root, prev_root, root, sealed_at)
				values ($1, $2, $3, $4::text::xid8, $5, $6, $7::text::xid8, $8, $9, $10, $11, $12, $13)`,
				a.Seq, a.Month, a.From.Life, fmtTx(a.From.Tx), a.From.ID, a.To.Life, fmtTx(a.To.Tx), a.To.ID, a.Entries, a.EntriesRoot[:],
				a.PrevRoot[:], a.Root[:], a.SealedAt)
			if sqlState(err) == uniqueViolation {
				return fleet.Errorf(fleet.Conflict, "somebody else has sealed the audit log meanwhile")
			}
			if err != nil {
				return fail(err, "sealing the audit log")
			}
		}
		return nil
	})
}

// AuditBacklog returns since when the oldest entry waits that is not sealed, by the database's clock; 0: none does.
func (s *Store) AuditBacklog(ctx context.Context) (time.Duration, error) {
	last, err := s.LastAuditSeal(ctx)
	if err != nil {
		return 0, err
	}
	var age time.Duration
	err = s.db.QueryRow(ctx, `
		select clock_timestamp() - created_at from audit_logs where (life, tx, id) > ($1::int, $2::text::xid8, $3::uuid)
		order by life, tx, id limit 1`, last.To.Life, fmtTx(last.To.Tx), last.To.ID).Scan(&age)
	if isNoRows(err) {
		return 0, nil
	}
	return max(age, 0), fail(err, "asking for entries that are not sealed")
}

// fmtTx returns a transaction's number as PostgreSQL reads it.
func fmtTx(tx int64) string { return strconv.FormatInt(tx, 10) }
