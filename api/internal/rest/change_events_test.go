package rest_test

import (
	"net/http"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/rollcallhq/rollcall/api/internal/rest"
	"github.com/rollcallhq/rollcall/pkg/await"
	"github.com/rollcallhq/rollcall/pkg/fleet"
	"github.com/rollcallhq/rollcall/pkg/wire"
)

const feedEvents = "/api/v1/changes/events"

// nextChange returns the next change of a stream in a line, and its place.
func nextChange(t *testing.T, events *eventStream) (line, id string) {
	t.Helper()
	e := events.event(t)
	if e.name != "change" || e.id == "" {
		t.Fatalf("the stream has %+v, want a change with its place", e)
	}
	return told(decode[wire.Change](t, e)), e.id
}

func TestTheFeedIsWatched(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	s := b.story(t)
	b.settled(t, 3)
	events := b.stream(t, feedEvents, "viewer")
	if e := events.next(t); e.comment == "" || e.id == "" || e.data != "" {
		t.Fatalf("at first there is %+v, want a sign of life with a place in the feed", e)
	}
	b.learn(t, s.web2, s.at[2], fleet.Finding{Type: "os", Facts: []byte(`{"kernel":{"release":"6.3"},"name":"Debian"}`)})
	line, id := nextChange(t, events)
	if want := `web-2 os kernel.release changed "6.2"→"6.3"`; line != want {
		t.Errorf("what changes from now on is %s, want %s", line, want)
	}
	if e := events.next(t); e.comment == "" || e.id != id && e.id == "" {
		t.Errorf("after it there is %+v, want signs of life with a place in the feed", e)
	}
}

func TestAStreamBeginsWhereItIsTold(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	s := b.story(t)
	b.settled(t, 3)
	read := func(t *testing.T, n int, query, as string, header ...string) (lines, ids []string) {
		t.Helper()
		events := b.stream(t, feedEvents+query, as, header...)
		for range n {
			line, id := nextChange(t, events)
			lines, ids = append(lines, line), append(ids, id)
		}
		return lines, ids
	}
	since := "?since=" + s.at[0].Format(time.RFC3339)
	all, ids := read(t, 3, since, "viewer")
	if diff := cmp.Diff([]string{kernel1, kernel2, mounts1}, all); diff != "" {
		t.Fatalf("since the beginning (-want +got)\n%s", diff)
	}
	for name, tt := range map[string]struct {
		query, as string
		header    []string
		want      []string
	}{
		"since a time":                     {"?since=" + s.at[2].Format(time.RFC3339), "viewer", nil, []string{mounts1}},
		"after a cursor":                   {"?cursor=" + ids[0], "viewer", nil, []string{kernel2, mounts1}},
		"after the last event":             {"", "viewer", []string{"Last-Event-ID", ids[1]}, []string{mounts1}},
		"after the last event, not before": {since + "&cursor=" + ids[0], "viewer", []string{"Last-Event-ID", ids[1]}, []string{mounts1}},
		"after a cursor, but since a time": {"?cursor=" + ids[0] + "&since=" + s.at[2].Format(time.RFC3339), "viewer", nil, []string{mounts1}},
		"within a filter":                  {since + "&path=mounts", "viewer", nil, []string{mounts1}},
		"within a scope":                   {since, "scoped", nil, []string{kernel1, mounts1}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got, _ := read(t, len(tt.want), tt.query, tt.as, tt.header...); !cmp.Equal(tt.want, got) {
				t.Errorf("(-want +got)\n%s", cmp.Diff(tt.want, got))
			}
		})
	}
}

// TestAStreamThatIsSilentMovesOn shows that who watches for what does not happen comes back with a place after all that
// happened meanwhile.
func TestAStreamThatIsSilentMovesOn(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	s := b.story(t)
	b.settled(t, 3)
	events := b.stream(t, feedEvents+"?path=never", "viewer")
	before := events.next(t).id
	b.learn(t, s.web2, s.at[2], fleet.Finding{Type: "os", Facts: []byte(`{"name":"Debian"}`)})
	b.settled(t, 4)
	await.Until(t, "a place after the change", func() bool {
		e := events.next(t)
		if e.data != "" {
			t.Fatalf("the stream shows %+v, which was not asked for", e)
		}
		return len(b.changes(t, "cursor="+e.id, "viewer").Items) == 0
	})
	if n := len(b.changes(t, "cursor="+before, "viewer").Items); n != 1 {
		t.Errorf("after the place of the beginning there are %d changes, want 1", n)
	}
}

// TestALongBacklogIsStreamedAtOnce shows more changes than are read in one look, with looks an hour apart.
func TestALongBacklogIsStreamedAtOnce(t *testing.T) {
	t.Parallel()
	b := newBench(t, func(c *rest.Config) { c.Timeouts.Poll = time.Hour })
	s := b.story(t)
	b.sql(t, `
		with more as (
			insert into changes (id, seen_at, host_id, report_type, path, before, after, report_id)
			select gen_random_uuid(), seen_at, host_id, report_type, 'n' || n, '1', '2', report_id
			from changes, generate_series(1, 500) n where path = 'mounts' returning 1
		) select count(*)::text from more`)
	b.settled(t, 503)
	events := b.stream(t, feedEvents+"?since="+s.at[0].Format(time.RFC3339), "viewer")
	seen := map[string]bool{}
	for range 503 {
		_, id := nextChange(t, events)
		seen[id] = true
	}
	if len(seen) != 503 {
		t.Errorf("the stream has %d places, want one for each of 503 changes", len(seen))
	}
}

func TestAStreamFromNowhereIsRefusedBeforeItBegins(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.story(t)
	position := b.changes(t, "cursor=now", "viewer").Position
	b.sql(t, "update cluster set epoch = gen_random_uuid() returning epoch::text")
	for name, tt := range map[string]struct {
		path   string
		header http.Header
		status int
		code   string
		field  string
	}{
		"an ID of another life":     {feedEvents, http.Header{"Last-Event-Id": {position}}, 409, "cursor_outdated", ""},
		"a cursor of another life":  {feedEvents + "?cursor=" + position, nil, 409, "cursor_outdated", ""},
		"a page of another life":    {"/api/v1/changes?cursor=" + position, nil, 409, "cursor_outdated", ""},
		"an ID that is none":        {feedEvents, http.Header{"Last-Event-Id": {"nonsense"}}, 422, "invalid", "Last-Event-ID"},
		"a cursor that is none":     {feedEvents + "?cursor=nonsense", nil, 422, "invalid", "cursor"},
		"a path that is none":       {feedEvents + "?path=a..b", nil, 422, "invalid", "path"},
		"a parameter of pages only": {feedEvents + "?limit=10", nil, 422, "unknown_parameter", "limit"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := b.do(t, call{path: tt.path, as: "viewer", header: tt.header})
			if r.status != tt.status || r.problem.Code != tt.code {
				t.Fatalf("answered %d %s, want %d %s", r.status, r.body, tt.status, tt.code)
			}
			if tt.field != "" && (len(r.problem.Errors) != 1 || r.problem.Errors[0].Field != tt.field) {
				t.Errorf("errors = %+v, want one about %s", r.problem.Errors, tt.field)
			}
		})
	}
}
