package client_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/rollcallhq/rollcall/pkg/client"
	"github.com/rollcallhq/rollcall/pkg/wire"
)

func counted(state string, succeeded int) wire.Collection {
	return wire.Collection{State: state, Counts: wire.Counts{Total: 3, Succeeded: succeeded}}
}

// stream answers with events.
func stream(w http.ResponseWriter, events ...string) {
	w.Header().Set("Content-Type", "text/event-stream")
	for _, e := range events {
		_, _ = w.Write([]byte(e))
		_ = http.NewResponseController(w).Flush()
	}
}

func sse(name string, c wire.Collection) string {
	text, err := json.Marshal(c)
	if err != nil {
		panic(err)
	}
	return fmt.Sprintf("event: %s\ndata: %s\n\n", name, text)
}

func TestWatch(t *testing.T) {
	t.Parallel()
	running, more, ended := counted("running", 0), counted("running", 2), counted("succeeded", 3)
	polled := func(w http.ResponseWriter, n int) {
		sendJSON(w, http.StatusOK, []wire.Collection{running, running, more, ended}[min(n, 3)])
	}
	for _, test := range []struct {
		name   string
		events func(w http.ResponseWriter, r *http.Request, n int) // n counts requests for events
		poll   func(w http.ResponseWriter, n int)                  // nil: must not happen
		want   []int                                               // succeeded hosts of what is shown
		fails  bool
	}{
		{name: "events are followed to the end", want: []int{0, 2, 3}, events: func(w http.ResponseWriter, _ *http.Request, _ int) {
			stream(w, ": hello\n\n", sse("progress", running), sse("progress", more), sse("end", ended))
		}},
		{name: "a stream that breaks off is taken up again, and nothing is shown twice", want: []int{0, 2, 3}, events: func(w http.ResponseWriter, _ *http.Request, n int) {
			if n == 0 {
				stream(w, sse("progress", running), "event: progress\nda")
				hangUp(w)
				return
			}
			stream(w, sse("progress", running), sse("progress", more), sse("end", ended))
		}},
		{name: "events of a later release are passed over", want: []int{3}, events: func(w http.ResponseWriter, _ *http.Request, _ int) {
			stream(w, "event: weather\ndata: sunny\n\n", sse("end", ended))
		}},
		{name: "a proxy that answers something else makes us poll", want: []int{0, 2, 3}, poll: polled, events: func(w http.ResponseWriter, _ *http.Request, _ int) {
			w.Header().Set("Content-Type", "text/html")
			w.WriteHeader(http.StatusNotAcceptable)
		}},
		{name: "a proxy that holds events back makes us poll", want: []int{0, 2, 3}, poll: polled, events: func(w http.ResponseWriter, r *http.Request, _ int) {
			w.Header().Set("Content-Type", "text/event-stream")
			_ = http.NewResponseController(w).Flush()
			<-r.Context().Done()
		}},
		{name: "an empty stream makes us poll", want: []int{0, 2, 3}, poll: polled, events: func(w http.ResponseWriter, _ *http.Request, _ int) { stream(w) }},
		{name: "data that is no collection makes us poll", want: []int{0, 2, 3}, poll: polled, events: func(w http.ResponseWriter, _ *http.Request, _ int) {
			stream(w, "event: progress\ndata: [1\n\n")
		}},
		{name: "a stream that falls silent is taken up again", want: []int{0, 3}, events: func(w http.ResponseWriter, r *http.Request, n int) {
			if n == 0 {
				stream(w, sse("progress", running))
				<-r.Context().Done()
				return
			}
			stream(w, sse("end", ended))
		}},
		{name: "lost connections make us poll in the end", want: []int{0, 2, 3}, poll: polled, events: func(w http.ResponseWriter, _ *http.Request, _ int) { hangUp(w) }},
		{
			name: "a collection that does not exist is an error", fails: true,
			events: func(w http.ResponseWriter, _ *http.Request, _ int) { problem(w, http.StatusNotFound, "not_found") },
			poll:   func(w http.ResponseWriter, _ int) { problem(w, http.StatusNotFound, "not_found") },
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			streams, polls := 0, 0 // the client asks one thing at a time
			f := newFake(t, func(w http.ResponseWriter, r *http.Request, _ int) {
				switch {
				case strings.HasSuffix(r.URL.Path, "/events"):
					streams++
					test.events(w, r, streams-1)
				case test.poll == nil:
					t.Errorf("the collection was polled")
					problem(w, http.StatusInternalServerError, "internal")
				default:
					polls++
					test.poll(w, polls-1)
				}
			})
			c := f.client(t, client.WithSilence(100*time.Millisecond, 300*time.Millisecond))
			var got []int
			var failed error
			for now, err := range c.Watch(t.Context(), uuid.New()) {
				if err != nil {
					failed = err
					break
				}
				got = append(got, now.Counts.Succeeded)
			}
			if (failed != nil) != test.fails || !slices.Equal(got, test.want) {
				t.Errorf("got %v, %v; want %v, an error: %v", got, failed, test.want, test.fails)
			}
		})
	}
}

func TestWatchEndsWithItsContext(t *testing.T) {
	t.Parallel()
	f := newFake(t, func(w http.ResponseWriter, r *http.Request, _ int) {
		stream(w, sse("progress", counted("running", 1)))
		<-r.Context().Done()
	})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var failed error
	for _, err := range f.client(t).Watch(ctx, uuid.New()) {
		cancel()
		failed = err
	}
	if !errors.Is(failed, context.Canceled) {
		t.Errorf("got %v; want context.Canceled", failed)
	}
}

func TestWatchCanBeLeft(t *testing.T) {
	t.Parallel()
	f := newFake(t, func(w http.ResponseWriter, r *http.Request, _ int) {
		stream(w, sse("progress", counted("running", 1)), sse("progress", counted("running", 2)))
		<-r.Context().Done()
	})
	n := 0
	for _, err := range f.client(t).Watch(t.Context(), uuid.New()) {
		if err != nil {
			t.Fatal(err)
		}
		n++
		break
	}
	if n != 1 || len(f.requests()) != 1 {
		t.Errorf("got %d states after %d requests; want one of each", n, len(f.requests()))
	}
}
