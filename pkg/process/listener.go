package process

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/rollcallhq/rollcall/pkg/settings"
)

// Connections bound how many connections a listener has at once. 0 means any number.
type Connections struct {
	Max        int
	PerAddress int            // of one IPv4 address, or one IPv6 /64
	Exempt     []netip.Prefix // the networks of proxies, which PerAddress does not bound
}

// ReadConnections reads the bounds of every listener of a process.
func ReadConnections(r *settings.Reader) Connections {
	return Connections{
		Max:        r.Int("ROLLCALL_MAX_CONNECTIONS", 10_000, 1, 1_000_000, "connections that each listener has at once; further ones are closed"),
		PerAddress: r.Int("ROLLCALL_MAX_CONNECTIONS_PER_ADDRESS", 1_000, 1, 1_000_000, "connections that one address (of IPv6 a /64) has at once; trusted proxies have any number"),
	}
}

// ListenerMetrics count the connections of the listeners of a process.
type ListenerMetrics struct {
	open    *prometheus.GaugeVec
	refused *prometheus.CounterVec
}

// NewListenerMetrics registers the metrics with r; nil measures nothing.
func NewListenerMetrics(r prometheus.Registerer) *ListenerMetrics {
	m := &ListenerMetrics{
		open: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Namespace: "rollcall", Subsystem: "listener", Name: "connections",
			Help: "Connections that are open, by listener (http, grpc, ops).",
		}, []string{"listener"}),
		refused: prometheus.NewCounterVec(prometheus.CounterOpts{
			Namespace: "rollcall", Subsystem: "listener", Name: "refused_connections_total",
			Help: "Connections that were closed at once because there were too many, in all (all) or from one address (address).",
		}, []string{"listener", "bound"}),
	}
	if r != nil {
		m.open, m.refused = registered(r, m.open), registered(r, m.refused)
	}
	return m
}

// registered registers c, or returns the one that is registered already, as where several processes are one.
func registered[C prometheus.Collector](r prometheus.Registerer, c C) C {
	if there, ok := errors.AsType[prometheus.AlreadyRegisteredError](r.Register(c)); ok {
		if same, ok := there.ExistingCollector.(C); ok {
			return same
		}
	}
	return c
}

// Bounded opens the listener at addr, which came from variable, with bounds on its connections: how many there are, and
// how long one may take nothing of what is sent to it. name is the listener's in the metrics.
func Bounded(ctx context.Context, name, variable, addr string, bounds Connections, metrics *ListenerMetrics) (net.Listener, error) {
	l, err := Listen(ctx, variable, addr)
	if err != nil {
		return nil, err
	}
	b := &bounded{
		Listener: l, bounds: bounds, from: map[netip.Prefix]int{}, open: metrics.open.WithLabelValues(name),
		refusedAll: metrics.refused.WithLabelValues(name, "all"), refusedAddress: metrics.refused.WithLabelValues(name, "address"),
	}
	return b, nil
}

type bounded struct {
	net.Listener
	bounds                     Connections
	open                       prometheus.Gauge
	refusedAll, refusedAddress prometheus.Counter

	mu   sync.Mutex
	all  int
	from map[netip.Prefix]int
}

// Accept returns the next connection within the bounds; those beyond are closed.
func (b *bounded) Accept() (net.Conn, error) {
	for {
		c, err := b.Listener.Accept()
		if err != nil {
			return nil, err
		}
		source := sourceOf(c.RemoteAddr())
		if b.admit(source, b.isExempt(c.RemoteAddr())) {
			return &boundedConn{Conn: c, release: sync.OnceFunc(func() { b.release(source) })}, nil
		}
		_ = c.Close()
	}
}

// isExempt goes by the whole address, not by what it is counted as: a proxy may be one address of a network.
func (b *bounded) isExempt(a net.Addr) bool {
	ip, ok := addressOf(a)
	return ok && slices.ContainsFunc(b.bounds.Exempt, func(p netip.Prefix) bool { return p.Contains(ip) })
}

func (b *bounded) admit(source netip.Prefix, exempt bool) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case b.bounds.Max > 0 && b.all >= b.bounds.Max:
		b.refusedAll.Inc()
		return false
	case b.bounds.PerAddress > 0 && source.IsValid() && !exempt && b.from[source] >= b.bounds.PerAddress:
		b.refusedAddress.Inc()
		return false
	}
	b.all++
	b.from[source]++
	b.open.Inc()
	return true
}

func (b *bounded) release(source netip.Prefix) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.all--
	if b.from[source]--; b.from[source] == 0 {
		delete(b.from, source)
	}
	b.open.Dec()
}

// addressOf returns the IP address of the other end without its zone, if it has one.
func addressOf(a net.Addr) (netip.Addr, bool) {
	tcp, ok := a.(*net.TCPAddr)
	if !ok {
		return netip.Addr{}, false
	}
	return tcp.AddrPort().Addr().Unmap().WithZone(""), true
}

// sourceOf returns what the other end is counted as; the zero Prefix if it has no IP address.
func sourceOf(a net.Addr) netip.Prefix {
	ip, ok := addressOf(a)
	if !ok {
		return netip.Prefix{}
	}
	bits := 32
	if ip.Is6() {
		bits = 64
	}
	source, err := ip.Prefix(bits)
	if err != nil {
		return netip.Prefix{}
	}
	return source
}

const (
	// writeStall is how long a client may take nothing of what is sent to it.
	writeStall = 30 * time.Second
	// writePiece is what it has to take in that time: 2 KiB a second are slow for anybody.
	writePiece = 64 << 10
)

// A boundedConn is given up when its other end reads nothing any more.
type boundedConn struct {
	net.Conn
	release func()

	mu       sync.Mutex
	deadline time.Time // for writing, set by whoever uses the connection; zero: none
}

// Close closes the connection and makes place for another one.
func (c *boundedConn) Close() error {
	defer c.release()
	return c.Conn.Close()
}

// CloseWrite ends what is sent, so that the other end can read the answer before it learns that the connection is closed.
func (c *boundedConn) CloseWrite() error {
	if tcp, ok := c.Conn.(*net.TCPConn); ok {
		return tcp.CloseWrite()
	}
	return nil
}

// SetDeadline is as that of net.Conn.
func (c *boundedConn) SetDeadline(t time.Time) error {
	return errors.Join(c.SetReadDeadline(t), c.SetWriteDeadline(t))
}

// SetWriteDeadline is as that of net.Conn.
func (c *boundedConn) SetWriteDeadline(t time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.deadline = t
	return c.Conn.SetWriteDeadline(t)
}

// patience sets the deadline of the next piece.
func (c *boundedConn) patience() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	until := time.Now().Add(writeStall)
	if !c.deadline.IsZero() && c.deadline.Before(until) {
		until = c.deadline
	}
	return c.Conn.SetWriteDeadline(until)
}

// Write writes p, as long as the other end takes it.
func (c *boundedConn) Write(p []byte) (int, error) {
	written := 0
	for first := true; first || len(p) > 0; first = false {
		if err := c.patience(); err != nil {
			return written, err
		}
		n, err := c.Conn.Write(p[:min(len(p), writePiece)])
		written += n
		if err != nil {
			return written, err
		}
		p = p[n:]
	}
	return written, nil
}
