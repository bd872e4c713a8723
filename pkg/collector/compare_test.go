package collector_test

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/rollcallhq/rollcall/pkg/collector"
)

// leastShared is how many facts have to be equal to those of the other tools.
const leastShared = 60

// A comparison holds our facts of this machine against those of another tool. Ours are collected before and after the
// other tools run: what somebody changes meanwhile is equal to one of the two.
type comparison struct {
	ours  [2]map[string]document // facts and metrics by report type
	facts [2]map[string]document // facts alone
	rows  map[string]*sharedFact
}

// A sharedFact is one line of the table: one of our paths beside the other tool's, for all of its instances.
type sharedFact struct {
	path, theirs string
	how          string // units are converted
	same         int    // instances that both know and that are equal
	unknown      int    // instances of which the other tool says nothing
	explained    int    // instances that differ for the reason
	reason       string
	differs      []string
}

// A rule says how one of our values is compared.
type rule struct {
	how       string        // units are converted, for the table
	convert   func(any) any // our value into theirs; nil leaves it
	tolerance float64       // of numbers that move
	reason    string        // why we differ on purpose where purpose says so
	purpose   func(got, want any) bool
}

// hold compares one fact. The path begins with the report type; its stars stand for the names that follow. A nil means
// that the other tool does not know.
func (c *comparison) hold(path, theirs string, want any, r rule, names ...string) {
	row := c.rows[path+" "+theirs]
	if row == nil {
		row = &sharedFact{path: path, theirs: theirs, how: r.how, reason: r.reason}
		c.rows[path+" "+theirs] = row
	}
	if want == nil {
		row.unknown++
		return
	}
	var got [2]any
	for i := range got {
		got[i] = c.value(i, path, names)
		if r.convert != nil {
			got[i] = r.convert(got[i])
		}
		if alike(got[i], want, r.tolerance) {
			row.same++
			return
		}
	}
	if r.purpose != nil && r.purpose(got[1], want) {
		row.explained++
		return
	}
	row.differs = append(row.differs, fmt.Sprintf("%v: %v and then %v, and they say %v", names, got[0], got[1], want))
}

// value returns one of our values, of the facts if they have it and else of the metrics.
func (c *comparison) value(run int, path string, names []string) any {
	segments := strings.Split(path, ".")
	for i, s := range segments {
		if s == "*" && len(names) > 0 {
			segments[i], names = names[0], names[1:]
		}
	}
	if segments[len(segments)-1] == "*" { // the names themselves
		segments = segments[:len(segments)-1]
	}
	if v := at(c.facts[run][segments[0]], segments[1:]...); v != nil {
		return v
	}
	return at(c.ours[run][segments[0]], segments[1:]...)
}

// alike reports whether two values are the same, numbers within the tolerance.
func alike(got, want any, tolerance float64) bool {
	g, isNumber := got.(float64)
	w, both := want.(float64)
	if isNumber && both {
		return math.Abs(g-w) <= tolerance
	}
	return fmt.Sprintf("%T %v", got, got) == fmt.Sprintf("%T %v", want, want)
}

// collect makes one of the two runs of ours.
func (c *comparison) collect(t *testing.T, run int, p collector.Plan, r collector.Run) {
	t.Helper()
	c.ours[run], c.facts[run] = map[string]document{}, map[string]document{}
	for _, report := range p.Reports(r) {
		if report.Status == collector.StatusFailed {
			t.Fatalf("%s failed: %v", report.Type, report.Failure)
		}
		c.facts[run][report.Type], c.ours[run][report.Type] = decode(t, report.Facts), decode(t, report.Metrics)
	}
}

// check prints the table and fails for what nobody explains.
func (c *comparison) check(t *testing.T) {
	t.Helper()
	var table strings.Builder
	shared, instances := map[string]bool{}, 0
	for _, key := range slices.Sorted(mapKeys(c.rows)) {
		row := c.rows[key]
		note := row.how
		if row.explained > 0 {
			note = strings.TrimPrefix(note+"; differs on purpose: "+row.reason, "; ")
		}
		fmt.Fprintf(&table, "%-44s %-52s %5d equal %4d explained %4d untold  %s\n", row.path, row.theirs, row.same, row.explained, row.unknown, note)
		if instances += row.same; row.same > 0 {
			shared[row.path] = true
		}
		for _, d := range row.differs {
			t.Errorf("%s and %s: %s", row.path, row.theirs, d)
		}
	}
	t.Logf("%d facts are equal, in %d lines and %d values:\n%s", len(shared), len(c.rows), instances, table.String())
	if len(shared) < leastShared {
		t.Errorf("%d facts are shared, want %d", len(shared), leastShared)
	}
}

func TestFacterAndAnsibleSayTheSame(t *testing.T) {
	t.Parallel()
	tools := otherTools(t)
	c := &comparison{rows: map[string]*sharedFact{}}
	p, q := plan(t, collector.Options{}), plan(t, collector.Options{})
	c.collect(t, 0, p, run(t, p))
	facter, ansible := tools.facter(t), tools.ansible(t)
	c.collect(t, 1, q, run(t, q))
	c.system(facter, ansible)
	c.hardware(ansible)
	c.load(facter, ansible)
	c.fileSystems(ansible)
	c.blockDevices(facter, ansible)
	c.interfaces(facter, ansible)
	c.reach(facter, ansible)
	c.software(ansible)
	c.people(ansible)
	c.check(t)
}
