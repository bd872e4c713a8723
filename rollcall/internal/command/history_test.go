package command_test

import (
	"net/http"
	"strings"
	"testing"
)

const (
	reportA = "0199a1b2-0000-7000-8000-0000000000aa"
	reportB = "0199a1b2-0000-7000-8000-0000000000bb"
)

// theReports serves two hosts, their reports, and what the test has to say on other paths.
func theReports(t *testing.T, others map[string]string) user {
	t.Helper()
	return serve(t, func(w http.ResponseWriter, r *http.Request) {
		path := strings.TrimPrefix(r.URL.Path, "/api/v1")
		q := r.URL.Query()
		switch {
		case path == "/hosts" && strings.Contains(q.Get("selector"), "web-"):
			_, name, _ := strings.Cut(q.Get("selector"), "web-")
			name = "web-" + name[:1]
			answer(w, 200, `{"items":[{"id":"0199a1b2-0000-7000-8000-00000000000`+name[4:]+`","name":"`+name+`"}],"next_cursor":null}`)
		case path == "/hosts":
			answer(w, 200, `{"items":[],"next_cursor":null}`)
		case strings.Contains(path, "/reports/weather"), strings.Contains(path, "/reports/web-2"):
			answer(w, 422, `{"detail":"there is no such type of report; /collectors lists them","code":"unknown_report_type","errors":[{"field":"type","code":"unknown_report_type","message":"there is no such type"}]}`)
		case q.Get("as_of") != "" && q.Get("as_of") < "2026-01-01":
			answer(w, 404, `{"detail":"the host has no report of this type yet","code":"no_report_yet"}`)
		case strings.HasSuffix(path, "/reports/os"):
			id, since := reportB, ""
			if q.Get("as_of") != "" {
				id = reportA
			}
			if q.Get("since") == "true" {
				since = `,"since":{"kernel.release":"2026-01-02T03:04:05Z"}`
			}
			answer(w, 200, `{"id":"`+id+`","host":"web-1","type":"os","status":"ok","facts":{"kernel":{"release":"6.1.0-13","cmdline":null}},"metrics":{"uptime_seconds":12},"unavailable":{"bios":"no_permission"}`+since+`}`)
		default:
			body, ok := others[r.URL.RequestURI()]
			if !ok {
				body, ok = others[r.URL.Path]
			}
			if !ok {
				t.Errorf("asked %s", r.URL.RequestURI())
			}
			answer(w, 200, body)
		}
	})
}

const aDiff = `{"type":"os",
	"from":{"id":"` + reportA + `","host_id":"0199a1b2-0000-7000-8000-000000000001","host":"web-1","created_at":"2026-03-01T12:00:00Z","schema_version":1,"status":"ok"},
	"to":{"id":"` + reportB + `","host_id":"0199a1b2-0000-7000-8000-000000000001","host":"web-1","created_at":"2026-03-02T12:00:00Z","schema_version":2,"status":"ok"},
	"items":[
		{"path":"bios","kind":"removed","before":{"vendor":"x"},"after":null,"unlearned":"unavailable"},
		{"path":"id","kind":"changed","before":1,"after":"1","unlearned":"schema"},
		{"path":"kernel.release","kind":"changed","before":"6.1.0-13","after":"6.1.0-14"}]}`

func TestDiff(t *testing.T) {
	t.Parallel()
	head, _, _ := strings.Cut(aDiff, `"items"`)
	none := strings.ReplaceAll(head, reportA, reportB) + `"items":[]}`
	u := theReports(t, map[string]string{
		"/api/v1/reports/" + reportA + "/diff?to=" + reportB: aDiff,
		"/api/v1/reports/" + reportA + "/diff?to=" + reportA: none,
		"/api/v1/reports/" + reportB + "/diff?to=" + reportB: none,
		"/api/v1/reports/" + reportA + "/diff":               aDiff,
	})
	table := []string{
		"os  from web-1 of 2026-03-01 12:00:00Z (" + reportA + ") to web-1 of 2026-03-02 12:00:00Z (" + reportB + ")\n\n",
		`bios            removed {"vendor":"x"}  one of the reports could not tell` + "\n",
		`id              1 → "1"                 it has another meaning in the other schema version` + "\n",
		"kernel.release  6.1.0-13 → 6.1.0-14\n",
	}
	same := []string{"no differences: it is one and the same report"}
	for _, test := range []struct {
		name string
		args []string
		says []string
	}{
		{"two reports", []string{reportA, reportB}, table},
		{"a report and the newest", []string{reportA}, table},
		{"a host as it was a day ago and as it is", []string{"web-1", "os"}, table},
		{"a host as it was at two times", []string{"web-1", "os", "--from", "7d", "--to", "1d"}, same},
		{"two hosts", []string{"web-1", "web-2", "--type", "os"}, same},
		{"two hosts, one as it was", []string{"web-1", "web-2", "-t", "os", "--from", "24h"}, table},
		{"as JSON", []string{reportA, "-o", "json"}, []string{`"unlearned": "schema"`, `"schema_version": 2`}},
		{"as NDJSON", []string{reportA, "-o", "ndjson"}, []string{`{"path":"kernel.release","kind":"changed","before":"6.1.0-13","after":"6.1.0-14"}` + "\n"}},
		{"as CSV", []string{reportA, "-o", "csv"}, []string{"path,kind,before,after,unlearned\n", `bios,removed,"{""vendor"":""x""}",,unavailable` + "\n", "kernel.release,changed,6.1.0-13,6.1.0-14,\n"}},
		{"none as JSON", []string{reportB, reportB, "-o", "json"}, []string{`"items": []`}},
		{"none as CSV", []string{reportB, reportB, "-o", "csv"}, []string{"path,kind,before,after,unlearned\n"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			u.run(t.Context(), "", append([]string{"diff"}, test.args...)...).must(t, 0, test.says...)
		})
	}
}

