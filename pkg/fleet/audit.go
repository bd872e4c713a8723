package fleet

import (
	"bytes"
	"cmp"
	"time"

	"github.com/google/uuid"
)

// An AuditRecord is an entry of the audit log as it was written.
type AuditRecord struct {
	AuditPosition

	CreatedAt    time.Time  // right to a microsecond
	UserID       *uuid.UUID // nil: no user stands behind it
	Actor        string     // user:admin, token:ci, schedule:nightly, system, anonymous
	Action       string
	Outcome      string // ok or denied
	ResourceType string
	ResourceID   string
	Details      []byte // a JSON object
	Address      string // or a network; empty: from nowhere
}

// An AuditPosition is an entry's place in the order in which entries are sealed: that of the transactions which wrote
// them, in each life of the database, which begins anew when a dump is restored on another server. The zero value is
// before all entries.
type AuditPosition struct {
	Life int
	Tx   int64
	ID   uuid.UUID
}

// Compare returns -1, 0 or 1 when p is before, at or after q.
func (p AuditPosition) Compare(q AuditPosition) int {
	return cmp.Or(cmp.Compare(p.Life, q.Life), cmp.Compare(p.Tx, q.Tx), bytes.Compare(p.ID[:], q.ID[:]))
}

// SealLate is for how long an entry of the audit log may wait for its seal before somebody should look; a healthy
// scheduler seals every minute.
const SealLate = 10 * time.Minute

// An AuditSeal is one link of the chain that the audit log is sealed with: it stands for the entries of one month after
// From and up to To, as package ledger computes.
type AuditSeal struct {
	Seq         int64     // from 1 on
	Month       time.Time // its first moment, UTC
	From, To    AuditPosition
	Entries     int       // how many
	EntriesRoot [32]byte  // of the tree over them
	PrevRoot    [32]byte  // of the seal before; zero for the first
	Root        [32]byte  // of all of this
	SealedAt    time.Time // right to a microsecond
}
