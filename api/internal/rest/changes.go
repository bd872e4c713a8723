package rest

import (
	"context"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/google/uuid"

	"github.com/rollcallhq/rollcall/api/internal/session"
	"github.com/rollcallhq/rollcall/pkg/facts"
	"github.com/rollcallhq/rollcall/pkg/fleet"
	"github.com/rollcallhq/rollcall/pkg/store"
	"github.com/rollcallhq/rollcall/pkg/wire"
)

const changesPath = "/changes"

func (s *server) registerChanges() {
	lists := &huma.Schema{AnyOf: []*huma.Schema{schemaOf[wire.ChangeList](s), schemaOf[wire.List[wire.ChangeGroup]](s)}}
	register(s, operation{
		id: "listChanges", method: http.MethodGet, path: changesPath, tag: "changes", role: fleet.Viewer,
		summary: "What changed, when, on which hosts",
		description: "A feed that misses nothing and repeats nothing, oldest first: go on with next_cursor while there are items, and with position later. " +
			"Positions keep for as long as the database lives; after it was restored or has failed over they are refused with the code cursor_outdated. " +
			"With order=newest it is an ordinary list, for looking at. " +
			"With group=true each change is there once with the number of hosts that have it, the one seen last first; unless since says otherwise, of the last seven days.",
		responses: map[string]*huma.Response{"200": {
			Description: "Changes; with group=true, groups of them.", Content: map[string]*huma.MediaType{jsonType: {Schema: lists}},
		}},
		extra: []int{http.StatusConflict},
	}, s.listChanges)
	register(s, operation{
		id: "streamChanges", method: http.MethodGet, path: changesPath + "/events", tag: "changes", role: fleet.Viewer,
		timeout: s.Timeouts.Stream, summary: "Watch the feed of changes (Server-Sent Events)",
		description: "Sends each change as an event change. A stream ends after a while; who comes again with the ID of the last event misses nothing. " +
			"Without that ID and without a cursor it begins at since, or else now.",
		responses: eventsResponse("Events change, whose data is a change as in /changes and whose ID is its place in the feed; and comments as signs of life, " +
			"with an ID where the feed has moved on without a change that was asked for."),
		extra: []int{http.StatusConflict},
	}, s.streamChanges)
}

// WhichChanges is which changes are asked for. Embedded, it has to be exported for huma to see it.
type WhichChanges struct {
	Selector string    `query:"selector" doc:"of hosts that it picks, as they are now" example:"env=prod"`
	HostID   string    `query:"host_id" format:"uuid" doc:"of this host"`
	Type     string    `query:"type" doc:"of reports of this type" example:"packages"`
	Path     string    `query:"path" doc:"at or below paths that match: in a name * stands for any characters, and ** for any number of names; a name with a dot or a quote in it stands in quotes, as in JSON" example:"packages.*.version"`
	Since    time.Time `query:"since" doc:"seen then or later"`
	Until    time.Time `query:"until" doc:"seen before"`
}

func (s *server) changeFilter(ctx context.Context, in WhichChanges) (store.ChangeFilter, error) {
	filter := store.ChangeFilter{Type: in.Type, Since: in.Since, Until: in.Until}
	var err error
	if filter.Selector, err = selectorOf(in.Selector); err != nil {
		return filter, err
	}
	if filter.HostID, err = idOf("host_id", in.HostID); err != nil {
		return filter, err
	}
	if filter.Path, err = facts.ParsePattern(in.Path); err != nil {
		return filter, err
	}
	if err := s.checkType(ctx, in.Type); err != nil {
		return filter, err
	}
	return filter, checkPeriod(in.Since, in.Until)
}

type listChangesInput struct {
	WhichChanges
	Limit  int    `query:"limit" minimum:"1" maximum:"1000" default:"100"`
	Cursor string `query:"cursor" maxLength:"1024" doc:"next_cursor or position of an earlier page of the same kind; now begins at the feed's end; without it, the first page"`
	Group  bool   `query:"group" doc:"the same change on several hosts only once"`
	Order  string `query:"order" enum:"oldest,newest" doc:"by when they were seen; the default is oldest, the feed, and for groups newest"`
}

// listed is the answer of a list that comes in two kinds: a wire.ChangeList, or a wire.List of groups.
type listed struct{ Body any }

func (s *server) listChanges(ctx context.Context, in *listChangesInput) (*listed, error) {
	filter, err := s.changeFilter(ctx, in.WhichChanges)
	if err != nil {
		return nil, err
	}
	scope, page := session.Actor(ctx).Scope(), fleet.Page{Limit: in.Limit, After: in.Cursor}
	var list any
	switch {
	case in.Group && in.Order == "oldest":
		return nil, fleet.InvalidField("order", "groups come newest first")
	case in.Group:
		list, err = s.changeGroups(ctx, scope, filter, page)
	case in.Order == "newest":
		list, err = s.lastChanges(ctx, scope, filter, page)
	default:
		list, err = s.changes(ctx, scope, filter, page)
	}
	if err != nil {
		return nil, err
	}
	return &listed{Body: list}, nil
}

func (s *server) changes(ctx context.Context, scope fleet.Scope, filter store.ChangeFilter, page fleet.Page) (wire.ChangeList, error) {
	found, err := s.Store.Changes(ctx, scope, filter, page)
	next := found.Position // of a page with items also where it is the last: a follower just goes on
	if len(found.Items) == 0 {
		next = ""
	}
	list := wire.ListOf(found.Items, next, wire.ChangeView)
	return wire.ChangeList{Items: list.Items, NextCursor: list.NextCursor, Position: found.Position}, err
}

func (s *server) lastChanges(ctx context.Context, scope fleet.Scope, filter store.ChangeFilter, page fleet.Page) (wire.ChangeList, error) {
	found, next, err := s.Store.LastChanges(ctx, scope, filter, page)
	list := wire.ListOf(found, next, wire.ChangeView)
	return wire.ChangeList{Items: list.Items, NextCursor: list.NextCursor}, err
}

func (s *server) changeGroups(ctx context.Context, scope fleet.Scope, filter store.ChangeFilter, page fleet.Page) (wire.List[wire.ChangeGroup], error) {
	found, next, err := s.Store.ChangeGroups(ctx, scope, filter, page)
	return wire.ListOf(found, next, wire.ChangeGroupView), err
}

// idOf returns the ID that a parameter names; nil for the empty one.
func idOf(field, text string) (*uuid.UUID, error) {
	if text == "" {
		return nil, nil //nolint:nilnil // none was asked for
	}
	id, err := uuid.Parse(text)
	if err != nil {
		return nil, fleet.InvalidField(field, "it is no UUID")
	}
	return &id, nil
}

// checkPeriod refuses a period that ends before it begins; a zero time is no bound.
func checkPeriod(since, until time.Time) error {
	if !since.IsZero() && !until.IsZero() && until.Before(since) {
		return fleet.InvalidField("until", "it is before since")
	}
	return nil
}