func TestHistoryIsExplained(t *testing.T) {
	t.Parallel()
	const host = "/api/v1/hosts/0199a1b2-0000-7000-8000-000000000001"
	u := theReports(t, map[string]string{
		host + "/history": `{"items":[],"next_cursor":null}`,
		host + "/metrics": `{"type":"os","path":"x","since":"2026-03-01T12:00:00Z","until":"2026-03-02T12:00:00Z","step_seconds":60,"series":[]}`,
	})
	for _, test := range []struct {
		name   string
		args   []string
		status int
		says   []string
	}{
		{"a difference of one thing", []string{"diff", "web-1"}, 2, []string{"a host and a type such as os"}},
		{"a time of reports that are picked by their IDs", []string{"diff", reportA, reportB, "--from", "1h"}, 2, []string{"by their IDs"}},
		{"a difference of two hosts in nothing", []string{"diff", "web-1", "web-2"}, 1, []string{"no such type", "compare two hosts, say which reports with --type"}},
		{"a difference from before the first report", []string{"diff", "web-1", "os", "--from", "2025-06-01"}, 1, []string{"web-1 had no report of type os yet at 2025-06-01 00:00:00Z", "rollcall reports ls web-1 -t os"}},
		{"a difference of a host that does not exist", []string{"diff", "db", "os"}, 1, []string{"rollcall hosts ls"}},
		{"a report from before the first", []string{"reports", "show", "web-1", "os", "--as-of", "2025-06-01"}, 1, []string{"had no report of type os yet at 2025-06-01"}},
		{"a type that does not exist", []string{"reports", "show", "web-1", "weather"}, 1, []string{"no such type", "--dry-run lists"}},
		{"a time of a report that is picked by its ID", []string{"reports", "show", reportA, "--as-of", "1h"}, 2, []string{"about a host"}},
		{"the history of what is not there", []string{"reports", "history", "web-1", "os", "os.release"}, 1, []string{"there is no fact at os.release in the reports of type os of web-1; there is kernel.release", "rollcall reports show web-1 os lists the paths"}},
		{"the history of what is there and was not then", []string{"reports", "history", "web-1", "os", "kernel.release", "--until", "2025-01-01"}, 0, []string{"There are none."}},
		{"a metric that is not there", []string{"reports", "metrics", "web-1", "os", "uptime"}, 1, []string{"there is no metric at uptime", "there is uptime_seconds"}},
		{"a metric that is there and was not then", []string{"reports", "metrics", "web-1", "os", "*"}, 0, []string{"There are none from 2026-03-01 12:00:00Z to 2026-03-02 12:00:00Z."}},
		{"a step that is none", []string{"reports", "metrics", "web-1", "os", "*", "--step", "1.5s"}, 2, []string{"300, 5m, 1h or 1d"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			u.run(t.Context(), "", test.args...).must(t, test.status, test.says...)
		})
	}
}

func TestReportsShowSinceWhen(t *testing.T) {
	t.Parallel()
	u := theReports(t, nil)
	r := u.run(t.Context(), "", "reports", "show", "web-1", "os", "--since", "-o", "csv").must(t, 0)
	want := "part,path,value,since\nfacts,kernel.release,6.1.0-13,2026-01-02T03:04:05Z\nmetrics,uptime_seconds,12,\nunavailable,bios,no_permission,\n"
	if r.stdout != want {
		t.Errorf("got %q, want %q", r.stdout, want)
	}
	u.run(t.Context(), "", "reports", "show", "web-1", "os", "--since").must(t, 0, "SINCE", "2026-01-02 03:04Z")
	u.run(t.Context(), "", "reports", "show", "web-1", "os", "--since", "-o", "json").must(t, 0, `"kernel.release": "2026-01-02T03:04:05Z"`)
	u.run(t.Context(), "", "reports", "show", "web-1", "os", "--as-of", "24h").must(t, 0, reportA)
	if r := u.run(t.Context(), "", "reports", "show", "web-1", "os").must(t, 0, reportB); strings.Contains(r.stdout, "SINCE") {
		t.Errorf("it says since when without being asked to: %s", r.stdout)
	}
}

