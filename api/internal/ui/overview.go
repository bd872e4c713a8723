package ui

import (
	"context"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"time"

	"github.com/rollcallhq/rollcall/pkg/collection"
	"github.com/rollcallhq/rollcall/pkg/fleet"
	"github.com/rollcallhq/rollcall/pkg/store"
)

// Bounds of what the first page looks at.
const (
	overviewGroups      = 25
	overviewCollections = 100
	overviewCounted     = 1_000 // groups that are counted by type
)

// overviewPage is all that overview.html may use.
type overviewPage struct {
	Unserved []string // sites with hosts to collect from that no worker serves
	Fleet    fleetStatus
	Running  []fleet.Collection
	Last     *fleet.Collection // the newest collection that has ended, where none is running
	Groups   []groupRow
	More     bool      // whether there are more groups
	Since    time.Time // of the groups
	Span     string    // how far back the groups reach, in words
	All      string    // the link to all changes of that time
	Types    []typeCount
}

// A fleetStatus is how many hosts are how fresh, and what went wrong the last time.
type fleetStatus struct {
	Total  int
	Counts []fleet.FreshnessCount // of all sites together, the freshest first
	Codes  []failing
}

// failing is how many hosts failed with a code the last time.
type failing struct {
	failed
	Sample []fleet.HostRef // the first few by name
}

// maxSample is how many hosts are named where there may be many.
const maxSample = 5

// A typeCount is how many changes there were in the reports of a type.
type typeCount struct {
	Type    string
	Changes int // each counted once for each host
	Link    string
}

// overview is the first page: how the fleet is, and what changed.
func (s *Server) overview(w http.ResponseWriter, r *http.Request) error {
	if q := r.URL.Query(); q.Has("selector") || q.Has("cursor") { // the list of the hosts once was here
		http.Redirect(w, r, "/hosts?"+q.Encode(), http.StatusMovedPermanently) //nolint:gosec // a path of our own
		return nil
	}
	scope := s.Actor(r.Context()).Scope()
	var page overviewPage
	var err error
	if page.Fleet, err = s.fleetStatus(r.Context(), scope); err != nil {
		return err
	}
	sites, err := s.Store.Sites(r.Context(), scope, collection.Silence)
	if err != nil {
		return err
	}
	page.Unserved = unserved(sites)
	collections, _, err := s.Store.Collections(r.Context(), scope, fleet.Page{Limit: overviewCollections})
	if err != nil {
		return err
	}
	for _, c := range collections {
		if !c.State.Ended() {
			page.Running = append(page.Running, c)
		} else if page.Last == nil {
			page.Last = &c
		}
	}
	if err := s.lastGroups(r, scope, &page); err != nil {
		return err
	}
	return s.render(w, r, http.StatusOK, "overview.html", layout{Title: "Overview", Nav: "overview", Page: page})
}

// lastGroups fills in the changes of the last day, or of the last week if there were none.
func (s *Server) lastGroups(r *http.Request, scope fleet.Scope, page *overviewPage) error {
	for _, back := range []time.Duration{24 * time.Hour, store.GroupPeriod} {
		page.Since, page.Span = time.Now().Add(-back).Truncate(time.Second), span(back)
		groups, next, err := s.Store.ChangeGroups(r.Context(), scope, store.ChangeFilter{Since: page.Since}, fleet.Page{Limit: overviewCounted})
		if err != nil {
			return err
		}
		since := url.Values{"since": {iso(page.Since)}}
		page.All = link("/changes", since, "group", "true")
		page.Types = byType(groups, since)
		page.More = next != "" || len(groups) > overviewGroups
		page.Groups = groupRows(groups[:min(len(groups), overviewGroups)], url.Values{})
		if len(groups) > 0 {
			break
		}
	}
	return nil
}

func byType(groups []fleet.ChangeGroup, since url.Values) []typeCount {
	counts := map[string]int{}
	for _, g := range groups {
		counts[g.Type] += g.Hosts
	}
	var out []typeCount
	for _, name := range slices.Sorted(maps.Keys(counts)) {
		out = append(out, typeCount{name, counts[name], link("/changes", since, "type", name, "group", "true")})
	}
	slices.SortStableFunc(out, func(a, b typeCount) int { return b.Changes - a.Changes })
	return out
}

// fleetStatus counts the hosts by how fresh they are, and by what went wrong.
func (s *Server) fleetStatus(ctx context.Context, scope fleet.Scope) (fleetStatus, error) {
	var f fleetStatus
	counts, err := s.Store.FreshnessCounts(ctx, scope)
	if err != nil {
		return f, err
	}
	for _, status := range fleet.Freshnesses() {
		sum := fleet.FreshnessCount{Status: status}
		for _, c := range counts {
			if c.Status == status {
				sum.Hosts += c.Hosts
			}
		}
		f.Total += sum.Hosts
		f.Counts = append(f.Counts, sum)
	}
	outcomes, err := s.Store.HostOutcomes(ctx, scope)
	if err != nil {
		return f, err
	}
	codes, sample := map[fleet.Code]int{}, map[fleet.Code][]fleet.HostRef{}
	for _, o := range outcomes {
		if o.Code != "" {
			codes[o.Code] += o.Hosts
			sample[o.Code] = append(sample[o.Code], o.Sample...)
		}
	}
	for _, c := range byCode(codes) {
		hosts := sample[c.Code]
		f.Codes = append(f.Codes, failing{c, hosts[:min(len(hosts), maxSample)]})
	}
	slices.SortStableFunc(f.Codes, func(a, b failing) int { return b.Tasks - a.Tasks })
	return f, nil
}
