package simulate

import (
	"context"
	"fmt"
	"net"
	"syscall"
)

// A port is what a host has of its address: a listener, or, while the host is dead, a reservation.
type port struct {
	listener net.Listener // nil while the host is dead, and after the end
	reserved *reservation
	die      context.CancelFunc // resets the connections
	accepts  chan struct{}      // closed when nobody accepts from the listener any more; nil if nobody ever did
}

// listen takes the host's address. A host that had no port yet gets one.
func (h *host) listen(ctx context.Context) error {
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp4", h.address.String())
	if err != nil {
		return err
	}
	if address, ok := listener.Addr().(*net.TCPAddr); ok && h.address.Port == 0 { // it is one: we listen on tcp4
		h.address = &net.TCPAddr{IP: h.address.IP, Port: address.Port}
	}
	h.listener = listener
	h.release()
	return nil
}

// close stops listening, resets the host's connections, and returns when nobody accepts any more.
func (h *host) close() {
	h.release()
	if h.listener == nil {
		return
	}
	_ = h.listener.Close()
	h.listener = nil
	if h.accepts != nil {
		h.die()
		<-h.accepts
		h.accepts = nil
	}
}

func (h *host) release() {
	if h.reserved != nil {
		_ = syscall.Close(h.reserved.fd)
		h.reserved = nil
	}
}

// A reservation holds a port on which nobody listens: connections are refused, and nobody else is given the port
// meanwhile.
type reservation struct{ fd int }

// reserve takes the port of a listener that was closed.
func reserve(address *net.TCPAddr) (*reservation, error) {
	syscall.ForkLock.RLock()
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM, 0)
	if err == nil {
		syscall.CloseOnExec(fd)
	}
	syscall.ForkLock.RUnlock()
	if err != nil {
		return nil, fmt.Errorf("reserving the port %s: %w", address, err)
	}
	// Without this the next listener, which has it too, could not take the port back while we hold it.
	err = syscall.SetsockoptInt(fd, syscall.SOL_SOCKET, syscall.SO_REUSEADDR, 1)
	if err == nil {
		err = syscall.Bind(fd, &syscall.SockaddrInet4{Addr: [4]byte(address.IP.To4()), Port: address.Port})
	}
	if err != nil {
		_ = syscall.Close(fd)
		return nil, fmt.Errorf("reserving the port %s: %w", address, err)
	}
	return &reservation{fd: fd}, nil
}

// reset closes a connection so that the other side sees a reset.
func reset(conn net.Conn) {
	if tcp, ok := conn.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0)
	}
	_ = conn.Close()
}
