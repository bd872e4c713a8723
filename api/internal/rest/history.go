package rest

import (
	"context"
	"net/http"
	"time"

	"github.com/rollcallhq/rollcall/api/internal/session"
	"github.com/rollcallhq/rollcall/pkg/facts"
	"github.com/rollcallhq/rollcall/pkg/fleet"
	"github.com/rollcallhq/rollcall/pkg/wire"
)

func (s *server) registerHistory() {
	register(s, operation{
		id: "getHistory", method: http.MethodGet, path: hostsPath + "/{id}/history", tag: "reports", role: fleet.Viewer,
		summary: "The values that one fact of a host has had, newest first",
		description: "Each item is a time in which the value stayed the same; those that overlap the time asked for are shown whole. " +
			"It reaches back as far as the facts are kept, beyond the retention of reports.",
		responses: unchangedResponse(),
	}, s.getHistory)
}

type historyInput struct {
	ByID
	Paged
	IfNoneMatch
	Type  string    `query:"type" required:"true" example:"os"`
	Path  string    `query:"path" required:"true" doc:"of one fact; a name other than [A-Za-z_][A-Za-z0-9_]* may, and one with a dot, a quote or * in it must stand in quotes, as in JSON" example:"kernel.release"`
	Since time.Time `query:"since" doc:"that held then or later"`
	Until time.Time `query:"until" doc:"that held before"`
}

func (s *server) getHistory(ctx context.Context, in *historyInput) (*tagged[wire.List[wire.PathPeriod]], error) {
	path, err := facts.ParsePath(in.Path)
	if err != nil {
		return nil, err
	}
	if err := s.checkType(ctx, in.Type); err != nil {
		return nil, err
	}
	if err := checkPeriod(in.Since, in.Until); err != nil {
		return nil, err
	}
	scope := session.Actor(ctx).Scope()
	if _, err := s.Store.Host(ctx, scope, in.ID); err != nil {
		return nil, err
	}
	periods, next, err := s.Store.PathHistory(ctx, scope, in.ID, in.Type, path, in.Since, in.Until, in.page())
	if err != nil {
		return nil, err
	}
	return tag(in.IfNoneMatch, wire.ListOf(periods, next, wire.PathPeriodView))
}
