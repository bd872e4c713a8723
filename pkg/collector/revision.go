package collector

import "github.com/rollcallhq/rollcall/pkg/facts"

// A Revision says what one version of a type's schema brought, redefined or took away. Between two reports on either
// side of it, that has not changed on the host.
type Revision struct {
	Version int      // the SchemaVersion that it made; never 1
	Paths   []string // patterns of facts paths, as in interfaces.*.speed_mbps
}

// Revised returns what the schema versions between a and b of a report type brought or redefined, in either direction,
// in the order of the versions. Where this program does not know one of them, because it is older than the report or
// has no such type, that is everything.
func Revised(reportType string, a, b int) []facts.Pattern {
	if a == b {
		return nil
	}
	t, known := Lookup(reportType)
	low, high := min(a, b), max(a, b)
	if !known || low < 1 || high > t.SchemaVersion {
		return []facts.Pattern{{}}
	}
	return t.revised(low, high)
}

// revised returns the paths of the revisions after low up to high.
func (t Type) revised(low, high int) []facts.Pattern {
	var patterns []facts.Pattern
	for _, r := range t.Revisions {
		if r.Version > low && r.Version <= high {
			patterns = append(patterns, patternsOf(r.Paths)...)
		}
	}
	return patterns
}
