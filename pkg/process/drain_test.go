package process_test

import (
	"context"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rollcallhq/rollcall/pkg/process"
	"github.com/rollcallhq/rollcall/pkg/telemetry"
)

func TestAProcessServesOnWhileItDrains(t *testing.T) {
	t.Parallel()
	for name, wait := range map[string]time.Duration{"for a while": 5 * time.Second, "not at all": 0} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				health := telemetry.NewHealth(slog.New(slog.DiscardHandler))
				told, tell := context.WithCancel(t.Context())
				defer tell()
				serving, stop := process.Draining(told, health, func() time.Duration { return wait }, slog.New(slog.DiscardHandler))
				defer stop()
				synctest.Wait()
				if health.Ready(t.Context()).Status != telemetry.StatusOK || serving.Err() != nil {
					t.Fatal("it drains before it is told to")
				}
				began := time.Now()
				tell()
				synctest.Wait()
				if health.Ready(t.Context()).Status != telemetry.StatusDown || health.Report(t.Context()).Status != telemetry.StatusOK {
					t.Error("it is ready for more, or not well")
				}
				<-serving.Done()
				if took := time.Since(began); took != wait {
					t.Errorf("served for %v, want %v", took, wait)
				}
			})
		})
	}
}

func TestAProcessThatEndsOtherwiseDoesNotDrain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		health := telemetry.NewHealth(slog.New(slog.DiscardHandler))
		told, tell := context.WithCancel(t.Context())
		serving, stop := process.Draining(told, health, func() time.Duration { return time.Hour }, slog.New(slog.DiscardHandler))
		stop()
		<-serving.Done()
		tell()
		synctest.Wait()
		if health.Ready(t.Context()).Status != telemetry.StatusOK {
			t.Error("it drains although nothing is left to serve")
		}
	})
}
