package client_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rollcallhq/rollcall/pkg/client"
)

// event returns the change of a number as an event.
func event(n int) string {
	text, err := json.Marshal(numbered(n))
	if err != nil {
		panic(err)
	}
	return fmt.Sprintf("id: at-%d\nevent: change\ndata: %s\n\n", n+1, text)
}

// events sends changes as they come: so many, and then the stream ends. It waits for those that are not there yet.
func (f *feed) events(w http.ResponseWriter, r *http.Request, most int) {
	stream(w, ": hello\n\n")
	for n := f.place(r); most > 0; n, most = n+1, most-1 {
		for {
			total, more := f.size()
			if n < total {
				break
			}
			select {
			case <-more:
			case <-r.Context().Done():
				return
			}
		}
		stream(w, event(n))
	}
}

// follow reads changes until there are so many, and returns their numbers.
func follow(t *testing.T, c *client.Client, q client.ChangeQuery, at *string, until int, seen func(n int)) ([]string, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	var got []string
	for change, err := range c.FollowChanges(ctx, q, at, nil) {
		if err != nil {
			return got, err
		}
		got = append(got, change.Path)
		if seen != nil {
			seen(len(got))
		}
		if len(got) == until {
			break
		}
	}
	return got, nil
}

func TestFollowChanges(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name   string
		q      client.ChangeQuery
		at     string
		want   []string // of the ten that there are, and five that come when the first is asked for
		events func(f *feed, w http.ResponseWriter, r *http.Request, n int)
	}{
		{name: "from the beginning", at: "", want: counting(0, 15), events: func(f *feed, w http.ResponseWriter, r *http.Request, _ int) { f.events(w, r, 100) }},
		{name: "from now on", at: client.Now, want: counting(10, 15), events: func(f *feed, w http.ResponseWriter, r *http.Request, _ int) { f.events(w, r, 100) }},
		{name: "since some time", q: client.ChangeQuery{Since: time.Unix(1, 0)}, want: counting(0, 15), events: func(f *feed, w http.ResponseWriter, r *http.Request, _ int) { f.events(w, r, 100) }},
		{name: "from a place", at: "at-4", want: counting(4, 15), events: func(f *feed, w http.ResponseWriter, r *http.Request, _ int) { f.events(w, r, 100) }},
		{name: "a stream that ends is taken up again", at: "at-9", want: counting(9, 15), events: func(f *feed, w http.ResponseWriter, r *http.Request, _ int) { f.events(w, r, 2) }},
		{name: "a stream that ends before its first event is, too", at: client.Now, want: counting(10, 15), events: func(f *feed, w http.ResponseWriter, r *http.Request, n int) { f.events(w, r, min(n, 3)) }},
		{name: "an event that breaks off is sent again", at: client.Now, want: counting(10, 15), events: func(f *feed, w http.ResponseWriter, r *http.Request, n int) {
			if n == 0 {
				f.events(w, r, 1)
				stream(w, event(11)[:20])
				hangUp(w)
				return
			}
			f.events(w, r, 100)
		}},
		{name: "an ID alone moves on", at: client.Now, want: counting(13, 15), events: func(f *feed, w http.ResponseWriter, r *http.Request, n int) {
			if n == 0 {
				stream(w, ": hello\n\n", "id: at-13\n\n")
				return
			}
			f.events(w, r, 100)
		}},
		{name: "events of a later release are passed over", at: client.Now, want: counting(10, 15), events: func(f *feed, w http.ResponseWriter, r *http.Request, _ int) {
			stream(w, "event: weather\ndata: sunny\n\n")
			f.events(w, r, 100)
		}},
		{name: "data that is no change makes us poll", at: client.Now, want: counting(10, 15), events: func(_ *feed, w http.ResponseWriter, _ *http.Request, _ int) {
			stream(w, "id: at-99\nevent: change\ndata: [1\n\n")
		}},
		{name: "a change without its place makes us poll", at: client.Now, want: counting(10, 15), events: func(_ *feed, w http.ResponseWriter, _ *http.Request, _ int) {
			stream(w, "event: change\ndata: {}\n\n")
		}},
		{name: "a proxy that holds events back makes us poll", at: client.Now, want: counting(10, 15), events: func(_ *feed, w http.ResponseWriter, r *http.Request, _ int) {
			w.Header().Set("Content-Type", "text/event-stream")
			_ = http.NewResponseController(w).Flush()
			<-r.Context().Done()
		}},
		{name: "a proxy that answers in the server's place makes us poll", at: client.Now, want: counting(10, 15), events: func(_ *feed, w http.ResponseWriter, _ *http.Request, _ int) {
			w.WriteHeader(http.StatusNotFound)
		}},
		{name: "a stream that falls silent is taken up again", at: client.Now, want: counting(10, 15), events: func(f *feed, w http.ResponseWriter, r *http.Request, n int) {
			f.events(w, r, 2)
			if n == 0 {
				<-r.Context().Done()
			}
		}},
		{name: "connections that are lost make us poll", at: client.Now, want: counting(10, 15), events: func(_ *feed, w http.ResponseWriter, _ *http.Request, _ int) { hangUp(w) }},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			changes, streams := newFeed(10), 0 // the client asks one thing at a time
			f := newFake(t, func(w http.ResponseWriter, r *http.Request, _ int) {
				if !strings.HasSuffix(r.URL.Path, "/events") {
					changes.page(w, r, 3)
					return
				}
				if streams++; streams == 1 {
					changes.grow(5)
				}
				test.events(changes, w, r, streams-1)
			})
			at := test.at
			c := f.client(t, client.WithSilence(100*time.Millisecond, 300*time.Millisecond))
			got, err := follow(t, c, test.q, &at, len(test.want), nil)
			if err != nil || !slices.Equal(got, test.want) {
				t.Errorf("got %v, %v; want %v", got, err, test.want)
			}
		})
	}
}

