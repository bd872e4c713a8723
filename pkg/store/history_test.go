package store_test

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/rollcallhq/rollcall/pkg/facts"
	"github.com/rollcallhq/rollcall/pkg/fleet"
	"github.com/rollcallhq/rollcall/pkg/store"
	"github.com/rollcallhq/rollcall/pkg/storetest"
)

// A story is what a host's reports of a type said, at each minute.
type story struct {
	host  uuid.UUID
	start time.Time
	facts []string
}

// aStory lets a host live through that many reports whose facts change now and then, here and there.
func aStory(t *testing.T, s *store.Store, dice *rand.Rand, reports int) story {
	t.Helper()
	st := story{host: addHost(t, s, "web-1").ID, start: time.Now().Truncate(time.Millisecond).Add(-time.Duration(reports) * time.Minute)}
	values := map[string]any{"a": 1, "b": map[string]any{}, "c": "x"}
	for i := range reports {
		elements, _ := values["b"].(map[string]any)
		key := fmt.Sprintf("k.%d", dice.IntN(3))
		switch dice.IntN(6) {
		case 0:
			values["a"] = dice.IntN(3)
		case 1:
			elements[key] = map[string]any{"v": dice.IntN(2), "w": 0}
		case 2:
			delete(elements, key)
		case 3:
			if element, ok := elements[key].(map[string]any); ok {
				element["v"] = dice.IntN(2)
			}
		}
		text, err := json.Marshal(values)
		if err != nil {
			t.Fatal(err)
		}
		st.facts = append(st.facts, string(text))
		learn(t, s, st.at(i), finding("os", string(text), fmt.Sprintf(`{"n":%d,"deep":{"x":%d},"text":"1"}`, i, -i)))
	}
	return st
}

func (s story) at(i int) time.Time { return s.start.Add(time.Duration(i) * time.Minute) }

// value returns what a path was at the report, as package facts finds it; "" if there was nothing.
func (s story) value(i int, path facts.Path) string {
	v, _ := facts.At([]byte(s.facts[i]), path)
	return string(v)
}

