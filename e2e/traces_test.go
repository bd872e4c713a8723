package e2e_test

import (
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	collectorpb "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/grpc"

	"github.com/rollcallhq/rollcall/pkg/simulate"
)

// A traceStore takes spans over OTLP and keeps them by the service that made them.
type traceStore struct {
	collectorpb.UnimplementedTraceServiceServer
	url string

	mu    sync.Mutex
	spans map[string][]*tracepb.Span
}

// Export takes spans.
func (s *traceStore) Export(_ context.Context, req *collectorpb.ExportTraceServiceRequest) (*collectorpb.ExportTraceServiceResponse, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, all := range req.GetResourceSpans() {
		service := ""
		for _, a := range all.GetResource().GetAttributes() {
			if a.GetKey() == "service.name" {
				service = a.GetValue().GetStringValue()
			}
		}
		for _, some := range all.GetScopeSpans() {
			s.spans[service] = append(s.spans[service], some.GetSpans()...)
		}
	}
	return &collectorpb.ExportTraceServiceResponse{}, nil
}

func startTraceStore(t *testing.T) *traceStore {
	t.Helper()
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &traceStore{url: "http://" + l.Addr().String(), spans: map[string][]*tracepb.Span{}}
	server := grpc.NewServer()
	collectorpb.RegisterTraceServiceServer(server, s)
	var serving sync.WaitGroup
	serving.Go(func() { _ = server.Serve(l) })
	t.Cleanup(func() { server.Stop(); serving.Wait() })
	return s
}

// TestARequestIsOneTraceAsFarAsTheHosts asks for a collection that the scheduler rings for, as part of a caller's trace.
func TestARequestIsOneTraceAsFarAsTheHosts(t *testing.T) {
	t.Parallel()
	const trace, caller = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
	to, s := startTraceStore(t), newStack(t)
	s.env["OTEL_EXPORTER_OTLP_ENDPOINT"] = to.url
	api, worker, scheduler := s.up()
	s.simulated(simulate.Options{Hosts: 2, Seed: 7})
	var c collectionView
	answer := s.post("/api/v1/collections", map[string]any{"selector": "*", "max_parallel": 1}, http.StatusAccepted, &c,
		"traceparent", "00-"+trace+"-"+caller+"-01", "X-Request-Id", "traced-request", "baggage", "secret=hunter2")
	if got := answer.Get("X-Trace-Id"); got != trace {
		t.Errorf("the answer says that the trace is %q", got)
	}
	if c = s.await(c.ID, time.Minute); c.State != "succeeded" {
		t.Fatalf("the collection is %+v", c)
	}
	for _, p := range []*process{worker, scheduler, api} { // which has them send what is left
		p.stop()
	}
	to.check(t, trace, caller)
	lines := 0
	for _, line := range logged(t, worker, "task") {
		lines++
		if line["trace_id"] != trace || line["collection_id"] != c.ID || line["task_id"] == nil || line["span_id"] == nil {
			t.Errorf("the worker's line is %v", line)
		}
	}
	if lines != 2 {
		t.Errorf("the worker wrote %d lines about tasks, want 2", lines)
	}
	told := logged(t, api, "request")
	if !slices.ContainsFunc(told, func(line map[string]any) bool {
		return line["request_id"] == "traced-request" && line["trace_id"] == trace
	}) {
		t.Errorf("no line of the api is about the request: %v", told)
	}
}

// check holds that the trace is whole: it leads from the caller to each host, and nothing in it is without its parent.
func (s *traceStore) check(t *testing.T, trace, caller string) {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	names, known, parents := map[string]int{}, map[string]bool{caller: true}, map[string]string{}
	for service, spans := range s.spans {
		for _, span := range spans {
			text, err := json.Marshal(span)
			if err != nil {
				t.Fatal(err)
			}
			for _, secret := range []string{adminPassword, "hunter2", "PRIVATE KEY", "@@"} {
				if bytes.Contains(text, []byte(secret)) {
					t.Errorf("a span holds %q: %s", secret, text)
				}
			}
			if hex.EncodeToString(span.GetTraceId()) != trace {
				continue
			}
			names[service+": "+span.GetName()]++
			known[hex.EncodeToString(span.GetSpanId())] = true
			parents[service+": "+span.GetName()] = hex.EncodeToString(span.GetParentSpanId())
		}
	}
	for name, parent := range parents {
		if !known[parent] {
			t.Errorf("%s is below a span that never came", name)
		}
	}
	for name, want := range map[string]int{
		"rollcall-api: POST /api/v1/collections": 1, "rollcall-worker: task": 2, "rollcall-worker: parse": 2,
		"rollcall-worker: ssh connect": 2, "rollcall-worker: ssh banner": 2, "rollcall-worker: ssh key_exchange": 2, "rollcall-worker: ssh login": 2,
		"rollcall-worker: ssh session": 2, "rollcall-worker: ssh run": 2,
	} {
		if names[name] != want {
			t.Errorf("%d spans %q, want %d; there are %v", names[name], name, want, names)
		}
	}
	for _, some := range []string{"rollcall-scheduler: ring", "rollcall-api: WITH", "rollcall-worker: WITH", "rollcall-worker: INSERT"} {
		if names[some] == 0 {
			t.Errorf("no span %q; there are %v", some, names)
		}
	}
}

// logged returns the lines of a process that have the message.
func logged(t *testing.T, p *process, message string) []map[string]any {
	t.Helper()
	var found []map[string]any
	for text := range strings.Lines(p.log.String()) {
		var line map[string]any
		if json.Unmarshal([]byte(text), &line) == nil && line["msg"] == message {
			found = append(found, line)
		}
	}
	return found
}
