package rest

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humachi"

	"github.com/rollcallhq/rollcall/pkg/fleet"
)

const (
	eventTimeout = 10 * time.Second // for a client to take an event
	eventMisses  = 30               // looks in a row that may fail before a stream gives up
)

// A watched thing is what a stream shows.
type watched interface {
	// look reads what there is now. A look that fails does not change what was shown.
	look(ctx context.Context) error
	// show returns what is new to the client since it was last called, and what comes then.
	show() ([]event, next, error)
	// position returns the ID that a client comes back with when it has seen all that was shown; empty if it needs none.
	position() string
}

// next is what a stream does when it has shown something.
type next int

const (
	nextWait next = iota // for the time of the next look
	nextLook             // at once: there is more
	nextEnd
)

// An event is one of Server-Sent Events.
type event struct {
	id   string // empty: none
	name string
	data []byte // JSON in one line
}

// String returns the event as it is sent.
func (e event) String() string {
	id := ""
	if e.id != "" {
		id = "id: " + e.id + "\n"
	}
	return fmt.Sprintf("%sevent: %s\ndata: %s\n\n", id, e.name, e.data)
}

// eventsResponse describes a stream.
func eventsResponse(description string) map[string]*huma.Response {
	return map[string]*huma.Response{"200": {
		Description: description,
		Content:     map[string]*huma.MediaType{"text/event-stream": {Schema: &huma.Schema{Type: huma.TypeString}}},
	}}
}

// stream answers with a stream of what is watched, until that ends, the client is gone or the process stops. If the
// first look fails, its error is the answer.
func (s *server) stream(ctx context.Context, watched watched) (*huma.StreamResponse, error) {
	if err := s.look(ctx, watched); err != nil {
		return nil, err
	}
	return &huma.StreamResponse{Body: func(hc huma.Context) { //nolint:contextcheck // hc has the context
		_, w := humachi.Unwrap(hc)
		h := w.Header()
		h.Set("Content-Type", "text/event-stream")
		h.Set("Cache-Control", "no-store")
		h.Set("X-Accel-Buffering", "no") // nginx would keep events back
		w.WriteHeader(http.StatusOK)
		s.follow(hc.Context(), &streamWriter{w: w, rc: http.NewResponseController(w)}, watched)
	}}, nil
}

func (s *server) look(ctx context.Context, watched watched) error {
	ctx, cancel := context.WithTimeout(ctx, s.Timeouts.Request)
	defer cancel()
	return watched.look(ctx)
}

func (s *server) follow(ctx context.Context, out *streamWriter, watched watched) {
	poll, beat := time.NewTicker(s.Timeouts.Poll), time.NewTicker(s.Timeouts.Beat)
	defer poll.Stop()
	defer beat.Stop()
	atOnce := make(chan time.Time)
	close(atOnce)
	for misses, spoken := 0, false; misses < eventMisses; spoken = true {
		events, then, err := watched.show()
		if err != nil || !out.events(events) || then == nextEnd {
			return
		}
		// A client learns at once that nothing on the way holds events back, and where it is.
		if !spoken && len(events) == 0 && !out.beat(watched.position()) {
			return
		}
		tick := poll.C
		if then == nextLook {
			tick = atOnce
		}
		select {
		case <-ctx.Done():
			return
		case <-s.Stopping:
			return
		case <-beat.C:
			if !out.beat(watched.position()) {
				return
			}
		case <-tick:
			if err := s.look(ctx, watched); err == nil {
				misses = 0
			} else if misses++; isFinal(err) {
				return
			}
		}
	}
}

// isFinal reports whether looking again cannot help: the client has to come anew, and learns why.
func isFinal(err error) bool {
	kind := fleet.KindOf(err)
	return kind != fleet.Internal && kind != fleet.Unavailable
}

// A streamWriter sends Server-Sent Events. Its methods report whether the client is still there.
type streamWriter struct {
	w  http.ResponseWriter
	rc *http.ResponseController
}

func (out *streamWriter) events(events []event) bool {
	for _, e := range events {
		if !out.write(e.String()) {
			return false
		}
	}
	return len(events) == 0 || out.rc.Flush() == nil
}

// beat sends a sign of life. An ID without data makes no event, but is what the client comes back with.
func (out *streamWriter) beat(position string) bool {
	text := ": still here\n"
	if position != "" {
		text += "id: " + position + "\n"
	}
	return out.write(text+"\n") && out.rc.Flush() == nil
}

func (out *streamWriter) write(text string) bool {
	_ = out.rc.SetWriteDeadline(time.Now().Add(eventTimeout)) // a writer that has none needs none
	_, err := strings.NewReader(text).WriteTo(out.w)
	return err == nil
}
