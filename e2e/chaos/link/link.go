// Package link forwards TCP connections between a process and one of its servers, and breaks them as networks do: cut,
// so that both ends see a reset, or black-holed, so that neither end sees anything.
package link

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// dialTimeout bounds how long a new connection waits for a server that is there and does not accept.
const dialTimeout = 5 * time.Second

// A Link listens on loopback and forwards to one address. Its methods may be called concurrently.
type Link struct {
	listener net.Listener
	to       string
	ctx      context.Context //nolint:containedctx // the link is what lives as long
	end      context.CancelFunc
	work     sync.WaitGroup

	mu    sync.Mutex
	open  chan struct{} // closed while data may pass
	pairs map[*pair]struct{}
	count atomic.Int64
}

// A pair is a client's connection and, as soon as it is dialled, the server's.
type pair struct {
	client net.Conn
	server net.Conn
}

// Open returns a link to the address of a server, which need not be there yet; "" is one that is told later. It passes
// data until ctx ends or Close is called.
func Open(ctx context.Context, to string) (*Link, error) {
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("opening a link: %w", err)
	}
	open := make(chan struct{})
	close(open)
	l := &Link{listener: listener, to: to, open: open, pairs: map[*pair]struct{}{}}
	l.ctx, l.end = context.WithCancel(ctx)
	l.work.Go(l.accept)
	l.work.Go(func() {
		<-l.ctx.Done()
		_ = l.listener.Close()
		l.Cut()
	})
	return l, nil
}

// Addr is where clients connect to.
func (l *Link) Addr() string { return l.listener.Addr().String() }

// To lets the connections that are made from now on lead to another address.
func (l *Link) To(address string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.to = address
}

// Accepted is how many connections clients have made up to now.
func (l *Link) Accepted() int64 { return l.count.Load() }

// Cut resets every connection that is open now, and returns how many those were. New ones pass.
func (l *Link) Cut() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	for p := range l.pairs {
		reset(p.client)
		if p.server != nil {
			reset(p.server)
		}
	}
	n := len(l.pairs)
	clear(l.pairs)
	return n
}

// Hole lets nothing pass in either direction until Heal: what is sent stays where it is, and new connections are
// accepted by the kernel and lead nowhere. Nobody sees a reset or an end.
func (l *Link) Hole() {
	l.mu.Lock()
	defer l.mu.Unlock()
	select {
	case <-l.open:
		l.open = make(chan struct{})
	default: // it is one already
	}
}

// Heal ends a Hole: what was held back is delivered, as after a network's partition.
func (l *Link) Heal() {
	l.mu.Lock()
	defer l.mu.Unlock()
	select {
	case <-l.open:
	default:
		close(l.open)
	}
}

// Close resets all connections and returns when nothing is left of the link.
func (l *Link) Close() {
	l.end()
	l.work.Wait()
}

// pass waits until data may pass, and reports whether the link still lives.
func (l *Link) pass() bool {
	l.mu.Lock()
	open := l.open
	l.mu.Unlock()
	select {
	case <-open:
		return true
	case <-l.ctx.Done():
		return false
	}
}

func (l *Link) accept() {
	for {
		client, err := l.listener.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil { // out of file descriptors, say: it passes
			select {
			case <-l.ctx.Done():
				return
			case <-time.After(50 * time.Millisecond):
				continue
			}
		}
		l.count.Add(1)
		p := &pair{client: client}
		l.mu.Lock()
		l.pairs[p] = struct{}{}
		l.mu.Unlock()
		l.work.Go(func() { l.serve(p) })
	}
}

// serve forwards one connection until either end is done with it.
func (l *Link) serve(p *pair) {
	defer l.forget(p)
	if !l.pass() {
		return
	}
	l.mu.Lock()
	to := l.to
	l.mu.Unlock()
	server, err := (&net.Dialer{Timeout: dialTimeout}).DialContext(l.ctx, "tcp", to)
	if err != nil { // to the client it looks as if the server had refused it
		reset(p.client)
		return
	}
	if !l.join(p, server) {
		reset(server)
		return
	}
	var both sync.WaitGroup
	both.Go(func() { l.pump(server, p.client) })
	both.Go(func() { l.pump(p.client, server) })
	both.Wait()
}

// join gives the pair its server, unless the pair was cut while that was dialled.
func (l *Link) join(p *pair, server net.Conn) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if _, ok := l.pairs[p]; !ok {
		return false
	}
	p.server = server
	return true
}

func (l *Link) forget(p *pair) {
	l.mu.Lock()
	delete(l.pairs, p)
	l.mu.Unlock()
	_ = p.client.Close()
	if p.server != nil {
		_ = p.server.Close()
	}
}

// pump forwards one direction. The end of what is sent is passed on, and a broken connection breaks the other one.
func (l *Link) pump(to, from net.Conn) {
	buffer := make([]byte, 32<<10)
	for {
		n, err := from.Read(buffer)
		if !l.pass() {
			return
		}
		if n > 0 {
			if _, err := to.Write(buffer[:n]); err != nil {
				reset(from)
				return
			}
		}
		switch {
		case errors.Is(err, io.EOF):
			if half, ok := to.(*net.TCPConn); ok {
				_ = half.CloseWrite()
			}
			return
		case err != nil:
			reset(to)
			return
		}
	}
}

// reset closes a connection so that the other end sees a reset rather than an end.
func reset(conn net.Conn) {
	if tcp, ok := conn.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0)
	}
	_ = conn.Close()
}
