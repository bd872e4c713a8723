package telemetry

import (
	"encoding/json"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// OpsHandler serves /healthz, /readyz, /health and /metrics of a process that has no other doors.
func OpsHandler(g prometheus.Gatherer, h *Health) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /healthz", LiveHandler())
	mux.Handle("GET /readyz", h.ReadyHandler())
	mux.Handle("GET /health", h.HealthHandler())
	mux.Handle("GET /metrics", MetricsHandler(g))
	return mux
}

// LiveHandler answers 200 as long as the process can answer at all. It looks at nothing else, because a
// restart mends nothing that is outside.
func LiveHandler() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		writeReport(w, http.StatusOK, struct {
			Status    Status    `json:"status"`
			Timestamp time.Time `json:"timestamp"`
		}{StatusOK, time.Now().UTC()})
	})
}

// ReadyHandler answers whether requests should be sent here: 200 with the report while everything required is
// there, also when degraded, and 503 otherwise and while draining.
func (h *Health) ReadyHandler() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		report := h.Ready(r.Context())
		status := http.StatusOK
		if report.Status == StatusDown {
			status = http.StatusServiceUnavailable
		}
		writeReport(w, status, report)
	})
}

// HealthHandler answers whether everything is well: 200 with the report if every check is ok, 503 otherwise.
func (h *Health) HealthHandler() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		report := h.Report(r.Context())
		status := http.StatusOK
		if report.Status != StatusOK {
			status = http.StatusServiceUnavailable
		}
		writeReport(w, status, report)
	})
}

func writeReport(w http.ResponseWriter, status int, report any) {
	body, err := json.Marshal(report)
	if err != nil {
		http.Error(w, "the report cannot be written", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_, _ = w.Write(append(body, '\n')) // a caller who has left needs no answer
}
