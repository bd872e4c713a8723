package collection

import (
	"context"
	"time"

	"github.com/google/uuid"

	"github.com/rollcallhq/rollcall/pkg/collector"
	"github.com/rollcallhq/rollcall/pkg/fleet"
	"github.com/rollcallhq/rollcall/pkg/store"
)

// A Preview is what a request would do.
type Preview struct {
	Hosts       []fleet.Host // that would be asked, by name; the first 1,000
	Total       int          // how many would be asked
	Skipped     []fleet.Skipped
	ReportTypes []string
	Script      string // exactly what would run on each host, but for the nonce
}

// Preview returns what Trigger would do, and does nothing. It refuses what Trigger refuses.
func (s *Service) Preview(ctx context.Context, actor fleet.Actor, r Request) (Preview, error) {
	var p Preview
	err := s.Store.InTx(ctx, func(tx *store.Store) error {
		c, err := s.TriggerIn(ctx, tx, actor, r)
		if err != nil {
			return err
		}
		p.Total, p.Skipped, p.ReportTypes = c.Counts.Total, c.Skipped, c.ReportTypes
		tasks, _, err := tx.Tasks(ctx, actor.Scope(), c.ID, store.TaskFilter{}, fleet.Page{Limit: 1000})
		if err != nil {
			return err
		}
		for _, t := range tasks {
			p.Hosts = append(p.Hosts, fleet.Host{ID: t.HostID, Name: t.Host, Site: t.Site})
		}
		custom, err := loadTypes(ctx, tx, c.ReportTypes)
		if err != nil {
			return err
		}
		plan, err := collector.NewPlan(c.ReportTypes, collector.Options{Deadline: c.Deadline, Custom: custom})
		if err != nil {
			return err
		}
		p.Script = string(plan.Script())
		return errPreviewed
	})
	if err == errPreviewed { //nolint:errorlint // InTx returns f's error as it is
		return p, nil
	}
	return Preview{}, err
}

// errPreviewed rolls back what a preview has tried.
var errPreviewed = fleet.Errorf(fleet.Conflict, "previewed")

// Cancel ends a collection: its queued tasks at once, its running ones as soon as their workers hear of it, which is
// within two seconds. It returns the collection. One that has ended is a Conflict.
func (s *Service) Cancel(ctx context.Context, actor fleet.Actor, id uuid.UUID) (fleet.Collection, error) {
	if err := actor.Require(fleet.Operator); err != nil {
		return fleet.Collection{}, err
	}
	err := s.Store.InTx(ctx, func(tx *store.Store) error {
		c, err := tx.Collection(ctx, actor.Scope(), id)
		if err != nil {
			return err
		}
		if err := s.wholeInScope(ctx, tx, actor, c); err != nil {
			return err
		}
		if c.Kind == fleet.KindReseal {
			if err := actor.Require(fleet.Admin); err != nil {
				return err
			}
		}
		n, err := tx.RequestCancel(ctx, id)
		if err != nil {
			return err
		}
		return tx.Audit(ctx, actor, fleet.AuditEntry{
			Action: "collection.cancel", ResourceType: "collection", ResourceID: id.String(),
			Details: map[string]any{"cancelled_while_queued": n},
		})
	})
	if err != nil {
		return fleet.Collection{}, err
	}
	if _, err := s.Store.FinishCollections(ctx, &id, 1); err != nil {
		return fleet.Collection{}, err
	}
	return s.Store.Collection(ctx, actor.Scope(), id)
}

// wholeInScope refuses to touch a collection of which the actor sees only a part.
func (s *Service) wholeInScope(ctx context.Context, tx *store.Store, actor fleet.Actor, seen fleet.Collection) error {
	whole, err := tx.Collection(ctx, fleet.Everything(), seen.ID)
	if err != nil {
		return err
	}
	if whole.Counts.Total != seen.Counts.Total {
		return fleet.Errorf(fleet.Forbidden, "the collection has hosts outside of what %s may see", actor)
	}
	return nil
}

