package collection

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/rollcallhq/rollcall/pkg/collector"
	"github.com/rollcallhq/rollcall/pkg/fleet"
	"github.com/rollcallhq/rollcall/pkg/store"
)

// stored returns a checked definition as it is stored: without a version, which is the row's.
func stored(actor fleet.Actor, d collector.Definition) (fleet.Collector, error) {
	c := fleet.Collector{Name: d.Name, Actor: actor.String()}
	if err := d.Check(); err != nil {
		return c, err
	}
	d.Version = 0
	var err error
	if c.Definition, err = json.Marshal(d); err != nil {
		return c, fmt.Errorf("encoding a definition: %w", err)
	}
	return c, nil
}

// mayDefine refuses whoever may not say what is run on every host that is asked for it: an admin who sees some hosts only
// would run it on the others, too.
func mayDefine(actor fleet.Actor) error {
	if err := actor.Require(fleet.Admin); err != nil {
		return err
	}
	if actor.Selector != nil {
		return fleet.Errorf(fleet.Forbidden, "collectors are for all hosts, and you may see only some").WithCode("outside_scope")
	}
	return nil
}

// AddCollector stores a custom collector on behalf of actor, an admin.
func (s *Service) AddCollector(ctx context.Context, actor fleet.Actor, d collector.Definition) (fleet.Collector, error) {
	if err := mayDefine(actor); err != nil {
		return fleet.Collector{}, err
	}
	c, err := stored(actor, d)
	if err != nil {
		return c, err
	}
	err = s.Store.InTx(ctx, func(tx *store.Store) error {
		added, err := tx.AddCollector(ctx, c)
		if err != nil {
			return err
		}
		c = added
		return auditCollector(ctx, tx, actor, "collector.create", c)
	})
	return c, err
}

// UpdateCollector stores a new version of a custom collector over the version that the actor, an admin, has read.
func (s *Service) UpdateCollector(ctx context.Context, actor fleet.Actor, d collector.Definition, version int) (fleet.Collector, error) {
	if err := mayDefine(actor); err != nil {
		return fleet.Collector{}, err
	}
	c, err := stored(actor, d)
	if err != nil {
		return c, err
	}
	c.Version = version
	err = s.Store.InTx(ctx, func(tx *store.Store) error {
		changed, err := tx.UpdateCollector(ctx, c)
		if err != nil {
			return err
		}
		c = changed
		return auditCollector(ctx, tx, actor, "collector.update", c)
	})
	return c, err
}

// RemoveCollector takes a custom collector away on behalf of actor, an admin. Its reports stay. While schedules ask for
// it, it is a Conflict.
func (s *Service) RemoveCollector(ctx context.Context, actor fleet.Actor, name string) error {
	if err := mayDefine(actor); err != nil {
		return err
	}
	if _, ok := collector.Lookup(name); ok {
		return fleet.Errorf(fleet.Conflict, "%s is built in", name).WithCode("built_in_collector")
	}
	return s.Store.InTx(ctx, func(tx *store.Store) error {
		schedules, err := tx.SchedulesNaming(ctx, name)
		if err != nil {
			return err
		}
		if len(schedules) > 0 {
			return fleet.Errorf(fleet.Conflict, "schedules ask for it: %s", strings.Join(schedules, ", ")).WithCode("collector_in_use")
		}
		if err := tx.RemoveCollector(ctx, name); err != nil {
			return err
		}
		c, err := tx.Collector(ctx, name, 0)
		if err != nil {
			return err
		}
		return auditCollector(ctx, tx, actor, "collector.delete", c)
	})
}

func auditCollector(ctx context.Context, tx *store.Store, actor fleet.Actor, action string, c fleet.Collector) error {
	return tx.Audit(ctx, actor, fleet.AuditEntry{
		Action: action, ResourceType: "collector", ResourceID: c.Name, Details: map[string]any{"version": c.Version, "systems": c.Systems},
	})
}

// builtinNames returns the names of the built-in types.
func builtinNames() []string {
	var names []string
	for _, t := range collector.Builtin() {
		names = append(names, t.Name)
	}
	return names
}

// CheckTypes is CheckReportTypes for all types that there are: the built-in ones and the custom collectors.
func (s *Service) CheckTypes(ctx context.Context, types []string) ([]string, error) {
	return checkTypes(ctx, s.Store, types)
}

func checkTypes(ctx context.Context, s *store.Store, types []string) ([]string, error) {
	known := builtinNames()
	if others := without(types, known); len(others) > 0 {
		custom, err := s.CollectorVersions(ctx, others)
		if err != nil {
			return nil, err
		}
		for name := range custom {
			known = append(known, name)
		}
		slices.Sort(known[len(known)-len(custom):])
	}
	return checkAgainst(known, types)
}

// without returns those of the names that are not among the others.
func without(names, others []string) []string {
	return slices.DeleteFunc(slices.Clone(names), func(name string) bool { return slices.Contains(others, name) })
}

// customTypes returns those of the types that are not built in.
func customTypes(types []string) []string { return without(types, builtinNames()) }

