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
	"github.com/google/uuid"

	"github.com/rollcallhq/rollcall/pkg/await"
	"github.com/rollcallhq/rollcall/pkg/fleet"
	"github.com/rollcallhq/rollcall/pkg/wire"
)

// told returns a change in a line.
func told(c wire.Change) string {
	return fmt.Sprintf("%s %s %s %s %s→%s", c.Host, c.Type, c.Path, c.Kind, c.Before, c.After)
}

func toldAll(changes []wire.Change) []string {
	lines := []string{}
	for _, c := range changes {
		lines = append(lines, told(c))
	}
	return lines
}

const (
	kernel1 = `web-1 os kernel.release changed "6.1"→"6.2"`
	kernel2 = `web-2 os kernel.release changed "6.1"→"6.2"`
	mounts1 = `web-1 os mounts added null→{"/srv/a.b":{"size":5}}`
)

func TestTheFeedOfChanges(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	s := b.story(t)
	b.settled(t, 3)
	first := b.changes(t, "limit=2", "viewer")
	if diff := cmp.Diff([]string{kernel1, kernel2}, toldAll(first.Items)); diff != "" {
		t.Errorf("the first page (-want +got)\n%s", diff)
	}
	want := first.Items[0]
	want.HostID, want.SeenAt, want.BeforeSince = uuid.MustParse(s.web1), s.at[1], &s.at[0]
	want.BeforeReportID, want.AfterReportID = &s.reports[0].ID, s.reports[1].ID
	if diff := cmp.Diff(want, first.Items[0]); diff != "" {
		t.Errorf("the first change (-want +got)\n%s", diff)
	}
	if first.NextCursor == nil || *first.NextCursor != first.Position {
		t.Errorf("next_cursor = %v, position = %q, want both alike", first.NextCursor, first.Position)
	}
	last := b.changes(t, "cursor="+first.Position, "viewer")
	if diff := cmp.Diff([]string{mounts1}, toldAll(last.Items)); diff != "" || last.NextCursor == nil {
		t.Errorf("the last page, next_cursor %v (-want +got)\n%s", last.NextCursor, diff)
	}
	empty := b.changes(t, "cursor="+*last.NextCursor, "viewer")
	end := b.changes(t, "cursor=now", "viewer")
	if len(empty.Items) != 0 || empty.NextCursor != nil || empty.Position == "" || len(end.Items) != 0 || end.NextCursor != nil || end.Position == "" {
		t.Errorf("at the end = %+v, from now = %+v, want no items and a position", empty, end)
	}
	b.learn(t, s.web2, s.at[2], fleet.Finding{Type: "os", Facts: []byte(`{"name":"Debian"}`)})
	for name, position := range map[string]string{"the end": empty.Position, "now": end.Position} {
		var later wire.ChangeList
		await.Until(t, "a change after "+name, func() bool {
			later = b.changes(t, "cursor="+position, "viewer")
			return len(later.Items) > 0
		})
		if diff := cmp.Diff([]string{`web-2 os kernel removed {"release":"6.2"}→null`}, toldAll(later.Items)); diff != "" {
			t.Errorf("after %s (-want +got)\n%s", name, diff)
		}
	}
	if diff := cmp.Diff([]string{kernel1, mounts1}, toldAll(b.changes(t, "", "scoped").Items)); diff != "" {
		t.Errorf("what a scoped actor sees (-want +got)\n%s", diff)
	}
}

func TestWhichChanges(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	s := b.story(t)
	b.settled(t, 3)
	at := func(i int) string { return url.QueryEscape(s.at[i].Format(time.RFC3339Nano)) }
	for name, tt := range map[string]struct {
		query string
		want  []string
	}{
		"a host":                       {"host_id=" + s.web2, []string{kernel2}},
		"a host that there is not":     {"host_id=" + fleet.NewID().String(), []string{}},
		"a selector":                   {"selector=" + url.QueryEscape(`name~"*-1"`), []string{kernel1, mounts1}},
		"a type":                       {"type=os", []string{kernel1, kernel2, mounts1}},
		"another type":                 {"type=cpu", []string{}},
		"a path":                       {"path=kernel.release", []string{kernel1, kernel2}},
		"what lies below a path":       {"path=kernel", []string{kernel1, kernel2}},
		"a pattern":                    {"path=" + url.QueryEscape("*.rel*"), []string{kernel1, kernel2}},
		"a name that only begins so":   {"path=kern", []string{}},
		"a time that is inclusive":     {"since=" + at(2), []string{mounts1}},
		"a time that is exclusive":     {"until=" + at(2), []string{kernel1, kernel2}},
		"a period of no length":        {"since=" + at(1) + "&until=" + at(1), []string{}},
		"all of them together":         {"type=os&path=kernel&selector=env%3Dtest&since=" + at(1) + "&until=" + at(2) + "&host_id=" + s.web1, []string{kernel1}},
		"the newest of a host":         {"order=newest&host_id=" + s.web1, []string{mounts1, kernel1}},
		"the order that goes unspoken": {"order=oldest", []string{kernel1, kernel2, mounts1}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if diff := cmp.Diff(tt.want, toldAll(b.changes(t, tt.query, "viewer").Items)); diff != "" {
				t.Errorf("%s (-want +got)\n%s", tt.query, diff)
			}
		})
	}
}

