package ui

import (
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/rollcallhq/rollcall/pkg/facts"
	"github.com/rollcallhq/rollcall/pkg/fleet"
	"github.com/rollcallhq/rollcall/pkg/store"
)

const (
	chartsPerPage  = 12
	chartSteps     = 48  // of a chart among others
	chartStepAlone = 240 // of one that has the page for itself
	maxPatterns    = 40  // to choose from
	maxMetrics     = 5_000
)

// A metricsView is the metrics of a report type as a page shows them.
type metricsView struct {
	Range   string
	Ranges  []choice
	Choices []choice // of what to draw, where there is too much for a page
	Charts  []chart
	More    []choice  // charts beyond those of the page
	Others  []factRow // metrics that are no numbers, as the newest report has them
	Problem string    // why the pattern cannot be read
	Pattern string
}

// A choice is a link among others.
type choice struct {
	Text, Link string
	Current    bool
}

// ranges are the lengths of time that charts span.
func ranges() []string { return []string{"24h", "7d", "30d"} }

func lengthOf(name string) time.Duration {
	switch name {
	case "7d":
		return 7 * 24 * time.Hour
	case "30d":
		return 30 * 24 * time.Hour
	}
	return 24 * time.Hour
}

// metrics reads the series of the host's metrics of the type of the report, up to until.
func (s *Server) metrics(r *http.Request, report fleet.Report, until time.Time) (metricsView, error) {
	q := r.URL.Query()
	v := metricsView{Range: q.Get("range"), Pattern: q.Get("metric")}
	if !slices.Contains(ranges(), v.Range) {
		v.Range = ranges()[0]
	}
	numbers := v.sort(report)
	if len(numbers) == 0 && v.Pattern == "" {
		return v, nil
	}
	patterns := generalised(numbers)
	if v.Pattern == "" && len(numbers) > chartsPerPage {
		v.Pattern = worthwhile(patterns)
	}
	here := func(changes ...string) string { return link(r.URL.Path, q, changes...) + "#metrics" }
	for _, name := range ranges() {
		v.Ranges = append(v.Ranges, choice{name, here("range", name), name == v.Range})
	}
	if len(numbers) > chartsPerPage || v.Pattern != "" {
		for _, p := range patterns {
			v.Choices = append(v.Choices, choice{p, here("metric", p), p == v.Pattern})
		}
	}
	pattern, err := facts.ParsePattern(v.Pattern)
	if err != nil {
		v.Problem = fleet.MessageOf(err)
		return v, nil
	}
	return v, s.charts(r, report, pattern, until, &v, here)
}

// charts reads and draws the series that the pattern covers.
func (s *Server) charts(r *http.Request, report fleet.Report, pattern facts.Pattern, until time.Time, v *metricsView, here func(...string) string) error {
	length := lengthOf(v.Range)
	steps := chartSteps
	// The rate of a counter needs steps that are longer than the time between two reports.
	if path, err := facts.ParsePath(v.Pattern); err == nil && len(path) > 0 && !isCounter(path) {
		steps = chartStepAlone
	}
	step := length / time.Duration(steps)
	until = until.Truncate(step).Add(step)
	since := until.Add(-length)
	series, err := s.Store.MetricSeries(r.Context(), s.Actor(r.Context()).Scope(), report.HostID,
		store.MetricQuery{Type: report.Type, Path: pattern, Since: since, Until: until, Step: step})
	if err != nil {
		return err
	}
	for i, one := range series {
		if i >= chartsPerPage {
			if len(one.Path) <= maxPattern {
				v.More = append(v.More, choice{Text: cutName(one.Path), Link: here("metric", one.Path)})
			}
			continue
		}
		path, err := facts.ParsePath(one.Path)
		if err != nil || len(path) == 0 {
			continue
		}
		u := unitOf(report.Type, path)
		if u == epoch { // a course of times tells nothing
			continue
		}
		in := small()
		if one.Path == v.Pattern {
			in = large()
		}
		c := draw(one, u, isCounter(path), in, since, until, step)
		c.Name = cutName(c.Name)
		if one.Path != v.Pattern && len(one.Path) <= maxPattern {
			c.Link = here("metric", one.Path)
		}
		v.Charts = append(v.Charts, c)
	}
	return nil
}

// sort tells the metrics of the report that are numbers from those that are not, which the page shows as they are.
func (v *metricsView) sort(report fleet.Report) (numbers []facts.Path) {
	if len(report.Metrics) == 0 {
		return nil
	}
	leaves := 0
	for path, raw := range facts.Leaves(report.Metrics) {
		if leaves++; leaves > maxMetrics {
			break
		}
		switch kind := kindOfJSON(raw); {
		case (kind == '-' || kind >= '0' && kind <= '9') && unitOf(report.Type, path) != epoch:
			numbers = append(numbers, slices.Clone(path))
		case kind == 'n' || (kind == '{' || kind == '[') && isEmpty(raw):
		case len(v.Others) < rowsPerTable/2:
			v.Others = append(v.Others, factRow{Name: cutName(strings.Join(path, ".")), Path: cutName(path.String()), Value: showValue(raw, unitOf(report.Type, path))})
		}
	}
	return numbers
}

// generalised returns patterns that stand for the paths, with * for the keys of lists: names that occur beside others
// below which there is the same.
func generalised(paths []facts.Path) []string {
	type place struct{ before, after string }
	siblings := map[place]map[string]bool{}
	each := func(p facts.Path, f func(i int, at place)) {
		for i := 1; i < len(p)-1; i++ {
			f(i, place{p[:i].String(), p[i+1:].String()})
		}
	}
	for _, p := range paths {
		each(p, func(i int, at place) {
			if siblings[at] == nil {
				siblings[at] = map[string]bool{}
			}
			siblings[at][p[i]] = true
		})
	}
	found := map[string]bool{}
	for _, p := range paths {
		text := p.String()
		each(p, func(_ int, at place) {
			if len(siblings[at]) > 1 {
				text = at.before + ".*." + at.after
			}
		})
		if len(text) <= maxPattern {
			found[text] = true
		}
	}
	patterns := slices.SortedFunc(maps.Keys(found), natural)
	return patterns[:min(len(patterns), maxPatterns)]
}

// worthwhile returns the pattern of lists that one looks at first; empty if there is none.
func worthwhile(patterns []string) string {
	for _, ending := range []string{".used", "_bytes", ""} {
		for _, p := range patterns {
			if strings.Contains(p, "*") && strings.HasSuffix(p, ending) {
				return p
			}
		}
	}
	return ""
}

// link returns the address with changed parameters, given as names and values; an empty value removes one.
func link(path string, q url.Values, changes ...string) string {
	q = maps.Clone(q)
	if q == nil {
		q = url.Values{}
	}
	for i := 0; i+1 < len(changes); i += 2 {
		if changes[i+1] == "" {
			q.Del(changes[i])
			continue
		}
		q.Set(changes[i], changes[i+1])
	}
	if len(q) == 0 {
		return path
	}
	return path + "?" + q.Encode()
}

// Percent returns the share as a whole number.
func (u usage) Percent() string { return strconv.Itoa(int(100 * u.Share)) }