// TestFollowChangesMissesNothing lets everything go wrong that can.
func TestFollowChangesMissesNothing(t *testing.T) {
	t.Parallel()
	const total = 300
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	changes := newFeed(0)
	f := newFake(t, func(w http.ResponseWriter, r *http.Request, n int) {
		// The client asks one thing at a time, but one that is silent may still be in here as it asks the next.
		changes.mu.Lock()
		fate, most := random.IntN(10), random.IntN(7)
		changes.mu.Unlock()
		pages := !strings.HasSuffix(r.URL.Path, "/events")
		switch {
		case n == 0: // the first answer has to be one
			changes.page(w, r, 1+most)
		case fate == 0:
			hangUp(w)
		case fate == 1:
			http.Error(w, "bad gateway", http.StatusBadGateway)
		case fate == 2:
			http.Error(w, "404 page not found", http.StatusNotFound)
		case fate == 3:
			problem(w, http.StatusServiceUnavailable, "unavailable")
		case pages:
			changes.page(w, r, 1+most)
		case fate == 4:
			w.Header().Set("Content-Type", "text/event-stream") // and not a word
		case fate == 5:
			stream(w, ": hello\n\n")
			<-r.Context().Done()
		default:
			changes.events(w, r, most)
			if fate > 7 {
				hangUp(w)
			}
		}
	})
	c := f.client(t, client.WithSilence(20*time.Millisecond, 50*time.Millisecond), client.WithStreamAgain(5*time.Millisecond))
	changes.grow(1)
	at := ""
	got, err := follow(t, c, client.ChangeQuery{}, &at, total, func(n int) {
		if size, _ := changes.size(); n == size && n < total {
			changes.grow(min(1+n%9, total-n))
		}
	})
	if err != nil || !slices.Equal(got, counting(0, total)) {
		t.Errorf("got %d changes, %v; want 0 to %d, each once and in order: %v", len(got), err, total-1, got)
	}
}

func TestAFollowerIsToldOfAServerThatIsAway(t *testing.T) {
	t.Parallel()
	changes := newFeed(1)
	f := newFake(t, func(w http.ResponseWriter, r *http.Request, n int) {
		switch {
		case n == 0:
			changes.page(w, r, 1)
		case n < 12:
			hangUp(w)
		case strings.HasSuffix(r.URL.Path, "/events"):
			changes.events(w, r, 1)
		default:
			changes.grow(1)
			changes.page(w, r, 1)
		}
	})
	var told []error
	at := client.Now
	for _, err := range f.client(t).FollowChanges(t.Context(), client.ChangeQuery{}, &at, func(err error) { told = append(told, err) }) {
		if err != nil {
			t.Fatal(err)
		}
		break
	}
	if len(told) != 1 {
		t.Fatalf("told %d times, %v; want once", len(told), told)
	}
	if e, ok := errors.AsType[*client.TransportError](told[0]); !ok {
		t.Errorf("told %v; want that the server does not answer", e)
	}
}

func TestFollowingEndsWithItsContext(t *testing.T) {
	t.Parallel()
	changes := newFeed(2)
	f := newFake(t, func(w http.ResponseWriter, r *http.Request, _ int) {
		if strings.HasSuffix(r.URL.Path, "/events") {
			changes.events(w, r, 10)
			return
		}
		changes.page(w, r, 1)
	})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	at, n := "at-0", 0
	var failed error
	for _, err := range f.client(t).FollowChanges(ctx, client.ChangeQuery{}, &at, nil) {
		if err != nil {
			failed = err
			break
		}
		if n++; n == 2 {
			cancel()
		}
	}
	if !errors.Is(failed, context.Canceled) || n != 2 {
		t.Errorf("got %v after %d changes; want context.Canceled after 2", failed, n)
	}
}

func TestFollowingEndsWithWhatStays(t *testing.T) {
	t.Parallel()
	changes := newFeed(0)
	f := newFake(t, func(w http.ResponseWriter, r *http.Request, n int) {
		if n == 0 {
			changes.page(w, r, 1)
			return
		}
		problem(w, http.StatusUnauthorized, "token_invalid")
	})
	at := client.Now
	_, err := follow(t, f.client(t), client.ChangeQuery{}, &at, 1, nil)
	if e, ok := errors.AsType[*client.Error](err); !ok || e.Code != "token_invalid" {
		t.Errorf("got %v; want that the token is not good any more", err)
	}
}
