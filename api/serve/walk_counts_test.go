package serve

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/rollcallhq/rollcall/pkg/fleet"
)

// counts holds that lists, totals and streams count what the scope sees and nothing else.
func (w *walk) counts(t *testing.T) {
	t.Helper()
	items := func(body string) int {
		var list struct{ Items []json.RawMessage }
		if json.Unmarshal([]byte(body), &list) != nil {
			return -1
		}
		return len(list.Items)
	}
	total := func(body string) int {
		var c struct{ Counts struct{ Total int } }
		if json.Unmarshal([]byte(body), &c) != nil {
			return -1
		}
		return c.Counts.Total
	}
	lines := func(body string) int { return strings.Count(body, "\n") }
	events := func(body string) int { return strings.Count(body, "\ndata: ") }
	tests := []struct {
		path               string
		count              func(string) int
		all, amber, quartz int
	}{
		{"/api/v1/hosts", items, 5, 2, 3},
		{"/api/v1/hosts?status=failing", items, 2, 1, 1},
		{"/api/v1/sites", items, 2, 1, 1},
		{"/api/v1/credentials", items, 2, 1, 1},
		{"/api/v1/collections", items, 9, 6, 5},
		{"/api/v1/collections/$both", total, 5, 2, 3},
		{"/api/v1/collections/$both_open", total, 5, 2, 3},
		{"/api/v1/collections/$both/tasks", items, 5, 2, 3},
		{"/api/v1/reports", items, 9, 3, 6},
		{"/api/v1/query?type=os", items, 3, 1, 2},
		{"/api/v1/query?type=os&format=ndjson", lines, 3, 1, 2},
		{"/api/v1/query?type=os&format=csv", lines, 4, 2, 3},
		{"/api/v1/changes", items, 6, 2, 4},
		{"/api/v1/changes/events?since=2020-01-01T00:00:00Z", events, 6, 2, 4},
		{"/api/v1/freshness", items, 5, 2, 3},
		{"/api/v1/freshness/events?since=2020-01-01T00:00:00Z", events, 5, 2, 3},
		{"/api/v1/schedules", items, 3, 2, 2},
	}
	for _, test := range tests {
		for v, want := range map[view]int{everywhere: test.all, inside: test.amber, outside: test.quartz} {
			a := walker{role: fleet.Viewer, view: v, proof: byToken, user: w.users[fleet.Viewer][v]}
			r := w.ask(t, a, http.MethodGet, w.fill(t, test.path, a, true), "", "")
			if got := test.count(r.body); r.status != http.StatusOK || got != want {
				t.Errorf("%s as %s = %d with %d, want %d: %.2000s", test.path, a, r.status, got, want, r.body)
			}
		}
	}
}

// reads holds that no filter and no format tells of what the scope does not see.
func (w *walk) reads(t *testing.T) {
	t.Helper()
	for _, path := range furtherReads() {
		for _, a := range w.walkers(byToken) {
			filled := w.fill(t, path, a, true)
			w.looks(t, a, "GET "+filled, w.ask(t, a, http.MethodGet, filled, "", ""))
		}
	}
}
