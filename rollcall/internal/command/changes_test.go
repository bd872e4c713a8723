package command_test

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
)

const aHost = `{"id":"0199a1b2-0000-7000-8000-00000000aaaa","name":"web-1"}`

// aChange returns a change as the API shows it.
func aChange(n int, host, kind, before, after string) string {
	return fmt.Sprintf(`{"id":"0199a1b2-0000-7000-8000-%012d","host":%q,"host_id":"0199a1b2-0000-7000-8000-00000000aaaa","type":"packages","path":"packages.\"dpkg:x%d\".version",`+
		`"kind":%q,"before":%s,"after":%s,"seen_at":"2026-03-01T12:00:%02dZ","before_since":null,"before_report_id":null,"after_report_id":"0199a1b2-0000-7000-8000-00000000cccc"}`,
		n, host, n, kind, before, after, n%60)
}

// theChanges serves changes, newest first when they are asked for like that, and keeps what it was asked.
func theChanges(t *testing.T, changes ...string) (user, func() string) {
	t.Helper()
	var mu sync.Mutex
	asked := ""
	u := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/api/v1/hosts" {
			answer(w, 200, `{"items":[`+aHost+`],"next_cursor":null}`)
			return
		}
		mu.Lock()
		asked += r.URL.RequestURI() + "\n"
		mu.Unlock()
		q := r.URL.Query()
		switch {
		case q.Get("order") == "newest":
			newest := slices.Clone(changes)
			slices.Reverse(newest)
			answer(w, 200, `{"items":[`+strings.Join(newest, ",")+`],"next_cursor":null}`)
		case q.Get("cursor") == "":
			answer(w, 200, `{"items":[`+strings.Join(changes, ",")+`],"next_cursor":"end","position":"end"}`)
		default:
			answer(w, 200, `{"items":[],"next_cursor":null,"position":"end"}`)
		}
	})
	return u, func() string {
		mu.Lock()
		defer mu.Unlock()
		return asked
	}
}

func TestChangesReadLikeALog(t *testing.T) {
	t.Parallel()
	u, _ := theChanges(t,
		aChange(1, "web-1", "changed", `"3.0.11"`, `"3.0.13"`),
		aChange(2, "database-1", "added", "null", `{"uid":1001}`),
		aChange(3, "web-\u202e", "removed", `"a\u001b[2J"`, "null"))
	r := u.run(t.Context(), "", "changes").must(t, 0)
	want := `2026-03-01 12:00:01Z  web-1       packages  packages."dpkg:x1".version  3.0.11 → 3.0.13` + "\n" +
		`2026-03-01 12:00:02Z  database-1  packages  packages."dpkg:x2".version  added {"uid":1001}` + "\n" +
		`2026-03-01 12:00:03Z  web-` + "\uFFFD" + `       packages  packages."dpkg:x3".version  removed "a\u001b[2J"` + "\n"
	if r.stdout != want {
		t.Errorf("got\n%s\nwant\n%s", r.stdout, want)
	}
	r = u.run(t.Context(), "", "changes", "-n", "2").must(t, 0, "These are the newest 2; -n 0 shows all.")
	if want := want[strings.Index(want, "\n")+1:]; strings.ReplaceAll(r.stdout, " ", "") != strings.ReplaceAll(want, " ", "") {
		t.Errorf("got the last two as\n%s\nwant\n%s", r.stdout, want)
	}
}

func TestFormsOfChanges(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", 300)
	u, _ := theChanges(t, aChange(1, "web-1", "changed", `null`, `"`+long+`"`), aChange(2, "web-1", "added", "null", `"=1"`))
	for form, want := range map[string][]string{
		"csv": {
			"seen_at,host,type,path,kind,before,after,before_since,before_report_id,after_report_id,host_id,id\n",
			`2026-03-01T12:00:01Z,web-1,packages,"packages.""dpkg:x1"".version",changed,null,` + long + ",,,", ",added,,'=1,,,0199a1b2",
		},
		"json":   {`"kind": "added"`, `"before": null`, long},
		"ndjson": {`{"id":"0199a1b2-0000-7000-8000-000000000001","host":"web-1"`, long},
		"table":  {"null → " + long, `added =1`},
	} {
		u.run(t.Context(), "", "changes", "-o", form).must(t, 0, want...)
		u.run(t.Context(), "", "changes", "--since", "24h", "-o", form).must(t, 0, want...)
	}
}