func equalJSON(t *testing.T, a, b []byte) bool {
	t.Helper()
	c, err := facts.Compare(a, b, facts.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return len(c.Changes) == 0
}

func TestAsOfAnyTimeIsTheReportOfThatTime(t *testing.T) {
	t.Parallel()
	s := storetest.New(t)
	dice := rand.New(rand.NewPCG(1, 1))
	st := aStory(t, s, dice, 60)
	for range 100 {
		at := st.start.Add(time.Duration(dice.Int64N(int64(61*time.Minute))) - 30*time.Second)
		i := int(at.Sub(st.start) / time.Minute)
		reports, err := s.ReportsAsOf(t.Context(), fleet.Everything(), st.host, "os", at)
		if at.Before(st.start) {
			if err != nil || len(reports) != 0 {
				t.Fatalf("before the first report there are %v, %v", reports, err)
			}
			continue
		}
		if err != nil || len(reports) != 1 {
			t.Fatalf("as of report %d: %v, %v", i, reports, err)
		}
		r := reports[0]
		if !r.CreatedAt.Equal(st.at(min(i, len(st.facts)-1))) || !equalJSON(t, r.Facts, []byte(st.facts[min(i, len(st.facts)-1)])) {
			t.Errorf("as of %v into report %d: the one of %v with %s", at.Sub(st.at(i)), i, r.CreatedAt.Sub(st.start), r.Facts)
		}
		if r.ConfirmedAt == nil || r.ConfirmedAt.Before(r.CreatedAt) {
			t.Errorf("as of report %d: confirmed at %v", i, r.ConfirmedAt)
		}
	}
	all, err := s.ReportsAsOf(t.Context(), fleet.Everything(), st.host, "", st.at(3))
	if err != nil || len(all) != 1 {
		t.Errorf("of all types: %d reports, %v", len(all), err)
	}
}

func TestSinceWhenFactsHold(t *testing.T) {
	t.Parallel()
	s := storetest.New(t)
	dice := rand.New(rand.NewPCG(2, 1))
	st := aStory(t, s, dice, 50)
	for range 20 {
		i := dice.IntN(len(st.facts))
		sinces, err := s.FactSinces(t.Context(), fleet.Everything(), st.host, "os", st.at(i).Add(time.Second))
		if err != nil {
			t.Fatal(err)
		}
		for path, value := range facts.Leaves([]byte(st.facts[i])) {
			first := i
			for first > 0 && st.value(first-1, path) == string(value) {
				first--
			}
			if got := sinces.Of(path); !got.Equal(st.at(first)) {
				t.Errorf("as of report %d, %s = %s holds since report %v, want %d", i, path, value, got.Sub(st.start).Minutes(), first)
			}
		}
	}
}

func TestTheHistoryOfAPath(t *testing.T) {
	t.Parallel()
	s := storetest.New(t)
	dice := rand.New(rand.NewPCG(3, 1))
	st := aStory(t, s, dice, 60)
	for _, path := range []facts.Path{{"a"}, {"b", "k.1", "v"}, {"b", "k.2"}, {"b"}, {"c"}, {"none"}, nil} {
		for range 10 {
			from, until := time.Time{}, time.Time{}
			if dice.IntN(2) == 0 {
				from = st.start.Add(time.Duration(dice.IntN(60*60)) * time.Second)
			}
			if dice.IntN(2) == 0 {
				until = st.start.Add(time.Duration(dice.IntN(60*60)) * time.Second)
			}
			want := st.history(path, from, until)
			var got []string
			for page := (fleet.Page{Limit: 1 + dice.IntN(5)}); ; {
				periods, next, err := s.PathHistory(t.Context(), fleet.Everything(), st.host, "os", path, from, until, page)
				if err != nil {
					t.Fatal(err)
				}
				for _, p := range periods {
					got = append(got, st.describe(p))
				}
				if next == "" {
					break
				}
				page.After = next
			}
			if !slices.Equal(got, want) {
				t.Errorf("%q from %v until %v:\n%q, want\n%q", path, from, until, got, want)
			}
		}
	}
}

func (s story) describe(p fleet.PathPeriod) string {
	end := "now"
	if p.To != nil {
		end = fmt.Sprint(p.To.Sub(s.start).Minutes())
	}
	return fmt.Sprintf("%v-%s %v", p.From.Sub(s.start).Minutes(), end, p.Value != nil)
}

// history returns what PathHistory should, newest first.
func (s story) history(path facts.Path, since, until time.Time) []string {
	var out []string
	for i := len(s.facts) - 1; i >= 0; {
		first := i
		for first > 0 && s.value(first-1, path) == s.value(i, path) {
			first--
		}
		p := fleet.PathPeriod{From: s.at(first)}
		if i < len(s.facts)-1 {
			p.To = new(s.at(i + 1))
		}
		if v := s.value(i, path); v != "" {
			p.Value = []byte(v)
		}
		if (until.IsZero() || p.From.Before(until)) && (since.IsZero() || p.To == nil || p.To.After(since)) {
			out = append(out, s.describe(p))
		}
		i = first - 1
	}
	return out
}

func TestFactsOverTheFleet(t *testing.T) {
	t.Parallel()
	s := storetest.New(t)
	for i := range 5 {
		addHost(t, s, fmt.Sprintf("web-%d", i), labelled(map[string]string{"n": strconv.Itoa(i % 2)}))
	}
	start := time.Now().Truncate(time.Millisecond).Add(-time.Hour)
	for i := range 3 {
		learn(t, s, start.Add(time.Duration(i)*time.Minute), finding("os", fmt.Sprintf(`{"v":%d,"k":{"a.b":"x"}}`, i), ""), finding("cpu", `{"n":1}`, ""))
	}
	ask := func(q store.FactQuery) []string {
		var got []string
		for row, err := range s.QueryFacts(t.Context(), fleet.Everything(), q) {
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, fmt.Sprintf("%s %s %v", row.Host, row.Values, row.Since.Sub(start).Minutes()))
		}
		return got
	}
	paths := []facts.Path{{"v"}, {"k", "a.b"}, {"none"}}
	for name, tt := range map[string]struct {
		q    store.FactQuery
		want []string
	}{
		"now, of some":        {store.FactQuery{Type: "os", Select: paths, Selector: selector(t, "n=1")}, []string{`web-1 [2 "x" ] 2`, `web-3 [2 "x" ] 2`}},
		"as of then":          {store.FactQuery{Type: "os", Select: paths[:1], At: start.Add(90 * time.Second), Selector: selector(t, "name=web-4")}, []string{"web-4 [1] 1"}},
		"before there is one": {store.FactQuery{Type: "os", Select: paths, At: start.Add(-time.Second)}, nil},
		"the whole":           {store.FactQuery{Type: "cpu", Select: []facts.Path{nil}, Selector: selector(t, "name=web-0")}, []string{`web-0 [{"n": 1}] 0`}},
		"nothing of it":       {store.FactQuery{Type: "cpu", Selector: selector(t, "name=web-0")}, []string{`web-0 [] 0`}},
	} {
		if got := ask(tt.q); !slices.Equal(got, tt.want) {
			t.Errorf("%s: %q, want %q", name, got, tt.want)
		}
	}
	for row, err := range s.QueryFacts(t.Context(), fleet.Everything(), store.FactQuery{Type: "os"}) {
		if err != nil || row.Host != "web-0" {
			t.Errorf("first comes %s, %v", row.Host, err)
		}
		break // and the connection is free again
	}
	if n, err := s.CountHosts(t.Context(), fleet.Everything(), fleet.HostFilter{}); err != nil || n != 5 {
		t.Errorf("after an answer that was not read to its end: %d hosts, %v", n, err)
	}
}