// Retry collects again from those hosts of a collection whose task ended in one of the states and, unless codes is
// empty, with one of the codes. No states means failed and partial. Hosts that were retired meanwhile are left out.
func (s *Service) Retry(ctx context.Context, actor fleet.Actor, id uuid.UUID, states []fleet.TaskState, codes []fleet.Code) (Triggered, error) {
	if err := actor.Require(fleet.Operator); err != nil {
		return Triggered{}, err
	}
	c, err := s.Store.Collection(ctx, actor.Scope(), id)
	if err != nil {
		return Triggered{}, err
	}
	if c.Kind == fleet.KindReseal {
		return Triggered{}, fleet.Errorf(fleet.Invalid, "resealing is not retried; reseal again, which takes what is left").WithCode("not_retried")
	}
	if c.Kind == fleet.KindTry {
		return Triggered{}, fleet.Errorf(fleet.Invalid, "a trial is not retried; try the collector again").WithCode("not_retried")
	}
	if len(states) == 0 {
		states = []fleet.TaskState{fleet.TaskFailed, fleet.TaskPartial}
	}
	if len(codes) == 0 {
		codes = []fleet.Code{""}
	}
	var hosts []uuid.UUID
	for _, state := range states {
		for _, code := range codes {
			found, err := s.hostsOf(ctx, actor, id, store.TaskFilter{State: state, Code: code})
			if err != nil {
				return Triggered{}, err
			}
			hosts = append(hosts, found...)
		}
	}
	if len(hosts) == 0 {
		return Triggered{}, fleet.Errorf(fleet.Invalid, "no task of the collection ended like that").WithCode("no_hosts")
	}
	priority := c.Priority
	if priority == fleet.PriorityInteractive && len(hosts) > fleet.MaxInteractiveHosts {
		priority = fleet.PriorityNormal
	}
	return s.Trigger(ctx, actor, Request{HostIDs: hosts, ReportTypes: c.ReportTypes, Priority: priority, Deadline: c.Deadline, MaxParallel: c.MaxParallel, again: true})
}

func (s *Service) hostsOf(ctx context.Context, actor fleet.Actor, id uuid.UUID, f store.TaskFilter) ([]uuid.UUID, error) {
	var hosts []uuid.UUID
	page := fleet.Page{Limit: 1000}
	for {
		tasks, next, err := s.Store.Tasks(ctx, actor.Scope(), id, f, page)
		if err != nil {
			return nil, err
		}
		for _, t := range tasks {
			hosts = append(hosts, t.HostID)
		}
		if next == "" {
			return hosts, nil
		}
		page.After = next
	}
}

// A Wanted report is asked for by the GenerateReport call.
type Wanted struct {
	Host   uuid.UUID
	Type   string
	MaxAge time.Duration
}

// Freshen returns the newest report of the host and type if it is younger than MaxAge. Otherwise it returns the ID of
// the collection that will yield it: of an open task that it joins, queued or running for no longer than MaxAge,
// or of a new one. Any number of callers asking at once for one host and type cause one collection.
func (s *Service) Freshen(ctx context.Context, actor fleet.Actor, want Wanted) (*fleet.Report, uuid.UUID, error) {
	if err := actor.Require(fleet.Viewer); err != nil {
		return nil, uuid.Nil, err
	}
	if _, err := s.CheckTypes(ctx, []string{want.Type}); err != nil {
		return nil, uuid.Nil, err
	}
	report, err := fresh(ctx, s.Store, actor, want)
	if report != nil || err != nil {
		return report, uuid.Nil, err
	}
	if err := actor.Require(fleet.Operator); err != nil {
		return nil, uuid.Nil, err
	}
	var id uuid.UUID
	var added *fleet.Collection
	err = s.Store.InTx(ctx, func(tx *store.Store) error {
		added = nil
		if err := tx.LockHost(ctx, want.Host); err != nil {
			return err
		}
		open, err := tx.OpenTaskFor(ctx, actor.Scope(), want.Host, want.Type, want.MaxAge)
		if err != nil {
			return err
		}
		if open != nil {
			id = open.CollectionID
			return nil
		}
		// A task that ended just now is open no more, and its report is there: looked at in the other order, a task
		// that ends in between would be seen by neither.
		if report, err = fresh(ctx, tx, actor, want); report != nil || err != nil {
			return err
		}
		c, err := s.TriggerIn(ctx, tx, actor, Request{
			HostIDs: []uuid.UUID{want.Host}, ReportTypes: []string{want.Type}, Priority: fleet.PriorityInteractive,
		})
		id, added = c.ID, &c
		return err
	})
	if err != nil {
		return nil, uuid.Nil, err
	}
	if added != nil {
		s.ring(ctx, *added)
	}
	return report, id, nil
}

func fresh(ctx context.Context, s *store.Store, actor fleet.Actor, want Wanted) (*fleet.Report, error) {
	if want.MaxAge <= 0 {
		return nil, nil //nolint:nilnil // nothing is young enough
	}
	reports, err := s.LatestReports(ctx, actor.Scope(), want.Host, want.Type)
	if err != nil || len(reports) == 0 || time.Since(reports[0].CreatedAt) > want.MaxAge {
		return nil, err
	}
	return &reports[0], nil
}
