package process

import (
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/rollcallhq/rollcall/pkg/queue"
)

// Measure shows the connections to PostgreSQL of the process and what became of its traces as metrics. Several processes in one, as of up, tell theirs
// apart by the label process.
func (b *Backends) Measure(r prometheus.Registerer, name string) {
	prometheus.WrapRegistererWith(prometheus.Labels{"process": name}, r).MustRegister(b.measures()...)
}

func (b *Backends) measures() []prometheus.Collector {
	all := []prometheus.Collector{newPoolMeasure(b.Pool)}
	if b.Traces != nil {
		all = append(all, b.Traces)
	}
	return all
}

// MeasureQueues shows what waits on the queues as metrics, asked of Redis whenever they are read: for the scheduler, of
// which there are few. While Redis does not answer there are none.
func (b *Backends) MeasureQueues(r prometheus.Registerer) {
	r.MustRegister(newQueueMeasure(b.Queue.Sizes))
}

// A poolMeasure tells of a pool of connections.
type poolMeasure struct {
	pool                                               *pgxpool.Pool
	connections, most, acquired, waited, gave, waiting *prometheus.Desc
}

func newPoolMeasure(pool *pgxpool.Pool) *poolMeasure {
	return &poolMeasure{
		pool:        pool,
		connections: prometheus.NewDesc("rollcall_database_connections", "Connections to PostgreSQL: busy, idle or connecting.", []string{"state"}, nil),
		most:        prometheus.NewDesc("rollcall_database_connections_max", "Connections to PostgreSQL that the process may have.", nil, nil),
		acquired:    prometheus.NewDesc("rollcall_database_acquires_total", "How often a connection was taken out of the pool.", nil, nil),
		waited:      prometheus.NewDesc("rollcall_database_acquires_waited_total", "How often one had to be waited for, because all were busy.", nil, nil),
		gave:        prometheus.NewDesc("rollcall_database_acquires_given_up_total", "How often the wait was given up.", nil, nil),
		waiting:     prometheus.NewDesc("rollcall_database_acquire_seconds_total", "Seconds that were waited for connections.", nil, nil),
	}
}

// Describe sends what there is.
func (m *poolMeasure) Describe(c chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{m.connections, m.most, m.acquired, m.waited, m.gave, m.waiting} {
		c <- d
	}
}

// Collect sends how the pool is doing.
func (m *poolMeasure) Collect(c chan<- prometheus.Metric) {
	s := m.pool.Stat()
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		c <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	counter := func(d *prometheus.Desc, v float64) { c <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, v) }
	gauge(m.connections, float64(s.AcquiredConns()), "busy")
	gauge(m.connections, float64(s.IdleConns()), "idle")
	gauge(m.connections, float64(s.ConstructingConns()), "connecting")
	gauge(m.most, float64(s.MaxConns()))
	counter(m.acquired, float64(s.AcquireCount()))
	counter(m.waited, float64(s.EmptyAcquireCount()))
	counter(m.gave, float64(s.CanceledAcquireCount()))
	counter(m.waiting, s.AcquireDuration().Seconds())
}

// A queueMeasure tells of the queues.
type queueMeasure struct {
	sizes                   func() ([]queue.Size, error)
	messages, oldest, pause *prometheus.Desc
}

func newQueueMeasure(sizes func() ([]queue.Size, error)) *queueMeasure {
	return &queueMeasure{
		sizes:    sizes,
		messages: prometheus.NewDesc("rollcall_queue_messages", "Messages on a queue, by Asynq's state.", []string{"queue", "state"}, nil),
		oldest:   prometheus.NewDesc("rollcall_queue_oldest_pending_seconds", "Age of the oldest message that waits on a queue.", []string{"queue"}, nil),
		pause:    prometheus.NewDesc("rollcall_queue_paused", "Whether somebody has paused a queue.", []string{"queue"}, nil),
	}
}

// Describe sends what there is.
func (m *queueMeasure) Describe(c chan<- *prometheus.Desc) {
	c <- m.messages
	c <- m.oldest
	c <- m.pause
}

// Collect asks Redis.
func (m *queueMeasure) Collect(c chan<- prometheus.Metric) {
	sizes, err := m.sizes()
	if err != nil {
		return // that Redis is down is told by the health of the process
	}
	for _, s := range sizes {
		for state, n := range s.States {
			c <- prometheus.MustNewConstMetric(m.messages, prometheus.GaugeValue, float64(n), s.Queue, state)
		}
		c <- prometheus.MustNewConstMetric(m.oldest, prometheus.GaugeValue, s.Latency.Seconds(), s.Queue)
		paused := 0.0
		if s.Paused {
			paused = 1
		}
		c <- prometheus.MustNewConstMetric(m.pause, prometheus.GaugeValue, paused, s.Queue)
	}
}
