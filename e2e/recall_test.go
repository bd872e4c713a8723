package e2e_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/rollcallhq/rollcall/pkg/facts"
)

// A machine is the enclosure's own host and what is known of it so far.
type machine struct {
	*enclosure
	id       string
	latest   map[string]sweptReport          // by type
	first    map[string]time.Time            // when the first report of a type was made
	changed  map[string]map[string]time.Time // when which path last changed, by type
	position string                          // of the feed
}

// fewestPlants are to be left on every machine that can be tested at all, whatever it lacks.
const fewestPlants = 50

func TestPlantedChangesAreAllFoundAndNothingElse(t *testing.T) {
	t.Parallel()
	kind := enclosable(t)
	setup := "KIND=" + kind + " TOOLS='" + strings.Join(slices.Concat(fragileTools()...), " ") + "'\n" + enclosureSetup + enclosurePeople + enclosureSoftware
	m := &machine{enclosure: enclose(t, setup), first: map[string]time.Time{}, changed: map[string]map[string]time.Time{}}
	var hosts listOf[struct{ ID, Name string }]
	m.get("/api/v1/hosts", &hosts)
	if len(hosts.Items) != 1 {
		t.Fatalf("the enclosure has the hosts %+v, want one", hosts.Items)
	}
	m.id, m.position = hosts.Items[0].ID, m.end()
	m.latest = m.reports(t)
	for name, r := range m.latest {
		m.first[name], m.changed[name] = r.CreatedAt, map[string]time.Time{}
	}
	began, sweeps := time.Now(), 0
	do := func(name, script string, changes []plantedChange) {
		t.Helper()
		m.mustShell("KIND=" + kind + "\n" + script)
		m.expect(t, name, changes)
		sweeps++
	}
	var former plant
	planted := 0
	for _, p := range plants(m.enclosure) {
		if p.needs != "" && exec.CommandContext(t.Context(), "sh", "-c", p.needs).Run() != nil {
			t.Logf("left out: %s, because this machine has not: %s", p.name, p.needs)
			continue
		}
		// The former one is taken back at the same time, unless the two would be seen as one change.
		if !disjoint(former.changes, p.changes) {
			do("taken back: "+former.name, former.undo, backwards(former.changes))
			former = plant{}
		}
		do(p.name+"; taken back: "+former.name, former.undo+"\n"+p.do, slices.Concat(backwards(former.changes), p.changes))
		former = p
		planted++
	}
	do("taken back: "+former.name, former.undo, backwards(former.changes))
	if planted < fewestPlants {
		t.Errorf("%d changes were planted, want %d at least", planted, fewestPlants)
	}
	sweeps += m.breakTools(t)
	t.Logf("%d changes planted and taken back, %d sweeps, %s each", planted, sweeps, (time.Since(began) / time.Duration(sweeps)).Round(time.Millisecond))
}

// disjoint reports whether no change of one list is at, above or below a path of the other.
func disjoint(a, b []plantedChange) bool {
	for _, one := range a {
		for _, other := range b {
			if one.reportType == other.reportType && (strings.HasPrefix(one.path+".", other.path+".") || strings.HasPrefix(other.path+".", one.path+".")) {
				return false
			}
		}
	}
	return true
}

func backwards(changes []plantedChange) []plantedChange {
	back := slices.Clone(changes)
	for i := range back {
		back[i].before, back[i].after = back[i].after, back[i].before
	}
	return back
}

// reports returns the machine's latest reports by type.
func (m *machine) reports(t *testing.T) map[string]sweptReport {
	t.Helper()
	var list listOf[sweptReport]
	m.get("/api/v1/hosts/"+m.id+"/reports", &list)
	latest := map[string]sweptReport{}
	for _, r := range list.Items {
		latest[r.Type] = r
	}
	if names := slices.Sorted(maps.Keys(latest)); !slices.Equal(names, builtinTypes()) {
		t.Fatalf("there are reports of %v, want %v", names, builtinTypes())
	}
	return latest
}

