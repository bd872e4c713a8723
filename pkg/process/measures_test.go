package process_test

import (
	"context"
	"log/slog"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/rollcallhq/rollcall/pkg/embedded"
	"github.com/rollcallhq/rollcall/pkg/fleet"
	"github.com/rollcallhq/rollcall/pkg/process"
	"github.com/rollcallhq/rollcall/pkg/storetest"
)

// gathered returns the values of gauges and counters, by name and the values of their labels.
func gathered(t *testing.T, from prometheus.Gatherer) map[string]float64 {
	t.Helper()
	families, err := from.Gather()
	if err != nil {
		t.Fatal(err)
	}
	values := map[string]float64{}
	for _, family := range families {
		for _, m := range family.GetMetric() {
			parts := []string{family.GetName()}
			for _, label := range m.GetLabel() {
				parts = append(parts, label.GetValue())
			}
			values[strings.Join(parts, " ")] = m.GetGauge().GetValue() + m.GetCounter().GetValue()
		}
	}
	return values
}

func TestWhatIsMeasuredOfTheBackends(t *testing.T) {
	t.Parallel()
	redis, err := embedded.RedisForTests(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	stop := func() error { return redis.Stop(context.WithoutCancel(t.Context())) }
	t.Cleanup(func() { _ = stop() })
	b, err := process.Open(t.Context(), process.Config{DatabaseURL: storetest.Database(t), RedisURL: redis.URL()}, "test", slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Close)
	registry := prometheus.NewPedanticRegistry()
	b.Measure(registry, "one")
	b.Measure(registry, "two") // as up does, whose processes share a registry
	b.MeasureQueues(registry)

	held, err := b.Pool.Acquire(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer held.Release()
	m := fleet.Message{TaskID: fleet.NewID(), Epoch: 1, Site: "eu", Priority: fleet.PriorityBulk}
	if err := b.Queue.Ring(t.Context(), []fleet.Message{m}); err != nil {
		t.Fatal(err)
	}
	got := gathered(t, registry)
	for name, want := range map[string]float64{
		"rollcall_database_connections one busy":          1,
		"rollcall_database_connections two busy":          1,
		"rollcall_database_connections_max one":           float64(b.Pool.Config().MaxConns),
		"rollcall_database_acquires_total one":            1,
		"rollcall_queue_messages collect.eu.bulk pending": 1,
		"rollcall_queue_messages collect.eu.bulk active":  0,
		"rollcall_queue_paused collect.eu.bulk":           0,
		"rollcall_database_acquires_given_up_total two":   0,
	} {
		if got[name] != want {
			t.Errorf("%s = %v, want %v", name, got[name], want)
		}
	}
	if _, ok := got["rollcall_queue_oldest_pending_seconds collect.eu.bulk"]; !ok {
		t.Errorf("the age of what waits is not measured: %v", got)
	}
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	for name := range gathered(t, registry) {
		if strings.HasPrefix(name, "rollcall_queue_") {
			t.Errorf("while Redis is down %s is told", name)
		}
	}
}
