package rest_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
)

// badHistories are the bad inputs of what tells of the past.
func badHistories() []badInput {
	read := func(path string) call { return call{method: http.MethodGet, path: path, as: "viewer"} }
	changes := func(query string) call { return read("/api/v1/changes?" + query) }
	history := func(query string) call { return read("/api/v1/hosts/HOST/history?" + query) }
	metrics := func(query string) call { return read("/api/v1/hosts/HOST/metrics?" + query) }
	const backwards = "since=2026-02-01T00:00:00Z&until=2026-01-01T00:00:00Z"
	return []badInput{
		{"changes since something that is no time", changes("since=yesterday"), 422, "invalid", "since"},
		{"changes until before since", changes(backwards), 422, "invalid", "until"},
		{"changes of an unknown type", changes("type=weather"), 422, "unknown_report_type", "type"},
		{"changes at a path that cannot be read", changes("path=a..b"), 422, "invalid", "path"},
		{"changes at a path of more than 512 bytes", changes("path=" + strings.Repeat("x", 513)), 422, "invalid", "path"},
		{"changes by a selector that cannot be read", changes("selector=env%3D%3D"), 422, "invalid_selector", "selector"},
		{"changes of a host whose ID is no UUID", changes("host_id=nonsense"), 422, "invalid", "host_id"},
		{"changes in an unknown order", changes("order=random"), 422, "invalid", "order"},
		{"changes with half a switch", changes("group=perhaps"), 422, "invalid", "group"},
		{"groups of changes from the oldest on", changes("group=true&order=oldest"), 422, "invalid", "order"},
		{"a limit of 1,001 changes", changes("limit=1001"), 422, "invalid", "limit"},
		{"a cursor that the feed has not answered with", changes("cursor=nonsense"), 422, "invalid", "cursor"},
		{"a cursor of 2,000 characters", changes("cursor=" + strings.Repeat("x", 2000)), 422, "invalid", "cursor"},
		{"a cursor of the feed for the newest changes", changes("order=newest&cursor=POSITION"), 422, "invalid", "cursor"},
		{"a cursor of the feed for groups of changes", changes("group=true&cursor=POSITION"), 422, "invalid", "cursor"},
		{"a cursor from before the database was restored", changes("cursor=OUTDATED"), 409, "cursor_outdated", ""},
		{"a stream from such a cursor", read(feedEvents + "?cursor=OUTDATED"), 409, "cursor_outdated", ""},
		{"a stream from a cursor that is none", read(feedEvents + "?cursor=nonsense"), 422, "invalid", "cursor"},
		{"a stream with a limit", read(feedEvents + "?limit=10"), 422, "unknown_parameter", "limit"},
		{"a stream after an event that was none", call{path: feedEvents, as: "viewer", header: http.Header{"Last-Event-Id": {"nonsense"}}}, 422, "invalid", "Last-Event-ID"},

		{"a difference from an unknown report", read("/api/v1/reports/UNKNOWN/diff"), 404, "not_found", ""},
		{"a difference to an unknown report", read("/api/v1/reports/REPORT/diff?to=UNKNOWN"), 422, "invalid", "to"},
		{"a difference to what is no UUID", read("/api/v1/reports/REPORT/diff?to=nonsense"), 422, "invalid", "to"},
		{"a difference of reports of two types", read("/api/v1/reports/REPORT/diff?to=OTHER"), 422, "invalid", "to"},

		{"the history of no type", history("path=name"), 422, "required", "type"},
		{"the history of no path", history("type=os"), 422, "required", "path"},
		{"the history of an unknown type", history("type=weather&path=name"), 422, "unknown_report_type", "type"},
		{"the history of many paths", history("type=os&path=kernel.*"), 422, "invalid", "path"},
		{"the history of a path that cannot be read", history("type=os&path=" + url.QueryEscape(`a."b`)), 422, "invalid", "path"},
		{"a history until before since", history("type=os&path=name&" + backwards), 422, "invalid", "until"},
		{"a cursor that no history has answered with", history("type=os&path=name&cursor=nonsense"), 422, "invalid", "cursor"},
		{"the history of an unknown host", read("/api/v1/hosts/UNKNOWN/history?type=os&path=name"), 404, "not_found", ""},

		{"a query of no type", read("/api/v1/query"), 422, "required", "type"},
		{"a query of an unknown type", read("/api/v1/query?type=weather"), 422, "unknown_report_type", "type"},
		{"a query for a path that cannot be read", read("/api/v1/query?type=os&select=kernel,a..b"), 422, "invalid", "select"},
		{"a query for 51 paths", read("/api/v1/query?type=os&select=a" + strings.Repeat(",a", 50)), 422, "invalid", "select"},
		{"a query with a condition", read("/api/v1/query?type=os&where=x"), 422, "not_supported_yet", "where"},
		{"a query by a selector that cannot be read", read("/api/v1/query?type=os&selector=env%3D%3D"), 422, "invalid_selector", "selector"},
		{"a query in an unknown format", read("/api/v1/query?type=os&format=xml"), 422, "invalid", "format"},
		{"a query as of what is no time", read("/api/v1/query?type=os&as_of=yesterday"), 422, "invalid", "as_of"},

		{"metrics of no type", metrics("path=load"), 422, "required", "type"},
		{"metrics of no path", metrics("type=os"), 422, "required", "path"},
		{"metrics of an unknown type", metrics("type=weather&path=load"), 422, "unknown_report_type", "type"},
		{"metrics at a path that cannot be read", metrics("type=os&path=."), 422, "invalid", "path"},
		{"metrics until something that is no time", metrics("type=os&path=load&until=yesterday"), 422, "invalid", "until"},
		{"metrics until before since", metrics("type=os&path=load&" + backwards), 422, "invalid", "since"},
		{"metrics of eleven years", metrics("type=os&path=load&since=2015-01-01T00:00:00Z&until=2026-01-01T00:00:00Z"), 422, "invalid", "since"},
		{"a step that is no time", metrics("type=os&path=load&step=nonsense"), 422, "invalid", "step"},
		{"a step of no length", metrics("type=os&path=load&step=0"), 422, "invalid", "step"},
		{"metrics in more than 2,000 steps", metrics("type=os&path=load&step=10s"), 422, "invalid", "step"},
		{"metrics of an unknown host", read("/api/v1/hosts/UNKNOWN/metrics?type=os&path=load"), 404, "not_found", ""},
	}
}

// TestAProblemSaysWhere reads what is said of a text that cannot be read: at which character, and what was expected.
func TestAProblemSaysWhere(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	for query, where := range map[string]string{
		"path=kernel..x":           "at character 8: expected a name",
		"selector=env%3Dprod+and+": "position 14",
	} {
		r := b.do(t, call{path: "/api/v1/changes?" + query, as: "viewer"})
		if r.status != http.StatusUnprocessableEntity || len(r.problem.Errors) != 1 || !strings.Contains(r.problem.Errors[0].Message, where) {
			t.Errorf("%s = %d %s, want it to say %q", query, r.status, r.body, where)
		}
	}
}