// expect collects from the machine and holds what the feed tells since the last time against what has to be seen.
func (m *machine) expect(t *testing.T, name string, want []plantedChange) {
	t.Helper()
	if c := m.collect(map[string]any{"host_ids": []string{m.id}, "priority": "interactive"}, time.Minute); c.State != "succeeded" {
		t.Fatalf("%s: the collection is %+v", name, c)
	}
	var got []changeView
	// All changes of a task become visible at once, as soon as no earlier transaction is under way.
	eventually(t, 10*time.Second, name+" is told", func() error {
		var err error
		got, m.position, err = m.readFeed(t.Context(), m.position, nil)
		// Loop devices are the whole machine's, and others mount images.
		got = slices.DeleteFunc(got, func(c changeView) bool { return c.Type == "disks" && strings.HasPrefix(c.Path, "block.loop") })
		if err == nil && len(got) == 0 {
			err = fmt.Errorf("there is nothing new, want %v", want)
		}
		return err
	})
	now := m.reports(t)
	var paths, wantPaths []string
	for _, c := range got {
		paths = append(paths, c.Type+" "+c.Path)
	}
	for _, w := range want {
		wantPaths = append(wantPaths, w.reportType+" "+w.path)
	}
	slices.Sort(paths)
	slices.Sort(wantPaths)
	if diff := cmp.Diff(wantPaths, paths); diff != "" {
		t.Errorf("%s (-planted +told):\n%s\n%v", name, diff, got)
	}
	for _, c := range got {
		i := slices.IndexFunc(want, func(w plantedChange) bool { return w.reportType == c.Type && w.path == c.Path })
		if i >= 0 {
			m.check(t, name, c, want[i], now[c.Type])
		}
	}
	for _, c := range got {
		m.changed[c.Type][c.Path] = c.SeenAt
	}
	m.latest = now
}

// check holds one change against what was planted, and against the reports that it names.
func (m *machine) check(t *testing.T, name string, c changeView, want plantedChange, now sweptReport) {
	t.Helper()
	kind := "changed"
	switch {
	case want.before == "":
		kind = "added"
	case want.after == "":
		kind = "removed"
	}
	path, err := facts.ParsePath(c.Path)
	if err != nil {
		t.Fatal(err)
	}
	former, _ := facts.At(m.latest[c.Type].Facts, path)
	current, _ := facts.At(now.Facts, path)
	if c.Kind != kind || !covers(t, c.Before, want.before) || !covers(t, c.After, want.after) {
		t.Errorf("%s: %s, want %s from %s to %s", name, c, kind, want.before, want.after)
	}
	if canonical(t, c.Before) != canonical(t, former) || canonical(t, c.After) != canonical(t, current) || canonical(t, former) == canonical(t, current) {
		t.Errorf("%s: %s, but the reports have %s and %s", name, c, former, current)
	}
	if c.BeforeReportID == nil || *c.BeforeReportID != m.latest[c.Type].ID || c.AfterReportID != now.ID || !c.SeenAt.Equal(now.CreatedAt) {
		t.Errorf("%s: %s names the reports %v and %s of %s, want %s and %s of %s", name, c, c.BeforeReportID, c.AfterReportID, c.SeenAt,
			m.latest[c.Type].ID, now.ID, now.CreatedAt)
	}
	since := facts.NewSinces(m.first[c.Type], m.changed[c.Type], nil).Of(path)
	if c.BeforeSince == nil || !c.BeforeSince.Equal(since) { // also where there was nothing: since when not
		t.Errorf("%s: what was before %s is told to have held since %v, want %s", name, c, c.BeforeSince, since)
	}
}

// covers reports whether a value is what is wanted: nothing for "", anything for *, and an object has to have the
// members that are wanted.
func covers(t *testing.T, got json.RawMessage, want string) bool {
	t.Helper()
	if want == "" {
		want = "null"
	}
	if want == "*" || !strings.HasPrefix(want, "{") {
		return want == "*" || canonical(t, got) == canonical(t, []byte(want))
	}
	var has, wanted map[string]json.RawMessage
	if err := json.Unmarshal([]byte(want), &wanted); err != nil {
		t.Fatal(err)
	}
	if json.Unmarshal(got, &has) != nil {
		return false
	}
	for name, value := range wanted {
		if there, ok := has[name]; !ok || canonical(t, there) != canonical(t, value) {
			return false
		}
	}
	return true
}