func TestTheCourseOfMetrics(t *testing.T) {
	t.Parallel()
	s := storetest.New(t)
	dice := rand.New(rand.NewPCG(4, 1))
	st := aStory(t, s, dice, 30)
	step := 5 * time.Minute
	series := func(path string, since, until time.Time) []fleet.MetricSeries {
		got, err := s.MetricSeries(t.Context(), fleet.Everything(), st.host, store.MetricQuery{
			Type: "os", Path: pattern(t, path), Since: since, Until: until, Step: step,
		})
		if err != nil {
			t.Fatal(err)
		}
		return got
	}
	all := series("", st.start, st.at(30))
	if names := namesOf(all, func(m fleet.MetricSeries) string { return m.Path }); !slices.Equal(names, []string{"deep.x", "n"}) {
		t.Fatalf("the numbers are %q", names)
	}
	for since := range 10 {
		until := since + 20
		got := series("n", st.at(since), st.at(until))
		var want []fleet.MetricPoint
		for i := since; i < until; i++ {
			bin, v := st.at(i).Truncate(step), float64(i)
			if n := len(want) - 1; n < 0 || !want[n].At.Equal(bin) {
				want = append(want, fleet.MetricPoint{At: bin, Min: v, Max: v, Avg: v, Last: v, Count: 1})
				continue
			}
			p := &want[len(want)-1]
			p.Avg = (p.Avg*float64(p.Count) + v) / float64(p.Count+1)
			p.Count, p.Max, p.Last = p.Count+1, v, v
		}
		if len(got) != 1 || !slices.EqualFunc(got[0].Points, want, samePoint) {
			t.Errorf("from %d on: %v, want %v", since, got, want)
		}
	}
	if got := series("none", st.start, st.at(30)); len(got) != 0 {
		t.Errorf("of no such path: %v", got)
	}
	if got := series("n", st.start.Add(-time.Hour), st.start); len(got) != 0 {
		t.Errorf("before the first report: %v", got)
	}
}

func samePoint(a, b fleet.MetricPoint) bool {
	const tiny = 1e-9
	return a.At.Equal(b.At) && a.Min == b.Min && a.Max == b.Max && a.Last == b.Last && a.Count == b.Count && a.Avg-b.Avg < tiny && b.Avg-a.Avg < tiny
}
