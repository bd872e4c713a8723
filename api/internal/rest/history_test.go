package rest_test

import (
	"maps"
	"net/http"
	"net/url"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"github.com/rollcallhq/rollcall/pkg/fleet"
	"github.com/rollcallhq/rollcall/pkg/wire"
)

// checkTagged reads a path with its ETag again, which has to be a strong one.
func (b *bench) checkTagged(t *testing.T, path string) {
	t.Helper()
	tag := b.do(t, call{path: path, as: "viewer"}).header.Get("ETag")
	again := b.do(t, call{path: path, as: "viewer", header: http.Header{"If-None-Match": {tag}}})
	if len(tag) < 3 || tag[0] != '"' || again.status != http.StatusNotModified || again.body != "" {
		t.Errorf("%s with its ETag %s = %d %q, want 304 without a body", path, tag, again.status, again.body)
	}
	if other := b.do(t, call{path: path, as: "viewer", header: http.Header{"If-None-Match": {`"x"`}}}); other.status != http.StatusOK {
		t.Errorf("%s with another ETag = %d, want 200", path, other.status)
	}
}

// checkUnseen reads what is about a host outside of the scope, which has to be as if there were no such host.
func (b *bench) checkUnseen(t *testing.T, paths ...string) {
	t.Helper()
	for _, path := range paths {
		if r := b.do(t, call{path: path, as: "scoped"}); r.status != http.StatusNotFound || r.problem.Code != "not_found" {
			t.Errorf("%s outside of the scope = %d %s, want 404 not_found", path, r.status, r.body)
		}
	}
}

func TestReportsAsOfThen(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	s := b.story(t)
	host := "/api/v1/hosts/" + s.web1 + "/reports"
	for name, tt := range map[string]struct {
		at   time.Time
		want *wire.Report
	}{
		"before the first":            {s.at[0].Add(-time.Millisecond), nil},
		"at the first":                {s.at[0], &s.reports[0]},
		"between the first two":       {s.at[1].Add(-time.Millisecond), &s.reports[0]},
		"at the second":               {s.at[1], &s.reports[1]},
		"after the last":              {s.at[2].Add(time.Hour), &s.reports[2]},
		"in another zone's own words": {s.at[1].In(time.FixedZone("IST", 19800)), &s.reports[1]},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			query := "?as_of=" + url.QueryEscape(tt.at.Format(time.RFC3339Nano))
			one, all := b.do(t, call{path: host + "/os" + query, as: "viewer"}), b.do(t, call{path: host + query, as: "viewer"})
			list := get[wire.List[wire.Report]](t, all, http.StatusOK)
			if tt.want == nil {
				if one.status != http.StatusNotFound || one.problem.Code != "no_report_yet" || len(list.Items) != 0 {
					t.Errorf("answered %d %s and %s, want 404 no_report_yet and no items", one.status, one.body, all.body)
				}
				return
			}
			got := get[wire.Report](t, one, http.StatusOK)
			if got.ID != tt.want.ID || string(got.Facts) != string(tt.want.Facts) || len(list.Items) != 1 || list.Items[0].ID != tt.want.ID {
				t.Errorf("answered %s and %s, want report %s", one.body, all.body, tt.want.ID)
			}
			b.checkTagged(t, host+query)
			b.checkTagged(t, host+"/os"+query)
		})
	}
	b.checkUnseen(t, "/api/v1/hosts/"+s.web2+"/reports", "/api/v1/hosts/"+s.web2+"/reports/os?as_of="+s.at[1].Format(time.RFC3339))
}