func TestReportsHistory(t *testing.T) {
	t.Parallel()
	period := func(value, present, from, to string) string {
		return `{"value":` + value + `,"present":` + present + `,"from":"` + from + `","to":` + to + `,"confirmed_at":"2026-03-09T12:00:00Z","report_id":"` + reportA + `"}`
	}
	u := theReports(t, map[string]string{
		"/api/v1/hosts/0199a1b2-0000-7000-8000-000000000001/history": `{"items":[` +
			period("null", "false", "2026-03-03T12:00:00Z", "null") + "," + period("null", "true", "2026-03-02T12:00:00Z", `"2026-03-03T12:00:00Z"`) + "," +
			period(`"6.1"`, "true", "2026-03-01T12:00:00Z", `"2026-03-02T12:00:00Z"`) + `],"next_cursor":null}`,
	})
	history := []string{"reports", "history", "web-1", "os", "kernel.release"}
	r := u.run(t.Context(), "", history...).must(t, 0)
	want := "VALUE      FROM                  TO                    CONFIRMED\n" +
		"(nothing)  2026-03-03 12:00:00Z  now                   2026-03-09 12:00:00Z\n" +
		"null       2026-03-02 12:00:00Z  2026-03-03 12:00:00Z  2026-03-09 12:00:00Z\n" +
		"\"6.1\"      2026-03-01 12:00:00Z  2026-03-02 12:00:00Z  2026-03-09 12:00:00Z\n"
	if r.stdout != want {
		t.Errorf("got\n%s\nwant\n%s", r.stdout, want)
	}
	u.run(t.Context(), "", append(history, "-o", "csv")...).must(t, 0, "present,value,from,to,confirmed_at,report_id\n", "false,,2026-03-03T12:00:00Z,,2026", "true,null,", "true,6.1,")
	u.run(t.Context(), "", append(history, "-o", "ndjson")...).must(t, 0, `{"value":null,"present":false,`)
}

func TestReportsMetrics(t *testing.T) {
	t.Parallel()
	u := theReports(t, map[string]string{
		"/api/v1/hosts/0199a1b2-0000-7000-8000-000000000001/metrics": `{"type":"memory","path":"*","since":"2026-03-01T12:00:00Z","until":"2026-03-02T12:00:00Z","step_seconds":3600,"series":[
			{"path":"available","points":[{"at":"2026-03-01T12:00:00Z","min":24401502208,"max":24401502209,"avg":24401502208.5,"last":24401502209,"count":2},{"at":"2026-03-01T13:00:00Z","min":1,"max":2.5,"avg":1.66666,"last":2.5,"count":3}]},
			{"path":"free","points":[{"at":"2026-03-01T12:00:00Z","min":0,"max":0,"avg":0,"last":0,"count":1}]}]}`,
	})
	metrics := []string{"reports", "metrics", "web-1", "memory", "*"}
	r := u.run(t.Context(), "", metrics...).must(t, 0)
	want := "available\n" +
		"TIME               MIN          AVG          MAX          REPORTS\n" +
		"2026-03-01 12:00Z  24401502208  24401502208  24401502209  2\n" +
		"2026-03-01 13:00Z  1            1.667        2.5          3\n" +
		"\nfree\n" +
		"TIME               MIN  AVG  MAX  REPORTS\n" +
		"2026-03-01 12:00Z  0    0    0    1\n"
	if r.stdout != want {
		t.Errorf("got\n%s\nwant\n%s", r.stdout, want)
	}
	u.run(t.Context(), "", append(metrics, "-o", "csv")...).must(t, 0, "path,at,min,avg,max,last,count\n", "available,2026-03-01T12:00:00Z,24401502208,24401502208.5,24401502209,24401502209,2\n")
	u.run(t.Context(), "", append(metrics, "-o", "ndjson")...).must(t, 0, `{"path":"free","at":"2026-03-01T12:00:00Z","min":0,"max":0,"avg":0,"last":0,"count":1}`+"\n")
	u.run(t.Context(), "", append(metrics, "-o", "json")...).must(t, 0, `"step_seconds": 3600`)
}
