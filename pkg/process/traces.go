package process

import (
	"context"

	"github.com/exaring/otelpgx"
	"github.com/jackc/pgx/v5"
	metrics "go.opentelemetry.io/otel/metric/noop"

	"github.com/rollcallhq/rollcall/pkg/settings"
	"github.com/rollcallhq/rollcall/pkg/telemetry"
)

// ReadTraces reads where traces go.
func ReadTraces(r *settings.Reader) string {
	return r.HTTPURL("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:4317",
		"where traces go, OTLP over gRPC; without it there are none. OTEL_TRACES_SAMPLER and other standard variables are heeded then")
}

// queryTracer returns what makes spans of the statements that belong to a trace, or nil without traces. Their text is ours
// and has no values in it.
func queryTracer(traces *telemetry.Traces) pgx.QueryTracer {
	if traces == nil {
		return nil
	}
	return otelpgx.NewTracer(otelpgx.WithTracerProvider(traces.Provider()), otelpgx.WithMeterProvider(metrics.NewMeterProvider()))
}

// openTraces makes the traces of a service, if it is told where they go.
func (c Config) openTraces(ctx context.Context, o telemetry.TraceOptions) (*telemetry.Traces, error) {
	o.Endpoint, o.Version = c.Traces, c.Version
	return telemetry.NewTraces(ctx, o)
}
