package facts

import (
	"bytes"
	"cmp"
	"encoding/json"
	"slices"
)

// A Difference is one path at which two documents differ.
type Difference struct {
	Path   Path            // not shared with other differences
	Before json.RawMessage // nil if there was nothing there; a JSON null is "null"
	After  json.RawMessage // likewise
}

// A Kind says what happened at the path of a difference.
type Kind string

// The kinds.
const (
	Added   Kind = "added"
	Removed Kind = "removed"
	Changed Kind = "changed"
)

// Kind returns what happened at the path.
func (d Difference) Kind() Kind {
	switch {
	case d.Before == nil:
		return Added
	case d.After == nil:
		return Removed
	}
	return Changed
}

// Unlearned says why a difference between two reports is no change of the host.
type Unlearned string

// The reasons. The empty one is that of a change.
const (
	UnlearnedUnavailable Unlearned = "unavailable" // one of the two reports could not tell
	UnlearnedSchema      Unlearned = "schema"      // a schema version between the two brought or redefined the path
)

// An UnlearnedDifference is a difference that is no change of the host.
type UnlearnedDifference struct {
	Difference
	Why Unlearned // never empty
}

// Options say what is known about two reports beside their facts. The zero value makes every difference a change.
type Options struct {
	BeforeUnavailable []Pattern // what the earlier report could not tell
	AfterUnavailable  []Pattern // what the later report could not tell
	Revised           []Pattern // what the schema versions between the two brought or redefined
}

// A Comparison is how two documents differ. Applying Changes and Unlearned to the earlier one yields the later one.
type Comparison struct {
	Changes   []Difference          // what changed on the host; sorted by path, name by name
	Unlearned []UnlearnedDifference // the other differences; sorted likewise
	// Baselines are those of BeforeUnavailable and Revised under which something was learned or redefined without
	// being a change: the values there are as old as the later report. Of patterns that cover the same difference it
	// is the one with the most segments. Each once, in the order of their strings.
	Baselines []Pattern
}

// Bounds of a comparison.
const (
	maxDifferences = 10_000
	maxDepth       = 32 // names of a path; what lies deeper is compared as a whole
)

// Compare compares two documents. Where both have an object, its names are compared one by one; a name that one of
// them lacks is one difference with the whole value. All else differs as a whole, if what it means differs: spaces,
// the order of names and the spelling of numbers, which are doubles, mean nothing.
//
// A difference is no change if it is covered by what a report could not tell and that report has nothing there
// (absent, null or empty), or if it is covered by what was revised. Where something revised lies below the path, the
// value of an element that came or went is a change, and other values that differ are not.
//
// There are never more than 10,000 differences: of more, those under the same name of the root become one difference at
// that name, where there are many first, and if that is not enough, the root is the one difference. It is a change if
// one of those that it stands for was.
//
// The differences alias the documents. A document that is no JSON is an error.
func Compare(before, after []byte, o Options) (Comparison, error) {
	for _, doc := range [][]byte{before, after} {
		if err := validate(doc); err != nil {
			return Comparison{}, err
		}
	}
	c := comparer{options: o, baselines: map[string]Pattern{}}
	var out Comparison
	for _, d := range c.root(bytes.TrimSpace(before), bytes.TrimSpace(after)) {
		if d.Why == "" {
			out.Changes = append(out.Changes, d.Difference)
		} else {
			out.Unlearned = append(out.Unlearned, d)
		}
	}
	out.Baselines = c.sortedBaselines()
	return out, nil
}

// A comparer walks down two documents.
type comparer struct {
	options   Options
	baselines map[string]Pattern
	path      Path          // where it is
	scratch   [][2][]member // of each depth
	found     tally
}

// compare compares two values at c.path.
func (c *comparer) compare(before, after []byte) {
	switch {
	case isObject(before) && isObject(after) && len(c.path) < maxDepth:
		c.objects(before, after, c.compare)
	case before == nil || after == nil || !equal(before, after):
		c.found.add(UnlearnedDifference{
			Difference: Difference{Path: slices.Clone(c.path), Before: before, After: after}, Why: c.judge(before, after),
		})
	}
}

// objects calls each with the values of every name of two objects that are not the same bytes, in the order of the
// names, with c.path at the name.
func (c *comparer) objects(before, after []byte, each func(before, after []byte)) {
	depth := len(c.path)
	if len(c.scratch) <= depth {
		c.scratch = append(c.scratch, [2][]member{})
	}
	olds, news := members(before, c.scratch[depth][0][:0]), members(after, c.scratch[depth][1][:0])
	c.scratch[depth] = [2][]member{olds, news}
	for len(olds) > 0 || len(news) > 0 {
		var order int // below 0: the name is in before alone; above 0: in after alone
		switch {
		case len(olds) == 0:
			order = 1
		case len(news) == 0:
			order = -1
		default:
			order = byName(olds[0], news[0])
		}
		var name, was, is []byte
		if order <= 0 {
			name, was, olds = olds[0].name, olds[0].value, olds[1:]
		}
		if order >= 0 {
			name, is, news = news[0].name, news[0].value, news[1:]
		}
		if bytes.Equal(was, is) {
			continue
		}
		c.path = append(c.path, string(name))
		each(was, is)
		c.path = c.path[:depth]
	}
}

// judge says why the difference at c.path is no change, and notes the baseline that it sets.
func (c *comparer) judge(before, after []byte) Unlearned {
	if isNothing(before) {
		if p, ok := c.covering(c.options.BeforeUnavailable); ok {
			c.baselines[p.String()] = p
			return UnlearnedUnavailable
		}
	}
	if isNothing(after) {
		if _, ok := c.covering(c.options.AfterUnavailable); ok {
			return UnlearnedUnavailable
		}
	}
	if p, ok := c.covering(c.options.Revised); ok {
		c.baselines[p.String()] = p
		return UnlearnedSchema
	}
	if before == nil || after == nil {
		return ""
	}
	why := Unlearned("")
	for _, p := range c.options.Revised {
		if p.below(c.path) {
			c.baselines[p.String()] = p
			why = UnlearnedSchema
		}
	}
	return why
}

// covering returns the pattern with the most segments that covers c.path.
func (c *comparer) covering(patterns []Pattern) (Pattern, bool) {
	var best Pattern
	found := false
	for _, p := range patterns {
		if (!found || len(p.segments) > len(best.segments)) && p.Covers(c.path) {
			best, found = p, true
		}
	}
	return best, found
}

// sortedBaselines returns the baselines in the order of their strings.
func (c *comparer) sortedBaselines() []Pattern {
	out := make([]Pattern, 0, len(c.baselines))
	for _, p := range c.baselines {
		out = append(out, p)
	}
	slices.SortFunc(out, func(a, b Pattern) int { return cmp.Compare(a.String(), b.String()) })
	return out
}
