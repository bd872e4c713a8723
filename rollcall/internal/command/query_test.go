package command_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"
)

// theFacts answers queries with rows, and says what the newest report holds.
func theFacts(t *testing.T, rows ...string) user {
	t.Helper()
	return serve(t, func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.URL.Query().Get("type") == "weather":
			answer(w, 422, `{"detail":"type: there is no such type of report","code":"unknown_report_type","errors":[{"field":"type","code":"unknown_report_type","message":"there is no such type"}]}`)
		case strings.HasSuffix(r.URL.Path, "/reports/os"):
			answer(w, 200, `{"id":"`+reportA+`","host":"web-1","type":"os","status":"ok","facts":{"kernel":{"release":"6.1","cmdline":null},"a b":1}}`)
		case r.URL.Query().Get("selector") == "broken":
			w.Header().Set("Content-Type", "application/x-ndjson")
			_, _ = w.Write([]byte(rows[0] + "\n"))
			_ = http.NewResponseController(w).Flush()
			panic(http.ErrAbortHandler)
		default:
			w.Header().Set("Content-Type", "application/x-ndjson")
			for _, row := range rows {
				_, _ = w.Write([]byte(row + "\n"))
			}
		}
	})
}

// aHostsFacts returns a row of an answer.
func aHostsFacts(host, values string, confirmed time.Time) string {
	return fmt.Sprintf(`{"host":%q,"host_id":"0199a1b2-0000-7000-8000-00000000000%s","values":%s,"since":"2026-01-01T00:00:00Z","confirmed_at":%q,"report_id":%q}`,
		host, host[len(host)-1:], values, confirmed.Format(time.RFC3339), reportA)
}

var confirmedThen = time.Date(2026, 1, 31, 12, 0, 0, 0, time.UTC)

func TestQueryAsATable(t *testing.T) {
	t.Parallel()
	values := []string{`{"kernel.Release":"6.1.0-13","users.\"a b\"":{"uid": 1000}}`, `{"kernel.Release":"=6\u001b[2J","users.\"a b\"":null}`}
	paths := []string{"kernel.Release", "users.a b"}
	const facts = "HOST   kernel.Release  users.\"a b\"\nweb-1  6.1.0-13        {\"uid\":1000}\nweb-2  =6\uFFFD[2J\n"
	const stale = "HOST   kernel.Release  users.\"a b\"   CONFIRMED\n" +
		"web-1  6.1.0-13        {\"uid\":1000}  2026-01-31 12:00:00Z\n" +
		"web-2  =6\uFFFD[2J                        2026-01-31 12:00:00Z\n"
	for _, test := range []struct {
		name      string
		confirmed time.Time
		more      []string
		want      string
	}{
		{"as they are", time.Now(), nil, facts},
		{"as they are, of hosts that nobody has looked at for long", confirmedThen, nil, stale},
		{"as they were, seen to hold then", confirmedThen, []string{"--as-of", "2026-01-31 12:00Z"}, facts},
		{"as they were, not seen to hold any more", confirmedThen, []string{"--as-of", "2026-01-31 12:01Z"}, stale},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			u := theFacts(t, aHostsFacts("web-1", values[0], test.confirmed), aHostsFacts("web-2", values[1], test.confirmed))
			r := u.run(t.Context(), "", append(append([]string{"query", "os"}, paths...), test.more...)...).must(t, 0)
			if r.stdout != test.want || r.stderr != "" {
				t.Errorf("got\n%s%s\nwant\n%s", r.stdout, r.stderr, test.want)
			}
		})
	}
}

func TestFormsOfAQuery(t *testing.T) {
	t.Parallel()
	u := theFacts(t,
		aHostsFacts("web-1", `{"kernel.Release":"<6>","n":12345678901234567890}`, confirmedThen),
		aHostsFacts("web-2", `{"kernel.Release":"=6","n":null}`, confirmedThen))
	id := "0199a1b2-0000-7000-8000-00000000000"
	for form, want := range map[string]string{
		"csv": "host,host_id,confirmed_at,kernel.Release,n\n" +
			"web-1," + id + "1,2026-01-31T12:00:00Z,<6>,12345678901234567890\nweb-2," + id + "2,2026-01-31T12:00:00Z,'=6,\n",
		"ndjson": `{"host":"web-1","host_id":"` + id + `1","values":{"kernel.Release":"<6>","n":12345678901234567890},"since":"2026-01-01T00:00:00Z","confirmed_at":"2026-01-31T12:00:00Z","report_id":"` + reportA + `"}` + "\n" +
			`{"host":"web-2","host_id":"` + id + `2","values":{"kernel.Release":"=6","n":null},"since":"2026-01-01T00:00:00Z","confirmed_at":"2026-01-31T12:00:00Z","report_id":"` + reportA + `"}` + "\n",
	} {
		if r := u.run(t.Context(), "", "query", "os", "kernel.Release", "n", "-o", form).must(t, 0); r.stdout != want || r.stderr != "" {
			t.Errorf("as %s it is\n%s%s\nwant\n%s", form, r.stdout, r.stderr, want)
		}
	}
	r := u.run(t.Context(), "", "query", "os", "kernel.Release", "n", "-o", "json").must(t, 0, "[\n  {\n    \"host\": \"web-1\",", `"n": null`)
	if !strings.HasSuffix(r.stdout, "\n]\n") {
		t.Errorf("%s is no array", r.stdout)
	}
}

