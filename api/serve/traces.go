package serve

import (
	"net/http"
	"strings"

	"go.opentelemetry.io/contrib/instrumentation/google.golang.org/grpc/otelgrpc"
	"go.opentelemetry.io/contrib/instrumentation/net/http/otelhttp"
	metrics "go.opentelemetry.io/otel/metric/noop"
	"google.golang.org/grpc"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/stats"

	"github.com/rollcallhq/rollcall/pkg/telemetry"
	rollcallv1 "github.com/rollcallhq/rollcall/proto/rollcall/v1"
)

// traceRequests returns what makes the spans of requests, or nil without traces. It belongs behind a router, which knows the
// route that names the span. Probes have none, nor have streams, which look into the database once a second for an hour.
func traceRequests(traces *telemetry.Traces) func(http.Handler) http.Handler {
	if traces == nil {
		return nil
	}
	return otelhttp.NewMiddleware("http", otelhttp.WithTracerProvider(traces.Provider()), otelhttp.WithPropagators(telemetry.Propagator()),
		otelhttp.WithMeterProvider(metrics.NewMeterProvider()), otelhttp.WithFilter(func(r *http.Request) bool {
			return !isOurs(r.URL.Path) && !strings.HasSuffix(r.URL.Path, "/events")
		}))
}

// traceCalls is traceRequests for gRPC.
func traceCalls(traces *telemetry.Traces) []grpc.ServerOption {
	if traces == nil {
		return nil
	}
	return []grpc.ServerOption{grpc.StatsHandler(otelgrpc.NewServerHandler(
		otelgrpc.WithTracerProvider(traces.Provider()), otelgrpc.WithPropagators(telemetry.Propagator()),
		otelgrpc.WithMeterProvider(metrics.NewMeterProvider()), otelgrpc.WithFilter(func(call *stats.RPCTagInfo) bool {
			return call.FullMethodName != rollcallv1.ReportService_WatchCollection_FullMethodName &&
				call.FullMethodName != rollcallv1.ReportService_HealthCheck_FullMethodName &&
				!strings.HasPrefix(call.FullMethodName, "/"+healthpb.Health_ServiceDesc.ServiceName+"/") &&
				!strings.HasPrefix(call.FullMethodName, "/grpc.reflection.")
		}),
	))}
}
