package rest

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humachi"

	"github.com/rollcallhq/rollcall/api/internal/session"
	"github.com/rollcallhq/rollcall/pkg/fleet"
	"github.com/rollcallhq/rollcall/pkg/wire"
)

const (
	eventTimeout = 10 * time.Second // for a client to take an event
	eventMisses  = 30               // looks in a row that may fail before a stream gives up
)

func (s *server) registerEvents() {
	register(s, operation{
		id: "streamCollection", method: http.MethodGet, path: collectionsPath + "/{id}/events", tag: "collections", role: fleet.Viewer,
		timeout: s.Timeouts.Stream, summary: "Watch a collection (Server-Sent Events)",
		description: "Sends the collection as an event progress at once and whenever its counts change, and as an event end when it has ended. " +
			"A stream ends after a while; a client that has not seen end comes again.",
		responses: map[string]*huma.Response{"200": {
			Description: "Events progress and end, whose data is the collection, and comments as signs of life.",
			Content:     map[string]*huma.MediaType{"text/event-stream": {Schema: &huma.Schema{Type: huma.TypeString}}},
		}},
	}, s.streamCollection)
}

func (s *server) streamCollection(ctx context.Context, in *ByID) (*huma.StreamResponse, error) {
	scope := session.Actor(ctx).Scope()
	look := func(ctx context.Context) (fleet.Collection, error) {
		ctx, cancel := context.WithTimeout(ctx, s.Timeouts.Request)
		defer cancel()
		return s.Store.Collection(ctx, scope, in.ID)
	}
	c, err := look(ctx)
	if err != nil {
		return nil, err
	}
	return &huma.StreamResponse{Body: func(hc huma.Context) { //nolint:contextcheck // hc has the context
		_, w := humachi.Unwrap(hc)
		st := &stream{w: w, rc: http.NewResponseController(w)}
		st.follow(hc.Context(), s, c, look)
	}}, nil
}

// A stream is Server-Sent Events under way.
type stream struct {
	w    http.ResponseWriter
	rc   *http.ResponseController
	last []byte // the data of the last event
}

// follow sends the collection whenever it has changed, until it has ended, the client is gone or the process stops.
func (st *stream) follow(ctx context.Context, s *server, c fleet.Collection, look func(context.Context) (fleet.Collection, error)) {
	h := st.w.Header()
	h.Set("Content-Type", "text/event-stream")
	h.Set("Cache-Control", "no-store")
	h.Set("X-Accel-Buffering", "no") // nginx would keep events back
	st.w.WriteHeader(http.StatusOK)
	poll, beat := time.NewTicker(s.Timeouts.Poll), time.NewTicker(s.Timeouts.Beat)
	defer poll.Stop()
	defer beat.Stop()
	for misses := 0; misses < eventMisses; {
		if !st.show(c) || c.State.Ended() {
			return
		}
		select {
		case <-ctx.Done():
			return
		case <-s.Stopping:
			return
		case <-beat.C:
			if !st.send(": still here\n\n") {
				return
			}
		case <-poll.C:
			newer, err := look(ctx)
			if err != nil {
				misses++
				continue
			}
			c, misses = newer, 0
		}
	}
}

// show sends the collection unless the client has seen it like that. It reports whether the client is still there.
func (st *stream) show(c fleet.Collection) bool {
	data, err := json.Marshal(wire.CollectionView(c))
	if err != nil {
		return false
	}
	name := "progress"
	if c.State.Ended() {
		name = "end"
	}
	if bytes.Equal(data, st.last) {
		return true
	}
	st.last = data
	return st.send(fmt.Sprintf("event: %s\ndata: %s\n\n", name, data))
}

func (st *stream) send(text string) bool {
	_ = st.rc.SetWriteDeadline(time.Now().Add(eventTimeout)) // a writer that has none needs none
	if _, err := st.w.Write([]byte(text)); err != nil {
		return false
	}
	return st.rc.Flush() == nil
}
