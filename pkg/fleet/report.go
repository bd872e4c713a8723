package fleet

import (
	"time"

	"github.com/google/uuid"
)

// A ReportStatus says whether a report is whole.
type ReportStatus string

// The states of a report.
const (
	ReportOK      ReportStatus = "ok"
	ReportPartial ReportStatus = "partial" // a section was cut off, timed out, was denied as a whole or could not be read
)

// A Finding is what one collector learned, before it is stored as a report.
type Finding struct {
	Type          string
	SchemaVersion int
	Status        ReportStatus
	Facts         []byte // RFC 8785 canonical JSON
	Metrics       []byte // JSON
	Unavailable   map[string]string
	ContentHash   [32]byte
	Follows       *Succession // nil: nothing held before, or the same facts did
}

// A Succession is how the facts of a finding follow on others that held before.
type Succession struct {
	ContentHash []byte    // of the former facts
	ReportID    uuid.UUID // the last report that had them
	Changes     []FactChange
	Baselines   []string // patterns of paths that this finding is the first to know, or to know by another meaning
}

// A FactChange is a path of the facts that differs.
type FactChange struct {
	Path   string
	Before []byte     // JSON; nil: there was nothing
	After  []byte     // JSON; nil: there is nothing any more
	Since  *time.Time // since when the former value held; nil if nobody knows
}

// A Report is what one collector learned from one host at one time.
type Report struct {
	ID            uuid.UUID
	HostID        uuid.UUID
	Host          string // its name
	Type          string
	Status        ReportStatus
	CreatedAt     time.Time
	SchemaVersion int
	Facts         []byte // JSON object
	Metrics       []byte // JSON object; nil when its retention is over
	Unavailable   map[string]string
	ContentHash   []byte
	TaskID        *uuid.UUID
	CollectionID  *uuid.UUID
	ConfirmedAt   *time.Time // when these facts were last seen to hold
}

// A ReportFilter selects reports within a scope, newest first. The zero value selects all of the scope.
type ReportFilter struct {
	HostID *uuid.UUID
	Type   string
	Since  time.Time // inclusive; zero means unbounded
	Until  time.Time // exclusive; zero means unbounded
}

// A FactRow is what was asked for of one host's facts.
type FactRow struct {
	HostID      uuid.UUID
	Host        string    // its name
	ReportID    uuid.UUID // the report that saw these facts first
	Since       time.Time // when it did
	ConfirmedAt time.Time // when they were last seen to hold
	Values      [][]byte  // JSON, one for each path of the question; nil: there was nothing
}
