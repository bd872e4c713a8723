package rest

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"

	"github.com/rollcallhq/rollcall/api/internal/session"
	"github.com/rollcallhq/rollcall/pkg/collection"
	"github.com/rollcallhq/rollcall/pkg/collector"
	"github.com/rollcallhq/rollcall/pkg/fleet"
	"github.com/rollcallhq/rollcall/pkg/wire"
)

const collectorsPath = "/collectors"

func (s *server) registerCollectors() {
	const tag = "collectors"
	register(s, operation{
		id: "listCollectors", method: http.MethodGet, path: collectorsPath, tag: tag, summary: "List what can be collected", role: fleet.Viewer,
		description: "The built-in collectors, then the custom ones by name.",
	}, s.listCollectors)
	register(s, operation{
		id: "createCollector", method: http.MethodPost, path: collectorsPath, tag: tag, summary: "Add a custom collector", role: fleet.Admin,
		status: http.StatusCreated, description: "Its reports are of a type of its own name. A name that was removed goes on with the next version.",
	}, s.createCollector)
	register(s, operation{
		id: "getCollector", method: http.MethodGet, path: collectorsPath + "/{name}", tag: tag, summary: "One collector", role: fleet.Viewer,
		description: "Every version of a custom collector can be read, of one that was removed, too.",
	}, s.getCollector)
	register(s, operation{
		id: "replaceCollector", method: http.MethodPut, path: collectorsPath + "/{name}", tag: tag, summary: "Give a custom collector a new definition",
		role: fleet.Admin, description: "This makes a new version; what it finds different from what the last one found is no change of the host.",
		extra: []int{http.StatusPreconditionFailed},
	}, s.replaceCollector)
	register(s, operation{
		id: "updateCollector", method: http.MethodPatch, path: collectorsPath + "/{name}", tag: tag, summary: "Change a custom collector",
		role: fleet.Admin, description: "This makes a new version, as replacing the definition does.",
	}, s.updateCollector)
	register(s, operation{
		id: "deleteCollector", method: http.MethodDelete, path: collectorsPath + "/{name}", tag: tag, summary: "Remove a custom collector",
		role: fleet.Admin, description: "Its reports stay. While schedules ask for it, it is refused.",
	}, s.deleteCollector)
	register(s, operation{
		id: "tryCollector", method: http.MethodPost, path: collectorsPath + "/{name}/try", tag: tag, summary: "Try a custom collector on a host",
		role: fleet.Admin, status: http.StatusAccepted,
		description: "Makes a collection of kind try with one task, whose result is at /collections/{id}/trial. Nothing is stored as a report.",
	}, s.tryCollector)
	register(s, operation{
		id: "getTrial", method: http.MethodGet, path: collectionsPath + "/{id}/trial", tag: tag, summary: "What came of trying a collector",
		role: fleet.Admin, description: "For a day.",
	}, s.getTrial)
}

func (s *server) listCollectors(ctx context.Context, _ *struct{}) (*body[wire.List[wire.Collector]], error) {
	list := wire.ListOf(collector.Builtin(), "", collectorView)
	custom, err := s.Store.Collectors(ctx)
	if err != nil {
		return nil, err
	}
	for _, c := range custom {
		view, err := wire.CustomCollectorView(c)
		if err != nil {
			return nil, err
		}
		list.Items = append(list.Items, view)
	}
	return answer(list), nil
}

type getCollectorInput struct {
	CollectorName
	Version int `query:"version" minimum:"1" doc:"of a custom collector; the newest without it"`
}

// CollectorName names a collector. Embedded, it has to be exported for huma to see it.
type CollectorName struct {
	Name string `path:"name" maxLength:"63"`
}

func (s *server) getCollector(ctx context.Context, in *getCollectorInput) (*versioned[wire.Collector], error) {
	if t, ok := collector.Lookup(in.Name); ok && (in.Version == 0 || in.Version == t.SchemaVersion) {
		view := collectorView(t)
		var err error
		view.Schema, err = t.Schema()
		return &versioned[wire.Collector]{ETag: etagOf(int64(t.SchemaVersion)), Body: view}, err
	}
	return collectorBody(s.Store.Collector(ctx, in.Name, in.Version))
}

// collectorView shows a built-in type without its schema; its version is that of its schema.
func collectorView(t collector.Type) wire.Collector {
	return wire.Collector{Name: t.Name, Version: t.SchemaVersion, ReportType: t.Name, SchemaVersion: t.SchemaVersion, BuiltIn: true}
}

