package telemetry

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracegrpc"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
)

// Bounds of what traces may cost.
const (
	spanQueue      = 4096             // spans that wait for the collector of traces or are on their way to it; more are dropped
	spanBatch      = 512              // of them at once
	exportTimeout  = 10 * time.Second // for one batch, with its retries
	flushTimeout   = 5 * time.Second  // for what is left at the end
	valueLimit     = 1024             // bytes of a value of a span; the rest is cut off
	maxTraceParent = 55               // bytes of the only form of a traceparent there is
)

// instrumentation is who made a span, as the trace store shows it.
const instrumentation = "github.com/rollcallhq/rollcall"

// TraceOptions say where the spans of a process go.
type TraceOptions struct {
	Endpoint string // of a collector that takes OTLP over gRPC, http:// or, with TLS, https://; empty: no traces
	Service  string // such as api; OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES of the environment win
	Version  string
	Log      *slog.Logger
}

// Traces makes spans and sends them in the background: a collector that is slow or down costs spans, which are counted,
// and nothing else. Nil is no traces at all, at no cost: every method may be called.
//
// As a prometheus.Collector it tells rollcall_trace_spans_total{outcome}.
type Traces struct {
	provider *sdktrace.TracerProvider
	tracer   trace.Tracer
	sent     *sender
}

// NewTraces returns Traces, or nil without an endpoint. It does not wait for the collector. Sampler, headers and certificates
// are those of the standard variables OTEL_TRACES_SAMPLER, OTEL_EXPORTER_OTLP_HEADERS and so on. The caller owes a Close.
func NewTraces(ctx context.Context, o TraceOptions) (*Traces, error) {
	if o.Endpoint == "" {
		return nil, nil //nolint:nilnil // nil Traces are of use
	}
	exporter, err := otlptracegrpc.New(ctx, otlptracegrpc.WithEndpointURL(o.Endpoint), otlptracegrpc.WithRetry(otlptracegrpc.RetryConfig{
		Enabled: true, InitialInterval: time.Second, MaxInterval: exportTimeout / 2, MaxElapsedTime: exportTimeout,
	}))
	if err != nil {
		return nil, fmt.Errorf("preparing to send traces: %w", err)
	}
	about, err := resource.New(ctx, resource.WithAttributes(
		attribute.String("service.name", "rollcall-"+o.Service), attribute.String("service.version", o.Version),
	), resource.WithHost(), resource.WithTelemetrySDK(), resource.WithFromEnv())
	if err != nil {
		return nil, fmt.Errorf("reading OTEL_RESOURCE_ATTRIBUTES: %w", err)
	}
	limits := sdktrace.NewSpanLimits()
	if limits.AttributeValueLengthLimit < 0 {
		limits.AttributeValueLengthLimit = valueLimit
	}
	sent := newSender(exporter, o.Log)
	provider := sdktrace.NewTracerProvider(sdktrace.WithResource(about), sdktrace.WithRawSpanLimits(limits), sdktrace.WithSpanProcessor(sent))
	return &Traces{provider: provider, tracer: provider.Tracer(instrumentation), sent: sent}, nil
}

// Provider returns what instrumentation of others makes its spans with; nil without traces.
func (t *Traces) Provider() trace.TracerProvider {
	if t == nil {
		return nil
	}
	return t.provider
}

// Propagator reads and writes the traceparent of callers. Their tracestate and baggage are left alone: nothing here reads
// them, and a stranger's would be carried along.
func Propagator() propagation.TextMapPropagator { return onlyParent{} }

// Describe sends what there is.
func (t *Traces) Describe(c chan<- *prometheus.Desc) {
	if t != nil {
		t.sent.spans.Describe(c)
	}
}

// Collect sends what became of the spans.
func (t *Traces) Collect(c chan<- prometheus.Metric) {
	if t != nil {
		t.sent.spans.Collect(c)
	}
}

// Close sends what is left, for a few seconds at most.
func (t *Traces) Close(ctx context.Context) {
	if t == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), flushTimeout)
	defer cancel()
	if err := t.provider.Shutdown(ctx); err != nil {
		t.sent.log.WarnContext(ctx, "not all traces were sent", "error", err)
	}
}

// onlyParent is propagation.TraceContext without tracestate.
type onlyParent struct{}

// Inject writes the traceparent of ctx.
func (onlyParent) Inject(ctx context.Context, carrier propagation.TextMapCarrier) {
	if parent := TraceParent(ctx); parent != "" {
		carrier.Set("traceparent", parent)
	}
}

// Extract reads a traceparent, and ignores what is none.
func (onlyParent) Extract(ctx context.Context, carrier propagation.TextMapCarrier) context.Context {
	return WithTraceParent(ctx, carrier.Get("traceparent"))
}

// Fields returns what is read and written.
func (onlyParent) Fields() []string { return []string{"traceparent"} }

// TraceParent returns the span of ctx in the form of W3C Trace Context, or "" if there is none.
func TraceParent(ctx context.Context) string {
	c := trace.SpanContextFromContext(ctx)
	if !c.IsValid() {
		return ""
	}
	return "00-" + c.TraceID().String() + "-" + c.SpanID().String() + "-" + c.TraceFlags().String()
}

// WithTraceParent returns a context that is where in a trace parent says, which is left as it is if parent is no traceparent.
func WithTraceParent(ctx context.Context, parent string) context.Context {
	if c := spanContextOf(parent); c.IsValid() {
		return trace.ContextWithRemoteSpanContext(ctx, c)
	}
	return ctx
}

// TraceID returns the ID of the trace that ctx is part of, in hexadecimal digits, or "".
func TraceID(ctx context.Context) string {
	if c := trace.SpanContextFromContext(ctx); c.IsValid() {
		return c.TraceID().String()
	}
	return ""
}

// spanContextOf returns what a traceparent names; what is none is not valid.
func spanContextOf(parent string) trace.SpanContext {
	if len(parent) != maxTraceParent {
		return trace.SpanContext{}
	}
	ctx := propagation.TraceContext{}.Extract(context.Background(), propagation.MapCarrier{"traceparent": parent})
	return trace.SpanContextFromContext(ctx)
}
