package wire

import (
	"encoding/json"
	"time"

	"github.com/google/uuid"

	"github.com/rollcallhq/rollcall/pkg/fleet"
)

// A Change is one fact path of one host that differs between two consecutive reports. Before and After are JSON; null
// also stands for nothing, which Kind tells apart: what was added had nothing before, what was removed has nothing
// after.
type Change struct {
	ID             uuid.UUID       `json:"id" format:"uuid"`
	Host           string          `json:"host" example:"web-1"`
	HostID         uuid.UUID       `json:"host_id" format:"uuid"`
	Type           string          `json:"type" example:"packages"`
	Path           string          `json:"path" doc:"of the fact; names other than [A-Za-z_][A-Za-z0-9_]* are quoted as in JSON" example:"packages.\"dpkg:openssl:amd64\".version"`
	Kind           string          `json:"kind" enum:"added,removed,changed"`
	Before         json.RawMessage `json:"before" doc:"the former value, of any JSON type; null where there was nothing"`
	After          json.RawMessage `json:"after" doc:"the new value, of any JSON type; null where there is nothing now"`
	SeenAt         time.Time       `json:"seen_at" doc:"when the report that shows the new value was made"`
	BeforeSince    *time.Time      `json:"before_since" doc:"since when it was as before: since when the former value held, or since when there was nothing; null where it is not known any more"`
	BeforeReportID *uuid.UUID      `json:"before_report_id" nullable:"true" format:"uuid" doc:"the report with the former value; null where its retention is over"`
	AfterReportID  uuid.UUID       `json:"after_report_id" format:"uuid" doc:"the report with the new value"`
}

// A ChangeList is a page of the feed of changes. Read oldest first, NextCursor is set whenever the page has items,
// because a feed has no last page, and null on an empty one; Position is where to go on later in either case. Read
// newest first, NextCursor is null at the end and there is no Position.
type ChangeList struct {
	Items      []Change `json:"items" nullable:"false"`
	NextCursor *string  `json:"next_cursor" doc:"give it as cursor to read on; null on an empty page, and with order=newest on the last"`
	Position   string   `json:"position,omitempty" doc:"where the feed was read up to: give it as cursor, now or later, to go on after all that was looked at; absent with order=newest"`
}

// A ChangeGroup is one change that several hosts have in common: the same path from the same value to the same value.
type ChangeGroup struct {
	Type        string          `json:"type" example:"packages"`
	Path        string          `json:"path" doc:"of the fact" example:"packages.\"dpkg:openssl:amd64\".version"`
	Kind        string          `json:"kind" enum:"added,removed,changed"`
	Before      json.RawMessage `json:"before" doc:"the former value, of any JSON type; null where there was nothing"`
	After       json.RawMessage `json:"after" doc:"the new value, of any JSON type; null where there is nothing now"`
	Hosts       int             `json:"hosts" doc:"how many hosts have it"`
	Sample      []HostRef       `json:"sample" nullable:"false" doc:"up to five of them, by name"`
	FirstSeenAt time.Time       `json:"first_seen_at"`
	LastSeenAt  time.Time       `json:"last_seen_at"`
}

// A HostRef names a host.
type HostRef struct {
	ID   uuid.UUID `json:"id" format:"uuid"`
	Name string    `json:"name"`
}

// A Diff is what differs between two reports of one type: the items, applied to the facts of From, yield those of To.
type Diff struct {
	Type  string       `json:"type" example:"packages"`
	From  ReportRef    `json:"from"`
	To    ReportRef    `json:"to"`
	Items []Difference `json:"items" nullable:"false" doc:"by path"`
}

// A ReportRef names a report and says where it is from.
type ReportRef struct {
	ID            uuid.UUID `json:"id" format:"uuid"`
	HostID        uuid.UUID `json:"host_id" format:"uuid"`
	Host          string    `json:"host"`
	CreatedAt     time.Time `json:"created_at"`
	SchemaVersion int       `json:"schema_version"`
	Status        string    `json:"status" enum:"ok,partial"`
}

// A Difference is one path at which two reports differ. Before and After are as in a Change.
type Difference struct {
	Path      string          `json:"path" doc:"of the fact; empty for the facts as a whole"`
	Kind      string          `json:"kind" enum:"added,removed,changed"`
	Before    json.RawMessage `json:"before" doc:"the value in the first report, of any JSON type; null where there is nothing"`
	After     json.RawMessage `json:"after" doc:"the value in the second report, of any JSON type; null where there is nothing"`
	Unlearned string          `json:"unlearned,omitempty" enum:"unavailable,schema" doc:"why this is no change of the host: one of the reports could not tell (unavailable), or the path has another meaning in the other's schema version (schema); absent for a change"`
}

// ChangeView returns c as the API shows it.
func ChangeView(c fleet.Change) Change {
	return Change{
		ID: c.ID, Host: c.Host, HostID: c.HostID, Type: c.Type, Path: c.Path, Kind: c.Kind(), Before: rawJSON(c.Before), After: rawJSON(c.After),
		SeenAt: utc(c.SeenAt), BeforeSince: utcOrNull(c.BeforeSince), BeforeReportID: c.BeforeReportID, AfterReportID: c.AfterReportID,
	}
}

// ChangeGroupView returns g as the API shows it.
func ChangeGroupView(g fleet.ChangeGroup) ChangeGroup {
	view := ChangeGroup{
		Type: g.Type, Path: g.Path, Kind: g.Kind(), Before: rawJSON(g.Before), After: rawJSON(g.After), Hosts: g.Hosts, Sample: []HostRef{},
		FirstSeenAt: utc(g.FirstSeen), LastSeenAt: utc(g.LastSeen),
	}
	for _, h := range g.Sample {
		view.Sample = append(view.Sample, HostRef(h))
	}
	return view
}

// ReportRefView returns what names r.
func ReportRefView(r fleet.Report) ReportRef {
	return ReportRef{
		ID: r.ID, HostID: r.HostID, Host: r.Host, CreatedAt: utc(r.CreatedAt), SchemaVersion: r.SchemaVersion, Status: string(r.Status),
	}
}
