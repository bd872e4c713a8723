package wire

import (
	"encoding/hex"
	"encoding/json"
	"time"

	"github.com/google/uuid"

	"github.com/rollcallhq/rollcall/pkg/fleet"
)

// A Report is what one collector learned from one host at one time.
type Report struct {
	ID            uuid.UUID         `json:"id" format:"uuid"`
	HostID        uuid.UUID         `json:"host_id" format:"uuid"`
	Host          string            `json:"host"`
	Type          string            `json:"type" example:"os"`
	Status        string            `json:"status" enum:"ok,partial"`
	CreatedAt     time.Time         `json:"created_at"`
	ConfirmedAt   *time.Time        `json:"confirmed_at" doc:"when these facts were last seen to hold; null once others have taken their place"`
	SchemaVersion int               `json:"schema_version"`
	Facts         json.RawMessage   `json:"facts" doc:"what changes seldom; an object by the schema of the type"`
	Metrics       json.RawMessage   `json:"metrics" doc:"what always changes; an object, or null when its retention is over"`
	Unavailable   map[string]string `json:"unavailable" doc:"why a path of the facts is missing"`
	ContentHash   string            `json:"content_hash" doc:"of the facts, in hexadecimal: equal facts have equal hashes"`
	CollectionID  *uuid.UUID        `json:"collection_id" nullable:"true" format:"uuid"`
	TaskID        *uuid.UUID        `json:"task_id" nullable:"true" format:"uuid"`
	// Since is nil unless it was asked for.
	Since map[string]time.Time `json:"since,omitzero" nullable:"false" doc:"since when each fact holds, by the path of the leaf: the time of the report that showed it first; absent unless asked for with since=true"`
}

// ReportView returns r as the API shows it.
func ReportView(r fleet.Report) Report {
	return Report{
		ID: r.ID, HostID: r.HostID, Host: r.Host, Type: r.Type, Status: string(r.Status), CreatedAt: utc(r.CreatedAt), ConfirmedAt: utcOrNull(r.ConfirmedAt),
		SchemaVersion: r.SchemaVersion, Facts: rawJSON(r.Facts), Metrics: rawJSON(r.Metrics), Unavailable: orEmpty(r.Unavailable),
		ContentHash: hex.EncodeToString(r.ContentHash), CollectionID: r.CollectionID, TaskID: r.TaskID,
	}
}

// rawJSON returns stored JSON as it is, and null for none.
func rawJSON(stored []byte) json.RawMessage {
	if len(stored) == 0 {
		return json.RawMessage("null")
	}
	return stored
}
