package rpc

import (
	"context"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"

	"github.com/rollcallhq/rollcall/pkg/telemetry"
	rollcallv1 "github.com/rollcallhq/rollcall/proto/rollcall/v1"
)

// HealthCheck answers what GET /health does.
func (s *server) HealthCheck(ctx context.Context, _ *rollcallv1.HealthCheckRequest) (*rollcallv1.HealthCheckResponse, error) {
	return viewHealth(s.Health.Report(ctx)), nil
}

// A healthServer is grpc.health.v1.Health: whether calls should be sent here. It asks whenever it is asked, so that
// nothing has to be kept up to date.
type healthServer struct {
	healthpb.UnimplementedHealthServer
	reporter Reporter
	stopping <-chan struct{}
}

// healthEvery is how often a watched health is looked at.
const healthEvery = time.Second

// known reports whether service is one whose health is told: the server as a whole, or the ReportService.
func (*healthServer) known(service string) bool {
	return service == "" || service == rollcallv1.ReportService_ServiceDesc.ServiceName
}

// serving is the health of every service: they need the same things.
func (h *healthServer) serving(ctx context.Context) healthpb.HealthCheckResponse_ServingStatus {
	if stopped(h.stopping) || h.reporter.Ready(ctx).Status == telemetry.StatusDown {
		return healthpb.HealthCheckResponse_NOT_SERVING
	}
	return healthpb.HealthCheckResponse_SERVING
}

// Check answers for one service.
func (h *healthServer) Check(ctx context.Context, r *healthpb.HealthCheckRequest) (*healthpb.HealthCheckResponse, error) {
	if !h.known(r.GetService()) {
		return nil, status.Error(codes.NotFound, "there is no such service here")
	}
	return &healthpb.HealthCheckResponse{Status: h.serving(ctx)}, nil
}

// List answers for all services.
func (h *healthServer) List(ctx context.Context, _ *healthpb.HealthListRequest) (*healthpb.HealthListResponse, error) {
	now := h.serving(ctx)
	return &healthpb.HealthListResponse{Statuses: map[string]*healthpb.HealthCheckResponse{
		"": {Status: now},
		rollcallv1.ReportService_ServiceDesc.ServiceName: {Status: now},
	}}, nil
}

// Watch sends the status of a service at once and whenever it changes. The watching ends when the server stops,
// after it has been said that it does not serve any more.
func (h *healthServer) Watch(r *healthpb.HealthCheckRequest, out grpc.ServerStreamingServer[healthpb.HealthCheckResponse]) error {
	ctx := out.Context()
	tick := time.NewTicker(healthEvery)
	defer tick.Stop()
	sent := healthpb.HealthCheckResponse_UNKNOWN
	for {
		last := stopped(h.stopping) // before the status, which then says so too
		now := healthpb.HealthCheckResponse_SERVICE_UNKNOWN
		if h.known(r.GetService()) {
			now = h.serving(ctx)
		}
		if now != sent {
			if err := out.Send(&healthpb.HealthCheckResponse{Status: now}); err != nil {
				return err
			}
			sent = now
		}
		if last {
			return errStopping()
		}
		select {
		case <-tick.C:
		case <-h.stopping:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
