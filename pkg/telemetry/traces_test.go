package telemetry_test

import (
	"bytes"
	"context"
	"encoding/json"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"go.opentelemetry.io/otel/propagation"
	collectorpb "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/grpc"

	"github.com/rollcallhq/rollcall/pkg/telemetry"
)

// A receiver is a collector of traces.
type receiver struct {
	collectorpb.UnimplementedTraceServiceServer
	url string

	mu       sync.Mutex
	spans    []*tracepb.Span
	resource map[string]string
}

// Export takes spans.
func (r *receiver) Export(_ context.Context, req *collectorpb.ExportTraceServiceRequest) (*collectorpb.ExportTraceServiceResponse, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, all := range req.GetResourceSpans() {
		for _, a := range all.GetResource().GetAttributes() {
			r.resource[a.GetKey()] = a.GetValue().GetStringValue()
		}
		for _, some := range all.GetScopeSpans() {
			r.spans = append(r.spans, some.GetSpans()...)
		}
	}
	return &collectorpb.ExportTraceServiceResponse{}, nil
}

func startReceiver(t *testing.T) *receiver {
	t.Helper()
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r := &receiver{url: "http://" + l.Addr().String(), resource: map[string]string{}}
	server := grpc.NewServer()
	collectorpb.RegisterTraceServiceServer(server, r)
	var serving sync.WaitGroup
	serving.Go(func() { _ = server.Serve(l) })
	t.Cleanup(func() { server.Stop(); serving.Wait() })
	return r
}

func open(t *testing.T, endpoint string, log *slog.Logger) *telemetry.Traces {
	t.Helper()
	traces, err := telemetry.NewTraces(t.Context(), telemetry.TraceOptions{Endpoint: endpoint, Service: "test", Version: "v1", Log: log})
	if err != nil {
		t.Fatal(err)
	}
	return traces
}

const parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"

func TestSpansArriveWithTheirParentsAndLinks(t *testing.T) {
	t.Parallel()
	to := startReceiver(t)
	traces := open(t, to.url, slog.New(slog.DiscardHandler))
	ctx, task := traces.Consume(t.Context(), "task", telemetry.Origin{Parent: parent}, slog.String("task_id", "t-1"))
	traces.Note(ctx, "ssh connect", time.Unix(1, 0), time.Unix(3, 0), "tcp_timeout")
	task.Set(slog.Int("attempt", 2), slog.String("long", strings.Repeat("x", 5000)))
	task.End("")
	_, linked := traces.Consume(t.Context(), "linked", telemetry.Origin{Parent: parent, Linked: true})
	linked.End("")
	_, root := traces.Consume(t.Context(), "root", telemetry.Origin{Parent: "00-nonsense-01"})
	root.End("failed")
	traces.Close(t.Context())

	if to.resource["service.name"] != "rollcall-test" || to.resource["service.version"] != "v1" {
		t.Errorf("resource = %v", to.resource)
	}
	found := map[string]*tracepb.Span{}
	for _, s := range to.spans {
		found[s.GetName()] = s
	}
	if len(found) != 4 {
		t.Fatalf("%d spans arrived, want 4: %v", len(found), to.spans)
	}
	const trace, above = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
	hex := func(b []byte) string { return strings.ToLower(bytesToHex(b)) }
	if s := found["task"]; hex(s.GetTraceId()) != trace || hex(s.GetParentSpanId()) != above {
		t.Errorf("the task is not below its origin: %v", s)
	}
	for _, a := range found["task"].GetAttributes() {
		if n := len(a.GetValue().GetStringValue()); n > 1024 {
			t.Errorf("%s has %d bytes", a.GetKey(), n)
		}
	}
	if s := found["ssh connect"]; !bytes.Equal(s.GetParentSpanId(), found["task"].GetSpanId()) || s.GetEndTimeUnixNano()-s.GetStartTimeUnixNano() != 2e9 ||
		s.GetStatus().GetMessage() != "tcp_timeout" || s.GetStatus().GetCode() != tracepb.Status_STATUS_CODE_ERROR {
		t.Errorf("the phase is %v", s)
	}
	if s := found["linked"]; len(s.GetParentSpanId()) != 0 || hex(s.GetTraceId()) == trace || len(s.GetLinks()) != 1 || hex(s.GetLinks()[0].GetTraceId()) != trace {
		t.Errorf("the linked span is %v", s)
	}
	if s := found["root"]; len(s.GetParentSpanId()) != 0 || len(s.GetLinks()) != 0 {
		t.Errorf("a span of no origin is %v", s)
	}
	const want = `
		# HELP rollcall_trace_spans_total Spans that were sent, failed to be sent, or were dropped because too many waited.
		# TYPE rollcall_trace_spans_total counter
		rollcall_trace_spans_total{outcome="dropped"} 0
		rollcall_trace_spans_total{outcome="failed"} 0
		rollcall_trace_spans_total{outcome="sent"} 4
`
	if err := testutil.CollectAndCompare(traces, strings.NewReader(want)); err != nil {
		t.Error(err)
	}
}

