package telemetry

import (
	"context"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
)

// sayAgain is how often it is logged that the collector of traces does not take them.
const sayAgain = time.Minute

// A sender passes spans on in batches and in the background. It lets no more of them wait than there is room for, so
// that what is lost is counted here and nowhere else. It is safe for concurrent use.
type sender struct {
	sdktrace.SpanProcessor
	exporter sdktrace.SpanExporter
	log      *slog.Logger
	pending  atomic.Int64
	failing  time.Time // when it was last said; only one batch is on its way at a time
	spans    *prometheus.CounterVec
}

func newSender(exporter sdktrace.SpanExporter, log *slog.Logger) *sender {
	s := &sender{exporter: exporter, log: log, spans: prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "rollcall_trace_spans_total", Help: "Spans that were sent, failed to be sent, or were dropped because too many waited.",
	}, []string{"outcome"})}
	for _, outcome := range []string{"sent", "failed", "dropped"} {
		s.spans.WithLabelValues(outcome)
	}
	s.SpanProcessor = sdktrace.NewBatchSpanProcessor(batches{s}, sdktrace.WithMaxQueueSize(spanQueue),
		sdktrace.WithMaxExportBatchSize(spanBatch), sdktrace.WithExportTimeout(exportTimeout))
	return s
}

// OnEnd takes an ended span over, or drops it.
func (s *sender) OnEnd(span sdktrace.ReadOnlySpan) {
	if !span.SpanContext().IsSampled() {
		return
	}
	if s.pending.Add(1) > spanQueue {
		s.pending.Add(-1)
		s.spans.WithLabelValues("dropped").Inc()
		return
	}
	s.SpanProcessor.OnEnd(span)
}

// batches is what the processor hands its batches to.
type batches struct{ *sender }

// ExportSpans sends a batch. That it failed is counted and logged here, so there is no error.
func (b batches) ExportSpans(ctx context.Context, spans []sdktrace.ReadOnlySpan) error {
	err := b.exporter.ExportSpans(ctx, spans)
	n := len(spans)
	b.pending.Add(-int64(n))
	if err == nil {
		b.spans.WithLabelValues("sent").Add(float64(n))
		return nil
	}
	b.spans.WithLabelValues("failed").Add(float64(n))
	if time.Since(b.failing) >= sayAgain {
		b.failing = time.Now()
		b.log.WarnContext(ctx, "traces not sent", "error", err, "spans", n)
	}
	return nil
}

// Shutdown ends the sending.
func (b batches) Shutdown(ctx context.Context) error { return b.exporter.Shutdown(ctx) }