func TestSinceWhenFactsHold(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	s := b.story(t)
	path := "/api/v1/hosts/" + s.web1 + "/reports/os?since=true"
	for name, tt := range map[string]struct {
		query string
		want  map[string]time.Time
	}{
		"now":        {"", map[string]time.Time{"kernel.release": s.at[1], `mounts."/srv/a.b".size`: s.at[2], "name": s.at[0]}},
		"as of then": {"&as_of=" + s.at[1].Format(time.RFC3339), map[string]time.Time{"kernel.release": s.at[1], "name": s.at[0]}},
	} {
		got := get[wire.Report](t, b.do(t, call{path: path + tt.query, as: "viewer"}), http.StatusOK)
		if !maps.EqualFunc(tt.want, got.Since, time.Time.Equal) {
			t.Errorf("%s (-want +got)\n%s", name, cmp.Diff(tt.want, got.Since))
		}
		b.checkTagged(t, path+tt.query)
	}
	list := get[wire.List[wire.Report]](t, b.do(t, call{path: "/api/v1/hosts/" + s.web1 + "/reports?since=true", as: "scoped"}), http.StatusOK)
	if len(list.Items) != 1 || len(list.Items[0].Since) != 3 {
		t.Errorf("the list = %+v, want one report with three times", list)
	}
	if without := get[wire.Report](t, b.do(t, call{path: "/api/v1/hosts/" + s.web1 + "/reports/os", as: "viewer"}), http.StatusOK); without.Since != nil {
		t.Errorf("without being asked, the report says since when: %v", without.Since)
	}
	b.learn(t, s.web2, s.at[2], fleet.Finding{Type: "cpu", Facts: []byte(`{}`)})
	empty := b.do(t, call{path: "/api/v1/hosts/" + s.web2 + "/reports/cpu?since=true", as: "viewer"})
	if got := get[wire.Report](t, empty, http.StatusOK); len(got.Since) != 1 || !got.Since[""].Equal(s.at[2]) {
		t.Errorf("a report without facts = %s, want since when there are none", empty.body)
	}
}

func TestTheHistoryOfAFact(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	s := b.story(t)
	host := "/api/v1/hosts/" + s.web1 + "/history?type=os"
	last := s.at[2]
	read := func(query string) wire.List[wire.PathPeriod] {
		return get[wire.List[wire.PathPeriod]](t, b.do(t, call{path: host + query, as: "viewer"}), http.StatusOK)
	}
	newer := wire.PathPeriod{Value: []byte(`"6.2"`), Present: true, From: s.at[1], ConfirmedAt: last, ReportID: s.reports[1].ID}
	older := wire.PathPeriod{Value: []byte(`"6.1"`), Present: true, From: s.at[0], To: &s.at[1], ConfirmedAt: s.at[0], ReportID: s.reports[0].ID}
	for name, tt := range map[string]struct {
		query string
		want  []wire.PathPeriod
	}{
		"all of it":  {"&path=kernel.release", []wire.PathPeriod{newer, older}},
		"since then": {"&path=kernel.release&since=" + s.at[2].Format(time.RFC3339), []wire.PathPeriod{newer}},
		"until then": {"&path=kernel.release&until=" + s.at[1].Format(time.RFC3339), []wire.PathPeriod{older}},
		"a name in quotes, which was not always there": {"&path=" + url.QueryEscape(`mounts."/srv/a.b".size`), []wire.PathPeriod{
			{Value: []byte(`5`), Present: true, From: s.at[2], ConfirmedAt: last, ReportID: s.reports[2].ID},
			{Value: []byte(`null`), From: s.at[0], To: &s.at[2], ConfirmedAt: s.at[1], ReportID: s.reports[0].ID},
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if diff := cmp.Diff(tt.want, read(tt.query).Items); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
			b.checkTagged(t, host+tt.query)
		})
	}
	page := read("&path=kernel.release&limit=1")
	if page.NextCursor == nil {
		t.Fatal("the first page has no next_cursor")
	}
	if diff := cmp.Diff(wire.List[wire.PathPeriod]{Items: []wire.PathPeriod{older}}, read("&path=kernel.release&limit=1&cursor="+*page.NextCursor)); diff != "" {
		t.Errorf("the last page (-want +got)\n%s", diff)
	}
	b.checkUnseen(t, "/api/v1/hosts/"+s.web2+"/history?type=os&path=name")
}

