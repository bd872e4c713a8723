package collector

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"

	"github.com/rollcallhq/rollcall/pkg/fleet"
)

// The statuses of a report.
const (
	StatusOK      = "ok"      // everything that was asked has been answered
	StatusPartial = "partial" // a section was cut, timed out, was denied as a whole or could not be read
	StatusFailed  = "failed"  // there is nothing to store
)

// The reasons why a fact or a metric is not known.
const (
	ReasonNoPermission  = "no_permission"
	ReasonToolMissing   = "tool_missing"
	ReasonNotApplicable = "not_applicable"
	ReasonNoAnswer      = "no_answer" // the host asked somebody else, such as its resolver, in vain
	ReasonTimedOut      = "timed_out"
	ReasonTruncated     = "truncated"
	ReasonParseFailed   = "parse_failed"
	ReasonDenied        = "denied"
	ReasonOSUnsupported = "os_unsupported"
)

// A Report is what was learned about one type in one run. Its slices and maps are the caller's.
type Report struct {
	Type          string
	SchemaVersion int
	Status        string         // ok, partial or failed
	Failure       *fleet.Failure // why it failed; nil otherwise

	Facts   []byte // RFC 8785 canonical JSON object of what is stable; nil if it failed
	Metrics []byte // JSON object of what is volatile; nil if it failed

	// Unavailable says for patterns of facts and metrics paths, in the words of package facts, why they are unknown; *
	// stands for everything else.
	Unavailable map[string]string
	// Missing are those patterns of facts paths that this run could not tell although the host has them: where an
	// earlier report knows them, they have not changed as far as anybody knows. Sorted.
	Missing []string
	inexact []string // those of Missing under which a part of an answer may tell something wrong

	ContentHash [sha256.Size]byte // of type, schema version and facts; zero if it failed
	Warnings    []string          // for a person; in the order of the sections
}

// Reports reads a run into one report of each type of the plan, in the order they were asked for. Garbage in one
// section never costs more than what that section tells. It never fails as a whole: what cannot be read is in the
// statuses.
func (p Plan) Reports(run Run) []Report {
	reports := make([]Report, 0, len(p.types))
	for _, t := range p.types {
		if t.custom != nil {
			reports = append(reports, t.custom.trial(run).Report)
			continue
		}
		reports = append(reports, report(t, run))
	}
	return reports
}

// report reads one type.
func report(t Type, run Run) Report {
	r := &reader{run: run, unavailable: map[string]string{}, noted: map[string]bool{}}
	out := Report{Type: t.Name, SchemaVersion: t.SchemaVersion, Status: StatusOK}
	var facts, metrics any
	switch {
	case run.Kernel() == "":
		r.failWith(sectionID, r.reasonFor(sectionID))
	case run.Kernel() != linux && t.Name != "os":
		r.failure = fleet.Fail(fleet.CodeOSUnsupported, nil, "kernel", run.Kernel())
	case run.Kernel() != linux:
		facts, metrics = readForeignOS(r), osMetrics{}
	default:
		facts, metrics = t.read(r)
	}
	out.Unavailable, out.Warnings = r.unavailable, r.warnings
	if facts == nil || r.failure != nil {
		out.Status, out.Failure = StatusFailed, r.failure
		if out.Failure == nil {
			out.Failure = fleet.Fail(fleet.CodeInternal, nil)
		}
		return out
	}
	if err := out.encode(facts, metrics); err != nil {
		out.Status, out.Facts, out.Metrics = StatusFailed, nil, nil
		out.Failure = fleet.Fail(fleet.CodeInternal, err)
		return out
	}
	if r.degraded {
		out.Status = StatusPartial
	}
	out.Missing = slices.Sorted(maps.Keys(r.missing))
	out.inexact = slices.Sorted(maps.Keys(r.inexact))
	return out
}

// encode fills in facts, metrics and hash.
func (r *Report) encode(facts, metrics any) error {
	raw, err := json.Marshal(facts)
	if err != nil {
		return fmt.Errorf("encoding facts: %w", err)
	}
	if r.Facts, err = canonical(raw); err != nil {
		return fmt.Errorf("canonicalising facts: %w", err)
	}
	if r.Metrics, err = json.Marshal(metrics); err != nil {
		return fmt.Errorf("encoding metrics: %w", err)
	}
	r.ContentHash = ContentHash(r.Type, r.SchemaVersion, r.Facts)
	return nil
}

// ContentHash returns the hash under which facts are stored, which must be canonical: two types, or two versions of
// a schema, never share one.
func ContentHash(reportType string, schemaVersion int, facts []byte) [sha256.Size]byte {
	h := sha256.New()
	h.Write([]byte(reportType))
	h.Write([]byte{0})
	h.Write([]byte(strconv.Itoa(schemaVersion)))
	h.Write([]byte{0})
	h.Write(facts)
	var sum [sha256.Size]byte
	h.Sum(sum[:0])
	return sum
}
