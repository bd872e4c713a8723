package collection

import (
	"context"
	"time"

	"github.com/rollcallhq/rollcall/pkg/fleet"
	"github.com/rollcallhq/rollcall/pkg/queue"
	"github.com/rollcallhq/rollcall/pkg/store"
)

// RelayOnce runs one round of the relay and returns for how many tasks it has rung.
func RelayOnce(ctx context.Context, s *store.Store, q *queue.Queue) (int, error) {
	r, err := relay(ctx, bell{store: s, queue: q})
	return r.n, err
}

// Fill shares room out.
func Fill(room int, held, most []int) []int { return fill(room, held, most) }

// Window returns how many messages of a lane may wait.
func Window(p fleet.Priority, slots, running int) int { return window(p, slots, running) }

// PauseAfter returns how long the relay waits after a round of n tasks and that pressure.
func PauseAfter(n int, pressure float64, since time.Duration) time.Duration {
	return pauseAfter(relayed{n: n, pressure: pressure}, since)
}

// Beyond is how much somebody may take without a bound, and how many tasks a round rings for.
const (
	Beyond     = beyondBounds
	RelayBatch = relayBatch
	RelayEvery = relayEvery
)
