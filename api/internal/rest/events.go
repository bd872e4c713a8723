package rest

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"github.com/rollcallhq/rollcall/api/internal/session"
	"github.com/rollcallhq/rollcall/pkg/fleet"
	"github.com/rollcallhq/rollcall/pkg/wire"
)

func (s *server) registerEvents() {
	register(s, operation{
		id: "streamCollection", method: http.MethodGet, path: collectionsPath + "/{id}/events", tag: "collections", role: fleet.Viewer,
		timeout: s.Timeouts.Stream, summary: "Watch a collection (Server-Sent Events)",
		description: "Sends the collection as an event progress at once and whenever its counts change, and as an event end when it has ended. " +
			"A stream ends after a while; a client that has not seen end comes again.",
		responses: eventsResponse("Events progress and end, whose data is the collection, and comments as signs of life."),
	}, s.streamCollection)
}

func (s *server) streamCollection(ctx context.Context, in *ByID) (*huma.StreamResponse, error) {
	scope := session.Actor(ctx).Scope()
	return s.stream(ctx, &watchedCollection{read: func(ctx context.Context) (fleet.Collection, error) {
		return s.Store.Collection(ctx, scope, in.ID)
	}})
}

// A watchedCollection shows how far a collection is.
type watchedCollection struct {
	read func(context.Context) (fleet.Collection, error)
	now  fleet.Collection
	last []byte // the data of the last event
}

func (c *watchedCollection) look(ctx context.Context) error {
	now, err := c.read(ctx)
	if err == nil {
		c.now = now
	}
	return err
}

// show shows the collection unless the client has seen it like that.
func (c *watchedCollection) show() ([]event, next, error) {
	data, err := json.Marshal(wire.CollectionView(c.now))
	if err != nil {
		return nil, nextEnd, err
	}
	name, then := "progress", nextWait
	if c.now.State.Ended() {
		name, then = "end", nextEnd
	}
	if bytes.Equal(data, c.last) {
		return nil, then, nil
	}
	c.last = data
	return []event{{name: name, data: data}}, then, nil
}

// position is none: who comes again is shown the collection as it is.
func (c *watchedCollection) position() string { return "" }
