package needs

import (
	"net"
	"net/netip"
	"syscall"
	"testing"
	"time"
)

// BlackHole returns an address on loopback from which nothing is heard: whoever wants to connect is neither taken nor
// refused, as behind a firewall that drops. It is a listener whose accept queue is full, until the test ends.
func BlackHole(tb testing.TB) netip.AddrPort {
	tb.Helper()
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM, 0)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = syscall.Close(fd) })
	loopback := netip.AddrFrom4([4]byte{127, 0, 0, 1})
	if err := syscall.Bind(fd, &syscall.SockaddrInet4{Addr: loopback.As4()}); err != nil {
		tb.Fatal(err)
	}
	if err := syscall.Listen(fd, 0); err != nil {
		tb.Fatal(err)
	}
	name, err := syscall.Getsockname(fd)
	if err != nil {
		tb.Fatal(err)
	}
	bound, ok := name.(*syscall.SockaddrInet4)
	if !ok {
		tb.Fatalf("the listener is at %v, want an IPv4 address", name)
	}
	address := netip.AddrPortFrom(loopback, uint16(bound.Port)) //nolint:gosec // a port
	dialer := net.Dialer{Timeout: 200 * time.Millisecond}
	for range 16 {
		conn, err := dialer.DialContext(tb.Context(), "tcp", address.String())
		if err != nil {
			return address
		}
		tb.Cleanup(func() { _ = conn.Close() })
	}
	tb.Fatal("the accept queue of the listener does not fill")
	return address
}