func TestDiff(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	s := b.story(t)
	kernel := wire.Difference{Path: "kernel.release", Kind: "changed", Before: []byte(`"6.1"`), After: []byte(`"6.2"`)}
	mounts := wire.Difference{Path: "mounts", Kind: "added", Before: []byte(`null`), After: []byte(`{"/srv/a.b":{"size":5}}`)}
	back := wire.Difference{Path: "mounts", Kind: "removed", Before: mounts.After, After: []byte(`null`)}
	path := func(from wire.Report, to string) string { return "/api/v1/reports/" + from.ID.String() + "/diff" + to }
	for name, tt := range map[string]struct {
		path     string
		from, to wire.Report
		want     []wire.Difference
	}{
		"to the newest of the host":    {path(s.reports[0], ""), s.reports[0], s.reports[2], []wire.Difference{kernel, mounts}},
		"to the next one":              {path(s.reports[0], "?to="+s.reports[1].ID.String()), s.reports[0], s.reports[1], []wire.Difference{kernel}},
		"back in time":                 {path(s.reports[2], "?to="+s.reports[1].ID.String()), s.reports[2], s.reports[1], []wire.Difference{back}},
		"to one of another host":       {path(s.others[1], "?to="+s.reports[2].ID.String()), s.others[1], s.reports[2], []wire.Difference{mounts}},
		"of a report with that itself": {path(s.reports[2], ""), s.reports[2], s.reports[2], []wire.Difference{}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			want := wire.Diff{Type: "os", From: refOf(tt.from), To: refOf(tt.to), Items: tt.want}
			got := get[wire.Diff](t, b.do(t, call{path: tt.path, as: "viewer"}), http.StatusOK)
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
			b.checkTagged(t, tt.path)
		})
	}
	b.checkUnseen(t, path(s.others[0], ""), path(s.others[0], "?to="+s.reports[0].ID.String()))
	if r := b.do(t, call{path: path(s.reports[0], "?to="+s.others[0].ID.String()), as: "scoped"}); r.status != http.StatusUnprocessableEntity || r.problem.Errors[0].Field != "to" {
		t.Errorf("to a report outside of the scope = %d %s, want 422 about to, as if there were none", r.status, r.body)
	}
}

func refOf(r wire.Report) wire.ReportRef {
	return wire.ReportRef{ID: r.ID, HostID: r.HostID, Host: r.Host, CreatedAt: r.CreatedAt, SchemaVersion: r.SchemaVersion, Status: r.Status}
}

// TestADiffSaysWhatWasNotLearned compares with a report that could not tell something, and with one by another schema.
func TestADiffSaysWhatWasNotLearned(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	host := b.host(t, `{"name":"web-1","address":"192.0.2.1"}`)
	at := time.Now().UTC().Truncate(time.Millisecond)
	whole := b.learn(t, host, at, fleet.Finding{Type: "os", Facts: []byte(`{"name":"Debian","swap":{"size":1}}`)})
	partial := b.learn(t, host, at.Add(time.Millisecond), fleet.Finding{
		Type: "os", Status: fleet.ReportPartial, Facts: []byte(`{"name":"Ubuntu","swap":null}`), Unavailable: map[string]string{"swap": "permission_denied"},
	})
	d := get[wire.Diff](t, b.do(t, call{path: "/api/v1/reports/" + whole.ID.String() + "/diff?to=" + partial.ID.String(), as: "viewer"}), http.StatusOK)
	want := wire.Diff{Type: "os", From: refOf(whole), To: refOf(partial), Items: []wire.Difference{
		{Path: "name", Kind: "changed", Before: []byte(`"Debian"`), After: []byte(`"Ubuntu"`)},
		{Path: "swap", Kind: "changed", Before: []byte(`{"size":1}`), After: []byte(`null`), Unlearned: "unavailable"},
	}}
	if diff := cmp.Diff(want, d); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	if d.To.ID == uuid.Nil || d.To.Status != "partial" {
		t.Errorf("to = %+v, want the partial report", d.To)
	}
}
