package rest

import (
	"context"
	"net/http"

	"github.com/rollcallhq/rollcall/pkg/collector"
	"github.com/rollcallhq/rollcall/pkg/fleet"
	"github.com/rollcallhq/rollcall/pkg/wire"
)

const collectorsPath = "/collectors"

func (s *server) registerCollectors() {
	register(s, operation{
		id: "listCollectors", method: http.MethodGet, path: collectorsPath, tag: "collectors", summary: "List what can be collected", role: fleet.Viewer,
	}, s.listCollectors)
	register(s, operation{
		id: "getCollector", method: http.MethodGet, path: collectorsPath + "/{name}", tag: "collectors", summary: "One collector", role: fleet.Viewer,
	}, s.getCollector)
}

func (s *server) listCollectors(context.Context, *struct{}) (*body[wire.List[wire.Collector]], error) {
	return answer(wire.ListOf(collector.Builtin(), "", collectorView)), nil
}

type collectorInput struct {
	Name string `path:"name" maxLength:"63"`
}

func (s *server) getCollector(_ context.Context, in *collectorInput) (*body[wire.Collector], error) {
	t, ok := collector.Lookup(in.Name)
	if !ok {
		return nil, fleet.Errorf(fleet.NotFound, "there is no such collector")
	}
	view := collectorView(t)
	var err error
	if view.Schema, err = t.Schema(); err != nil {
		return nil, err
	}
	return answer(view), nil
}

// collectorView shows a built-in type without its schema; its version is that of its schema.
func collectorView(t collector.Type) wire.Collector {
	return wire.Collector{Name: t.Name, Version: t.SchemaVersion, ReportType: t.Name, SchemaVersion: t.SchemaVersion, BuiltIn: true}
}
