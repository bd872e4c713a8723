package rpc_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/rollcallhq/rollcall/api/internal/rpc"
	"github.com/rollcallhq/rollcall/pkg/ephemeral"
	"github.com/rollcallhq/rollcall/pkg/fleet"
	"github.com/rollcallhq/rollcall/pkg/store"
	"github.com/rollcallhq/rollcall/pkg/telemetry"
	rollcallv1 "github.com/rollcallhq/rollcall/proto/rollcall/v1"
)

func TestWhoMayCall(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.stored(t, b.addHost(t, "web-1"), finding("os", `{}`), time.Now())
	tests := []struct {
		name   string
		sent   []string // authorization
		code   codes.Code
		reason string
	}{
		{"a good token", []string{"Bearer viewer"}, codes.OK, ""},
		{"the scheme in any case", []string{"bearer viewer"}, codes.OK, ""},
		{"no token", nil, codes.Unauthenticated, "unauthenticated"},
		{"an empty token", []string{"Bearer "}, codes.Unauthenticated, "token_invalid"},
		{"a token without its scheme", []string{"viewer"}, codes.Unauthenticated, "token_invalid"},
		{"another scheme", []string{"Basic viewer"}, codes.Unauthenticated, "token_invalid"},
		{"two tokens", []string{"Bearer viewer", "Bearer operator"}, codes.Unauthenticated, "token_invalid"},
		{"a forged token", []string{"Bearer forged"}, codes.Unauthenticated, "token_invalid"},
		{"a user without a role", []string{"Bearer nobody"}, codes.PermissionDenied, "forbidden"},
		{"a session while Redis is down", []string{"Bearer redis-is-down"}, codes.Unavailable, "session_store_unavailable"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			ctx := metadata.NewOutgoingContext(t.Context(), metadata.MD{"authorization": tt.sent})
			_, unary := b.GetReport(ctx, &rollcallv1.GetReportRequest{Host: "web-1", ReportType: "os"})
			_, stream := receive(b.ListReports(ctx, &rollcallv1.ListReportsRequest{}))
			for _, err := range []error{unary, stream} {
				if tt.code == codes.OK && err != nil {
					t.Error(err)
				} else if tt.code != codes.OK {
					wantError(t, err, tt.code, tt.reason)
				}
			}
		})
	}
}

