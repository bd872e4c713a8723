package e2e_test

import (
	"encoding/json"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// checkFilters asks for parts of the feed.
func (d *driftingFleet) checkFilters(t *testing.T, all []changeView) {
	t.Helper()
	middle := all[len(all)/2].SeenAt
	name := all[0].Host
	for filter, keep := range map[string]func(changeView) bool{
		"type=network":                              func(c changeView) bool { return c.Type == "network" },
		"host_id=" + d.ids[name]:                    func(c changeView) bool { return c.Host == name },
		"selector=" + url.QueryEscape("name="+name): func(c changeView) bool { return c.Host == name },
		"path=timezone":                             func(c changeView) bool { return c.Path == "timezone" },
		"path=interfaces.*.mtu":                     func(c changeView) bool { return c.Path == "interfaces.eth0.mtu" },
		"path=filesystems":                          func(c changeView) bool { return strings.HasPrefix(c.Path, "filesystems.") },
		"path=" + url.QueryEscape(`filesystems."/srv"`) + "&type=disks": func(c changeView) bool { return c.Path == `filesystems."/srv".options` },
		"path=time": func(changeView) bool { return false },
		"since=" + url.QueryEscape(middle.Format(time.RFC3339Nano)): func(c changeView) bool { return !c.SeenAt.Before(middle) },
		"until=" + url.QueryEscape(middle.Format(time.RFC3339Nano)): func(c changeView) bool { return c.SeenAt.Before(middle) },
	} {
		values, err := url.ParseQuery(filter)
		if err != nil {
			t.Fatal(err)
		}
		got, _, err := d.readFeed(t.Context(), "", values)
		if err != nil {
			t.Errorf("%s: %v", filter, err)
			continue
		}
		want := slices.DeleteFunc(slices.Clone(all), func(c changeView) bool { return !keep(c) })
		if diff := cmp.Diff(identities(want), identities(got)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", filter, diff)
		}
	}
	var newest, page feedPage
	d.get("/api/v1/changes?order=newest&limit=1000", &newest)
	slices.Reverse(newest.Items)
	if diff := cmp.Diff(len(all), len(newest.Items)); diff != "" || newest.NextCursor != nil {
		t.Errorf("newest first there are %d changes and the next cursor %v, want %d and none", len(newest.Items), newest.NextCursor, len(all))
	}
	slices.SortFunc(newest.Items, func(a, b changeView) int { return strings.Compare(a.ID, b.ID) })
	sorted := slices.SortedFunc(slices.Values(all), func(a, b changeView) int { return strings.Compare(a.ID, b.ID) })
	if diff := cmp.Diff(identities(sorted), identities(newest.Items)); diff != "" {
		t.Errorf("newest first (-oldest first +newest first):\n%s", diff)
	}
	d.get("/api/v1/changes?cursor="+url.QueryEscape(d.end()), &page)
	if len(page.Items) > 0 || page.NextCursor != nil || page.Position == "" {
		t.Errorf("at the end of the feed: %+v", page)
	}
}

func identities(changes []changeView) []string {
	list := make([]string, len(changes))
	for i, c := range changes {
		list[i] = c.ID + " " + c.String()
	}
	return list
}

// checkGroups counts the hosts of each change by ourselves.
func (d *driftingFleet) checkGroups(t *testing.T, all []changeView) {
	t.Helper()
	want := map[string]map[string]bool{}
	for _, c := range all {
		key := fmt.Sprintf("%s %s %s %s -> %s", c.Type, c.Kind, c.Path, canonical(t, c.Before), canonical(t, c.After))
		if want[key] == nil {
			want[key] = map[string]bool{}
		}
		want[key][c.Host] = true
	}
	cursor, groups := "", 0
	for {
		var page listOf[struct {
			Type, Kind, Path string
			Before, After    json.RawMessage
			Hosts            int
			Sample           []struct{ ID, Name string }
		}]
		d.get("/api/v1/changes?group=true&limit=7"+cursor, &page)
		for _, g := range page.Items {
			groups++
			key := fmt.Sprintf("%s %s %s %s -> %s", g.Type, g.Kind, g.Path, canonical(t, g.Before), canonical(t, g.After))
			if g.Hosts != len(want[key]) || len(g.Sample) != min(g.Hosts, 5) {
				t.Errorf("the group %s has %d hosts and a sample of %d, want %d", key, g.Hosts, len(g.Sample), len(want[key]))
			}
			for _, h := range g.Sample {
				if !want[key][h.Name] || d.ids[h.Name] != h.ID {
					t.Errorf("the group %s shows %s, which is none of it", key, h.Name)
				}
			}
		}
		if page.NextCursor == nil {
			break
		}
		cursor = "&cursor=" + url.QueryEscape(*page.NextCursor)
	}
	if groups != len(want) {
		t.Errorf("%d groups, want %d", groups, len(want))
	}
}
