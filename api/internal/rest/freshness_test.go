package rest_test

import (
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"github.com/rollcallhq/rollcall/pkg/await"
	"github.com/rollcallhq/rollcall/pkg/fleet"
	"github.com/rollcallhq/rollcall/pkg/wire"
)

// became returns what became of hosts in lines.
func became(changes []wire.FreshnessChange) []string {
	var lines []string
	for _, c := range changes {
		lines = append(lines, fmt.Sprintf("%s %s→%s", c.Host, c.Before, c.After))
	}
	return lines
}

// TestWhatBecomesOfHostsIsAFeed collects from two hosts, of which "scoped" may see the first.
func TestWhatBecomesOfHostsIsAFeed(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	web1 := b.host(t, `{"name":"web-1","address":"192.0.2.1","labels":{"env":"test"}}`)
	web2 := b.host(t, `{"name":"web-2","address":"192.0.2.2","labels":{"env":"prod"}}`)
	read := func(query, as string) wire.FreshnessList {
		t.Helper()
		return get[wire.FreshnessList](t, b.do(t, call{path: "/api/v1/freshness?" + query, as: as}), http.StatusOK)
	}
	if page := read("", "viewer"); len(page.Items) != 0 || page.NextCursor != nil || page.Position == "" {
		t.Errorf("before anything has become of a host there is %+v", page)
	}
	for _, host := range []string{web1, web2} {
		b.learn(t, host, time.Now(), fleet.Finding{Type: "os", Facts: []byte(`{"name":"Debian"}`)})
	}
	await.Until(t, "both in the feed", func() bool { return len(read("", "viewer").Items) == 2 })
	first := read("limit=1", "viewer")
	if first.NextCursor == nil {
		t.Fatal("a page with an item has no cursor")
	}
	second := read("cursor="+*first.NextCursor, "viewer")
	got := append(became(first.Items), became(second.Items)...)
	if diff := cmp.Diff([]string{"web-1 never→fresh", "web-2 never→fresh"}, got); diff != "" {
		t.Errorf("page by page (-want +got)\n%s", diff)
	}
	for query, want := range map[string][]string{
		"selector=env%3Dprod": {"web-2 never→fresh"},
		"host_id=" + web1:     {"web-1 never→fresh"},
		"status=failing":      nil,
		"since=" + time.Now().Add(time.Hour).UTC().Format(time.RFC3339): nil,
	} {
		if diff := cmp.Diff(want, became(read(query, "viewer").Items)); diff != "" {
			t.Errorf("%s (-want +got)\n%s", query, diff)
		}
	}
	if diff := cmp.Diff([]string{"web-1 never→fresh"}, became(read("", "scoped").Items)); diff != "" {
		t.Errorf("a scoped viewer (-want +got)\n%s", diff)
	}

	events := b.stream(t, "/api/v1/freshness/events?since="+time.Now().Add(-time.Hour).UTC().Format(time.RFC3339), "scoped")
	e := events.event(t)
	if diff := cmp.Diff([]string{"web-1 never→fresh"}, became([]wire.FreshnessChange{decode[wire.FreshnessChange](t, e)})); diff != "" || e.name != "freshness" || e.id == "" {
		t.Errorf("the stream has %+v\n%s", e, diff)
	}

	list := func(query, as string) []string {
		t.Helper()
		var names []string
		for _, h := range get[wire.List[wire.Host]](t, b.do(t, call{path: "/api/v1/hosts?status=" + query, as: as}), http.StatusOK).Items {
			names = append(names, h.Name)
		}
		return names
	}
	for query, want := range map[string]int{"fresh": 2, "stale": 0, "failing": 0, "never": 0, "disabled": 0} {
		if got := list(query, "viewer"); len(got) != want {
			t.Errorf("status=%s lists %v, want %d", query, got, want)
		}
	}
	if diff := cmp.Diff([]string{"web-1"}, list("fresh", "scoped")); diff != "" {
		t.Errorf("a scoped viewer's fresh hosts (-want +got)\n%s", diff)
	}
}

func TestSitesAndWorkersAreListed(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.host(t, `{"name":"web-1","address":"192.0.2.1","labels":{"env":"test"}}`)
	b.host(t, `{"name":"far-1","address":"192.0.2.2","site":"mars"}`)
	worker := b.worker(t)
	sites := func(as string) map[string]string {
		t.Helper()
		found := map[string]string{}
		for _, s := range get[wire.List[wire.Site]](t, b.do(t, call{path: "/api/v1/sites", as: as}), http.StatusOK).Items {
			found[s.Name] = fmt.Sprint(s.Status, s.Hosts, s.Workers)
		}
		return found
	}
	if diff := cmp.Diff(map[string]string{"default": "served1 1", "mars": "unserved1 0"}, sites("viewer")); diff != "" {
		t.Errorf("sites (-want +got)\n%s", diff)
	}
	if got := sites("scoped"); got["mars"] != "" || got["default"] == "" {
		t.Errorf("a scoped viewer sees %v, want the site of their host alone", got)
	}
	var ids []uuid.UUID
	for _, w := range get[wire.List[wire.Worker]](t, b.do(t, call{path: "/api/v1/workers", as: "viewer"}), http.StatusOK).Items {
		ids = append(ids, w.ID)
	}
	if diff := cmp.Diff([]uuid.UUID{worker.ID}, ids); diff != "" {
		t.Errorf("workers (-want +got)\n%s", diff)
	}
}
