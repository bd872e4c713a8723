package e2e_test

import (
	"fmt"
	"net/http"
	"syscall"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
)

// TestAStoppingAPIServesOn stops an api that would serve on for long, and then loses patience with it.
func TestAStoppingAPIServesOn(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	api := s.start("api", map[string]string{"ROLLCALL_DRAIN": "10m"})
	api.ready()
	conn, err := grpc.NewClient(s.grpc, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	ask := func() error {
		res, err := healthpb.NewHealthClient(conn).Check(t.Context(), &healthpb.HealthCheckRequest{})
		if err != nil {
			return err
		}
		if res.GetStatus() != healthpb.HealthCheckResponse_NOT_SERVING {
			return fmt.Errorf("gRPC's health is %s", res.GetStatus())
		}
		return nil
	}
	if err := ask(); err == nil {
		t.Error("gRPC's health says no before anybody stops it")
	}
	_ = api.cmd.Process.Signal(syscall.SIGTERM)
	eventually(t, 10*time.Second, "not ready", func() error { return status(api.ops+"/readyz", http.StatusServiceUnavailable) })
	if err := ask(); err != nil {
		t.Error(err)
	}
	s.signIn() // over a new connection
	s.get("/api/v1/hosts", &struct{}{})
	if err := status(api.ops+"/healthz", http.StatusOK); err != nil {
		t.Errorf("alive: %v", err)
	}
	_ = api.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-api.done:
	case <-time.After(10 * time.Second):
		t.Error("a second signal did not end it")
	}
}