func TestTheLastChanges(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.story(t)
	first := b.do(t, call{path: "/api/v1/changes?order=newest&limit=2", as: "viewer"})
	page := get[wire.ChangeList](t, first, http.StatusOK)
	if diff := cmp.Diff([]string{mounts1, kernel2}, toldAll(page.Items)); diff != "" || page.NextCursor == nil {
		t.Fatalf("the first page, next_cursor %v (-want +got)\n%s", page.NextCursor, diff)
	}
	if strings.Contains(first.body, `"position"`) {
		t.Errorf("a list that is no feed has a position: %s", first.body)
	}
	last := b.changes(t, "order=newest&limit=2&cursor="+*page.NextCursor, "viewer")
	if diff := cmp.Diff([]string{kernel1}, toldAll(last.Items)); diff != "" || last.NextCursor != nil {
		t.Errorf("the last page, next_cursor %v (-want +got)\n%s", last.NextCursor, diff)
	}
	if diff := cmp.Diff([]string{mounts1, kernel1}, toldAll(b.changes(t, "order=newest", "scoped").Items)); diff != "" {
		t.Errorf("what a scoped actor sees (-want +got)\n%s", diff)
	}
}

func TestGroupsOfChanges(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	s := b.story(t)
	b.settled(t, 3)
	groups := func(query, as string) wire.List[wire.ChangeGroup] {
		r := b.do(t, call{path: "/api/v1/changes?group=true&" + query, as: as})
		return get[wire.List[wire.ChangeGroup]](t, r, http.StatusOK)
	}
	web1, web2 := wire.HostRef{ID: uuid.MustParse(s.web1), Name: "web-1"}, wire.HostRef{ID: uuid.MustParse(s.web2), Name: "web-2"}
	mounts := wire.ChangeGroup{
		Type: "os", Path: "mounts", Kind: "added", Before: json.RawMessage("null"), After: json.RawMessage(`{"/srv/a.b":{"size":5}}`), Hosts: 1,
		Sample: []wire.HostRef{web1}, FirstSeenAt: s.at[2], LastSeenAt: s.at[2],
	}
	kernel := wire.ChangeGroup{
		Type: "os", Path: "kernel.release", Kind: "changed", Before: json.RawMessage(`"6.1"`), After: json.RawMessage(`"6.2"`), Hosts: 2,
		Sample: []wire.HostRef{web1, web2}, FirstSeenAt: s.at[1], LastSeenAt: s.at[1].Add(time.Millisecond),
	}
	if diff := cmp.Diff([]wire.ChangeGroup{mounts, kernel}, groups("order=newest", "viewer").Items); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	page := groups("limit=1", "viewer")
	if page.NextCursor == nil || len(page.Items) != 1 {
		t.Fatalf("the first page = %+v, want one group and a cursor", page)
	}
	if diff := cmp.Diff(wire.List[wire.ChangeGroup]{Items: []wire.ChangeGroup{kernel}}, groups("limit=1&cursor="+*page.NextCursor, "viewer")); diff != "" {
		t.Errorf("the last page (-want +got)\n%s", diff)
	}
	kernel.Hosts, kernel.Sample, kernel.LastSeenAt = 1, []wire.HostRef{web1}, s.at[1]
	if diff := cmp.Diff([]wire.ChangeGroup{mounts, kernel}, groups("", "scoped").Items); diff != "" {
		t.Errorf("what a scoped actor sees (-want +got)\n%s", diff)
	}
	if none := groups("path=name", "viewer"); len(none.Items) != 0 || none.NextCursor != nil {
		t.Errorf("groups of what has not changed = %+v", none)
	}
}

func TestACursorOfAnotherKindIsRefused(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.story(t)
	b.settled(t, 3)
	feed := b.changes(t, "limit=1", "viewer").Position
	last := *b.changes(t, "limit=1&order=newest", "viewer").NextCursor
	group := *get[wire.List[wire.ChangeGroup]](t, b.do(t, call{path: "/api/v1/changes?limit=1&group=true", as: "viewer"}), http.StatusOK).NextCursor
	for query, cursors := range map[string][]string{"": {last, group}, "order=newest&": {feed, group, "now"}, "group=true&": {feed, last, "now"}} {
		for _, cursor := range cursors {
			r := b.do(t, call{path: "/api/v1/changes?" + query + "cursor=" + cursor, as: "viewer"})
			if r.status != http.StatusUnprocessableEntity || len(r.problem.Errors) != 1 || r.problem.Errors[0].Field != "cursor" {
				t.Errorf("%s with the cursor %s = %d %s, want 422 about the cursor", query, cursor, r.status, r.body)
			}
		}
	}
}
