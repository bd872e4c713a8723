package process

import (
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"testing"
	"testing/synctest"
	"time"
)

func TestWhoReadsNothingIsGivenUp(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name     string
		deadline time.Duration // of the user of the connection; 0: none
		reads    time.Duration // between two pieces that the other end reads; 0: none
		want     time.Duration // until it ends; 0: all is written
	}{
		{"nothing at all", 0, 0, writeStall},
		{"nothing, and the server waits less", 3 * time.Second, 0, 3 * time.Second},
		{"slowly, and for longer than the bound", 0, writeStall - time.Second, 0},
		{"too slowly", 0, writeStall + time.Second, writeStall},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				here, there := net.Pipe()
				defer func() { _ = there.Close() }()
				c := &boundedConn{Conn: here, release: func() {}}
				defer func() { _ = c.Close() }()
				began, done := time.Now(), make(chan struct{})
				defer close(done)
				if tt.deadline > 0 {
					if err := c.SetDeadline(began.Add(tt.deadline)); err != nil {
						t.Fatal(err)
					}
				}
				if tt.reads > 0 {
					go func() {
						for {
							select {
							case <-time.After(tt.reads):
							case <-done:
								return
							}
							if _, err := io.CopyN(io.Discard, there, writePiece); err != nil {
								return
							}
						}
					}()
				}
				n, err := c.Write(make([]byte, 4*writePiece))
				switch {
				case tt.want == 0 && (err != nil || n != 4*writePiece):
					t.Errorf("Write = %d, %v", n, err)
				case tt.want > 0 && (!errors.Is(err, os.ErrDeadlineExceeded) || time.Since(began) != tt.want):
					t.Errorf("Write = %d, %v after %s, want it to end after %s", n, err, time.Since(began), tt.want)
				}
			})
		})
	}
}

func TestSourcesAreAddressesOrNetworks(t *testing.T) {
	t.Parallel()
	for from, want := range map[string]string{
		"192.0.2.7:1": "192.0.2.7/32", "[::ffff:192.0.2.7]:1": "192.0.2.7/32", "[2001:db8::1:2:3:4]:1": "2001:db8::/64", "[fe80::1%lo]:1": "fe80::/64",
	} {
		a, err := net.ResolveTCPAddr("tcp", from)
		if err != nil {
			t.Fatal(err)
		}
		if got := sourceOf(a).String(); got != want {
			t.Errorf("%s is counted as %s, want %s", from, got, want)
		}
	}
	if sourceOf(&net.UnixAddr{Name: "@"}).IsValid() {
		t.Error("what has no address is counted as one")
	}
}

func TestAProxyIsExemptByItsWholeAddress(t *testing.T) {
	t.Parallel()
	b := &bounded{bounds: Connections{Exempt: []netip.Prefix{netip.MustParsePrefix("fd00::10/128"), netip.MustParsePrefix("10.0.0.0/8")}}}
	for from, want := range map[string]bool{
		"[fd00::10]:1": true, "[fd00::11]:1": false, "10.1.2.3:1": true, "[::ffff:10.1.2.3]:1": true, "11.0.0.1:1": false,
	} {
		a, err := net.ResolveTCPAddr("tcp", from)
		if err != nil {
			t.Fatal(err)
		}
		if got := b.isExempt(a); got != want {
			t.Errorf("%s is exempt: %v, want %v", from, got, want)
		}
	}
	if b.isExempt(&net.UnixAddr{Name: "@"}) {
		t.Error("what has no address is exempt")
	}
}
