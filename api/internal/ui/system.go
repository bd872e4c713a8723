package ui

import (
	"net/http"

	"github.com/rollcallhq/rollcall/pkg/collection"
	"github.com/rollcallhq/rollcall/pkg/fleet"
	"github.com/rollcallhq/rollcall/pkg/store"
)

// lanesCounted bounds how many waiting tasks are looked at.
const lanesCounted = 100_000

// systemPage is all that system.html may use.
type systemPage struct {
	Unserved []string // sites with hosts to collect from that no worker serves
	Sites    []fleet.Site
	Workers  []fleet.Worker
	ShowAll  bool // what waits and what is stored is of all hosts, and not shown to who may see some
	Lanes    []store.WaitingState
	Storage  fleet.Storage
}

// Large returns the tables that matter for the size: those by month, and others with a hundredth of it or more.
func (p systemPage) Large() []fleet.TableStorage { return p.tables(true) }

// Small returns the other tables.
func (p systemPage) Small() []fleet.TableStorage { return p.tables(false) }

func (p systemPage) tables(large bool) []fleet.TableStorage {
	var found []fleet.TableStorage
	for _, t := range p.Storage.Tables {
		if large == (t.Partitions != nil || t.Size.Total() >= p.Storage.DatabaseBytes/100) {
			found = append(found, t)
		}
	}
	return found
}

// system is what collects: sites, workers and queues.
func (s *Server) system(w http.ResponseWriter, r *http.Request) error {
	actor := s.Actor(r.Context())
	page := systemPage{ShowAll: actor.Selector == nil}
	var err error
	if page.Sites, err = s.Store.Sites(r.Context(), actor.Scope(), collection.Silence); err != nil {
		return err
	}
	page.Unserved = unserved(page.Sites)
	if page.Workers, err = s.Store.WorkersFor(r.Context(), actor.Scope(), collection.Silence); err != nil {
		return err
	}
	if page.ShowAll {
		if page.Lanes, err = s.Store.WaitingState(r.Context(), lanesCounted); err != nil {
			return err
		}
		if page.Storage, err = s.Housekeeping.Storage(r.Context()); err != nil {
			return err
		}
	}
	return s.render(w, r, http.StatusOK, "system.html", layout{Title: "System", Nav: "system", Page: page})
}

// unserved returns the sites with hosts to collect from that no worker serves.
func unserved(sites []fleet.Site) []string {
	var names []string
	for _, site := range sites {
		if site.Enabled > 0 && !site.Served() {
			names = append(names, site.Name)
		}
	}
	return names
}
