package collector

import (
	"fmt"
	"slices"

	"github.com/rollcallhq/rollcall/pkg/facts"
)

// CarryOver returns r with the facts that this run could not tell as an earlier report of the same type and schema
// version knew them, so that a section that timed out or a permission that was lost does not look like a change.
// former are the canonical facts of that report, or nil if there is none. What lies under Missing is taken as it was,
// unless the section tells it exactly as far as it goes; what else is unavailable, though it may be there, is taken
// where r has nothing. What is carried over stays in Unavailable and Missing. A report that failed, or to which nothing
// is missing, is returned as it is; so is one whose facts are those of former.
func (r Report) CarryOver(former []byte) (Report, error) {
	kept, carried := patternsOf(r.inexact), r.carriedPatterns()
	if r.Status == StatusFailed || len(kept)+len(carried) == 0 || len(former) == 0 {
		return r, nil
	}
	merged, err := facts.Keep(r.Facts, former, kept)
	if err != nil {
		return r, fmt.Errorf("keeping former facts: %w", err)
	}
	if merged, err = facts.Carry(merged, former, carried); err != nil {
		return r, fmt.Errorf("carrying former facts over: %w", err)
	}
	if r.Facts, err = canonical(merged); err != nil {
		return r, fmt.Errorf("canonicalising facts: %w", err)
	}
	r.ContentHash = ContentHash(r.Type, r.SchemaVersion, r.Facts)
	return r, nil
}

// UnavailablePatterns returns what this report could not tell although it may be there. A path that does not apply to
// the host is none of it: that nothing is there has been told.
func (r Report) UnavailablePatterns() []facts.Pattern { return UnavailablePatterns(r.Unavailable) }

// UnavailablePatterns is Report.UnavailablePatterns for what a report has kept of itself: reasons by path. The patterns
// are in the order of their paths.
func UnavailablePatterns(unavailable map[string]string) []facts.Pattern {
	return patternsOf(pathsBut(unavailable, ReasonNotApplicable))
}

// carriedPatterns returns what is taken from an earlier report. A system of another kind has nothing of what the
// former one had, even if it cannot be asked.
func (r Report) carriedPatterns() []facts.Pattern {
	return patternsOf(pathsBut(r.Unavailable, ReasonNotApplicable, ReasonOSUnsupported))
}

// pathsBut returns the paths that are unavailable for none of the reasons, sorted.
func pathsBut(unavailable map[string]string, reasons ...string) []string {
	var paths []string
	for path, reason := range unavailable {
		if !slices.Contains(reasons, reason) {
			paths = append(paths, path)
		}
	}
	slices.Sort(paths)
	return paths
}

// patternsOf reads paths. One that no pattern can be made of stands for everything: it is better to carry too much over
// than to report what cannot be known as a change.
func patternsOf(paths []string) []facts.Pattern {
	patterns := make([]facts.Pattern, 0, len(paths))
	for _, text := range paths {
		pattern, err := facts.ParsePattern(text)
		if err != nil {
			// A pattern from outside is bounded more tightly than a path that names a long key.
			path, _ := facts.ParsePath(text) // the empty path, and so everything, if there is none
			pattern = path.Pattern()
		}
		patterns = append(patterns, pattern)
	}
	return patterns
}
