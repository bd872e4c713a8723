package collector

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"strings"
	"time"

	"github.com/rollcallhq/rollcall/pkg/fleet"
)

// A Definition is a custom collector: what is run on a host, how its output is read, and what the facts look like. Its
// JSON is what is stored and what files hold, in YAML or JSON.
type Definition struct {
	Name        string `json:"name"`                  // of the collector and of its report type
	Version     int    `json:"version,omitempty"`     // given by the server; 0 in what has not been stored
	Description string `json:"description,omitempty"` // for people

	// OS holds the POSIX-sh script for each system: a kernel (linux, darwin, freebsd), a distribution as os-release
	// names it (debian, alpine), or what a distribution says it is like (rhel). The most specific one runs.
	OS     map[string]string `json:"os"`
	Parser ParserSpec        `json:"parser"`

	Schema   map[string]any `json:"schema,omitempty"`   // JSON Schema of what the parser yields, volatile values included; none: anything
	Keys     []string       `json:"keys,omitempty"`     // paths in the elements of a list that tell them apart; then the list is an object
	Volatile []string       `json:"volatile,omitempty"` // patterns of paths that are metrics
	Redact   []string       `json:"redact,omitempty"`   // RE2; what matches, or its first group, is replaced before anything is kept

	TimeoutSeconds int   `json:"timeout_seconds,omitempty"` // 0: 10
	Caps           Caps  `json:"caps,omitzero"`
	OKExitCodes    []int `json:"ok_exit_codes,omitempty"` // none: 0 alone

	Fixtures []Fixture `json:"fixtures,omitempty"`
}

// A ParserSpec says how standard output is read.
type ParserSpec struct {
	Format  string   `json:"format"`            // one of Formats
	Sep     string   `json:"sep,omitempty"`     // of kv (default =, a space stands for any white space) and csv (default a comma)
	Header  bool     `json:"header,omitempty"`  // of csv: the first line names the columns; of table: it is skipped
	Columns []string `json:"columns,omitempty"` // of table, and of csv without a header; the last one of a table takes the rest of the line
	Pattern string   `json:"pattern,omitempty"` // of regex: RE2 with named groups, matched as often as it can be
}

// Caps bound what is kept of a run's output, in bytes.
type Caps struct {
	Stdout int64 `json:"stdout,omitempty"` // 0: 256 KiB; at most 4 MiB
	Stderr int64 `json:"stderr,omitempty"` // 0: 64 KiB, which is also the most
}

// A Fixture is an output and what it is to be read as, so that a definition can be tested without a host.
type Fixture struct {
	Name   string `json:"name"`         // unique; starts with synthetic- if nothing real printed this
	OS     string `json:"os,omitempty"` // which of the scripts printed it
	Stdout string `json:"stdout"`
	RC     int    `json:"rc,omitempty"` // its exit status
	Expect Expect `json:"expect"`
}

// Expect is what a fixture is to be read as. What is nil is not looked at.
type Expect struct {
	Facts       map[string]any    `json:"facts,omitempty"`
	Metrics     map[string]any    `json:"metrics,omitempty"`
	Unavailable map[string]string `json:"unavailable,omitempty"`
	Fails       bool              `json:"fails,omitempty"` // there is no report
}

// The formats of a parser.
const (
	FormatText   = "text"   // {"text": …}
	FormatLines  = "lines"  // {"lines": […]}
	FormatKV     = "kv"     // an object; a name that comes again has a list of values
	FormatJSON   = "json"   // the object as it is, or a list
	FormatNDJSON = "ndjson" // a list
	FormatCSV    = "csv"    // a list
	FormatTable  = "table"  // a list
	FormatRegex  = "regex"  // a list
	FormatINI    = "ini"    // an object of objects; what stands before the first section is in "global"
	FormatNone   = "none"   // only the status, the length and the digest of the output
)

// Formats returns the formats of a parser.
func Formats() []string {
	return []string{
		FormatText, FormatLines, FormatKV, FormatJSON, FormatNDJSON, FormatCSV, FormatTable, FormatRegex, FormatINI, FormatNone,
	}
}

// Exit statuses by which a script says why it tells nothing, unless its definition accepts them as results.
const (
	exitToolMissing   = 69 // sysexits' EX_UNAVAILABLE
	exitNoPermission  = 77 // EX_NOPERM
	exitNotApplicable = 78 // EX_CONFIG: there is nothing of the kind on this host
)

// Bounds of definitions.
const (
	maxDefinition     = 512 << 10 // bytes of JSON
	maxScript         = 32 << 10  // bytes of one script; see maxBody for all of a run
	maxScripts        = 12
	maxPatterns       = 64
	maxPatternLength  = 1 << 10
	maxFixtures       = 50
	maxSchema         = 64 << 10
	maxTimeout        = 300
	defaultTimeout    = 10
	maxStdout         = 4 * mib
	defaultStdout     = 256 << 10
	maxStderr         = 64 << 10
	maxDescription    = 2_000
	maxDefinitionName = 63
)

// ParseDefinition reads a definition's JSON and checks it. An unknown field, or anything that Check refuses, is an error
// of kind Invalid.
func ParseDefinition(data []byte) (Definition, error) {
	var d Definition
	if len(data) > maxDefinition {
		return d, fleet.InvalidField("body", "has more than %d bytes", maxDefinition)
	}
	decoder := json.NewDecoder(bytes.NewReader(data))
	decoder.DisallowUnknownFields()
	decoder.UseNumber()
	if err := decoder.Decode(&d); err != nil {
		return d, unreadable(err)
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return d, fleet.InvalidField("body", "something follows the definition")
	}
	return d, d.Check()
}

// unreadable says what is wrong with JSON that is no definition.
func unreadable(err error) error {
	if e, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
		return fleet.InvalidField(fieldOr(e.Field, "body"), "must not be a %s", e.Value)
	}
	if name, ok := strings.CutPrefix(err.Error(), "json: unknown field "); ok {
		return fleet.InvalidField(strings.Trim(name, `"`), "there is no such field in a definition")
	}
	return fleet.InvalidField("body", "this is not the JSON of a definition: %s", err)
}

func fieldOr(field, other string) string {
	if field == "" {
		return other
	}
	return field
}

// Systems returns for what the definition has scripts, sorted.
func (d Definition) Systems() []string { return sortedKeys(d.OS) }

// Timeout returns after which time its script is killed.
func (d Definition) Timeout() time.Duration {
	if d.TimeoutSeconds == 0 {
		return defaultTimeout * time.Second
	}
	return time.Duration(d.TimeoutSeconds) * time.Second
}

func (d Definition) stdoutCap() int64 {
	if d.Caps.Stdout == 0 {
		return defaultStdout
	}
	return d.Caps.Stdout
}

func (d Definition) stderrCap() int64 {
	if d.Caps.Stderr == 0 {
		return maxStderr
	}
	return d.Caps.Stderr
}