func TestBadRequestsNameTheirFields(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.addHost(t, "web-1")
	generate := func(r *rollcallv1.GenerateReportRequest) func(context.Context) error {
		return func(ctx context.Context) error { _, err := b.GenerateReport(ctx, r); return err }
	}
	get := func(r *rollcallv1.GetReportRequest) func(context.Context) error {
		return func(ctx context.Context) error { _, err := b.GetReport(ctx, r); return err }
	}
	list := func(r *rollcallv1.ListReportsRequest) func(context.Context) error {
		return func(ctx context.Context) error {
			_, err := receive(b.ListReports(ctx, r))
			return err
		}
	}
	watch := func(id string) func(context.Context) error {
		return func(ctx context.Context) error {
			_, err := receive(b.WatchCollection(ctx, &rollcallv1.WatchCollectionRequest{CollectionId: id}))
			return err
		}
	}
	now := timestamppb.Now()
	tests := []struct {
		name   string
		call   func(context.Context) error
		code   codes.Code
		reason string
		fields string
	}{
		{"generate: nothing", generate(&rollcallv1.GenerateReportRequest{}), codes.InvalidArgument, "invalid", "host report_type"},
		{"generate: no host", generate(&rollcallv1.GenerateReportRequest{ReportType: "os"}), codes.InvalidArgument, "invalid", "host"},
		{"generate: no type", generate(&rollcallv1.GenerateReportRequest{Host: "web-1"}), codes.InvalidArgument, "invalid", "report_type"},
		{"generate: an unknown type", generate(&rollcallv1.GenerateReportRequest{Host: "web-1", ReportType: "x"}), codes.InvalidArgument, "unknown_report_type", "report_type"},
		{"generate: an unknown host", generate(osOf("web-2", 0, false)), codes.NotFound, "not_found", ""},
		{"generate: a host with a NUL", generate(osOf("web\x00", 0, false)), codes.InvalidArgument, "invalid", "host"},
		{"generate: a name without end", generate(osOf(strings.Repeat("x", 10_000), 0, false)), codes.InvalidArgument, "invalid", "host"},
		{"generate: a negative age", generate(osOf("web-1", -time.Second, false)), codes.InvalidArgument, "invalid", "max_age"},
		{"generate: an age that is none", generate(&rollcallv1.GenerateReportRequest{
			Host: "web-1", ReportType: "os", MaxAge: &durationpb.Duration{Seconds: 1, Nanos: -1},
		}), codes.InvalidArgument, "invalid", "max_age"},
		{"generate: 2 MB", generate(osOf(strings.Repeat("x", 2<<20), 0, false)), codes.ResourceExhausted, "", ""},
		{"get: nothing", get(&rollcallv1.GetReportRequest{}), codes.InvalidArgument, "invalid", "host report_type"},
		{"get: both ways", get(&rollcallv1.GetReportRequest{Id: fleet.NewID().String(), Host: "web-1"}), codes.InvalidArgument, "invalid", "id"},
		{"get: an ID that is none", get(&rollcallv1.GetReportRequest{Id: "1 or 1=1"}), codes.InvalidArgument, "invalid", "id"},
		{"list: an unknown type", list(&rollcallv1.ListReportsRequest{ReportType: "x"}), codes.InvalidArgument, "unknown_report_type", "report_type"},
		{"list: an unknown host", list(&rollcallv1.ListReportsRequest{Host: "web-2"}), codes.NotFound, "not_found", ""},
		{"list: a time that is none", list(&rollcallv1.ListReportsRequest{Since: &timestamppb.Timestamp{Seconds: 1 << 60}}), codes.InvalidArgument, "invalid", "since"},
		{"list: until before since", list(&rollcallv1.ListReportsRequest{Since: now, Until: now}), codes.InvalidArgument, "invalid", "until"},
		{"watch: nothing", watch(""), codes.InvalidArgument, "invalid", "collection_id"},
		{"watch: an ID that is none", watch("x"), codes.InvalidArgument, "invalid", "collection_id"},
		{"watch: an unknown collection", watch(fleet.NewID().String()), codes.NotFound, "not_found", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			err := tt.call(as(t, "operator"))
			if tt.reason == "" { // refused before it is a call
				if status.Code(err) != tt.code {
					t.Errorf("the call ended with %v, want %v", err, tt.code)
				}
				return
			}
			wantError(t, err, tt.code, tt.reason)
			var fields []string
			for _, v := range detail[*errdetails.BadRequest](err).GetFieldViolations() {
				fields = append(fields, v.GetField())
			}
			if got := strings.Join(fields, " "); got != tt.fields {
				t.Errorf("the bad fields are %q, want %q", got, tt.fields)
			}
		})
	}
	if found, _, err := b.store.Collections(t.Context(), fleet.Everything(), fleet.Page{}); len(found) != 0 || err != nil {
		t.Errorf("refused requests have left %v, %v", found, err)
	}
}

// A lockedBuffer takes the log of a server.
type lockedBuffer struct {
	mu sync.Mutex
	bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.Buffer.Write(p)
}

// lines returns the records, by request ID.
func (b *lockedBuffer) lines(t *testing.T) map[string]map[string]any {
	t.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	records := map[string]map[string]any{}
	for line := range strings.Lines(b.String()) {
		var r map[string]any
		if err := json.Unmarshal([]byte(line), &r); err != nil {
			t.Fatalf("the log has the line %s: %v", line, err)
		}
		if id, ok := r["request_id"].(string); ok {
			records[id] = r
		}
	}
	return records
}

