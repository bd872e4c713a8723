package rpc_test

import (
	"errors"
	"slices"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	reflectionpb "google.golang.org/grpc/reflection/grpc_reflection_v1"
	"google.golang.org/grpc/status"

	"github.com/rollcallhq/rollcall/pkg/telemetry"
	rollcallv1 "github.com/rollcallhq/rollcall/proto/rollcall/v1"
)

// None of these tests shows a token.

func TestHealthCheckAnswersWhatHealthDoes(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.health.become(telemetry.StatusDegraded)
	got, err := b.HealthCheck(t.Context(), &rollcallv1.HealthCheckRequest{})
	if err != nil {
		t.Fatal(err)
	}
	database := got.GetChecks()["database"]
	if got.GetStatus() != rollcallv1.HealthStatus_HEALTH_STATUS_DEGRADED || got.GetTimestamp() == nil ||
		database.GetStatus() != rollcallv1.HealthStatus_HEALTH_STATUS_OK || database.GetLatencyMs() != 1.5 {
		t.Errorf("HealthCheck = %v", got)
	}
}

func TestStandardHealthFollowsReadiness(t *testing.T) {
	t.Parallel()
	b := setup(t)
	client := healthpb.NewHealthClient(b.conn)
	const service = "rollcall.v1.ReportService"
	watch, err := client.Watch(t.Context(), &healthpb.HealthCheckRequest{})
	if err != nil {
		t.Fatal(err)
	}
	for _, step := range []struct {
		become telemetry.Status
		want   healthpb.HealthCheckResponse_ServingStatus
		change bool
	}{
		{telemetry.StatusOK, healthpb.HealthCheckResponse_SERVING, true},
		{telemetry.StatusDegraded, healthpb.HealthCheckResponse_SERVING, false},
		{telemetry.StatusDown, healthpb.HealthCheckResponse_NOT_SERVING, true},
		{telemetry.StatusOK, healthpb.HealthCheckResponse_SERVING, true},
	} {
		b.health.become(step.become)
		for _, name := range []string{"", service} {
			got, err := client.Check(t.Context(), &healthpb.HealthCheckRequest{Service: name})
			if err != nil || got.GetStatus() != step.want {
				t.Errorf("while %s, Check of %q = %v, %v, want %v", step.become, name, got, err, step.want)
			}
		}
		if !step.change {
			continue
		}
		if got, err := watch.Recv(); err != nil || got.GetStatus() != step.want {
			t.Errorf("while %s, Watch sent %v, %v, want %v", step.become, got, err, step.want)
		}
	}
	list, err := client.List(t.Context(), &healthpb.HealthListRequest{})
	if err != nil || len(list.GetStatuses()) != 2 || list.GetStatuses()[service].GetStatus() != healthpb.HealthCheckResponse_SERVING {
		t.Errorf("List = %v, %v", list, err)
	}
	if _, err := client.Check(t.Context(), &healthpb.HealthCheckRequest{Service: "other"}); status.Code(err) != codes.NotFound {
		t.Errorf("Check of an unknown service ended with %v, want NOT_FOUND", err)
	}

	close(b.stop)
	if got, err := watch.Recv(); err != nil || got.GetStatus() != healthpb.HealthCheckResponse_NOT_SERVING {
		t.Errorf("when stopping, Watch sent %v, %v", got, err)
	}
	if _, err := watch.Recv(); status.Code(err) != codes.Unavailable {
		t.Errorf("the watch ended with %v, want UNAVAILABLE", err)
	}
}

func TestReflectionListsTheServices(t *testing.T) {
	t.Parallel()
	b := setup(t)
	want := []string{
		"grpc.health.v1.Health", "grpc.reflection.v1.ServerReflection", "grpc.reflection.v1alpha.ServerReflection", "rollcall.v1.ReportService",
	}
	for _, service := range want[1:3] { // both versions have the same messages
		desc := &grpc.StreamDesc{ClientStreams: true, ServerStreams: true}
		call, err := b.conn.NewStream(t.Context(), desc, "/"+service+"/ServerReflectionInfo")
		if err != nil {
			t.Fatal(err)
		}
		var answer reflectionpb.ServerReflectionResponse
		request := &reflectionpb.ServerReflectionRequest{MessageRequest: &reflectionpb.ServerReflectionRequest_ListServices{}}
		if err := errors.Join(call.SendMsg(request), call.RecvMsg(&answer)); err != nil {
			t.Fatalf("asking %s: %v", service, err)
		}
		var names []string
		for _, s := range answer.GetListServicesResponse().GetService() {
			names = append(names, s.GetName())
		}
		if !slices.Equal(names, want) {
			t.Errorf("%s lists %v, want %v", service, names, want)
		}
	}
}
