package schedule

import (
	"context"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/rollcallhq/rollcall/pkg/fleet"
)

// Observe lets f look at what it shows.
func Observe(ctx context.Context, f *Freshness) error { return f.observe(ctx) }

// MetricsOf returns what is shown of the sites and hosts.
func MetricsOf(sites []fleet.Site, counts []fleet.FreshnessCount) []prometheus.Metric {
	return metricsOf(sites, counts)
}
