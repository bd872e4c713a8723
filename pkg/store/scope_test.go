package store_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/rollcallhq/rollcall/pkg/facts"
	"github.com/rollcallhq/rollcall/pkg/fleet"
	"github.com/rollcallhq/rollcall/pkg/store"
	"github.com/rollcallhq/rollcall/pkg/storetest"
)

// scopeOf returns the scope of a viewer who is bounded to the selector.
func scopeOf(t *testing.T, text string) fleet.Scope {
	t.Helper()
	return fleet.Actor{Kind: fleet.ActorUser, Role: fleet.Viewer, Selector: selector(t, text)}.Scope()
}

// reads calls each method that takes a scope and returns what was seen through it.
func (l landscape) reads(ctx context.Context, s *store.Store) map[string]func(fleet.Scope) ([]string, error) {
	each := func(f func(id uuid.UUID) (string, error)) ([]string, error) {
		var seen []string
		for _, id := range l.ids {
			name, err := f(id)
			if fleet.KindOf(err) == fleet.NotFound {
				continue
			}
			if err != nil {
				return seen, err
			}
			if name != "" {
				seen = append(seen, name)
			}
		}
		return seen, nil
	}
	listed := fleet.HostFilter{Enabled: new(true)}
	return map[string]func(fleet.Scope) ([]string, error){
		"Host": func(scope fleet.Scope) ([]string, error) {
			return each(func(id uuid.UUID) (string, error) { h, err := s.Host(ctx, scope, id); return h.Name, err })
		},
		"HostByName": func(scope fleet.Scope) ([]string, error) {
			return each(func(id uuid.UUID) (string, error) {
				h, err := s.HostByName(ctx, scope, l.names[id])
				return h.Name, err
			})
		},
		"Hosts": func(scope fleet.Scope) ([]string, error) {
			hosts, _, err := s.Hosts(ctx, scope, listed, fleet.Page{})
			return namesOf(hosts, func(h fleet.Host) string { return h.Name }), err
		},
		"AuditRecords": func(scope fleet.Scope) ([]string, error) {
			if err := s.Audit(ctx, fleet.System(), fleet.AuditEntry{Action: "x.y", ResourceType: "x"}); err != nil {
				return nil, err
			}
			records, _, err := s.AuditRecords(ctx, scope, store.AuditFilter{}, fleet.Page{Limit: 1})
			return namesOf(records, func(r fleet.AuditRecord) string { return r.Action }), err
		},
		"CountHosts": func(scope fleet.Scope) ([]string, error) {
			n, err := s.CountHosts(ctx, scope, listed)
			return slices.Repeat([]string{"some"}, n), err
		},
		"CollectorUses": func(scope fleet.Scope) ([]string, error) {
			uses, err := s.CollectorUses(ctx, scope)
			return slices.Repeat([]string{"some"}, uses["os"].Hosts), err
		},
		"HostsByName": func(scope fleet.Scope) ([]string, error) {
			hosts, err := s.HostsByName(ctx, scope, []string{"eu-1", "us-1", "none"})
			return keysOf(hosts), err
		},
		"HostOutcomes": func(scope fleet.Scope) ([]string, error) {
			outcomes, err := s.HostOutcomes(ctx, scope)
			var seen []string
			for _, o := range outcomes {
				if o.Enabled { // the disabled ones have never been asked
					seen = append(seen, namesOf(o.Sample, func(h fleet.HostRef) string { return h.Name })...)
				}
			}
			slices.Sort(seen)
			return seen, err
		},
		"HostStatuses": func(scope fleet.Scope) ([]string, error) {
			statuses, err := s.HostStatuses(ctx, scope, l.ids)
			return hostsOf(l, statuses), err
		},
		"FreshnessCounts": func(scope fleet.Scope) ([]string, error) {
			counts, err := s.FreshnessCounts(ctx, scope)
			var seen []string
			for _, c := range counts {
				if c.Status != fleet.HostDisabled {
					seen = append(seen, slices.Repeat([]string{c.Site + "-1"}, c.Hosts)...)
				}
			}
			return seen, err
		},
		"FreshnessChanges": func(scope fleet.Scope) ([]string, error) {
			page, err := s.FreshnessChanges(ctx, scope, store.FreshnessFilter{}, fleet.Page{})
			return namesOf(page.Items, func(c fleet.FreshnessChange) string { return c.Host }), err
		},
		"Sites": func(scope fleet.Scope) ([]string, error) {
			sites, err := s.Sites(ctx, scope, time.Minute)
			var seen []string
			for _, site := range sites {
				if site.Enabled != site.Queued || site.Running != 0 { // of each host a task waits
					seen = append(seen, fmt.Sprintf("%+v", site))
				}
				seen = append(seen, slices.Repeat([]string{site.Name + "-1"}, site.Enabled)...)
			}
			return seen, err
		},
		"WorkersFor": func(scope fleet.Scope) ([]string, error) {
			worker := fleet.Worker{ID: uuid.MustParse("00000000-0000-7000-8000-000000000001"), Host: "both", Sites: []string{"eu", "mars", "us"}, Slots: 1}
			if _, _, err := s.Heartbeat(ctx, worker); err != nil {
				return nil, err
			}
			workers, err := s.WorkersFor(ctx, scope, time.Minute)
			var seen []string
			for _, w := range workers {
				if w.Host == worker.Host && len(w.Sites) == 3 { // of which one is nobody's
					w.Sites = []string{"eu", "us"}
				}
				if w.Host == worker.Host {
					seen = namesOf(w.Sites, func(site string) string { return site + "-1" })
				}
			}
			return seen, err
		},
		"UnservedTasks": func(scope fleet.Scope) ([]string, error) {
			waits, err := s.UnservedTasks(ctx, scope, l.open, -time.Hour) // nobody has been seen since in an hour
			var seen []string
			for _, w := range waits {
				seen = append(seen, slices.Repeat([]string{w.Site + "-1"}, w.Tasks)...)
			}
			return seen, err
		},
		"HostKeys": func(scope fleet.Scope) ([]string, error) {
			return each(func(id uuid.UUID) (string, error) {
				keys, err := s.HostKeys(ctx, scope, id)
				if len(keys) == 0 {
					return "", err
				}
				return l.names[keys[0].ID], err
			})
		},
		"LatestOf": func(scope fleet.Scope) ([]string, error) {
			latest, err := s.LatestOf(ctx, scope, l.ids)
			return hostsOf(l, latest), err
		},
		"LatestReports": func(scope fleet.Scope) ([]string, error) {
			return each(func(id uuid.UUID) (string, error) {
				reports, err := s.LatestReports(ctx, scope, id, "os")
				if len(reports) == 0 {
					return "", err
				}
				return reports[0].Host, err
			})
		},
		"Formers": func(scope fleet.Scope) ([]string, error) {
			return each(func(id uuid.UUID) (string, error) {
				formers, err := s.Formers(ctx, scope, id, map[string][]byte{"os": nil})
				return ofFacts(formers["os"].Facts, err)
			})
		},
		"FactSinces": func(scope fleet.Scope) ([]string, error) {
			return each(func(id uuid.UUID) (string, error) {
				sinces, err := s.FactSinces(ctx, scope, id, "os", time.Time{})
				return l.nameIf(id, !sinces.Of(facts.Path{"of"}).IsZero()), err
			})
		},
		"FactSincesOf": func(scope fleet.Scope) ([]string, error) {
			return each(func(id uuid.UUID) (string, error) {
				sinces, err := s.FactSincesOf(ctx, scope, id, "os", []facts.Path{{"of"}})
				return l.nameIf(id, !sinces.Of(facts.Path{"of"}).IsZero()), err
			})
		},
		"ReportsAsOf": func(scope fleet.Scope) ([]string, error) {
			return each(func(id uuid.UUID) (string, error) {
				reports, err := s.ReportsAsOf(ctx, scope, id, "", time.Now().Add(time.Minute))
				if len(reports) == 0 {
					return "", err
				}
				return reports[0].Host, err
			})
		},
		"PathHistory": func(scope fleet.Scope) ([]string, error) {
			return each(func(id uuid.UUID) (string, error) {
				periods, _, err := s.PathHistory(ctx, scope, id, "os", facts.Path{"of"}, time.Time{}, time.Time{}, fleet.Page{})
				if len(periods) == 0 {
					return "", err
				}
				return strings.Trim(string(periods[0].Value), `"`), err
			})
		},
		"MetricSeries": func(scope fleet.Scope) ([]string, error) {
			return each(func(id uuid.UUID) (string, error) {
				series, err := s.MetricSeries(ctx, scope, id, store.MetricQuery{
					Type: "os", Since: time.Now().Add(-time.Hour), Until: time.Now().Add(time.Hour), Step: time.Minute,
				})
				return l.nameIf(id, len(series) == 1), err
			})
		},
		"QueryFacts": func(scope fleet.Scope) ([]string, error) {
			var seen []string
			for row, err := range s.QueryFacts(ctx, scope, store.FactQuery{Type: "os", Select: []facts.Path{{"of"}}}) {
				if err != nil {
					return nil, err
				}
				seen = append(seen, row.Host)
			}
			return seen, nil
		},
		"Changes": func(scope fleet.Scope) ([]string, error) {
			page, err := s.Changes(ctx, scope, store.ChangeFilter{}, fleet.Page{})
			return namesOf(page.Items, func(c fleet.Change) string { return c.Host }), err
		},
		"LastChanges": func(scope fleet.Scope) ([]string, error) {
			changes, _, err := s.LastChanges(ctx, scope, store.ChangeFilter{}, fleet.Page{})
			slices.Reverse(changes)
			return namesOf(changes, func(c fleet.Change) string { return c.Host }), err
		},
		"ChangeGroups": func(scope fleet.Scope) ([]string, error) {
			groups, _, err := s.ChangeGroups(ctx, scope, store.ChangeFilter{}, fleet.Page{})
			var seen []string
			for _, g := range groups {
				names := namesOf(g.Sample, func(h fleet.HostRef) string { return h.Name })
				if len(names) != g.Hosts {
					names = append(names, fmt.Sprintf("and %d in all", g.Hosts))
				}
				seen = append(seen, names...)
			}
			return seen, err
		},
		"Reports": func(scope fleet.Scope) ([]string, error) {
			reports, _, err := s.Reports(ctx, scope, fleet.ReportFilter{}, fleet.Page{})
			return namesOf(reports, func(r fleet.Report) string { return r.Host }), err
		},
		"Report": func(scope fleet.Scope) ([]string, error) {
			return each(func(id uuid.UUID) (string, error) {
				all, err := s.LatestReports(ctx, fleet.Everything(), id, "os")
				if err != nil {
					return "", err
				}
				r, err := s.Report(ctx, scope, all[0].ID)
				return r.Host, err
			})
		},
		"Tasks": func(scope fleet.Scope) ([]string, error) {
			var seen []string
			for _, id := range []uuid.UUID{l.open, l.ended} {
				tasks, _, err := s.Tasks(ctx, scope, id, store.TaskFilter{}, fleet.Page{})
				if err != nil {
					return seen, err
				}
				seen = append(seen, namesOf(tasks, func(t fleet.Task) string { return t.Host })...)
			}
			return seen, nil
		},
		"OpenTaskFor": func(scope fleet.Scope) ([]string, error) {
			return each(func(id uuid.UUID) (string, error) {
				task, err := s.OpenTaskFor(ctx, scope, id, "os", time.Minute)
				if task == nil {
					return "", err
				}
				return task.Host, err
			})
		},
		"Trial": func(scope fleet.Scope) ([]string, error) {
			return each(func(id uuid.UUID) (name string, err error) {
				undo := fleet.Errorf(fleet.Conflict, "undo")
				err = s.InTx(ctx, func(tx *store.Store) error {
					c := aCollection()
					c.HostIDs, c.Selector = []uuid.UUID{id}, ""
					c, err := tx.AddCollection(ctx, fleet.Everything(), c, nil)
					if err == nil {
						err = tx.AddTrial(ctx, fleet.Trial{CollectionID: c.ID, Name: "x", Definition: []byte("{}"), ExpiresAt: time.Now().Add(time.Hour)})
					}
					if err != nil {
						return err
					}
					if _, err = tx.Trial(ctx, scope, c.ID); err != nil {
						return err
					}
					name = l.names[id]
					return undo
				})
				if errors.Is(err, undo) {
					err = nil
				}
				return name, err
			})
		},
		"HostsAfter": func(scope fleet.Scope) ([]string, error) {
			ids, err := s.HostsAfter(ctx, scope, uuid.UUID{}, 100)
			ids = slices.DeleteFunc(ids, func(id uuid.UUID) bool { return !slices.Contains(l.ids, id) }) // those that are off
			return namesOf(ids, func(id uuid.UUID) string { return l.names[id] }), err
		},
		"Schedule": func(scope fleet.Scope) ([]string, error) {
			var seen []string
			for _, schedule := range l.schedules {
				found, err := s.Schedule(ctx, scope, schedule.ID)
				if err != nil && fleet.KindOf(err) != fleet.NotFound {
					return seen, err
				}
				seen = append(seen, found.Name)
			}
			return slices.DeleteFunc(seen, func(name string) bool { return name == "" }), nil
		},
		"Schedules": func(scope fleet.Scope) ([]string, error) {
			found, _, err := s.Schedules(ctx, scope, store.ScheduleFilter{}, fleet.Page{})
			return namesOf(found, func(s fleet.Schedule) string { return s.Name }), err
		},
		"ScheduleReaches": func(scope fleet.Scope) ([]string, error) {
			reaches, err := s.ScheduleReaches(ctx, scope, l.schedules)
			var seen []string
			for i, reach := range reaches {
				if reach.Whole() {
					seen = append(seen, l.schedules[i].Name)
				}
			}
			return seen, err
		},
		"CredentialReaches": func(scope fleet.Scope) ([]string, error) {
			reaches, err := s.CredentialReaches(ctx, scope, l.become)
			var seen []string
			for i, id := range l.become {
				if reaches[id].Seen() {
					seen = append(seen, l.names[l.ids[i]])
				}
			}
			return seen, err
		},
		"SitesUsing": func(scope fleet.Scope) ([]string, error) {
			sites, err := s.SitesUsing(ctx, scope, l.credential)
			return namesOf(sites, func(site string) string { return site + "-1" }), err
		},
		"Collection": func(scope fleet.Scope) ([]string, error) {
			var seen []string
			for _, id := range []uuid.UUID{l.ended, l.half, l.open} {
				c, err := s.Collection(ctx, scope, id)
				if fleet.KindOf(err) == fleet.NotFound {
					continue
				}
				if err != nil {
					return seen, err
				}
				seen = append(seen, l.collectionSeen(c))
			}
			return seen, nil
		},
		"Collections": func(scope fleet.Scope) ([]string, error) {
			found, _, err := s.Collections(ctx, scope, fleet.Page{})
			seen := namesOf(found, l.collectionSeen)
			slices.Reverse(seen) // oldest first, as above
			return seen, err
		},
		"AddCollection": func(scope fleet.Scope) ([]string, error) {
			var seen []string
			undo := fleet.Errorf(fleet.Conflict, "undo")
			err := s.InTx(ctx, func(tx *store.Store) error {
				for _, named := range []bool{true, false} {
					c := aCollection()
					all := fleet.Selector{}
					if named {
						c.HostIDs = l.ids
					} else if parsed, err := fleet.ParseSelector("*"); err == nil {
						all = parsed
					}
					c, err := tx.AddCollection(ctx, scope, c, &all)
					if err != nil {
						return err
					}
					tasks, _, err := tx.Tasks(ctx, fleet.Everything(), c.ID, store.TaskFilter{}, fleet.Page{})
					if err != nil {
						return err
					}
					seen = append(seen, namesOf(tasks, func(t fleet.Task) string { return t.Host })...)
				}
				return undo
			})
			if errors.Is(err, undo) {
				err = nil
			}
			return seen, err
		},
	}
}

