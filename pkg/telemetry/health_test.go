package telemetry_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/rollcallhq/rollcall/pkg/fleet"
	"github.com/rollcallhq/rollcall/pkg/telemetry"
)

func answers(reason string, err error) func(context.Context) (string, error) {
	return func(context.Context) (string, error) { return reason, err }
}

func quiet(checks ...telemetry.Check) *telemetry.Health {
	return telemetry.NewHealth(slog.New(slog.DiscardHandler), checks...)
}

func TestReport(t *testing.T) {
	t.Parallel()
	down := fleet.Errorf(fleet.Unavailable, "the database does not answer")
	ok := telemetry.CheckResult{Status: telemetry.StatusOK}
	bad := func(reason string) telemetry.CheckResult {
		return telemetry.CheckResult{Status: telemetry.StatusDown, Reason: reason}
	}
	tests := []struct {
		name               string
		database           func(context.Context) (string, error)
		redis              func(context.Context) (string, error) // optional
		status             telemetry.Status
		wantDB, wantRedis  telemetry.CheckResult
		readyAnswers       int
		healthAnswers      int
		readyWhileDraining int
	}{
		{"all is well", answers("", nil), answers("", nil), telemetry.StatusOK, ok, ok, 200, 200, 503},
		{
			"ok with a reason is ok", answers("", nil), answers("AOF is off", nil), telemetry.StatusOK,
			ok,
			telemetry.CheckResult{Status: telemetry.StatusOK, Reason: "AOF is off"},
			200, 200, 503,
		},
		{
			"something optional is down", answers("", nil), answers("", down), telemetry.StatusDegraded,
			ok, bad("the database does not answer"), 200, 503, 503,
		},
		{
			"something required is down", answers("", down), answers("", nil), telemetry.StatusDown,
			bad("the database does not answer"), ok, 503, 503, 503,
		},
		{
			"both are down", answers("", down), answers("", down), telemetry.StatusDown,
			bad("the database does not answer"), bad("the database does not answer"), 503, 503, 503,
		},
		{
			"an error that nobody classified is not shown", answers("", errors.New("dial postgres://u:hunter2@db")), answers("", nil),
			telemetry.StatusDown, bad("the check failed; the log has the details"), ok, 503, 503, 503,
		},
		{
			"a panic is down and not the end", func(context.Context) (string, error) { panic("hunter2") }, answers("", nil),
			telemetry.StatusDown, bad("the check failed; the log has the details"), ok, 503, 503, 503,
		},
		{
			"a cause is not shown", answers("", fleet.Wrap(errors.New("hunter2"), fleet.Unavailable, "no")), answers("", nil),
			telemetry.StatusDown, bad("no"), ok, 503, 503, 503,
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			h := quiet(telemetry.Check{Name: "database", Check: tt.database}, telemetry.Check{Name: "redis", Check: tt.redis, Optional: true})
			got := h.Report(t.Context())
			if got.Status != tt.status || time.Since(got.Timestamp) > time.Minute || got.Timestamp.Location() != time.UTC {
				t.Errorf("status %s at %s, want %s now", got.Status, got.Timestamp, tt.status)
			}
			for name, c := range got.Checks {
				if c.LatencyMS < 0 || c.LatencyMS > 1000 {
					t.Errorf("%s took %v ms", name, c.LatencyMS)
				}
				c.LatencyMS = 0
				got.Checks[name] = c
			}
			if diff := cmp.Diff(map[string]telemetry.CheckResult{"database": tt.wantDB, "redis": tt.wantRedis}, got.Checks); diff != "" {
				t.Errorf("checks (-want +got):\n%s", diff)
			}
			if code := get(t, h.ReadyHandler(), "/readyz").Code; code != tt.readyAnswers {
				t.Errorf("/readyz = %d, want %d", code, tt.readyAnswers)
			}
			if code := get(t, h.HealthHandler(), "/health").Code; code != tt.healthAnswers {
				t.Errorf("/health = %d, want %d", code, tt.healthAnswers)
			}
			h.Drain()
			if w := get(t, h.ReadyHandler(), "/readyz"); w.Code != tt.readyWhileDraining || !strings.Contains(w.Body.String(), "shutting down") {
				t.Errorf("/readyz while draining = %d %s", w.Code, w.Body)
			}
		})
	}
}

func get(t *testing.T, h http.Handler, path string) *httptest.ResponseRecorder {
	t.Helper()
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, path, nil))
	return w
}

func TestReportIsBounded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		var calls atomic.Int32
		h := quiet(
			telemetry.Check{Name: "deaf", Check: func(context.Context) (string, error) {
				calls.Add(1)
				<-release // whatever the context says
				return "", nil
			}},
			telemetry.Check{Name: "slow", Check: func(ctx context.Context) (string, error) {
				<-ctx.Done()
				return "", ctx.Err()
			}},
			telemetry.Check{Name: "quick", Check: answers("", nil)},
		)
		start := time.Now()
		got := h.Report(t.Context())
		if took := time.Since(start); took != time.Second {
			t.Errorf("the round took %s, want 1s", took)
		}
		if got.Checks["deaf"].Status != telemetry.StatusDown || got.Checks["deaf"].LatencyMS != 1000 || got.Checks["slow"].Status != telemetry.StatusDown {
			t.Errorf("checks that do not answer = %+v", got.Checks)
		}
		if got.Checks["quick"].Status != telemetry.StatusOK {
			t.Errorf("their quick neighbour = %+v", got.Checks["quick"])
		}
		for range 5 { // the deaf one is not started again and again
			time.Sleep(2 * time.Second) // of the bubble's time
			if r := h.Report(t.Context()).Checks["deaf"]; r.Status != telemetry.StatusDown || !strings.Contains(r.Reason, "earlier round") {
				t.Errorf("while it has not returned it is %+v", r)
			}
		}
		if n := calls.Load(); n != 1 {
			t.Errorf("the deaf check runs %d times at once", n)
		}
		close(release)
		synctest.Wait()
		time.Sleep(2 * time.Second)
		if r := h.Report(t.Context()).Checks["deaf"]; r.Status != telemetry.StatusOK {
			t.Errorf("after it has returned it is %+v", r)
		}
	})
}

