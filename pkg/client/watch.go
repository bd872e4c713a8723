package client

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"net/http"
	"time"

	"github.com/google/uuid"

	"github.com/rollcallhq/rollcall/pkg/wire"
)

// maxMisses is how many times in a row a watch may fail before it gives up; with its pauses a minute or so of a server
// that is being restarted.
const maxMisses = 30

// streamMisses is how many times in a row a stream may fail before the collection is polled instead.
const streamMisses = 3

// streamSilence is how long a stream may say nothing. The server speaks at once and then every 15 s.
type streamSilence struct {
	first time.Duration // before anything came: whatever is between holds the events back
	later time.Duration
}

func defaultSilence() streamSilence {
	return streamSilence{first: 10 * time.Second, later: 50 * time.Second}
}

// Watch returns the collection as it is now and whenever that changes, until it has ended, which is the last. It
// follows the server's events, comes again when they break off, and polls where they cannot be had. An error ends it:
// one that stays, such as that of a collection that does not exist, or of a server that is away for a minute.
func (c *Client) Watch(ctx context.Context, id uuid.UUID) iter.Seq2[wire.Collection, error] {
	return func(yield func(wire.Collection, error) bool) {
		w := &watch{client: c, id: id, yield: yield}
		if err := w.run(ctx); err != nil {
			yield(wire.Collection{}, err)
		}
	}
}

// Ended reports whether a state of a collection or task is one that stays.
func Ended(state string) bool {
	switch state {
	case "succeeded", "partial", "failed", "cancelled":
		return true
	}
	return false
}

// A watch is a collection that is being followed.
type watch struct {
	client *Client
	id     uuid.UUID
	yield  func(wire.Collection, error) bool
	last   string // what was shown last
	over   bool   // nobody wants to see more
	heard  bool   // whether this stream has said anything
}

// errNoStream says that events cannot be had, and polling can.
var errNoStream = errors.New("the server's events do not come through")

func (w *watch) run(ctx context.Context) error {
	look := w.stream
	for misses := 0; !w.over; {
		w.heard = false
		err := look(ctx)
		switch {
		case w.over:
			return nil
		case ctx.Err() != nil:
			return fmt.Errorf("watching collection %s: %w", w.id, ctx.Err())
		case lasting(err):
			return err
		case errors.Is(err, errNoStream):
			look, misses = w.poll, 0
			continue
		case err == nil || w.heard:
			misses = 0
		default:
			misses++
		}
		if misses >= streamMisses {
			look = w.poll
		}
		if misses > maxMisses {
			return err
		}
		if err := sleep(ctx, w.client.polling); err != nil {
			return fmt.Errorf("watching collection %s: %w", w.id, err)
		}
	}
	return nil
}

// lasting reports whether asking again cannot help.
func lasting(err error) bool {
	e, ok := errors.AsType[*Error](err)
	return ok && e.Status/100 == 4 && e.Status != http.StatusTooManyRequests && e.Status != http.StatusRequestTimeout
}

func (w *watch) poll(ctx context.Context) error {
	collection, err := w.client.Collection(ctx, w.id)
	if err != nil {
		return err
	}
	return w.show(collection)
}

// show passes the collection on unless it looks as it did.
func (w *watch) show(collection wire.Collection) error {
	text, err := json.Marshal(collection)
	if err != nil {
		return err
	}
	ended := Ended(collection.State)
	if string(text) != w.last {
		w.last = string(text)
		w.over = !w.yield(collection, nil)
	}
	w.over = w.over || ended
	return nil
}

// stream follows the events until they end.
func (w *watch) stream(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	silence := time.AfterFunc(w.client.silence.first, cancel)
	defer silence.Stop()
	res, r, err := w.open(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = res.Body.Close() }()
	alive := func() {
		w.heard = true
		silence.Reset(w.client.silence.later)
	}
	for e, err := range events(res.Body, alive) {
		if err != nil {
			return w.broken(ctx, r, err)
		}
		if e.name != "progress" && e.name != "end" {
			continue // of a later release
		}
		var collection wire.Collection
		if err := json.Unmarshal([]byte(e.data), &collection); err != nil {
			return errNoStream
		}
		silence.Stop() // the time that whoever watches takes is not the server's
		if err := w.show(collection); err != nil || w.over {
			return err
		}
		alive()
	}
	if !w.heard {
		return errNoStream
	}
	return nil
}

// broken returns what the end of a stream means: one that never said anything is held back on its way.
func (w *watch) broken(ctx context.Context, r call, err error) error {
	if !w.heard && ctx.Err() != nil {
		return errNoStream
	}
	return w.client.failed(context.WithoutCancel(ctx), r, err)
}

// open asks for the events. The caller closes the body of the response.
func (w *watch) open(ctx context.Context) (*http.Response, call, error) {
	r := w.client.newCall(http.MethodGet, "/collections/"+w.id.String()+"/events", nil)
	r.header.Set("Accept", "text/event-stream")
	token := ""
	for again := range 2 {
		var err error
		if token, err = w.token(ctx, token); err != nil {
			return nil, r, err
		}
		res, err := w.client.send(ctx, r, token)
		if err != nil {
			return nil, r, w.broken(ctx, r, err)
		}
		if res.StatusCode == http.StatusOK && isMedia(res.Header, "text/event-stream") {
			return res, r, nil
		}
		status := res.StatusCode
		_ = res.Body.Close()
		if status != http.StatusUnauthorized || again > 0 || w.client.tokens == nil {
			break
		}
	}
	// Polling finds out what is wrong, if anything is wrong but the stream.
	return nil, r, errNoStream
}

func (w *watch) token(ctx context.Context, stale string) (string, error) {
	if w.client.tokens == nil {
		return "", nil
	}
	return w.client.tokens.Token(ctx, stale)
}