func namesOf[T any](items []T, name func(T) string) []string {
	var names []string
	for _, item := range items {
		names = append(names, name(item))
	}
	return names
}

func keysOf[V any](m map[string]V) []string {
	var keys []string
	for key := range m {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	return keys
}

func hostsOf[V any](l landscape, byHost map[uuid.UUID]V) []string {
	var names []string
	for id := range byHost {
		names = append(names, l.names[id])
	}
	slices.Sort(names)
	return names
}

func TestWhatAScopeSees(t *testing.T) {
	t.Parallel()
	s := storetest.New(t)
	l := aLandscape(t, s)
	reads := l.reads(t.Context(), s)
	for name, m := range methodsOfStore(t) {
		if _, ok := reads[name]; m.takesScope && !ok {
			t.Errorf("Store.%s takes a scope and is not tested with one", name)
		}
	}
	collections := map[string][]string{
		"everything": {"partial 2/1/1 map[internal:1] eu-1 us-1", "succeeded 1/1/0 map[] us-1", "pending 2/0/0 map[] -eu-off -us-off"},
		"eu":         {"succeeded 1/1/0 map[] eu-1", "pending 1/0/0 map[] -eu-off"},
		"us":         {"failed 1/0/1 map[internal:1] us-1", "succeeded 1/1/0 map[] us-1", "pending 1/0/0 map[] -us-off"},
	}
	scopes := []struct {
		name  string
		scope fleet.Scope
		want  []string // hosts
		lists string   // collections
	}{
		{"the zero scope", fleet.Scope{}, nil, ""},
		{"the scope of nobody", fleet.Actor{}.Scope(), nil, ""},
		{"everything", fleet.Everything(), []string{"eu-1", "us-1"}, "everything"},
		{"one site", scopeOf(t, "site=eu"), []string{"eu-1"}, "eu"},
		{"the other site", scopeOf(t, "site=us"), []string{"us-1"}, "us"},
		{"a name", scopeOf(t, `name~"eu-*"`), []string{"eu-1"}, "eu"},
		{"not a label", scopeOf(t, "site-is!=us and name!=us-off"), []string{"eu-1"}, "eu"},
		{"no host at all", scopeOf(t, "site=mars"), nil, ""},
	}
	for _, tt := range scopes {
		for name, read := range reads { // one transaction: one after the other
			got, err := read(tt.scope)
			if err != nil {
				t.Errorf("%s, %s: %v", tt.name, name, err)
				continue
			}
			want := tt.want
			switch name {
			case "Collection", "Collections":
				want = collections[tt.lists]
			case "Reports": // two of us
				if len(want) > 0 && want[len(want)-1] == "us-1" {
					want = slices.Concat([]string{"us-1"}, want)
				}
				slices.Sort(got)
				want = slices.Sorted(slices.Values(want))
			case "AuditRecords": // about everything, or nothing
				if want = nil; tt.name == "everything" {
					want = []string{"x.y"}
				}
			case "CountHosts", "CollectorUses":
				want = slices.Repeat([]string{"some"}, len(want))
			case "Tasks", "AddCollection":
				want = slices.Concat(want, want)
			}
			if !slices.Equal(got, want) {
				t.Errorf("%s, %s: sees %q, want %q", tt.name, name, got, want)
			}
		}
	}
}

func TestAScopeBoundsWhatItsFilterSelects(t *testing.T) {
	t.Parallel()
	s := storetest.New(t)
	aLandscape(t, s)
	for filter, want := range map[string]int{"*": 2, "site=us": 0, "site=eu or site=us": 2, "not site=eu": 0, "name=eu-1": 1} {
		n, err := s.CountHosts(t.Context(), scopeOf(t, "site=eu"), fleet.HostFilter{Selector: selector(t, filter)})
		if err != nil || n != want {
			t.Errorf("%s within site=eu: %d, %v; want %d", filter, n, err, want)
		}
	}
}