func TestReportIsSharedAndCached(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var calls atomic.Int32
		h := quiet(telemetry.Check{Name: "database", Check: func(context.Context) (string, error) {
			calls.Add(1)
			time.Sleep(300 * time.Millisecond)
			return "", nil
		}})
		var wg sync.WaitGroup
		for range 100 {
			wg.Go(func() {
				if r := h.Report(t.Context()); r.Status != telemetry.StatusOK || len(r.Checks) != 1 {
					t.Errorf("Report = %+v", r)
				}
			})
		}
		wg.Wait()
		mine := h.Report(t.Context())
		mine.Checks["database"] = telemetry.CheckResult{Status: telemetry.StatusDown}
		time.Sleep(999 * time.Millisecond)
		if r := h.Report(t.Context()); r.Checks["database"].Status != telemetry.StatusOK {
			t.Errorf("one caller changes the report of another: %+v", r)
		}
		if n := calls.Load(); n != 1 {
			t.Errorf("102 callers within a second caused %d checks", n)
		}
		time.Sleep(2 * time.Millisecond)
		h.Report(t.Context())
		if n := calls.Load(); n != 2 {
			t.Errorf("a caller after a second caused %d checks, want a second one", n)
		}
	})
}

func TestReportOutlivesTheCallerWhoStartedIt(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	h := quiet(telemetry.Check{Name: "database", Check: func(ctx context.Context) (string, error) { return "", ctx.Err() }})
	if r := h.Report(ctx); r.Status != telemetry.StatusOK {
		t.Errorf("a caller who has left makes the process %s: %+v", r.Status, r.Checks)
	}
}

func TestHealthLogsChangesOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var buf bytes.Buffer
		var broken atomic.Bool
		h := telemetry.NewHealth(telemetry.NewLogger(&buf, telemetry.Options{Format: "json"}),
			telemetry.Check{Name: "redis", Check: func(context.Context) (string, error) {
				if broken.Load() {
					return "", errors.New("connection refused")
				}
				return "", nil
			}})
		for _, state := range []bool{false, false, true, true, true, false, false} {
			broken.Store(state)
			h.Report(t.Context())
			time.Sleep(1100 * time.Millisecond)
		}
		got := buf.String()
		if strings.Count(got, "\n") != 2 || strings.Count(got, "health check is down") != 1 || strings.Count(got, "ok again") != 1 {
			t.Errorf("two changes are logged as:\n%s", got)
		}
		if !strings.Contains(got, "connection refused") {
			t.Errorf("the log hides the cause:\n%s", got)
		}
	})
}

func TestOpsHandler(t *testing.T) {
	t.Parallel()
	h := quiet(telemetry.Check{Name: "database", Check: answers("", nil)}, telemetry.Check{
		Name: "redis", Check: answers("", fleet.Errorf(fleet.Unavailable, "redis does not answer")), Optional: true,
	})
	ops := telemetry.OpsHandler(telemetry.NewRegistry("worker", "v1.2.3"), h)
	tests := []struct {
		name, method, path string
		status             int
		holds              []string
	}{
		{"alive", "GET", "/healthz", 200, []string{`"status":"ok"`, `"timestamp":"`}},
		{"ready although degraded", "GET", "/readyz", 200, []string{`"status":"degraded"`, `"redis":{"status":"down"`}},
		{"unhealthy", "GET", "/health", 503, []string{`"status":"degraded"`, `"reason":"redis does not answer"`, `"latency_ms":`}},
		{"metrics", "GET", "/metrics", 200, []string{
			`rollcall_build_info{go_version="go1`, `service="worker",version="v1.2.3"} 1`, "go_goroutines", "process_open_fds",
		}},
		{"HEAD", "HEAD", "/readyz", 200, nil},
		{"POST is refused", "POST", "/readyz", 405, nil},
		{"other paths are not there", "GET", "/debug/pprof/", 404, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			w := httptest.NewRecorder()
			ops.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), tt.method, tt.path, nil))
			if w.Code != tt.status {
				t.Errorf("status = %d, want %d", w.Code, tt.status)
			}
			for _, want := range tt.holds {
				if !strings.Contains(w.Body.String(), want) {
					t.Errorf("the answer lacks %q:\n%s", want, w.Body)
				}
			}
		})
	}
	w := get(t, ops, "/health")
	var body map[string]any
	if err := json.Unmarshal(w.Body.Bytes(), &body); err != nil || len(body) != 4 || body["warnings"] == nil {
		t.Errorf("the report has the members %v, %v", body, err)
	}
	if w.Header().Get("Content-Type") != "application/json" || w.Header().Get("Cache-Control") != "no-store" {
		t.Errorf("headers = %v", w.Header())
	}
}

func TestNewHealthRefusesMistakes(t *testing.T) {
	t.Parallel()
	good := telemetry.Check{Name: "a", Check: answers("", nil)}
	for name, checks := range map[string][]telemetry.Check{
		"a check without name":     {{Check: good.Check}},
		"a check without function": {{Name: "a"}},
		"two checks of one name":   {good, good},
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s is accepted", name)
				}
			}()
			quiet(checks...)
		}()
	}
	if r := quiet().Report(t.Context()); r.Status != telemetry.StatusOK || r.Checks == nil {
		t.Errorf("without checks Report = %+v", r)
	}
}
