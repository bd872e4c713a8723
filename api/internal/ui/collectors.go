package ui

import (
	"context"
	"encoding/json"
	"net/http"
	"strings"
	"time"

	"github.com/go-chi/chi/v5"

	"github.com/rollcallhq/rollcall/pkg/collector"
	"github.com/rollcallhq/rollcall/pkg/fleet"
	"github.com/rollcallhq/rollcall/pkg/store"
)

// collectorsPage is all that collectors.html may use.
type collectorsPage struct {
	Custom  []collectorRow
	BuiltIn []collectorRow
	Hosts   int // of all that whoever asks may see
}

// A collectorRow is what a collector is and who reports it.
type collectorRow struct {
	Name        string
	Version     int
	Description string
	Systems     []string
	BuiltIn     bool
	Hosts       int // that have a report of it
	Last        time.Time
	Changes     string // the link to what changed in its reports
}

func rowOf(name string, uses map[string]store.CollectorUse) collectorRow {
	return collectorRow{Name: name, Hosts: uses[name].Hosts, Last: uses[name].Last, Changes: link("/changes", nil, "type", name)}
}

// collectors lists what can be collected, the custom ones first.
func (s *Server) collectors(w http.ResponseWriter, r *http.Request) error {
	scope := s.Actor(r.Context()).Scope()
	uses, err := s.Store.CollectorUses(r.Context(), scope)
	if err != nil {
		return err
	}
	page := collectorsPage{}
	if page.Hosts, err = s.Store.CountHosts(r.Context(), scope, fleet.HostFilter{}); err != nil {
		return err
	}
	custom, err := s.Store.Collectors(r.Context())
	if err != nil {
		return err
	}
	for _, c := range custom {
		row := rowOf(c.Name, uses)
		row.Version, row.Description, row.Systems = c.Version, c.Description, c.Systems
		page.Custom = append(page.Custom, row)
	}
	for _, t := range collector.Builtin() {
		row := rowOf(t.Name, uses)
		row.Version, row.BuiltIn, row.Systems = t.SchemaVersion, true, []string{"linux"}
		page.BuiltIn = append(page.BuiltIn, row)
	}
	return s.render(w, r, http.StatusOK, "collectors.html", layout{Title: "Collectors", Nav: "collectors", Page: page})
}

// collectorPage is all that collector.html may use.
type collectorPage struct {
	collectorRow
	Total     int // hosts that whoever asks may see
	Fields    []collector.Field
	Scripts   []script
	Parser    string
	Keys      []string
	Volatile  []string
	Timeout   time.Duration
	Schema    string // of a custom one, as it was written
	Fixtures  []fixture
	CreatedBy string
	CreatedAt time.Time
	Removed   *time.Time
}

// A script is what runs on one kind of system.
type script struct{ System, Text string }

// A fixture is what came of an output that the definition has with it.
type fixture struct {
	Name        string
	OS          string
	Differences []string
}

// collector shows one collector: what it tells, and how a custom one learns it.
func (s *Server) collector(w http.ResponseWriter, r *http.Request) error {
	name := chi.URLParam(r, "name")
	scope := s.Actor(r.Context()).Scope()
	uses, err := s.Store.CollectorUses(r.Context(), scope)
	if err != nil {
		return err
	}
	page := collectorPage{collectorRow: rowOf(name, uses)}
	if page.Total, err = s.Store.CountHosts(r.Context(), scope, fleet.HostFilter{}); err != nil {
		return err
	}
	if t, ok := collector.Lookup(name); ok {
		page.BuiltIn, page.Version, page.Systems = true, t.SchemaVersion, []string{"linux"}
		page.Fields, err = t.Fields()
	} else {
		err = s.customPage(r.Context(), &page)
	}
	if err != nil {
		return err
	}
	return s.render(w, r, http.StatusOK, "collector.html", layout{Title: name, Nav: "collectors", Page: page})
}

// customPage fills in what the definition of a custom collector says, and reads its fixtures.
func (s *Server) customPage(ctx context.Context, page *collectorPage) error {
	c, err := s.Store.Collector(ctx, page.Name, 0)
	if err != nil {
		return err
	}
	d, err := collector.ParseDefinition(c.Definition)
	if err != nil {
		return err
	}
	d.Version = c.Version
	page.Version, page.Description, page.Systems = c.Version, c.Description, c.Systems
	page.CreatedBy, page.CreatedAt, page.Removed = c.Actor, c.CreatedAt, c.RemovedAt
	page.Parser, page.Keys, page.Volatile, page.Timeout = d.Parser.Format, d.Keys, d.Volatile, d.Timeout()
	for _, system := range d.Systems() {
		page.Scripts = append(page.Scripts, script{System: system, Text: strings.TrimRight(d.OS[system], "\n")})
	}
	if d.Schema != nil {
		page.Schema = indented(d.Schema)
	}
	results, err := d.TestFixtures()
	if err != nil {
		return err
	}
	for i, result := range results {
		page.Fixtures = append(page.Fixtures, fixture{Name: result.Name, OS: d.Fixtures[i].OS, Differences: result.Differences})
	}
	return nil
}

// typeNames returns the names of the report types, the built-in ones first.
func (s *Server) typeNames(ctx context.Context) ([]string, error) {
	var names []string
	for _, t := range collector.Builtin() {
		names = append(names, t.Name)
	}
	custom, err := s.Store.Collectors(ctx)
	for _, c := range custom {
		names = append(names, c.Name)
	}
	return names, err
}

// indented returns a document as people read it.
func indented(document map[string]any) string {
	text, err := json.MarshalIndent(document, "", "  ")
	if err != nil {
		return "" // it came out of JSON
	}
	return string(text)
}