func TestQueryWithoutPaths(t *testing.T) {
	t.Parallel()
	one := aHostsFacts("web-1", `{"":{"kernel":{"release":"6.1","cmdline":null},"a b":[1,2]}}`, confirmedThen)
	u := theFacts(t, one, aHostsFacts("web-2", `{"":{}}`, confirmedThen))
	r := u.run(t.Context(), "", "query", "os").must(t, 0, "with paths each host is one line")
	if want := "HOST   PATH            VALUE\nweb-1  \"a b\"           [1,2]\nweb-1  kernel.release  6.1\n"; r.stdout != want {
		t.Errorf("got\n%s\nwant\n%s", r.stdout, want)
	}
	u.run(t.Context(), "", "query", "os", "-o", "csv").must(t, 0, "host,host_id,confirmed_at,path,value\n", "1,2026-01-31T12:00:00Z,kernel.release,6.1\n")
	u.run(t.Context(), "", "query", "os", "-o", "ndjson").must(t, 0, `"values":{"":{"kernel":{"release":"6.1","cmdline":null},"a b":[1,2]}}`)
	if r := theFacts(t, one).run(t.Context(), "", "query", "os", "-s", "name=web-1").must(t, 0, "kernel.release"); r.stderr != "" {
		t.Errorf("of one host it says %q", r.stderr)
	}
}

func TestAPathThatNoHostHas(t *testing.T) {
	t.Parallel()
	const empty = `{"kernel.relaese":null,"none":null}`
	nothing := theFacts(t, aHostsFacts("web-1", empty, confirmedThen), aHostsFacts("web-2", empty, confirmedThen))
	for form, want := range map[string]string{"table": "", "json": "[]\n", "ndjson": "", "csv": "host,host_id,confirmed_at,kernel.relaese,none\n"} {
		r := nothing.run(t.Context(), "", "query", "os", "kernel.relaese", "none", "-o", form).must(t, 0)
		says := "No host has anything at kernel.relaese; web-1 has \"a b\", kernel.release.\nNo host has anything at none; web-1 has \"a b\", kernel.release.\n" +
			"  rollcall reports show web-1 os lists the paths of a host\n"
		if r.stdout != want || r.stderr != says {
			t.Errorf("as %s it is %q and says\n%s\nwant %q and\n%s", form, r.stdout, r.stderr, want, says)
		}
	}
	some := theFacts(t, aHostsFacts("web-1", empty, confirmedThen), aHostsFacts("web-2", `{"kernel.release":"6.1","none":null}`, confirmedThen))
	r := some.run(t.Context(), "", "query", "os", "kernel.release", "none", "--as-of", "2026-01-31").must(t, 0, "No host has anything at none;")
	if want := "HOST   kernel.release  none\nweb-1\nweb-2  6.1\n"; r.stdout != want || strings.Contains(r.stderr, "at kernel.release") {
		t.Errorf("got\n%s%s\nwant\n%s", r.stdout, r.stderr, want)
	}
}

func TestQueriesAreExplained(t *testing.T) {
	t.Parallel()
	u := theFacts(t, aHostsFacts("web-1", `{"kernel.release":"6.1"}`, confirmedThen))
	for _, test := range []struct {
		name   string
		args   []string
		status int
		says   []string
	}{
		{"a type that does not exist", []string{"weather", "sky"}, 1, []string{"no such type", "--dry-run lists"}},
		{"a path that is none", []string{"os", "kernel..release"}, 2, []string{"kernel..release: path: at character 8", "A path is names joined by dots"}},
		{"a pattern", []string{"os", "packages.*.version"}, 2, []string{"the name of one thing", "A path is names joined by dots"}},
		{"a time that is none", []string{"os", "--as-of", "yesterday"}, 2, []string{"24h, 7d"}},
		{"no type", nil, 2, []string{"rollcall query --help"}},
		{"an answer that breaks off", []string{"os", "kernel.release", "-s", "broken"}, 1, []string{"web-1  6.1", "broke off after 1 hosts"}},
		{"an answer that breaks off, for a program", []string{"os", "kernel.release", "-s", "broken", "-o", "ndjson"}, 1, []string{`"host":"web-1"`, "broke off after 1 hosts"}},
		{"an answer that breaks off before anything was found", []string{"os", "none", "-s", "broken", "-o", "csv"}, 1, []string{"broke off after 1 hosts"}},
		{"the help", []string{"--help"}, 0, []string{"rollcall query os kernel.release -s env=prod --as-of 7d", "--as-of=TIME"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			u.run(t.Context(), "", append([]string{"query"}, test.args...)...).must(t, test.status, test.says...)
		})
	}
	for form, want := range map[string]string{"table": "", "json": "[]\n", "ndjson": "", "csv": "host,host_id,confirmed_at,kernel.release\n"} {
		if r := theFacts(t).run(t.Context(), "", "query", "os", "kernel.release", "-o", form).must(t, 0); r.stdout != want {
			t.Errorf("nothing as %s is %q; want %q", form, r.stdout, want)
		}
	}
}