func TestChangesAskForWhatIsWanted(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name string
		args []string
		asks []string
	}{
		{"the last ones", nil, []string{"/api/v1/changes?limit=51&order=newest\n"}},
		{"the last few of a host", []string{"web-1", "-n", "3"}, []string{"host_id=0199a1b2-0000-7000-8000-00000000aaaa&limit=4&order=newest"}},
		{"since some time: all of the feed from there", []string{"--since", "2026-01-31"}, []string{"changes?limit=1000&since=2026-01-31T00%3A00%3A00Z\n", "cursor=end&limit=1000&since="}},
		{"since some time, at most so many: the last ones", []string{"--since", "2026-01-31", "-n", "5"}, []string{"limit=6&order=newest&since=2026-01-31T00"}},
		{"all there ever were", []string{"-n", "0"}, []string{"changes?limit=1000\n"}},
		{"picked ones", []string{"-s", "env=prod", "-t", "os", "-p", "a.*", "--until", "2026-01-31"}, []string{"path=a.%2A&selector=env%3Dprod&type=os&until=2026-01-31T00"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			u, asked := theChanges(t, aChange(1, "web-1", "added", "null", "1"))
			u.run(t.Context(), "", append([]string{"changes"}, test.args...)...).must(t, 0, "added 1")
			for _, text := range test.asks {
				if !strings.Contains(asked(), text) {
					t.Errorf("asked %s\nwant %s", asked(), text)
				}
			}
		})
	}
}

func TestChangesThatMakeNoSense(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		args []string
		says string
	}{
		{[]string{"web-1", "-s", "env=prod"}, "not both"},
		{[]string{"--follow", "--group"}, "--group"},
		{[]string{"--follow", "--until", "1h"}, "--until"},
		{[]string{"-n", "-1"}, "expected"},
		{[]string{"--limit=-1"}, "from 0 on"},
		{[]string{"--since", "yesterday"}, "24h, 7d"},
		{[]string{"--since", "1h", "--until", "2h"}, "nothing lies between"},
	} {
		newUser(t).run(t.Context(), "", append([]string{"changes"}, test.args...)...).must(t, 2, test.says)
	}
}

func TestNoChanges(t *testing.T) {
	t.Parallel()
	u, _ := theChanges(t)
	for _, args := range [][]string{nil, {"--since", "1h"}} {
		if r := u.run(t.Context(), "", append([]string{"changes"}, args...)...).must(t, 0, "There are none."); r.stdout != "" {
			t.Errorf("printed %q", r.stdout)
		}
	}
	u.run(t.Context(), "", "changes", "-p", "nonesuch").must(t, 0, "rollcall reports show HOST TYPE lists")
}

func TestWhatHostsHaveInCommon(t *testing.T) {
	t.Parallel()
	group := func(path string, hosts int, sample, seen string) string {
		return fmt.Sprintf(`{"type":"packages","path":%q,"kind":"changed","before":"3.0.11","after":"3.0.13","hosts":%d,"sample":%s,"first_seen_at":"2026-03-01T12:00:00Z","last_seen_at":%q}`, path, hosts, sample, seen)
	}
	five := `[{"name":"a"},{"name":"b"},{"name":"c"},{"name":"d"},{"name":"e"}]`
	u := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Query().Get("group") != "true" {
			t.Errorf("asked %s", r.URL)
		}
		answer(w, 200, `{"items":[`+group("new", 312, five, "2026-03-02T12:00:00Z")+","+group("old", 1, `[{"name":"a"}]`, "2026-03-01T12:00:00Z")+`],"next_cursor":null}`)
	})
	r := u.run(t.Context(), "", "changes", "--group").must(t, 0)
	want := "2026-03-01 12:00:00Z  packages  old  3.0.11 → 3.0.13  on 1 host (a)\n" +
		"2026-03-02 12:00:00Z  packages  new  3.0.11 → 3.0.13  on 312 hosts (a, b, c, d, e, …)\n"
	if r.stdout != want {
		t.Errorf("got\n%s\nwant\n%s", r.stdout, want)
	}
	u.run(t.Context(), "", "changes", "-g", "-o", "csv").must(t, 0, `packages,new,changed,3.0.11,3.0.13,312,"a,b,c,d,e",2026-03-01T12:00:00Z,2026-03-02T12:00:00Z`)
	u.run(t.Context(), "", "changes", "-g", "-n", "1", "-o", "ndjson").must(t, 0, `"hosts":312`, "newest 1")
}
