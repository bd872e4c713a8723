package wire

import (
	"encoding/json"
	"time"

	"github.com/google/uuid"

	"github.com/rollcallhq/rollcall/pkg/fleet"
)

// A Collector is a kind of report and what makes it.
type Collector struct {
	Name          string          `json:"name" example:"os"`
	Version       int             `json:"version" doc:"one more with each change; the ETag of a custom one"`
	ReportType    string          `json:"report_type"`
	SchemaVersion int             `json:"schema_version" doc:"raised whenever the meaning or shape of the facts changes; of a custom one, its version"`
	BuiltIn       bool            `json:"built_in"`
	Description   string          `json:"description,omitempty"`
	Schema        json.RawMessage `json:"schema,omitzero" nullable:"false" doc:"the JSON Schema (2020-12) of its reports: an object with the members facts and metrics; x-class says of a field whether it is identity, stable or volatile, x-unit in what it is counted, x-key by what the members of an object are keyed. Absent in a list"`

	// What follows is of custom collectors only.
	Systems    []string             `json:"systems,omitempty" nullable:"false" doc:"what it has scripts for"`
	CreatedBy  string               `json:"created_by,omitempty" doc:"who made this version"`
	CreatedAt  *time.Time           `json:"created_at,omitempty" doc:"when this version was made"`
	RemovedAt  *time.Time           `json:"removed_at,omitempty" doc:"it is collected no more; its reports stay"`
	Definition *CollectorDefinition `json:"definition,omitempty" doc:"not in lists"`
}

// A CollectorDefinition is what a custom collector runs and how its output is read.
type CollectorDefinition struct {
	Name           string             `json:"name" pattern:"^[a-z][a-z0-9_]{1,62}$" example:"certificates"`
	Description    string             `json:"description,omitempty" maxLength:"2000"`
	OS             map[string]string  `json:"os" doc:"POSIX-sh scripts by system: linux, darwin, freebsd, or a distribution such as debian, rhel, alpine; the most specific runs"`
	Parser         CollectorParser    `json:"parser"`
	Schema         map[string]any     `json:"schema,omitempty" nullable:"true" doc:"JSON Schema (2020-12) of what the parser yields"`
	Keys           []string           `json:"keys,omitempty" nullable:"true" maxItems:"8" doc:"paths in the elements of a list that tell them apart; the list becomes an object"`
	Volatile       []string           `json:"volatile,omitempty" nullable:"true" maxItems:"64" doc:"patterns of paths that are metrics, such as items.*.days_left"`
	Redact         []string           `json:"redact,omitempty" nullable:"true" maxItems:"64" doc:"RE2; what matches, or its first group, is replaced before anything is kept"`
	TimeoutSeconds *int               `json:"timeout_seconds,omitempty" nullable:"true" minimum:"1" maximum:"300" default:"10"`
	Caps           *CollectorCaps     `json:"caps,omitempty"`
	OKExitCodes    []int              `json:"ok_exit_codes,omitempty" nullable:"true" maxItems:"64" doc:"exit statuses after which the output is read; none means 0 alone"`
	Fixtures       []CollectorFixture `json:"fixtures,omitempty" nullable:"true" maxItems:"50" doc:"outputs and what they are to be read as"`
}

// A CollectorParser says how standard output is read.
type CollectorParser struct {
	Format  string   `json:"format" enum:"text,lines,kv,json,ndjson,csv,table,regex,ini,none"`
	Sep     string   `json:"sep,omitempty" doc:"of kv (=) and csv (a comma)"`
	Header  bool     `json:"header,omitempty" doc:"of csv: the first line names the columns; of table: it is skipped"`
	Columns []string `json:"columns,omitempty" nullable:"true" doc:"of table, and of csv without a header"`
	Pattern string   `json:"pattern,omitempty" doc:"of regex: RE2 with named groups"`
}

// CollectorCaps bound what is kept of an output, in bytes.
type CollectorCaps struct {
	Stdout int64 `json:"stdout,omitempty" minimum:"1" maximum:"4194304" default:"262144"`
	Stderr int64 `json:"stderr,omitempty" minimum:"1" maximum:"65536" default:"65536"`
}

// A CollectorFixture is an output and what it is to be read as.
type CollectorFixture struct {
	Name   string          `json:"name"`
	OS     string          `json:"os,omitempty"`
	Stdout string          `json:"stdout"`
	RC     int             `json:"rc,omitempty"`
	Expect CollectorExpect `json:"expect"`
}

// A CollectorExpect is what a fixture is to be read as; what is absent is not looked at.
type CollectorExpect struct {
	Facts       map[string]any    `json:"facts,omitempty" nullable:"true"`
	Metrics     map[string]any    `json:"metrics,omitempty" nullable:"true"`
	Unavailable map[string]string `json:"unavailable,omitempty" nullable:"true"`
	Fails       bool              `json:"fails,omitempty"`
}

