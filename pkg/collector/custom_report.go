package collector

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/rollcallhq/rollcall/pkg/fleet"
)

// Custom returns the report type of a definition. A definition that Check refuses is its error.
func Custom(d Definition) (Type, error) {
	c, err := d.compile()
	if err != nil {
		return Type{}, err
	}
	return Type{Name: d.Name, SchemaVersion: max(d.Version, 1), custom: c}, nil
}

// A Trial is all that one run of a custom collector told, for who writes it. Nothing in it holds what the definition
// redacts.
type Trial struct {
	System   string // the system whose script ran; empty if there is none for this host
	Status   int    // exit status of the script; -1 if it never ended
	Took     time.Duration
	TimedOut bool // it met its bound and was killed

	Stdout, Stderr                   string // as text: invalid bytes are replaced
	StdoutTruncated, StderrTruncated bool
	Lossy                            bool     // standard output held bytes that are no text
	Withheld                         bool     // output was cut, and left out because a secret may have been cut with it
	SchemaErrors                     []string // where the facts are not as the schema says; may quote them
	Report                           Report
}

// Trials reads a run as Reports does and returns what each custom type of the plan told, in the order they were asked for.
func (p Plan) Trials(run Run) []Trial {
	var out []Trial
	for _, t := range p.types {
		if t.custom != nil {
			out = append(out, t.custom.trial(run))
		}
	}
	return out
}

// trial reads the sections of one custom collector.
func (c *custom) trial(run Run) Trial {
	r := &reader{run: run, unavailable: map[string]string{}}
	name := sectionPrefix + c.Name
	s, there := run.Section(name)
	t := Trial{System: s.System, Status: s.Status, Took: s.Took, TimedOut: s.TimedOut, Report: Report{Type: c.Name, SchemaVersion: max(c.Version, 1)}}
	if e, ok := run.Section(name + stderrSuffix); ok {
		t.Stderr, t.StderrTruncated, _ = c.kept(e)
	}
	reason := r.reasonFor(name)
	switch {
	case !there:
		t.Status = -1
		r.failWith(name, reason)
	case s.System == "" && !s.Truncated:
		r.failure = fleet.Fail(fleet.CodeOSUnsupported, nil, "kernel", run.Kernel(), "collector", c.Name, "systems", strings.Join(c.Systems(), " "))
	default:
		t.Stdout, t.StdoutTruncated, t.Withheld = c.kept(s)
		t.Lossy = lossy(wholeLines(s))
		c.read(r, &t, reason)
	}
	t.Report.Warnings = r.warnings
	t.Report.finish(r)
	return t
}

// finish fills in what the reader has found out beside facts and metrics.
func (out *Report) finish(r *reader) {
	out.Unavailable, out.Status = r.unavailable, StatusOK
	switch {
	case r.failure != nil:
		out.Status, out.Failure, out.Facts, out.Metrics, out.ContentHash = StatusFailed, r.failure, nil, nil, [sha256.Size]byte{}
	case r.degraded:
		out.Status = StatusPartial
	}
	out.Missing = slices.Sorted(maps.Keys(r.missing))
	out.inexact = slices.Sorted(maps.Keys(r.inexact))
}

func lossy(data []byte) bool { return !utf8.Valid(data) || bytes.IndexByte(data, 0) >= 0 }

// kept returns what may be kept of a section: text without what is to be redacted. Where the section was cut and there
// is something to redact, that is nothing, because half a secret is not recognised as one.
func (c *custom) kept(s Section) (text string, truncated, withheld bool) {
	cut := s.Truncated || s.TimedOut
	if cut && len(c.redact) > 0 {
		return "", s.Truncated, true
	}
	return c.redacted(clean(wholeLines(s))), s.Truncated, false
}

// everything is the pattern of all facts and metrics, as Report.Unavailable has it.
const everything = "*"

// read reads a script's output. reason says what is wrong with it as a whole, and is empty if nothing is.
func (c *custom) read(r *reader, t *Trial, reason string) {
	if t.Lossy {
		r.warn("section " + sectionPrefix + c.Name + ": lossy")
	}
	if reason == "" && !slices.Contains(c.okExitCodes(), t.Status) && !r.explained(t.Status) {
		r.failure = fleet.Fail(fleet.CodeCollectorFailed, nil, "collector", c.Name, "reason", "exit status", "exit_status", strconv.Itoa(t.Status))
		return
	}
	cut := reason != ""
	if cut {
		r.lose(reason, everything)
	}
	root, err := c.document(t, cut, len(r.unavailable) > 0)
	if err == nil {
		err = c.fill(t, root, cut || len(r.unavailable) > 0)
	}
	switch {
	case err == nil:
	case reason == ReasonTruncated:
		r.failure = fleet.Fail(fleet.CodeOutputTruncated, err, "section", sectionPrefix+c.Name)
	case cut:
		r.failure = fleet.Fail(fleet.CodeCollectorFailed, err, "collector", c.Name, "reason", reason)
	default:
		r.failure = fleet.Fail(fleet.CodeCollectorFailed, err, "collector", c.Name, "reason", err.Error())
	}
}

// okExitCodes returns the exit statuses after which the output is read.
func (c *custom) okExitCodes() []int {
	if len(c.OKExitCodes) == 0 {
		return []int{0}
	}
	return c.OKExitCodes
}

// explained notes what an exit status says about why there is nothing, and reports whether it says something.
func (r *reader) explained(status int) bool {
	switch status {
	case exitToolMissing:
		r.lack(ReasonToolMissing, everything)
	case exitNotApplicable:
		r.lack(ReasonNotApplicable, everything)
	case exitNoPermission:
		r.lose(ReasonNoPermission, everything)
	default:
		return false
	}
	return true
}

// errWithheld is why there are no facts of an output that was cut.
var errWithheld = errors.New("the output was cut, and may hold a part of what is to be redacted")

// document parses the output. What a script left out on purpose, or what was cut, may be empty.
func (c *custom) document(t *Trial, cut, excused bool) (map[string]any, error) {
	switch {
	case t.Withheld:
		return nil, errWithheld
	case c.Parser.Format == FormatNone && cut:
		return nil, &parseError{why: "was cut"}
	case excused && !cut && strings.TrimSpace(t.Stdout) == "":
		return map[string]any{}, nil
	case c.Parser.Format == FormatNone:
		sum := sha256.Sum256([]byte(t.Stdout))
		return map[string]any{
			"exit_status": json.Number(strconv.Itoa(t.Status)), "stdout_bytes": json.Number(strconv.Itoa(len(t.Stdout))),
			"stdout_sha256": hex.EncodeToString(sum[:]),
		}, nil
	}
	return c.parse(t.Stdout)
}

// fill makes the facts and metrics. A document that is known to lack something need not be as the schema says.
func (c *custom) fill(t *Trial, root map[string]any, lacking bool) error {
	stable, volatile, violations, err := c.shape(root)
	if err != nil {
		return err
	}
	for _, v := range violations {
		t.SchemaErrors = append(t.SchemaErrors, v.at+": "+v.message)
	}
	if len(violations) > 0 && !lacking {
		return &parseError{why: "the facts are not as the schema says: " + violations[0].keyword + " at " + c.place(violations[0].at)}
	}
	return t.Report.encode(stable, volatile)
}

// place returns a JSON pointer for failures, which are logged: of what the host says, names of fields alone.
func (c *custom) place(pointer string) string {
	if len(c.keys) == 0 {
		return pointer
	}
	parts := strings.Split(pointer, "/")
	if len(parts) > 2 && parts[1] == items {
		parts[2] = "*"
	}
	return strings.Join(parts, "/")
}
