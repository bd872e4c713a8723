package collection

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/rollcallhq/rollcall/pkg/fleet"
	"github.com/rollcallhq/rollcall/pkg/store"
	"github.com/rollcallhq/rollcall/pkg/telemetry"
)

const (
	relayEvery = 100 * time.Millisecond
	relayPause = 10 * time.Millisecond // between rounds in a hurry, at least
)

// relayed is what has come of a round.
type relayed struct {
	n        int     // tasks rung for
	pressure float64 // as round has it
}

// relay hands out turns and rings for them, unless somebody else is doing so. A crash at any point repeats a message,
// which is harmless, and loses none: the tasks are marked in the transaction that ends after the ringing. Those of a
// collection with a MaxParallel are rung for after it, because a message of a task that is not marked would not count;
// one that a crash leaves marked and unrung is found by the sweep.
func relay(ctx context.Context, b bell) (relayed, error) {
	waits, err := b.store.AnyoneWaits(ctx)
	if err != nil || !waits {
		return relayed{}, err
	}
	var result relayed
	var bounded []fleet.Message
	var spans ringing
	err = b.store.InTx(ctx, func(tx *store.Store) error {
		result, bounded, spans = relayed{}, nil, nil
		locked, err := tx.LockLine(ctx)
		if err != nil || !locked {
			return err
		}
		if err := b.queue.Ping(ctx); err != nil { // before anything is written that would be rolled back
			return err
		}
		if _, err := tx.PromoteDelayed(ctx); err != nil {
			return err
		}
		line, err := tx.Line(ctx, Silence)
		if err != nil {
			return err
		}
		r := newRound(line)
		dealt, err := r.deal(ctx, tx)
		if err != nil || len(dealt) == 0 {
			return err
		}
		result = relayed{n: len(dealt), pressure: r.pressure()}
		if spans, err = b.announce(ctx, tx, dealt); err != nil {
			return err
		}
		var free []fleet.Message
		for _, d := range dealt {
			if d.Bounded {
				bounded = append(bounded, d.Message)
			} else {
				free = append(free, d.Message)
			}
		}
		return b.queue.Ring(ctx, free)
	})
	defer func() { spans.end(err) }()
	if err != nil || len(bounded) == 0 {
		return result, err
	}
	if err = b.queue.Ring(ctx, bounded); err != nil {
		again, cancel := context.WithTimeout(context.WithoutCancel(ctx), ringTimeout)
		defer cancel()
		_, undone := b.store.RingAgain(again, bounded, true) // or the sweep does
		return result, errors.Join(err, undone)
	}
	return result, nil
}

// relayOwn rings for the tasks of a collection that its own process has just stored. It does without the lock, and leaves
// to the relay whatever others might have a right to.
func relayOwn(ctx context.Context, b bell, c fleet.Collection) error {
	ctx, span := b.traces.Produce(ctx, spanRing, telemetry.Origin{}, slog.String("collection_id", c.ID.String()))
	err := b.store.InTx(ctx, func(tx *store.Store) error {
		if c.Priority != fleet.PriorityInteractive {
			line, err := tx.Line(ctx, Silence)
			if err != nil || !hasRoom(line, c) {
				return err
			}
		}
		messages, err := tx.Outbox(ctx, &c.ID, ringLimit)
		if err != nil || len(messages) == 0 {
			return err
		}
		trace := telemetry.TraceParent(ctx)
		for i := range messages {
			messages[i].Trace = trace
		}
		if err := b.queue.Ring(ctx, messages); err != nil {
			return err
		}
		return tx.MarkDispatched(ctx, messages)
	})
	span.EndWith(err)
	return err
}

// hasRoom reports whether nobody else waits where the collection's actor does, in its lane, and all of its tasks fit into
// the windows.
func hasRoom(line store.Line, c fleet.Collection) bool {
	for _, l := range newRound(line).lanes {
		if l.Priority != c.Priority {
			continue
		}
		for _, p := range l.parties {
			if p.Actor == c.Actor && (len(l.parties) > 1 || l.room < c.Counts.Total) {
				return false
			}
		}
	}
	return true
}

// Relay rings for queued tasks until ctx ends.
func (w *Sweeper) Relay(ctx context.Context) error {
	last := time.Now()
	return w.every(ctx, relayEvery, "relay", func(ctx context.Context) error {
		for {
			now := time.Now()
			result, err := relay(ctx, bell{w.Store, w.Queue, w.Traces})
			w.count("rung", result.n)
			if err != nil {
				return err
			}
			pause := pauseAfter(result, now.Sub(last))
			last = now
			if pause >= relayEvery {
				return nil
			}
			select {
			case <-ctx.Done():
				return nil
			case <-time.After(pause):
			}
		}
	})
}

// pauseAfter returns how long a relay waits after a round that came so long after the one before: not at all if there was
// more to ring for than a round may, and otherwise so that no more than half of a margin is used up meanwhile.
func pauseAfter(r relayed, since time.Duration) time.Duration {
	switch {
	case r.n >= relayBatch:
		return 0
	case r.pressure <= 1:
		return relayEvery
	}
	return min(relayEvery, max(relayPause, time.Duration(float64(min(since, relayEvery))/r.pressure)))
}