// A CollectorPatch changes a custom collector (RFC 7396); every change is a new version.
type CollectorPatch struct {
	Description    *string            `json:"description,omitempty" nullable:"true"`
	OS             map[string]*string `json:"os,omitempty" doc:"null takes a script away"`
	Parser         map[string]any     `json:"parser,omitempty"`
	Schema         map[string]any     `json:"schema,omitempty" nullable:"true"`
	Keys           []string           `json:"keys,omitempty" nullable:"true"`
	Volatile       []string           `json:"volatile,omitempty" nullable:"true"`
	Redact         []string           `json:"redact,omitempty" nullable:"true"`
	TimeoutSeconds *int               `json:"timeout_seconds,omitempty" nullable:"true"`
	Caps           map[string]any     `json:"caps,omitempty" nullable:"true"`
	OKExitCodes    []int              `json:"ok_exit_codes,omitempty" nullable:"true"`
	Fixtures       []CollectorFixture `json:"fixtures,omitempty" nullable:"true"`
}

// A TryInput asks what a collector tells of one host.
type TryInput struct {
	HostID          uuid.UUID            `json:"host_id" format:"uuid"`
	Version         *int                 `json:"version,omitempty" nullable:"true" minimum:"1" doc:"the newest without it"`
	Definition      *CollectorDefinition `json:"definition,omitempty" doc:"tried instead of what is stored; it need not be stored at all"`
	DeadlineSeconds *int                 `json:"deadline_seconds,omitempty" nullable:"true"`
}

// A Trial is what came of trying a collector on a host. It is no report, and is kept for a day.
type Trial struct {
	CollectionID uuid.UUID    `json:"collection_id" format:"uuid"`
	Collector    string       `json:"collector"`
	Version      int          `json:"version" doc:"0 for a definition that is not stored"`
	ExpiresAt    time.Time    `json:"expires_at"`
	Result       *TrialResult `json:"result,omitempty" doc:"absent until the host has answered; where the task failed, it says why"`
}

// A TrialResult is what a script printed and what was read out of it. What the definition redacts is replaced.
type TrialResult struct {
	System          string            `json:"system" doc:"whose script ran; empty if there is none for the host"`
	ExitStatus      int               `json:"exit_status"`
	DurationMS      int64             `json:"duration_ms"`
	TimedOut        bool              `json:"timed_out"`
	Stdout          string            `json:"stdout" doc:"the first 256 KiB"`
	StdoutTruncated bool              `json:"stdout_truncated"`
	Stderr          string            `json:"stderr"`
	StderrTruncated bool              `json:"stderr_truncated"`
	Lossy           bool              `json:"lossy" doc:"standard output held bytes that are no text"`
	Withheld        bool              `json:"withheld" doc:"the output was cut, and left out because a part of what is to be redacted may be in it"`
	Status          string            `json:"status" enum:"ok,partial,failed" doc:"of the report that this would have made"`
	Code            string            `json:"code,omitempty" doc:"why it failed"`
	Details         map[string]string `json:"details,omitempty" nullable:"false"`
	SchemaErrors    []string          `json:"schema_errors,omitempty" nullable:"false"`
	Facts           json.RawMessage   `json:"facts,omitempty"`
	Metrics         json.RawMessage   `json:"metrics,omitempty"`
	Unavailable     map[string]string `json:"unavailable,omitempty" nullable:"false"`
	Omitted         bool              `json:"omitted,omitempty" doc:"facts and metrics are too large to be kept with a trial"`
}

// CustomCollectorView returns c as the API shows it; without its definition in lists, where c has none. A definition that
// cannot be shown is an error.
func CustomCollectorView(c fleet.Collector) (Collector, error) {
	view := Collector{
		Name: c.Name, Version: c.Version, ReportType: c.Name, SchemaVersion: c.Version, Description: c.Description, Systems: c.Systems,
		CreatedBy: c.Actor, CreatedAt: utcOrNull(&c.CreatedAt), RemovedAt: utcOrNull(c.RemovedAt),
	}
	if c.Definition == nil {
		return view, nil
	}
	view.Definition = &CollectorDefinition{}
	return view, json.Unmarshal(c.Definition, view.Definition)
}

// TrialView returns t as the API shows it.
func TrialView(t fleet.Trial) (Trial, error) {
	view := Trial{CollectionID: t.CollectionID, Collector: t.Name, Version: t.Version, ExpiresAt: utc(t.ExpiresAt)}
	if t.Result == nil {
		return view, nil
	}
	view.Result = &TrialResult{}
	return view, json.Unmarshal(t.Result, view.Result)
}