func TestEachCallIsIdentifiedLoggedAndMeasured(t *testing.T) {
	t.Parallel()
	log, registry := &lockedBuffer{}, prometheus.NewRegistry()
	b := setup(t, func(c *rpc.Config) {
		c.Log = telemetry.NewLogger(log, telemetry.Options{Format: telemetry.FormatJSON, Level: slog.LevelDebug})
		c.Metrics = registry
		c.Limit = func(_ context.Context, actor fleet.Actor) (ephemeral.Allowance, error) {
			switch actor.Name {
			case "operator":
				panic("a secret")
			case "":
				return ephemeral.Allowance{}, fleet.Errorf(fleet.Exhausted, "too many attempts").WithRetryAfter(7 * time.Second)
			}
			return ephemeral.Allowance{}, nil
		}
	})
	call := func(token, id string) (string, error) {
		var header metadata.MD
		ctx := metadata.AppendToOutgoingContext(as(t, token), "x-request-id", id)
		_, err := b.GetReport(ctx, &rollcallv1.GetReportRequest{Host: "web-1", ReportType: "os"}, grpc.Header(&header))
		return strings.Join(header.Get("x-request-id"), " "), err
	}

	id, err := call("viewer", "mine-1")
	wantError(t, err, codes.NotFound, "not_found")
	if id != "mine-1" || detail[*errdetails.RequestInfo](err).GetRequestId() != "mine-1" {
		t.Errorf("the request's own ID came back as %q", id)
	}
	forged, err := call("viewer", "mine\" level=ERROR")
	wantError(t, err, codes.NotFound, "not_found")
	if len(forged) != 36 || detail[*errdetails.RequestInfo](err).GetRequestId() != forged {
		t.Errorf("an ID that could forge the log came back as %q", forged)
	}
	panicked, err := call("operator", "")
	wantError(t, err, codes.Internal, "internal")
	if strings.Contains(err.Error(), "secret") {
		t.Errorf("the panic is shown: %v", err)
	}
	_, err = call("forged", "")
	wantError(t, err, codes.ResourceExhausted, "rate_limited")
	if wait := detail[*errdetails.RetryInfo](err).GetRetryDelay().AsDuration(); wait != 7*time.Second {
		t.Errorf("retry after %v, want 7s", wait)
	}

	records := log.lines(t)
	if r := records["mine-1"]; r["level"] != "INFO" || r["code"] != "NotFound" || r["actor"] != "user:viewer" ||
		r["method"] != rollcallv1.ReportService_GetReport_FullMethodName || r["duration"] == "" {
		t.Errorf("the record of the call is %v", r)
	}
	if r := records[panicked]; r["level"] != "ERROR" || !strings.Contains(fmt.Sprint(r["error"]), "a secret\ngoroutine") {
		t.Errorf("the record of the panic is %v", r)
	}
	if got := measured(t, registry); got["NotFound"] != 2 || got["Internal"] != 1 || got["ResourceExhausted"] != 1 {
		t.Errorf("measured %v", got)
	}
}

// measured returns how many calls of GetReport ended with each code.
func measured(t *testing.T, registry *prometheus.Registry) map[string]int {
	t.Helper()
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	counts := map[string]int{}
	for _, family := range families {
		if family.GetName() != "rollcall_grpc_request_duration_seconds" {
			continue
		}
		for _, m := range family.GetMetric() {
			labels := map[string]string{}
			for _, l := range m.GetLabel() {
				labels[l.GetName()] = l.GetValue()
			}
			if labels["method"] == "rollcall.v1.ReportService/GetReport" {
				counts[labels["code"]] += int(m.GetHistogram().GetSampleCount())
			}
		}
	}
	return counts
}

func TestADatabaseThatDoesNotAnswerIsUnavailable(t *testing.T) {
	t.Parallel()
	pool, err := store.OpenPool(t.Context(), "postgres://nobody@127.0.0.1:1/none", store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer pool.Close()
	b := setup(t, func(c *rpc.Config) { c.Store = store.New(pool) })
	_, err = b.GetReport(as(t, "viewer"), &rollcallv1.GetReportRequest{Host: "web-1", ReportType: "os"})
	wantError(t, err, codes.Unavailable, store.CodeDatabaseUnavailable)
	if detail[*errdetails.RetryInfo](err).GetRetryDelay().AsDuration() <= 0 {
		t.Error("nothing says when to try again")
	}
}

func TestNewRefusesAConfigThatLacksSomething(t *testing.T) {
	t.Parallel()
	if _, err := rpc.New(rpc.Config{}); err == nil {
		t.Error("an empty config is accepted")
	}
}