func bytesToHex(b []byte) string {
	const digits = "0123456789abcdef"
	var text strings.Builder
	for _, c := range b {
		text.WriteByte(digits[c>>4])
		text.WriteByte(digits[c&15])
	}
	return text.String()
}

// TestACollectorOfTracesThatHangsCostsSpansAndNothingElse sends more than may wait to one that accepts and says nothing.
func TestACollectorOfTracesThatHangsCostsSpansAndNothingElse(t *testing.T) {
	t.Parallel()
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0") // nobody accepts
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	var text bytes.Buffer
	traces := open(t, "http://"+l.Addr().String(), telemetry.NewLogger(&text, telemetry.Options{Format: telemetry.FormatJSON}))
	const made = 10_000
	began := time.Now()
	for range made {
		_, span := traces.Start(t.Context(), "work")
		span.End("")
	}
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("%d spans took %s", made, took)
	}
	registry := prometheus.NewRegistry()
	registry.MustRegister(traces)
	if dropped := counted(t, registry, "dropped"); dropped < made-4096 {
		t.Errorf("%v spans were dropped, want at least %d", dropped, made-4096)
	}
	began = time.Now()
	traces.Close(t.Context())
	if took := time.Since(began); took > 8*time.Second {
		t.Errorf("closing took %s", took)
	}
	if n := strings.Count(text.String(), `"traces not sent"`); n > 1 {
		t.Errorf("it was said %d times within a minute that traces are not sent", n)
	}
}

func counted(t *testing.T, g prometheus.Gatherer, outcome string) float64 {
	t.Helper()
	families, err := g.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			for _, l := range m.GetLabel() {
				if l.GetValue() == outcome {
					return m.GetCounter().GetValue()
				}
			}
		}
	}
	t.Fatalf("no spans are counted as %s", outcome)
	return 0
}

func TestLinesCarryTheTraceOfTheirContext(t *testing.T) {
	t.Parallel()
	var text bytes.Buffer
	log := telemetry.NewLogger(&text, telemetry.Options{Format: telemetry.FormatJSON})
	ctx := telemetry.WithCollectionID(telemetry.WithTaskID(telemetry.WithTraceParent(t.Context(), parent), "t-1"), "c-1")
	log.WithGroup("deep").InfoContext(ctx, "said")
	var line map[string]any
	if err := json.Unmarshal(text.Bytes(), &line); err != nil {
		t.Fatal(err)
	}
	for key, want := range map[string]string{
		"trace_id": "0af7651916cd43dd8448eb211c80319c", "span_id": "b7ad6b7169203331", "task_id": "t-1", "collection_id": "c-1",
	} {
		if line[key] != want {
			t.Errorf("%s = %v, want %s", key, line[key], want)
		}
	}
}

// TestStrangersBringATraceAndNothingElse reads what callers send.
func TestStrangersBringATraceAndNothingElse(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ name, sent, want string }{
		{"a traceparent is gone on with", parent, parent},
		{"no traceparent is none", "", ""},
		{"one of zeroes is none", "00-" + strings.Repeat("0", 32) + "-b7ad6b7169203331-01", ""},
		{"one that is too long is none", parent + "-" + strings.Repeat("f", 1<<16), ""},
		{"one with a line break is none", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203\n31-01", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			h := http.Header{}
			h.Set("traceparent", tt.sent)
			h.Set("tracestate", "a="+strings.Repeat("b", 200))
			h.Set("baggage", "user=ann")
			ctx := telemetry.Propagator().Extract(t.Context(), propagation.HeaderCarrier(h))
			if got := telemetry.TraceParent(ctx); got != tt.want {
				t.Errorf("it is %q, want %q", got, tt.want)
			}
			out := propagation.MapCarrier{}
			telemetry.Propagator().Inject(ctx, out)
			if len(out) > 1 || out["traceparent"] != tt.want {
				t.Errorf("passed on: %v", out)
			}
		})
	}
}

// TestNoTracesCostNothing is not parallel, because it counts allocations.
func TestNoTracesCostNothing(t *testing.T) { //nolint:paralleltest // as above
	traces := open(t, "", slog.New(slog.DiscardHandler))
	ctx, id := t.Context(), "t-1"
	if n := testing.AllocsPerRun(100, func() {
		in, span := traces.Consume(ctx, "task", telemetry.Origin{Parent: parent}, slog.String("task_id", id), slog.Int("epoch", 1))
		traces.Note(in, "ssh connect", time.Time{}, time.Time{}, "")
		span.Set(slog.String("outcome", "failed"))
		span.End("")
	}); n != 0 {
		t.Errorf("%v allocations without traces", n)
	}
	if traces.Provider() != nil {
		t.Error("there is a provider without traces")
	}
	traces.Close(ctx)
}
