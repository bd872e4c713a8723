package simulate_test

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/rollcallhq/rollcall/pkg/collector"
	"github.com/rollcallhq/rollcall/pkg/facts"
	"github.com/rollcallhq/rollcall/pkg/simulate"
)

// A seen is a change that the comparison of two reports finds.
type seen struct{ Type, Path, Before, After string }

// changes compares the reports of two runs.
func changes(t *testing.T, before, after []collector.Report) []seen {
	t.Helper()
	var list []seen
	for i, report := range after {
		c, err := facts.Compare(before[i].Facts, report.Facts, facts.Options{})
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range c.Changes {
			list = append(list, seen{report.Type, d.Path.String(), string(d.Before), string(d.After)})
		}
	}
	sortSeen(list)
	return list
}

func sortSeen(list []seen) {
	slices.SortFunc(list, func(a, b seen) int { return strings.Compare(a.Type+" "+a.Path, b.Type+" "+b.Path) })
}

// planted returns what the fleet planted on the host at an execution.
func planted(list []simulate.Planted, execution int64) []seen {
	var found []seen
	for _, p := range list {
		if p.Execution == execution {
			found = append(found, seen{p.Type, p.Path, string(p.Before), string(p.After)})
		}
	}
	sortSeen(found)
	return found
}

func TestDriftIsExactlyWhatWasPlanted(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name       string
		options    simulate.Options
		executions int64
		least      int // planted on each host
	}{
		// Sixteen facts of up to three values each, and the first value again: four rounds of sixteen.
		{"every fact through all its values and back", simulate.Options{Hosts: 5, Seed: 3, Drift: 1, DriftFacts: 4}, 17, 64},
		{"one fact at a time", simulate.Options{Hosts: 5, Seed: 4, Drift: 1}, 8, 7},
		{"now and then", simulate.Options{Hosts: 5, Seed: 5, Drift: 0.25}, 13, 3},
		{"all facts at once", simulate.Options{Hosts: 3, Seed: 6, Drift: 0.5, DriftFacts: 16}, 5, 32},
		{"never", simulate.Options{Hosts: 3, Seed: 7}, 4, 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			f := start(t, tt.options)
			for _, h := range f.Hosts() {
				_, before := collect(t, f, h)
				for execution := int64(2); execution <= tt.executions; execution++ {
					_, after := collect(t, f, h)
					if diff := cmp.Diff(planted(f.Planted(h.Name), execution), changes(t, before, after)); diff != "" {
						t.Errorf("%s at execution %d (-planted +seen):\n%s", h.Name, execution, diff)
					}
					before = after
				}
			}
			for _, h := range f.Hosts() {
				all := f.Planted(h.Name)
				if len(all) < tt.least || int64(len(all)) != h.Drifts || tt.options.Drift == 0 && len(all) > 0 {
					t.Errorf("%s: %d planted and %d drifts, want the same and at least %d", h.Name, len(all), h.Drifts, tt.least)
				}
				for _, p := range all {
					checkPlanted(t, p)
				}
			}
		})
	}
}

// checkPlanted holds what is planted against what is promised of it.
func checkPlanted(t *testing.T, p simulate.Planted) {
	t.Helper()
	if path, err := facts.ParsePath(p.Path); err != nil || path.String() != p.Path {
		t.Errorf("the path %s is %q, %v in canonical form", p.Path, path, err)
	}
	for _, value := range []json.RawMessage{p.Before, p.After} {
		if value != nil && (!json.Valid(value) || string(value) == "null") {
			t.Errorf("%s: the value %s is no JSON, or nothing", p.Path, value)
		}
	}
	if string(p.Before) == string(p.After) {
		t.Errorf("%s does not change: %s", p.Path, p.After)
	}
}

func TestTheFirstExecutionAndARestartKnowNoDrift(t *testing.T) {
	t.Parallel()
	options := simulate.Options{Hosts: 3, Seed: 42}
	still := start(t, options)
	options.Drift, options.DriftFacts = 1, 2
	drifting, again := start(t, options), start(t, options)
	for i, h := range drifting.Hosts() {
		_, usual := collect(t, still, still.Hosts()[i])
		_, first := collect(t, drifting, h)
		if diff := cmp.Diff([]seen(nil), changes(t, usual, first)); diff != "" {
			t.Errorf("%s: the first execution differs from a host without drift:\n%s", h.Name, diff)
		}
		_, restarted := collect(t, again, again.Hosts()[i])
		for range 3 {
			if diff := cmp.Diff([]seen(nil), changes(t, first, restarted)); diff != "" {
				t.Errorf("%s tells another story after a restart:\n%s", h.Name, diff)
			}
			_, first = collect(t, drifting, h)
			_, restarted = collect(t, again, again.Hosts()[i])
		}
		if diff := cmp.Diff(drifting.Planted(h.Name), again.Planted(h.Name)); diff != "" {
			t.Errorf("%s: planted differs after a restart:\n%s", h.Name, diff)
		}
	}
}

func TestOnlyHostsOfTheFleetHavePlants(t *testing.T) {
	t.Parallel()
	f := start(t, simulate.Options{Hosts: 2, Drift: 1})
	h := f.Hosts()[1]
	collect(t, f, h)
	collect(t, f, h)
	for name, want := range map[string]int{h.Name: 1, "sim-0001": 0, "sim-0003": 0, "sim-0000": 0, "sim-2": 0, "sim--1": 0, "web-0002": 0, "": 0} {
		if got := f.Planted(name); len(got) != want {
			t.Errorf("Planted(%q) = %+v, want %d", name, got, want)
		}
	}
}
