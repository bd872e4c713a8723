package rest

import (
	"context"
	"encoding/json"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/rollcallhq/rollcall/api/internal/session"
	"github.com/rollcallhq/rollcall/pkg/fleet"
	"github.com/rollcallhq/rollcall/pkg/store"
	"github.com/rollcallhq/rollcall/pkg/wire"
)

const freshnessPath = "/freshness"

func (s *server) registerFreshness() {
	register(s, operation{
		id: "listFreshness", method: http.MethodGet, path: freshnessPath, tag: "freshness", role: fleet.Viewer,
		summary: "Which hosts became fresh, stale or failing, and when",
		description: "A feed like /changes, oldest first, that misses nothing and repeats nothing: go on with next_cursor while there are items, and with position later. " +
			"A task that ends is in it at once; a report that grows too old, within half a minute. It goes back 90 days. " +
			"After the database was restored or has failed over positions are refused with the code cursor_outdated.",
		extra: []int{http.StatusConflict},
	}, s.listFreshness)
	register(s, operation{
		id: "streamFreshness", method: http.MethodGet, path: freshnessPath + "/events", tag: "freshness", role: fleet.Viewer,
		timeout: s.Timeouts.Stream, summary: "Watch which hosts become fresh, stale or failing (Server-Sent Events)",
		description: "Sends each as an event freshness. A stream ends after a while; who comes again with the ID of the last event misses nothing. " +
			"Without that ID and without a cursor it begins at since, or else now.",
		responses: eventsResponse("Events freshness, whose data is an item as in /freshness and whose ID is its place in the feed; and comments as signs of life, " +
			"with an ID where the feed has moved on without an item that was asked for."),
		extra: []int{http.StatusConflict},
	}, s.streamFreshness)
}

// WhichFreshness is what of the feed is asked for. Embedded, it has to be exported for huma to see it.
type WhichFreshness struct {
	Selector string    `query:"selector" maxLength:"4096" doc:"of hosts that it picks, as they are now" example:"env=prod"`
	HostID   string    `query:"host_id" format:"uuid" doc:"of this host"`
	Status   string    `query:"status" enum:"fresh,stale,failing,never,disabled" doc:"what became so"`
	Since    time.Time `query:"since" doc:"seen then or later"`
}

func (in WhichFreshness) filter() (store.FreshnessFilter, error) {
	filter := store.FreshnessFilter{After: fleet.Freshness(in.Status), Since: in.Since}
	var err error
	if filter.Selector, err = selectorOf(in.Selector); err != nil {
		return filter, err
	}
	filter.HostID, err = idOf("host_id", in.HostID)
	return filter, err
}

type listFreshnessInput struct {
	WhichFreshness
	Limit  int    `query:"limit" minimum:"1" maximum:"1000" default:"100"`
	Cursor string `query:"cursor" maxLength:"1024" doc:"next_cursor or position of an earlier page; now begins at the feed's end; without it, the first page"`
}

func (s *server) listFreshness(ctx context.Context, in *listFreshnessInput) (*body[wire.FreshnessList], error) {
	filter, err := in.filter()
	if err != nil {
		return nil, err
	}
	found, err := s.Store.FreshnessChanges(ctx, session.Actor(ctx).Scope(), filter, fleet.Page{Limit: in.Limit, After: in.Cursor})
	if err != nil {
		return nil, err
	}
	next := found.Position // of a page with items also where it is the last: a follower just goes on
	if len(found.Items) == 0 {
		next = ""
	}
	list := wire.ListOf(found.Items, next, wire.FreshnessChangeView)
	return answer(wire.FreshnessList{Items: list.Items, NextCursor: list.NextCursor, Position: found.Position}), nil
}

type streamFreshnessInput struct {
	WhichFreshness
	Cursor      string `query:"cursor" maxLength:"1024" doc:"position or next_cursor of a page of /freshness, to begin after it"`
	LastEventID string `header:"Last-Event-ID" maxLength:"1024" doc:"of an earlier stream, to go on after it; it wins over cursor"`
}

func (s *server) streamFreshness(ctx context.Context, in *streamFreshnessInput) (*huma.StreamResponse, error) {
	filter, err := in.filter()
	if err != nil {
		return nil, err
	}
	scope := session.Actor(ctx).Scope()
	return s.streamFeed(ctx, in.LastEventID, in.Cursor, in.Since, func(ctx context.Context, page fleet.Page) (feedPage, error) {
		found, err := s.Store.FreshnessChanges(ctx, scope, filter, page)
		if err != nil {
			return feedPage{}, err
		}
		out := feedPage{position: found.Position, more: found.More}
		for _, c := range found.Items {
			data, err := json.Marshal(wire.FreshnessChangeView(c))
			if err != nil {
				return out, err
			}
			out.events = append(out.events, event{id: c.Cursor, name: "freshness", data: data})
		}
		return out, nil
	})
}
