package rest_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/rollcallhq/rollcall/pkg/wire"
)

func TestFactsOverTheFleet(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	s := b.story(t)
	const paths = `kernel.release,mounts."/srv/a.b".size,none`
	query := func(as, more string) result {
		return b.do(t, call{path: "/api/v1/query?type=os&select=" + url.QueryEscape(paths) + more, as: as})
	}
	told := func(as, more string) []string {
		lines := []string{}
		for _, row := range get[wire.List[wire.QueryRow]](t, query(as, more), http.StatusOK).Items {
			lines = append(lines, fmt.Sprintf("%s %s %s %s", row.Host, row.Values["kernel.release"], row.Values[`mounts."/srv/a.b".size`], row.Values["none"]))
		}
		return lines
	}
	for name, tt := range map[string]struct {
		as, more string
		want     []string
	}{
		"now":              {"viewer", "", []string{`web-1 "6.2" 5 null`, `web-2 "6.2" null null`}},
		"as of then":       {"viewer", "&as_of=" + s.at[0].Add(time.Second).UTC().Format(time.RFC3339Nano), []string{`web-1 "6.1" null null`, `web-2 "6.1" null null`}},
		"before all":       {"viewer", "&as_of=2001-01-01T00:00:00Z", []string{}},
		"of a selector":    {"viewer", "&selector=name%3Dweb-2", []string{`web-2 "6.2" null null`}},
		"of no such host":  {"viewer", "&selector=name%3Dnone", []string{}},
		"within a scope":   {"scoped", "", []string{`web-1 "6.2" 5 null`}},
		"outside of scope": {"scoped", "&selector=name%3Dweb-2", []string{}},
	} {
		if diff := cmp.Diff(tt.want, told(tt.as, tt.more)); diff != "" {
			t.Errorf("%s (-want +got)\n%s", name, diff)
		}
	}
}

func TestFormatsOfAQuery(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	s := b.story(t)
	get := func(query string, header http.Header) string {
		t.Helper()
		r := b.do(t, call{path: "/api/v1/query?type=os&" + query, as: "viewer", header: header})
		if r.status != http.StatusOK {
			t.Fatalf("%s: status %d: %s", query, r.status, r.body)
		}
		return r.header.Get("Content-Type") + "\n" + r.body
	}
	confirmed := s.reports[2].CreatedAt.UTC().Format(time.RFC3339)
	wantCSV := "text/csv; charset=utf-8\nhost,host_id,confirmed_at,kernel.release,mounts\n" +
		fmt.Sprintf("web-1,%s,%s,6.2,%q\n", s.web1, confirmed, "X")
	wantCSV = strings.Replace(wantCSV, `"X"`, `"{""/srv/a.b"": {""size"": 5}}"`, 1)
	const one = "select=kernel.release,mounts&selector=name%3Dweb-1"
	for _, got := range []string{get(one+"&format=csv", nil), get(one, http.Header{"Accept": {"text/csv"}})} {
		if diff := cmp.Diff(wantCSV, got); diff != "" {
			t.Errorf("CSV (-want +got)\n%s", diff)
		}
	}
	for _, got := range []string{get("select=kernel.release&format=ndjson", nil), get("select=kernel.release", http.Header{"Accept": {"application/x-ndjson, */*;q=0.1"}})} {
		lines := strings.Split(strings.TrimSpace(got), "\n")
		var row wire.QueryRow
		if len(lines) != 3 || lines[0] != "application/x-ndjson" || json.Unmarshal([]byte(lines[2]), &row) != nil || row.Host != "web-2" {
			t.Errorf("NDJSON: %q", got)
		}
	}
	for query, want := range map[string]string{
		"selector=name%3Dnone&format=json":                 "application/json\n{\"items\":[]}\n",
		"selector=name%3Dnone&format=ndjson":               "application/x-ndjson\n",
		"selector=name%3Dnone&format=csv&select=a,%22b%22": "text/csv; charset=utf-8\nhost,host_id,confirmed_at,a,b\n",
	} {
		if got := get(query, nil); got != want {
			t.Errorf("%s: %q, want %q", query, got, want)
		}
	}
	if whole := get("selector=name%3Dweb-2", nil); !strings.Contains(whole, `"values":{"":{"`) {
		t.Errorf("without paths: %s", whole)
	}
}
