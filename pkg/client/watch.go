package client

import (
	"context"
	"encoding/json"
	"iter"
	"net/http"

	"github.com/google/uuid"

	"github.com/rollcallhq/rollcall/pkg/wire"
)

// maxMisses is how many times in a row a watch may fail before it gives up; with its pauses some two minutes of a
// server that is being restarted.
const maxMisses = 20

// Watch returns the collection as it is now and whenever that changes, until it has ended, which is the last. It
// follows the server's events, comes again when they break off, and polls where they cannot be had. An error ends it:
// one that stays, such as that of a collection that does not exist, or of a server that is away for two minutes.
func (c *Client) Watch(ctx context.Context, id uuid.UUID) iter.Seq2[wire.Collection, error] {
	return func(yield func(wire.Collection, error) bool) {
		w := &watch{yield: yield}
		w.follower = follower{
			client: c, doing: "watching collection " + id.String(), misses: maxMisses, take: w.event,
			events: func() call { return c.newCall(http.MethodGet, "/collections/"+id.String()+"/events", nil) },
			poll: func(ctx context.Context) error {
				collection, err := c.Collection(ctx, id)
				if err != nil {
					return err
				}
				return w.show(collection)
			},
		}
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
	follower
	yield func(wire.Collection, error) bool
	last  string // what was shown last
}

// event passes an event on.
func (w *watch) event(e event) error {
	if e.name != "progress" && e.name != "end" {
		return nil // of a later release
	}
	var collection wire.Collection
	if err := json.Unmarshal([]byte(e.data), &collection); err != nil {
		return errNoStream
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