// checkCustom refuses custom collectors on hosts that a worker collects as its own machine, unless an admin asks: what an
// admin has written runs there with all that the worker may do.
func checkCustom(ctx context.Context, tx *store.Store, actor fleet.Actor, c fleet.Collection) error {
	if actor.Require(fleet.Admin) == nil || len(customTypes(c.ReportTypes)) == 0 {
		return nil
	}
	local, err := tx.AsksLocalHosts(ctx, c.ID)
	if err == nil && local {
		err = fleet.Errorf(fleet.Forbidden, "only an admin may run custom collectors on hosts with the connection local").WithCode("local_custom_collector")
	}
	return err
}

// loadType returns the type of a version of a custom collector.
func loadType(ctx context.Context, s *store.Store, name string, version int) (collector.Type, error) {
	c, err := s.Collector(ctx, name, version)
	if err != nil {
		return collector.Type{}, err
	}
	return typeOf(c.Definition, c.Version)
}

// typeOf returns the type of a stored definition.
func typeOf(definition []byte, version int) (collector.Type, error) {
	d, err := collector.ParseDefinition(definition)
	if err != nil {
		return collector.Type{}, err
	}
	d.Version = version
	return collector.Custom(d)
}

// loadTypes returns the newest versions of those of the types that are custom collectors. What there is not is left out.
func loadTypes(ctx context.Context, s *store.Store, types []string) ([]collector.Type, error) {
	names := customTypes(types)
	if len(names) == 0 {
		return nil, nil
	}
	versions, err := s.CollectorVersions(ctx, names)
	if err != nil {
		return nil, err
	}
	var out []collector.Type
	for name, version := range versions {
		t, err := loadType(ctx, s, name, version)
		if err != nil {
			return nil, err
		}
		out = append(out, t)
	}
	return out, nil
}

// A TryRequest asks what a custom collector tells of one host.
type TryRequest struct {
	Name       string
	Version    int                   // 0: the newest
	Definition *collector.Definition // tried instead of what is stored under the name, if there is anything
	HostID     uuid.UUID
	Deadline   time.Duration // default: a minute longer than the script may take
}

// trialKept is how long the result of a trial can be read.
const trialKept = 24 * time.Hour

// Try runs one custom collector on one host on behalf of actor, an admin. What it tells is not stored as a report: Trial
// returns it, for a day.
func (s *Service) Try(ctx context.Context, actor fleet.Actor, r TryRequest) (Triggered, error) {
	if err := actor.Require(fleet.Admin); err != nil {
		return Triggered{}, err
	}
	trial, timeout, err := s.trialOf(ctx, actor, r)
	if err != nil {
		return Triggered{}, err
	}
	request := Request{HostIDs: []uuid.UUID{r.HostID}, Priority: fleet.PriorityInteractive, Deadline: r.Deadline, Expires: time.Hour}
	if request.Deadline == 0 {
		request.Deadline = timeout + time.Minute
	}
	request, _, err = request.checked()
	if err != nil {
		return Triggered{}, err
	}
	request.ReportTypes = []string{trial.Name}
	var c fleet.Collection
	err = s.Store.InTx(ctx, func(tx *store.Store) error {
		asked := request.collection(ctx, actor)
		asked.Kind = fleet.KindTry
		if c, err = tx.AddCollection(ctx, actor.Scope(), asked, nil); err != nil {
			return err
		}
		if err := s.checkHosts(ctx, tx, actor, request, c); err != nil {
			return err
		}
		trial.CollectionID = c.ID
		if err := tx.AddTrial(ctx, trial); err != nil {
			return err
		}
		return tx.Audit(ctx, actor, fleet.AuditEntry{
			Action: "collector.try", ResourceType: "collector", ResourceID: trial.Name,
			Details: map[string]any{"version": trial.Version, "host_id": r.HostID, "collection_id": c.ID},
		})
	})
	if err != nil {
		return Triggered{}, err
	}
	return Triggered{Collection: c, Delayed: !s.ring(ctx, c)}, nil
}

// trialOf returns what a request tries, and for how long its script may run.
func (s *Service) trialOf(ctx context.Context, actor fleet.Actor, r TryRequest) (fleet.Trial, time.Duration, error) {
	trial := fleet.Trial{Name: r.Name, ExpiresAt: time.Now().Add(trialKept)}
	if _, ok := collector.Lookup(r.Name); ok {
		return trial, 0, fleet.Errorf(fleet.Conflict, "%s is built in; collect it", r.Name).WithCode("built_in_collector")
	}
	var d collector.Definition
	if r.Definition != nil {
		c, err := stored(actor, *r.Definition)
		if err == nil && c.Name != r.Name {
			err = fleet.InvalidField("definition.name", "is not the name of the collector that is tried")
		}
		trial.Definition = c.Definition
		return trial, r.Definition.Timeout(), err
	}
	c, err := s.Store.Collector(ctx, r.Name, r.Version)
	if err == nil && c.RemovedAt != nil {
		err = fleet.Errorf(fleet.NotFound, "there is no such collector")
	}
	if err == nil {
		d, err = collector.ParseDefinition(c.Definition)
	}
	trial.Version, trial.Definition = c.Version, c.Definition
	return trial, d.Timeout(), err
}

// Trial returns what came of a trial, to an admin who may see its host. Its Result is nil until the host has answered.
func (s *Service) Trial(ctx context.Context, actor fleet.Actor, collection uuid.UUID) (fleet.Trial, error) {
	if err := actor.Require(fleet.Admin); err != nil {
		return fleet.Trial{}, err
	}
	return s.Store.Trial(ctx, actor.Scope(), collection)
}
