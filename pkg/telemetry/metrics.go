package telemetry

import (
	"net/http"
	"runtime"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// NewRegistry returns a registry with the metrics of the Go runtime, of the process and
// rollcall_build_info{service,version,go_version}.
func NewRegistry(service, version string) *prometheus.Registry {
	info := prometheus.NewGauge(prometheus.GaugeOpts{
		Namespace: "rollcall", Subsystem: "build", Name: "info",
		Help: "Always 1; the labels say what is running.",
		ConstLabels: prometheus.Labels{
			"service": service, "version": version, "go_version": runtime.Version(),
		},
	})
	info.Set(1)
	r := prometheus.NewRegistry()
	r.MustRegister(info, collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return r
}

// MetricsHandler serves what g gathers. A collector that fails costs its own metrics and not the answer.
func MetricsHandler(g prometheus.Gatherer) http.Handler {
	return promhttp.HandlerFor(g, promhttp.HandlerOpts{
		ErrorHandling:       promhttp.ContinueOnError,
		MaxRequestsInFlight: 8,
		Timeout:             10 * time.Second,
	})
}

// unmatchedRoute is the label of requests that no route took, whose paths are anything.
const unmatchedRoute = "unmatched"

// HTTPMetrics measures requests. Its labels are bounded: route patterns, known methods, statuses.
type HTTPMetrics struct {
	duration *prometheus.HistogramVec
	inFlight prometheus.Gauge
}

// NewHTTPMetrics registers rollcall_http_request_duration_seconds{route,method,status} and
// rollcall_http_requests_in_flight with r. A second call for one registry panics.
func NewHTTPMetrics(r prometheus.Registerer) *HTTPMetrics {
	m := &HTTPMetrics{
		duration: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Namespace: "rollcall", Subsystem: "http", Name: "request_duration_seconds",
			Help:    "Time from the first byte of a request to the end of its answer; streams count whole.",
			Buckets: []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30},
		}, []string{"route", "method", "status"}),
		inFlight: prometheus.NewGauge(prometheus.GaugeOpts{
			Namespace: "rollcall", Subsystem: "http", Name: "requests_in_flight",
			Help: "Requests that are being answered, streams included.",
		}),
	}
	r.MustRegister(m.duration, m.inFlight)
	return m
}

// Middleware measures what next does. route is asked after next has returned, when a router knows which of its
// patterns matched; "" stands for none. The answer's writer keeps its abilities under http.ResponseController,
// and is an http.Flusher. A panic is counted as status 500 unless an answer had begun, and goes on.
func (m *HTTPMetrics) Middleware(route func(*http.Request) string) func(next http.Handler) http.Handler {
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			m.inFlight.Inc()
			rec := &recorder{ResponseWriter: w}
			start := time.Now()
			returned := false
			defer func() {
				m.inFlight.Dec()
				if rec.status == 0 {
					rec.status = http.StatusOK
					if !returned {
						rec.status = http.StatusInternalServerError
					}
				}
				pattern := route(r)
				if pattern == "" {
					pattern = unmatchedRoute
				}
				m.duration.WithLabelValues(pattern, knownMethod(r.Method), strconv.Itoa(rec.status)).
					Observe(time.Since(start).Seconds())
			}()
			next.ServeHTTP(rec, r)
			returned = true
		})
	}
}

// knownMethod keeps strangers from inventing label values.
func knownMethod(method string) string {
	switch method {
	case http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete, http.MethodOptions:
		return method
	}
	return "other"
}

// A recorder remembers the status of an answer.
type recorder struct {
	http.ResponseWriter
	status int // 0 until the answer has begun
}

// WriteHeader remembers the first final status.
func (r *recorder) WriteHeader(status int) {
	if r.status == 0 && status >= 200 && status <= 999 {
		r.status = status
	}
	r.ResponseWriter.WriteHeader(status)
}

// Write begins the answer with status 200 if nothing else did.
func (r *recorder) Write(b []byte) (int, error) {
	if r.status == 0 {
		r.status = http.StatusOK
	}
	return r.ResponseWriter.Write(b)
}

// Flush sends what is buffered, where the writer below can.
func (r *recorder) Flush() {
	if r.status == 0 {
		r.status = http.StatusOK
	}
	_ = http.NewResponseController(r.ResponseWriter).Flush()
}

// Unwrap lets http.ResponseController find the writer below.
func (r *recorder) Unwrap() http.ResponseWriter { return r.ResponseWriter }
