package e2e_test

import (
	"encoding/json"
	"math/rand/v2"
	"net/http"
	"net/url"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/rollcallhq/rollcall/pkg/collector"
	"github.com/rollcallhq/rollcall/pkg/facts"
)

// A sweptReport is a report with what time travel needs of it.
type sweptReport struct {
	reportView
	HostID    string               `json:"host_id"`
	CreatedAt time.Time            `json:"created_at"`
	Since     map[string]time.Time `json:"since"`
}

// canonical writes a value in one way, however it is spelled.
func canonical(t *testing.T, value []byte) string {
	t.Helper()
	if value == nil {
		return "null"
	}
	var v any
	if err := json.Unmarshal(value, &v); err != nil {
		t.Fatalf("reading %s: %v", value, err)
	}
	text, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// reports returns all reports, oldest first.
func (d *driftingFleet) reports(t *testing.T) []sweptReport {
	t.Helper()
	var all []sweptReport
	cursor := ""
	for {
		var page listOf[sweptReport]
		d.get("/api/v1/reports?limit=1000"+cursor, &page)
		all = append(all, page.Items...)
		if page.NextCursor == nil {
			break
		}
		cursor = "&cursor=" + url.QueryEscape(*page.NextCursor)
	}
	slices.SortStableFunc(all, func(a, b sweptReport) int { return a.CreatedAt.Compare(b.CreatedAt) })
	if want := driftingHosts * len(d.swept) * len(builtinTypes()); len(all) != want {
		t.Fatalf("%d reports, want %d", len(all), want)
	}
	return all
}

// builtinTypes returns the names of the report types that everything is collected of, sorted.
func builtinTypes() []string {
	var names []string
	for _, t := range collector.Builtin() {
		names = append(names, t.Name)
	}
	slices.Sort(names)
	return names
}

// first returns when the first report of a host and type was made.
func (d *driftingFleet) first(reports []sweptReport, hostID, reportType string) time.Time {
	i := slices.IndexFunc(reports, func(r sweptReport) bool { return r.HostID == hostID && r.Type == reportType })
	return reports[i].CreatedAt
}

// A line is the reports of one host and type, oldest first.
type line []sweptReport

// travel holds every way of looking back against the reports as they were.
func (d *driftingFleet) travel(t *testing.T, changes []changeView) {
	t.Helper()
	lines := map[string]map[string]line{} // by name and type
	for _, r := range d.reports(t) {
		if lines[r.Host] == nil {
			lines[r.Host] = map[string]line{}
		}
		lines[r.Host][r.Type] = append(lines[r.Host][r.Type], r)
	}
	busiest := d.busiest(changes)
	for _, name := range busiest[:5] {
		d.checkAsOf(t, lines[name])
		d.checkDifferences(t, lines[name])
		d.checkSince(t, lines[name])
		d.checkMetrics(t, lines[name]["memory"])
	}
	d.checkETags(t, lines[busiest[0]]["os"])
	for _, c := range changes[:40] {
		d.checkHistory(t, lines[c.Host][c.Type], c.Path)
	}
	d.checkHistory(t, lines[busiest[0]]["os"], "hostname")
	d.checkHistory(t, lines[busiest[0]]["os"], "never_there")
}

// busiest returns the names of the hosts with most changes first.
func (d *driftingFleet) busiest(changes []changeView) []string {
	count := map[string]int{}
	for _, c := range changes {
		count[c.Host]++
	}
	return slices.SortedFunc(func(yield func(string) bool) {
		for name := range d.ids {
			if !yield(name) {
				return
			}
		}
	}, func(a, b string) int { return count[b] - count[a] })
}

// asOf returns the report of a line that was the newest at that time.
func (l line) asOf(at time.Time) (sweptReport, bool) {
	for _, r := range slices.Backward(l) {
		if !r.CreatedAt.After(at) {
			return r, true
		}
	}
	return sweptReport{}, false
}

// checkAsOf goes back to between all sweeps, and to just at and before reports.
func (d *driftingFleet) checkAsOf(t *testing.T, types map[string]line) {
	t.Helper()
	first := types["os"][0]
	times := slices.Clone(d.swept)
	for _, r := range types["os"] {
		times = append(times, r.CreatedAt, r.CreatedAt.Add(-time.Microsecond))
	}
	for _, at := range times {
		var list listOf[sweptReport]
		query := "?as_of=" + url.QueryEscape(at.UTC().Format(time.RFC3339Nano))
		d.get("/api/v1/hosts/"+first.HostID+"/reports"+query, &list)
		var got, want []string
		for _, r := range list.Items {
			got = append(got, r.Type+" "+r.ID+" "+canonical(t, r.Facts)+r.Status+r.ContentHash)
		}
		for _, name := range builtinTypes() {
			if r, ok := types[name].asOf(at); ok {
				want = append(want, name+" "+r.ID+" "+canonical(t, r.Facts)+r.Status+r.ContentHash)
			}
		}
		slices.Sort(got)
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s as of %s (-the reports of then +as_of):\n%s", first.Host, at, diff)
		}
		one := "/api/v1/hosts/" + first.HostID + "/reports/os" + query
		r, ok := types["os"].asOf(at)
		if !ok {
			var problem struct{ Code string }
			d.do(http.MethodGet, one, nil, http.StatusNotFound, &problem)
			if problem.Code != "no_report_yet" {
				t.Errorf("before the first report: %s, want no_report_yet", problem.Code)
			}
			continue
		}
		var single sweptReport
		d.get(one, &single)
		if single.ID != r.ID || canonical(t, single.Facts) != canonical(t, r.Facts) || single.ContentHash != r.ContentHash {
			t.Errorf("%s os as of %s is report %s, want %s", first.Host, at, single.ID, r.ID)
		}
	}
}

