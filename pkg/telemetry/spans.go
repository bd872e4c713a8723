package telemetry

import (
	"context"
	"log/slog"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"

	"github.com/rollcallhq/rollcall/pkg/fleet"
)

// A Span is a stretch of work within a trace. Its zero value is none, and may be used as any other.
type Span struct{ span trace.Span }

// An Origin is where in which trace something was asked for.
type Origin struct {
	Parent string // a traceparent; what is none is no origin
	Linked bool   // what is done for it is a trace of its own with a link to it: it may be thousands of things
}

// Start begins a span within the one of ctx, and returns a context for what belongs to it.
func (t *Traces) Start(ctx context.Context, name string, attrs ...slog.Attr) (context.Context, Span) {
	if t == nil {
		return ctx, Span{}
	}
	return t.start(ctx, name, trace.SpanKindInternal, Origin{}, attrs)
}

// Produce is Start for what leaves a message to be worked by somebody else.
func (t *Traces) Produce(ctx context.Context, name string, from Origin, attrs ...slog.Attr) (context.Context, Span) {
	if t == nil {
		return ctx, Span{}
	}
	return t.start(ctx, name, trace.SpanKindProducer, from, attrs)
}

// Consume is Start for the work of such a message.
func (t *Traces) Consume(ctx context.Context, name string, from Origin, attrs ...slog.Attr) (context.Context, Span) {
	if t == nil {
		return ctx, Span{}
	}
	return t.start(ctx, name, trace.SpanKindConsumer, from, attrs)
}

func (t *Traces) start(ctx context.Context, name string, kind trace.SpanKind, from Origin, attrs []slog.Attr) (context.Context, Span) {
	options := []trace.SpanStartOption{trace.WithSpanKind(kind), trace.WithAttributes(attributesOf(attrs)...)}
	if origin := spanContextOf(from.Parent); origin.IsValid() {
		if from.Linked {
			options = append(options, trace.WithNewRoot(), trace.WithLinks(trace.Link{SpanContext: origin}))
		} else {
			ctx = trace.ContextWithRemoteSpanContext(ctx, origin)
		}
	}
	ctx, span := t.tracer.Start(ctx, name, options...) //nolint:spancheck // whoever asked for it ends it
	return ctx, Span{span}                             //nolint:spancheck // as above
}

// Note adds a span within the one of ctx for what has happened already. code is empty if it went well.
func (t *Traces) Note(ctx context.Context, name string, began, ended time.Time, code string) {
	if t == nil || !trace.SpanContextFromContext(ctx).IsSampled() {
		return
	}
	_, span := t.tracer.Start(ctx, name, trace.WithTimestamp(began))
	Span{span}.mark(code)
	span.End(trace.WithTimestamp(ended))
}

// Set adds what has been learned since the span began.
func (s Span) Set(attrs ...slog.Attr) {
	if s.span != nil && s.span.IsRecording() {
		s.span.SetAttributes(attributesOf(attrs)...)
	}
}

// End ends the span. code says what went wrong, and is empty if nothing did; the words of errors may hold what does not
// belong into a trace.
func (s Span) End(code string) {
	if s.span != nil {
		s.mark(code)
		s.span.End()
	}
}

// EndWith is End with the code of err, or none for nil.
func (s Span) EndWith(err error) {
	if err == nil {
		s.End("")
		return
	}
	s.End(fleet.CodeOf(err))
}

func (s Span) mark(code string) {
	if code != "" {
		s.span.SetStatus(codes.Error, code)
		s.span.SetAttributes(attribute.String("rollcall.code", code))
	}
}

// attributesOf returns the attributes under the names that ours have in traces.
func attributesOf(attrs []slog.Attr) []attribute.KeyValue {
	all := make([]attribute.KeyValue, 0, len(attrs))
	for _, a := range attrs {
		key := "rollcall." + a.Key
		switch a.Value.Kind() {
		case slog.KindInt64:
			all = append(all, attribute.Int64(key, a.Value.Int64()))
		case slog.KindBool:
			all = append(all, attribute.Bool(key, a.Value.Bool()))
		default:
			all = append(all, attribute.String(key, a.Value.String()))
		}
	}
	return all
}
