package collector

import (
	"errors"

	"github.com/rollcallhq/rollcall/pkg/fleet"
)

// A reader hands the sections of a run to the parser of a type and keeps account of what could not be told.
type reader struct {
	run         Run
	unavailable map[string]string
	missing     map[string]bool
	inexact     map[string]bool // those of missing under which what is told may be wrong
	noted       map[string]bool // sections whose loss of bytes has been warned about
	warnings    []string
	degraded    bool
	failure     *fleet.Failure
}

// section returns the text of a section. Where it is missing, cut or timed out, the report becomes partial and the
// facts and metrics under paths are said to be unavailable; what there is of it is returned all the same.
func (r *reader) section(name string, paths ...string) string {
	if reason := r.reasonFor(name); reason != "" {
		r.lose(reason, paths...)
		r.warn("section " + name + ": " + reason)
	}
	return r.peek(name)
}

// exact is section for paths whose values a part of the section tells as well as the whole: each stands on a line of its
// own, and nothing follows from its absence.
func (r *reader) exact(name string, paths ...string) string {
	if reason := r.reasonFor(name); reason != "" {
		r.miss(reason, paths...)
		r.warn("section " + name + ": " + reason)
	}
	return r.peek(name)
}

// peek returns the text of a section whose absence costs nothing but itself.
func (r *reader) peek(name string) string {
	s, ok := r.run.Section(name)
	if !ok {
		return ""
	}
	data := wholeLines(s)
	out := clean(data)
	if out != string(data) && !r.noted[name] {
		r.noted[name] = true
		r.warn("section " + name + ": lossy")
	}
	return out
}

// reasonFor returns what is wrong with a section as a whole, and "" if nothing is.
func (r *reader) reasonFor(name string) string {
	s, ok := r.run.Section(name)
	switch {
	case (!ok || s.Status < 0) && r.run.overflow:
		return ReasonTruncated
	case !ok, s.Status < 0 && !r.run.Complete, s.TimedOut:
		return ReasonTimedOut
	case s.Truncated:
		return ReasonTruncated
	}
	return ""
}

// lose notes that a part of the host could not be asked, which makes the report partial: what stood under the paths
// before still stands, whatever a part of the answer seems to say.
func (r *reader) lose(reason string, paths ...string) {
	r.degraded = true
	r.keep(reason, paths...)
}

// miss is lose for paths whose values are right where they are told: what stood before stands where nothing is told.
func (r *reader) miss(reason string, paths ...string) {
	r.degraded = true
	r.note(reason, paths...)
}

// keep notes that something could not be told this time, without making the report partial.
func (r *reader) keep(reason string, paths ...string) {
	r.note(reason, paths...)
	if r.inexact == nil {
		r.inexact = map[string]bool{}
	}
	for _, path := range paths {
		r.inexact[path] = true
	}
}

// note says why paths are unknown that the host has.
func (r *reader) note(reason string, paths ...string) {
	if r.missing == nil {
		r.missing = map[string]bool{}
	}
	for _, path := range paths {
		r.unavailable[path] = reason
		r.missing[path] = true
	}
}

// lack notes that something is not to be had on this host.
func (r *reader) lack(reason string, paths ...string) {
	for _, path := range paths {
		if _, known := r.unavailable[path]; !known {
			r.unavailable[path] = reason
		}
	}
}

// warn adds a warning. There is a bound, because some are about lines that a host makes up.
func (r *reader) warn(warning string) {
	const most = 50
	if len(r.warnings) < most {
		r.warnings = append(r.warnings, warning)
	}
}

// failWith ends the report, because the section without which there is nothing to tell is not there.
func (r *reader) failWith(section, reason string) {
	code := fleet.CodeParseFailed
	switch reason {
	case ReasonTimedOut:
		code = fleet.CodeDeadlineExceeded
	case ReasonTruncated:
		code = fleet.CodeOutputTruncated
	}
	r.failure = fleet.Fail(code, errors.New("section "+section+": "+reason), "section", section)
}

// needs returns the text of the section without which a type has nothing to tell; where it is cut, so is what lies under
// paths. If it is not there at all, the report has failed and ok is false.
func (r *reader) needs(name string, paths ...string) (text string, ok bool) {
	text = r.section(name, paths...)
	if text != "" {
		return text, true
	}
	reason := r.reasonFor(name)
	if reason == "" {
		reason = ReasonDenied
	}
	r.failWith(name, reason)
	return "", false
}
