package telemetry_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil/promlint"

	"github.com/rollcallhq/rollcall/pkg/telemetry"
)

// requests returns how often each route, method and status was seen.
func requests(t *testing.T, g prometheus.Gatherer) map[string]uint64 {
	t.Helper()
	families, err := g.Gather()
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]uint64{}
	for _, f := range families {
		if f.GetName() != "rollcall_http_request_duration_seconds" {
			continue
		}
		for _, m := range f.GetMetric() {
			var labels []string
			for _, l := range m.GetLabel() { // sorted: method, route, status
				labels = append(labels, l.GetValue())
			}
			got[strings.Join(labels, " ")] = m.GetHistogram().GetSampleCount()
		}
	}
	return got
}

func TestHTTPMetrics(t *testing.T) {
	t.Parallel()
	reg := prometheus.NewPedanticRegistry()
	mux := http.NewServeMux()
	mux.HandleFunc("GET /hosts/{id}", func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "x") })
	mux.HandleFunc("POST /hosts", func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusEarlyHints)
		w.WriteHeader(http.StatusCreated)
		w.WriteHeader(http.StatusTeapot) // too late
	})
	mux.HandleFunc("GET /silent", func(http.ResponseWriter, *http.Request) {})
	mux.HandleFunc("GET /panics", func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) })
	mux.HandleFunc("GET /panics-late", func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusAccepted)
		panic(http.ErrAbortHandler)
	})
	mux.HandleFunc("/any", func(http.ResponseWriter, *http.Request) {})
	h := telemetry.NewHTTPMetrics(reg).Middleware(func(r *http.Request) string { return r.Pattern })(mux)
	for _, call := range []string{
		"GET /hosts/1", "GET /hosts/2", "POST /hosts", "GET /silent", "GET /panics", "GET /panics-late",
		"GET /nowhere/1", "GET /nowhere/2", "BREW /any", "MAKEUP /any",
	} {
		method, path, _ := strings.Cut(call, " ")
		func() {
			defer func() {
				if v := recover(); v != nil && v != any(http.ErrAbortHandler) {
					panic(v)
				}
			}()
			h.ServeHTTP(httptest.NewRecorder(), httptest.NewRequestWithContext(t.Context(), method, path, nil))
			if strings.Contains(path, "panics") {
				t.Errorf("the panic of %s is swallowed", path)
			}
		}()
	}
	want := map[string]uint64{
		"GET GET /hosts/{id} 200": 2, "POST POST /hosts 201": 1, "GET GET /silent 200": 1, "GET GET /panics 500": 1,
		"GET GET /panics-late 202": 1, "GET unmatched 404": 2, "other /any 200": 2,
	}
	if diff := cmp.Diff(want, requests(t, reg)); diff != "" {
		t.Errorf("requests (-want +got):\n%s", diff)
	}
	lint(t, reg)
	if got := gauge(t, reg, "rollcall_http_requests_in_flight"); got != 0 {
		t.Errorf("%v requests are in flight afterwards", got)
	}
}

func lint(t *testing.T, g prometheus.Gatherer) {
	t.Helper()
	families, err := g.Gather()
	if err != nil {
		t.Fatal(err)
	}
	problems, err := promlint.NewWithMetricFamilies(families).Lint()
	if err != nil || len(problems) != 0 {
		t.Errorf("the metrics' names: %v, %v", problems, err)
	}
}

// gauge returns the value of the one gauge of this name.
func gauge(t *testing.T, g prometheus.Gatherer, name string) float64 {
	t.Helper()
	families, err := g.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() == name && len(f.GetMetric()) == 1 {
			return f.GetMetric()[0].GetGauge().GetValue()
		}
	}
	t.Fatalf("there is no single %s", name)
	return 0
}

func TestHTTPMetricsKeepStreaming(t *testing.T) {
	t.Parallel()
	reg := prometheus.NewPedanticRegistry()
	next := make(chan struct{})
	stream := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		f, ok := w.(http.Flusher)
		if !ok {
			t.Error("the writer is no Flusher")
			return
		}
		_, _ = io.WriteString(w, "one\n")
		f.Flush()
		<-next
		_, _ = io.WriteString(w, "two\n")
		if err := http.NewResponseController(w).Flush(); err != nil {
			t.Errorf("flushing through a controller: %v", err)
		}
	})
	srv := httptest.NewServer(telemetry.NewHTTPMetrics(reg).Middleware(func(*http.Request) string { return "/events" })(stream))
	t.Cleanup(srv.Close)
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, srv.URL, nil)
	if err != nil {
		t.Fatal(err)
	}
	res, err := srv.Client().Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	first := make([]byte, 4)
	if _, err := io.ReadFull(res.Body, first); err != nil || string(first) != "one\n" {
		t.Fatalf("read %q, %v while the handler waits", first, err)
	}
	if got := gauge(t, reg, "rollcall_http_requests_in_flight"); got != 1 {
		t.Errorf("%v requests are in flight while one streams", got)
	}
	close(next)
	rest, err := io.ReadAll(res.Body)
	if err != nil || string(rest) != "two\n" {
		t.Errorf("the rest is %q, %v", rest, err)
	}
}

func TestRegistryIsLintedAndOwn(t *testing.T) {
	t.Parallel()
	a, b := telemetry.NewRegistry("api", "v1"), telemetry.NewRegistry("worker", "v1")
	telemetry.NewHTTPMetrics(a)
	telemetry.NewHTTPMetrics(b) // two processes in one, each with its own
	for _, r := range []*prometheus.Registry{a, b} {
		lint(t, r)
		for _, name := range []string{"rollcall_build_info", "go_goroutines", "process_start_time_seconds"} {
			if got := gauge(t, r, name); got < 1 {
				t.Errorf("%s = %v", name, got)
			}
		}
	}
}
