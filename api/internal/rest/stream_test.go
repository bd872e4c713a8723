package rest_test

import (
	"bufio"
	"context"
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/rollcallhq/rollcall/api/internal/rest"
	"github.com/rollcallhq/rollcall/pkg/wire"
)

func TestEventsOfACollection(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.host(t, `{"name":"web-1","address":"192.0.2.1"}`)
	c := b.collect(t, `{"selector":"*"}`)
	events := b.stream(t, "/api/v1/collections/"+c.ID.String()+"/events", "viewer")
	if e := events.event(t); e.name != "progress" || decode[wire.Collection](t, e).State != "pending" {
		t.Errorf("the first event is %+v, want progress of a pending collection", e)
	}
	if e := events.next(t); e.comment == "" || e.id != "" {
		t.Errorf("while nothing happens there is %+v, want signs of life", e)
	}
	b.work(t, c.ID, `{}`)
	e := events.event(t)
	for e.name != "end" {
		e = events.event(t)
	}
	if view := decode[wire.Collection](t, e); view.State != "succeeded" || view.Counts.Succeeded != 1 {
		t.Errorf("the end is %+v, want it succeeded", view)
	}
	for events.Scan() {
		if events.Text() != "" {
			t.Errorf("after the end there is %q", events.Text())
		}
	}
}

func TestAStreamEndsWhenTheProcessStops(t *testing.T) {
	t.Parallel()
	stopping := make(chan struct{})
	b := newBench(t, func(c *rest.Config) { c.Stopping = stopping })
	b.host(t, `{"name":"web-1","address":"192.0.2.1"}`)
	c := b.collect(t, `{"selector":"*"}`)
	collection := b.stream(t, "/api/v1/collections/"+c.ID.String()+"/events", "viewer")
	changes := b.stream(t, "/api/v1/changes/events", "viewer")
	collection.event(t)
	changes.next(t)
	close(stopping)
	for _, events := range []*eventStream{collection, changes} {
		for events.Scan() {
			if strings.HasPrefix(events.Text(), "event: end") {
				t.Error("the stream says that the collection has ended")
			}
		}
	}
}

func TestAStreamEndsWithItsTime(t *testing.T) {
	t.Parallel()
	b := newBench(t, func(c *rest.Config) { c.Timeouts.Stream = 200 * time.Millisecond })
	b.host(t, `{"name":"web-1","address":"192.0.2.1"}`)
	c := b.collect(t, `{"selector":"*"}`)
	events := b.stream(t, "/api/v1/collections/"+c.ID.String()+"/events", "viewer")
	for events.Scan() {
		if strings.HasPrefix(events.Text(), "event: end") {
			t.Error("the stream says that the collection has ended")
		}
	}
}

type eventStream struct{ *bufio.Scanner }

// A sent is one block of a stream: an event, or what makes none.
type sent struct{ id, name, data, comment string }

// stream begins to read a stream; header, which may be missing, are alternating names and values.
func (b *bench) stream(t *testing.T, path, as string, header ...string) *eventStream {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second) // what does not come must not be waited for
	t.Cleanup(cancel)
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, b.URL+path, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+b.tokens[as])
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	resp, err := b.Client().Do(req)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = resp.Body.Close() })
	if resp.StatusCode != http.StatusOK || resp.Header.Get("Content-Type") != "text/event-stream" {
		t.Fatalf("the stream answers %d %s", resp.StatusCode, resp.Header.Get("Content-Type"))
	}
	return &eventStream{bufio.NewScanner(resp.Body)}
}

// next returns the next block.
func (s *eventStream) next(t *testing.T) sent {
	t.Helper()
	var e sent
	for s.Scan() {
		field, value, _ := strings.Cut(s.Text(), ": ")
		switch field {
		case "id":
			e.id = value
		case "event":
			e.name = value
		case "data":
			e.data = value
		case "":
			if value == "" {
				return e
			}
			e.comment = value
		default:
			t.Fatalf("the stream has the line %q", s.Text())
		}
	}
	t.Fatalf("the stream ended: %v", s.Err())
	return e
}

// event returns the next event.
func (s *eventStream) event(t *testing.T) sent {
	t.Helper()
	for {
		if e := s.next(t); e.data != "" {
			return e
		}
	}
}

// decode returns the data of an event.
func decode[T any](t *testing.T, e sent) T {
	t.Helper()
	var v T
	if err := json.Unmarshal([]byte(e.data), &v); err != nil {
		t.Fatalf("the data of %s: %v", e.name, err)
	}
	return v
}
