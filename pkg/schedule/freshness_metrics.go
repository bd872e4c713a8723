package schedule

import (
	"context"
	"maps"
	"slices"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/rollcallhq/rollcall/pkg/fleet"
)

// What is shown of sites and freshness: as of the last look, which each process takes for itself.
func hostsDesc() *prometheus.Desc {
	return prometheus.NewDesc("rollcall_hosts", "Hosts by how fresh what is known of them is, and by site.", []string{"status", "site"}, nil)
}

func workersDesc() *prometheus.Desc {
	return prometheus.NewDesc("rollcall_site_workers", "Workers alive that serve the site.", []string{"site"}, nil)
}

func siteHostsDesc() *prometheus.Desc {
	return prometheus.NewDesc("rollcall_site_hosts", "Hosts of the site that are collected from.", []string{"site"}, nil)
}

func oldestDesc() *prometheus.Desc {
	return prometheus.NewDesc("rollcall_site_oldest_task_seconds", "How long the task of the site has waited that has waited longest; 0 where none waits.",
		[]string{"site"}, nil)
}

// Describe is of prometheus.Collector.
func (f *Freshness) Describe(out chan<- *prometheus.Desc) {
	for _, desc := range []*prometheus.Desc{hostsDesc(), workersDesc(), siteHostsDesc(), oldestDesc()} {
		out <- desc
	}
}

// Collect is of prometheus.Collector.
func (f *Freshness) Collect(out chan<- prometheus.Metric) {
	for _, metric := range *f.shown.Load() {
		out <- metric
	}
}

// observe looks at what is shown.
func (f *Freshness) observe(ctx context.Context) error {
	if f.Metrics == nil {
		return nil
	}
	sites, err := f.Store.Sites(ctx, fleet.Everything(), f.Silence)
	if err != nil {
		return err
	}
	counts, err := f.Store.FreshnessCounts(ctx, fleet.Everything())
	if err != nil {
		return err
	}
	shown := metricsOf(sites, counts)
	f.shown.Store(&shown)
	return nil
}

// metricsOf returns the metrics of the sites and hosts. Sites have labels of their own as long as there are not too many
// of them; the others, by name, are one.
func metricsOf(sites []fleet.Site, counts []fleet.FreshnessCount) []prometheus.Metric {
	label := map[string]string{}
	together := map[string]fleet.Site{}
	for i, site := range sites {
		label[site.Name] = site.Name
		if i >= manySites {
			label[site.Name] = otherSites
		}
		sum := together[label[site.Name]]
		sum.Workers, sum.Enabled, sum.Oldest = sum.Workers+site.Workers, sum.Enabled+site.Enabled, max(sum.Oldest, site.Oldest)
		together[label[site.Name]] = sum
	}
	var metrics []prometheus.Metric
	gauge := func(desc *prometheus.Desc, value float64, labels ...string) {
		metrics = append(metrics, prometheus.MustNewConstMetric(desc, prometheus.GaugeValue, value, labels...))
	}
	for _, name := range slices.Sorted(maps.Keys(together)) {
		gauge(workersDesc(), float64(together[name].Workers), name)
		gauge(siteHostsDesc(), float64(together[name].Enabled), name)
		gauge(oldestDesc(), together[name].Oldest.Seconds(), name)
	}
	hosts := map[[2]string]int{}
	for site := range together {
		for _, status := range fleet.Freshnesses() {
			hosts[[2]string{string(status), site}] = 0 // so that an alert finds a zero and not nothing
		}
	}
	for _, c := range counts {
		site, known := label[c.Site]
		if !known { // it came in between two statements
			continue
		}
		hosts[[2]string{string(c.Status), site}] += c.Hosts
	}
	for key, n := range hosts {
		gauge(hostsDesc(), float64(n), key[0], key[1])
	}
	return metrics
}
