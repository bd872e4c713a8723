package rest

import (
	"context"
	"net/http"

	"github.com/rollcallhq/rollcall/api/internal/session"
	"github.com/rollcallhq/rollcall/pkg/collection"
	"github.com/rollcallhq/rollcall/pkg/fleet"
	"github.com/rollcallhq/rollcall/pkg/wire"
)

func (s *server) registerSites() {
	register(s, operation{
		id: "listSites", method: http.MethodGet, path: "/sites", tag: "sites", summary: "List sites, by name", role: fleet.Viewer,
		description: "All of them: those that have a host, a task or a worker. Whoever may see some hosts only sees the sites of those, and theirs are counted.",
	}, s.listSites)
	register(s, operation{
		id: "listWorkers", method: http.MethodGet, path: "/workers", tag: "sites", summary: "List the workers that are alive, the newest first", role: fleet.Viewer,
	}, s.listWorkers)
}

func (s *server) listSites(ctx context.Context, _ *struct{}) (*body[wire.List[wire.Site]], error) {
	sites, err := s.Store.Sites(ctx, session.Actor(ctx).Scope(), collection.Silence)
	if err != nil {
		return nil, err
	}
	return answer(wire.ListOf(sites, "", wire.SiteView)), nil
}

func (s *server) listWorkers(ctx context.Context, _ *struct{}) (*body[wire.List[wire.Worker]], error) {
	workers, err := s.Store.WorkersFor(ctx, session.Actor(ctx).Scope(), collection.Silence)
	if err != nil {
		return nil, err
	}
	return answer(wire.ListOf(workers, "", wire.WorkerView)), nil
}
