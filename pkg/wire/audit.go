package wire

import (
	"encoding/hex"
	"encoding/json"
	"time"

	"github.com/google/uuid"

	"github.com/rollcallhq/rollcall/pkg/fleet"
)

// An AuditEntry is who did what to what.
type AuditEntry struct {
	ID           uuid.UUID       `json:"id" format:"uuid"`
	CreatedAt    time.Time       `json:"created_at"`
	UserID       *uuid.UUID      `json:"user_id" nullable:"true" format:"uuid" doc:"the user behind the actor"`
	Actor        string          `json:"actor" example:"user:admin" doc:"user:…, token:…, schedule:…, system or anonymous"`
	Action       string          `json:"action" example:"host.update"`
	Outcome      string          `json:"outcome" enum:"ok,denied"`
	ResourceType string          `json:"resource_type"`
	ResourceID   string          `json:"resource_id"`
	Details      json.RawMessage `json:"details"`
	Address      string          `json:"ip_address" doc:"or a network; empty: from nowhere"`
	Life         int             `json:"life" doc:"of the database; one more after each restore on another server"`
	Tx           int64           `json:"tx" doc:"the transaction that wrote it; entries are sealed in the order of life, tx and id"`
}

// AuditEntryView returns r as the API shows it.
func AuditEntryView(r fleet.AuditRecord) AuditEntry {
	return AuditEntry{
		ID: r.ID, CreatedAt: utc(r.CreatedAt), UserID: r.UserID, Actor: r.Actor, Action: r.Action, Outcome: r.Outcome, ResourceType: r.ResourceType,
		ResourceID: r.ResourceID, Details: rawJSON(r.Details), Address: r.Address, Life: r.Life, Tx: r.Tx,
	}
}

// Record returns the entry as it was written.
func (e AuditEntry) Record() fleet.AuditRecord {
	return fleet.AuditRecord{
		AuditPosition: fleet.AuditPosition{Life: e.Life, Tx: e.Tx, ID: e.ID}, CreatedAt: e.CreatedAt, UserID: e.UserID, Actor: e.Actor, Action: e.Action,
		Outcome: e.Outcome, ResourceType: e.ResourceType, ResourceID: e.ResourceID, Details: e.Details, Address: e.Address,
	}
}

// An AuditPosition is a place in the order of sealing.
type AuditPosition struct {
	Life int       `json:"life"`
	Tx   int64     `json:"tx"`
	ID   uuid.UUID `json:"id" format:"uuid"`
}

// An AuditSeal stands for the entries of one month after from and up to to.
type AuditSeal struct {
	Seq         int64         `json:"seq"`
	Month       time.Time     `json:"month"`
	From        AuditPosition `json:"from" doc:"exclusive"`
	To          AuditPosition `json:"to" doc:"inclusive"`
	Entries     int           `json:"entries"`
	EntriesRoot string        `json:"entries_root" doc:"of the Merkle tree over the entries, in hexadecimal"`
	PrevRoot    string        `json:"prev_root" doc:"root of the seal before; zeros for the first"`
	Root        string        `json:"root" doc:"of the whole log up to here"`
	SealedAt    time.Time     `json:"sealed_at"`
}

// AuditSealView returns s as the API shows it.
func AuditSealView(s fleet.AuditSeal) AuditSeal {
	return AuditSeal{
		Seq: s.Seq, Month: utc(s.Month), From: AuditPosition(s.From), To: AuditPosition(s.To), Entries: s.Entries,
		EntriesRoot: hex.EncodeToString(s.EntriesRoot[:]), PrevRoot: hex.EncodeToString(s.PrevRoot[:]), Root: hex.EncodeToString(s.Root[:]),
		SealedAt: utc(s.SealedAt),
	}
}

// Seal returns the seal as it was made. A sum that cannot be read is zero, which no seal has.
func (s AuditSeal) Seal() fleet.AuditSeal {
	return fleet.AuditSeal{
		Seq: s.Seq, Month: s.Month, From: fleet.AuditPosition(s.From), To: fleet.AuditPosition(s.To), Entries: s.Entries,
		EntriesRoot: sumOf(s.EntriesRoot), PrevRoot: sumOf(s.PrevRoot), Root: sumOf(s.Root), SealedAt: s.SealedAt,
	}
}

func sumOf(text string) [32]byte {
	var sum [32]byte
	if data, err := hex.DecodeString(text); err == nil && len(data) == len(sum) {
		copy(sum[:], data)
	}
	return sum
}
