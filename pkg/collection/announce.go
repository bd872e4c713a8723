package collection

import (
	"context"
	"log/slog"

	"github.com/google/uuid"

	"github.com/rollcallhq/rollcall/pkg/queue"
	"github.com/rollcallhq/rollcall/pkg/store"
	"github.com/rollcallhq/rollcall/pkg/telemetry"
)

// The names of our spans.
const (
	spanRing  = "ring"
	spanTask  = "task"
	spanParse = "parse"
	spanSSH   = "ssh "
)

// linkedBeyond is how many tasks of a collection are shown within the trace that it was asked for in. Those of a larger one
// have traces of their own with a link to it: no trace store shows one of ten thousand hosts.
const linkedBeyond = ringLimit

// A bell is what it takes to ring.
type bell struct {
	store  *store.Store
	queue  *queue.Queue
	traces *telemetry.Traces
}

// ringing are the spans of a round, by collection.
type ringing map[uuid.UUID]telemetry.Span

// announce begins a span for each collection whose tasks are about to be rung for, and has the messages carry it.
func (b bell) announce(ctx context.Context, tx *store.Store, dealt []store.Rung) (ringing, error) {
	if b.traces == nil {
		return nil, nil
	}
	counts := map[uuid.UUID]int{}
	for _, d := range dealt {
		counts[d.CollectionID]++
	}
	ids := make([]uuid.UUID, 0, len(counts))
	for id := range counts {
		ids = append(ids, id)
	}
	traces, err := tx.Traces(ctx, ids)
	if err != nil {
		return nil, err
	}
	spans, carried := ringing{}, map[uuid.UUID]telemetry.Origin{}
	for _, t := range traces {
		ring, span := b.traces.Produce(ctx, spanRing, telemetry.Origin{Parent: t.Parent},
			slog.String("collection_id", t.CollectionID.String()), slog.Int("messages", counts[t.CollectionID]))
		spans[t.CollectionID] = span
		carried[t.CollectionID] = telemetry.Origin{Parent: telemetry.TraceParent(ring), Linked: t.Tasks > linkedBeyond}
	}
	for i := range dealt {
		origin := carried[dealt[i].CollectionID]
		dealt[i].Trace, dealt[i].Linked = origin.Parent, origin.Linked
	}
	return spans, nil
}

// end ends the spans of a round.
func (a ringing) end(err error) {
	for _, span := range a {
		span.EndWith(err)
	}
}
