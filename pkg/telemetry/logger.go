package telemetry

import (
	"context"
	"io"
	"log/slog"
	"slices"
	"time"

	"github.com/lmittmann/tint"
	"go.opentelemetry.io/otel/trace"
)

// The formats of a log.
const (
	FormatAuto = "auto" // tint on a terminal, JSON otherwise
	FormatTint = "tint" // lines for people; coloured on a terminal only
	FormatJSON = "json" // one object a line, times in UTC
)

// Options say how a process logs.
type Options struct {
	Service  string     // on every record as service; empty leaves it out
	Level    slog.Level // the zero value is Info
	Format   string     // one of the formats above; anything else is taken for auto
	Terminal bool       // whether the writer is a terminal
}

// NewLogger returns a logger that writes whole records to w, one Write each, and puts what the context of a
// record says (WithRequestID, WithTaskID, WithCollectionID, the span of a trace) on it. It is safe for concurrent use.
func NewLogger(w io.Writer, o Options) *slog.Logger {
	human := o.Terminal
	switch o.Format {
	case FormatTint:
		human = true
	case FormatJSON:
		human = false
	}
	var h slog.Handler
	if human {
		h = tint.NewHandler(w, &tint.Options{Level: o.Level, TimeFormat: time.TimeOnly + ".000", NoColor: !o.Terminal})
	} else {
		h = slog.NewJSONHandler(w, &slog.HandlerOptions{Level: o.Level, ReplaceAttr: forMachines})
	}
	log := slog.New(contextHandler{root: h, current: h})
	if o.Service != "" {
		log = log.With("service", o.Service)
	}
	return log
}

// forMachines writes times in UTC, so that the lines of several hosts sort, and durations with their unit,
// which a bare number of nanoseconds hides.
func forMachines(_ []string, a slog.Attr) slog.Attr {
	switch a.Value.Kind() {
	case slog.KindTime:
		return slog.Time(a.Key, a.Value.Time().UTC())
	case slog.KindDuration:
		return slog.String(a.Key, a.Value.Duration().String())
	default:
		return a
	}
}

// ids is what a context says about the work at hand. Empty fields are not known.
type ids struct{ request, task, collection string }

type idsKey struct{}

func idsOf(ctx context.Context) ids {
	known, ok := ctx.Value(idsKey{}).(ids)
	if !ok {
		return ids{}
	}
	return known
}

// WithRequestID returns a context whose log records carry request_id.
func WithRequestID(ctx context.Context, id string) context.Context {
	known := idsOf(ctx)
	known.request = id
	return context.WithValue(ctx, idsKey{}, known)
}

// WithTaskID returns a context whose log records carry task_id.
func WithTaskID(ctx context.Context, id string) context.Context {
	known := idsOf(ctx)
	known.task = id
	return context.WithValue(ctx, idsKey{}, known)
}

// WithCollectionID returns a context whose log records carry collection_id.
func WithCollectionID(ctx context.Context, id string) context.Context {
	known := idsOf(ctx)
	known.collection = id
	return context.WithValue(ctx, idsKey{}, known)
}

// RequestID returns the ID that WithRequestID put into ctx, or "". Error documents repeat it, so that a person
// can find the lines of the log.
func RequestID(ctx context.Context) string { return idsOf(ctx).request }

// attrsOf returns what ctx says, or nil.
func attrsOf(ctx context.Context) []slog.Attr {
	known, span := idsOf(ctx), trace.SpanContextFromContext(ctx)
	if known == (ids{}) && !span.IsValid() {
		return nil
	}
	attrs := make([]slog.Attr, 0, 5)
	for _, a := range [...]slog.Attr{
		slog.String("request_id", known.request), slog.String("task_id", known.task), slog.String("collection_id", known.collection),
	} {
		if a.Value.String() != "" {
			attrs = append(attrs, a)
		}
	}
	if span.IsValid() {
		attrs = append(attrs, slog.String("trace_id", span.TraceID().String()), slog.String("span_id", span.SpanID().String()))
	}
	return attrs
}

// contextHandler puts the IDs of the context on each record, outside of any group of the logger, so that they
// are found under one name.
type contextHandler struct {
	root    slog.Handler                      // without groups and attributes
	steps   []func(slog.Handler) slog.Handler // from root to current
	grouped bool
	current slog.Handler
}

// Enabled asks the handler below.
func (h contextHandler) Enabled(ctx context.Context, level slog.Level) bool {
	return h.current.Enabled(ctx, level)
}

// Handle adds the IDs and hands the record on.
func (h contextHandler) Handle(ctx context.Context, r slog.Record) error {
	attrs := attrsOf(ctx)
	if len(attrs) == 0 {
		return h.current.Handle(ctx, r)
	}
	if !h.grouped {
		r = r.Clone()
		r.AddAttrs(attrs...)
		return h.current.Handle(ctx, r)
	}
	target := h.root.WithAttrs(attrs)
	for _, step := range h.steps {
		target = step(target)
	}
	return target.Handle(ctx, r)
}

// WithAttrs returns a handler whose records carry attrs.
func (h contextHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return h.with(func(below slog.Handler) slog.Handler { return below.WithAttrs(attrs) })
}

// WithGroup returns a handler whose further attributes are in a group.
func (h contextHandler) WithGroup(name string) slog.Handler {
	if name == "" {
		return h
	}
	h.grouped = true
	return h.with(func(below slog.Handler) slog.Handler { return below.WithGroup(name) })
}

func (h contextHandler) with(step func(slog.Handler) slog.Handler) contextHandler {
	h.steps = append(slices.Clip(h.steps), step)
	h.current = step(h.current)
	return h
}
