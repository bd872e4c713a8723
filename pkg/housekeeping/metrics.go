package housekeeping

import (
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/rollcallhq/rollcall/pkg/fleet"
)

// gauges show what the last look has seen. Ages are computed when they are asked for, so that they grow while nothing looks.
type gauges struct {
	mu     sync.Mutex
	seen   bool
	months int
	done   map[string]time.Time
	oldest time.Time // unsealed entry; zero: there is none

	room   *prometheus.Desc
	age    *prometheus.Desc
	unseal *prometheus.Desc
}

func newGauges(r prometheus.Registerer) *gauges {
	g := &gauges{
		room:   prometheus.NewDesc("rollcall_partition_months_ahead", "For how many months beyond this one all partitions exist; -1: one of this month's is missing.", nil, nil),
		age:    prometheus.NewDesc("rollcall_housekeeping_success_age_seconds", "Seconds since a housekeeping job last succeeded, in whichever process.", []string{"job"}, nil),
		unseal: prometheus.NewDesc("rollcall_audit_unsealed_age_seconds", "Seconds since the oldest entry of the audit log was written that is not sealed; 0: all are.", nil, nil),
	}
	if r != nil {
		r.MustRegister(g)
	}
	return g
}

func (g *gauges) set(months int, jobs []fleet.HousekeepingJob, unsealed time.Duration) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.seen, g.months, g.done = true, months, map[string]time.Time{}
	g.oldest = time.Time{}
	if unsealed > 0 {
		g.oldest = time.Now().Add(-unsealed)
	}
	for _, j := range jobs {
		if j.DoneAt != nil {
			g.done[j.Name] = *j.DoneAt
		}
	}
}

// Describe sends what there is.
func (g *gauges) Describe(c chan<- *prometheus.Desc) { c <- g.room; c <- g.age; c <- g.unseal }

// Collect sends what the last look has seen; nothing before the first.
func (g *gauges) Collect(c chan<- prometheus.Metric) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if !g.seen {
		return
	}
	c <- prometheus.MustNewConstMetric(g.room, prometheus.GaugeValue, float64(g.months))
	unsealed := 0.0
	if !g.oldest.IsZero() {
		unsealed = time.Since(g.oldest).Seconds()
	}
	c <- prometheus.MustNewConstMetric(g.unseal, prometheus.GaugeValue, unsealed)
	for job, at := range g.done {
		c <- prometheus.MustNewConstMetric(g.age, prometheus.GaugeValue, time.Since(at).Seconds(), job)
	}
}