// checkDifferences applies the difference of random pairs to one and expects the other.
func (d *driftingFleet) checkDifferences(t *testing.T, types map[string]line) {
	t.Helper()
	type diff struct {
		Type     string
		From, To struct{ ID string }
		Items    []struct {
			Path, Kind, Unlearned string
			Before, After         json.RawMessage
		}
	}
	for name, l := range types {
		for range 4 {
			from, to := l[rand.IntN(len(l))], l[rand.IntN(len(l))]
			query := "?to=" + to.ID
			if rand.IntN(3) == 0 {
				to, query = l[len(l)-1], ""
			}
			var answer diff
			d.get("/api/v1/reports/"+from.ID+"/diff"+query, &answer)
			var differences []facts.Difference
			for _, item := range answer.Items {
				path, err := facts.ParsePath(item.Path)
				if err != nil {
					t.Fatal(err)
				}
				if item.Kind == "removed" {
					item.After = nil
				}
				differences = append(differences, facts.Difference{Path: path, Before: item.Before, After: item.After})
				if item.Unlearned != "" {
					t.Errorf("%s: %s is %s, but every report could tell", name, item.Path, item.Unlearned)
				}
			}
			applied, err := facts.Apply(from.Facts, differences)
			if err != nil || canonical(t, applied) != canonical(t, to.Facts) || answer.From.ID != from.ID || answer.To.ID != to.ID || answer.Type != name {
				t.Errorf("%s: the difference from %s to %s yields %s, %v, want %s", name, from.ID, to.ID, applied, err, to.Facts)
			}
		}
	}
	problem := "/api/v1/reports/" + types["os"][0].ID + "/diff?to=" + types["cpu"][0].ID
	d.do(http.MethodGet, problem, nil, http.StatusUnprocessableEntity, nil)
}

// checkSince looks back by ourselves how long each fact has been what it is.
func (d *driftingFleet) checkSince(t *testing.T, types map[string]line) {
	t.Helper()
	var list listOf[sweptReport]
	d.get("/api/v1/hosts/"+types["os"][0].HostID+"/reports?since=true", &list)
	for _, r := range list.Items {
		want := map[string]time.Time{}
		for path, value := range facts.Leaves(r.Facts) {
			since := r.CreatedAt
			for _, earlier := range slices.Backward(types[r.Type]) {
				former, there := facts.At(earlier.Facts, path)
				if !there || canonical(t, former) != canonical(t, value) {
					break
				}
				since = earlier.CreatedAt
			}
			want[path.String()] = since
		}
		if diff := cmp.Diff(want, r.Since); diff != "" {
			t.Errorf("%s %s: since when (-looked back +since=true):\n%s", r.Host, r.Type, diff)
		}
	}
}