func collectorBody(c fleet.Collector, err error) (*versioned[wire.Collector], error) {
	if err != nil {
		return nil, err
	}
	view, err := wire.CustomCollectorView(c)
	if err != nil {
		return nil, err
	}
	return &versioned[wire.Collector]{ETag: etagOf(int64(c.Version)), Body: view}, nil
}

type createCollectorInput struct{ Body wire.CollectorDefinition }

// definitionOf returns a definition as it is checked and stored.
func definitionOf(in wire.CollectorDefinition) (collector.Definition, error) {
	encoded, err := json.Marshal(in)
	if err != nil {
		return collector.Definition{}, fmt.Errorf("encoding a definition: %w", err)
	}
	return collector.ParseDefinition(encoded)
}

func (s *server) createCollector(ctx context.Context, in *createCollectorInput) (*made[wire.Collector], error) {
	d, err := definitionOf(in.Body)
	if err != nil {
		return nil, err
	}
	out, err := collectorBody(s.Collections.AddCollector(ctx, session.Actor(ctx), d))
	if err != nil {
		return nil, err
	}
	return &made[wire.Collector]{Location: prefix + collectorsPath + "/" + d.Name, ETag: out.ETag, Body: out.Body}, nil
}

type replaceCollectorInput struct {
	CollectorName
	IfMatch
	Body wire.CollectorDefinition
}

func (s *server) replaceCollector(ctx context.Context, in *replaceCollectorInput) (*versioned[wire.Collector], error) {
	before, version, err := s.customCollector(ctx, in.Name, in.IfMatch)
	if err != nil {
		return nil, err
	}
	d, err := definitionOf(in.Body)
	if err != nil {
		return nil, err
	}
	return s.changeCollector(ctx, before, version, d)
}

type updateCollectorInput struct {
	CollectorName
	IfMatch
	Body    wire.CollectorPatch
	RawBody []byte `contentType:"application/merge-patch+json"`
}

func (s *server) updateCollector(ctx context.Context, in *updateCollectorInput) (*versioned[wire.Collector], error) {
	before, version, err := s.customCollector(ctx, in.Name, in.IfMatch)
	if err != nil {
		return nil, err
	}
	changed, err := patched(json.RawMessage(before.Definition), in.RawBody)
	if err != nil {
		return nil, err
	}
	d, err := collector.ParseDefinition(changed)
	if err != nil {
		return nil, err
	}
	return s.changeCollector(ctx, before, version, d)
}

// customCollector returns the newest version of a custom collector, and the version that is to be changed.
func (s *server) customCollector(ctx context.Context, name string, match IfMatch) (fleet.Collector, int, error) {
	version, err := match.version()
	if err != nil {
		return fleet.Collector{}, 0, err
	}
	if _, ok := collector.Lookup(name); ok {
		return fleet.Collector{}, 0, fleet.Errorf(fleet.Conflict, "%s is built in", name).WithCode("built_in_collector")
	}
	before, err := s.Store.Collector(ctx, name, 0)
	if err == nil && before.RemovedAt != nil {
		err = fleet.Errorf(fleet.NotFound, "there is no such collector")
	}
	if version == 0 {
		version = int64(before.Version)
	}
	return before, int(version), err
}

// changeCollector stores a new version.
func (s *server) changeCollector(ctx context.Context, before fleet.Collector, version int, d collector.Definition) (*versioned[wire.Collector], error) {
	if d.Name != before.Name {
		return nil, fleet.InvalidField("name", "a collector keeps its name: its reports are found by it")
	}
	return collectorBody(s.Collections.UpdateCollector(ctx, session.Actor(ctx), d, version))
}

func (s *server) deleteCollector(ctx context.Context, in *CollectorName) (*none, error) {
	return &none{}, s.Collections.RemoveCollector(ctx, session.Actor(ctx), in.Name)
}

type tryInput struct {
	CollectorName
	Body wire.TryInput
}

func (s *server) tryCollector(ctx context.Context, in *tryInput) (*collected, error) {
	request := collection.TryRequest{
		Name: in.Name, HostID: in.Body.HostID, Version: orZero(in.Body.Version), Deadline: secondsOf(in.Body.DeadlineSeconds),
	}
	if in.Body.Definition != nil {
		d, err := definitionOf(*in.Body.Definition)
		if err != nil {
			return nil, err
		}
		request.Definition = &d
	}
	return collecting(s.Collections.Try(ctx, session.Actor(ctx), request))
}

func (s *server) getTrial(ctx context.Context, in *ByID) (*body[wire.Trial], error) {
	t, err := s.Collections.Trial(ctx, session.Actor(ctx), in.ID)
	if err != nil {
		return nil, err
	}
	view, err := wire.TrialView(t)
	if err != nil {
		return nil, err
	}
	return answer(view), nil
}
