package remote

import (
	"net"
	"testing"

	"golang.org/x/crypto/ssh"

	"github.com/rollcallhq/rollcall/pkg/fleet"
)

// A deaf connection has ended, and nobody answers the channel that is being opened.
type deaf struct {
	ssh.Conn
	asked, released chan struct{}
}

func (d *deaf) Wait() error { <-d.asked; return nil }

func (d *deaf) OpenChannel(string, []byte) (ssh.Channel, <-chan *ssh.Request, error) {
	close(d.asked)
	<-d.released
	return nil, nil, net.ErrClosed
}

// TestOpeningASessionEndsWithTheConnection would wait for ever where x/crypto/ssh does.
func TestOpeningASessionEndsWithTheConnection(t *testing.T) {
	t.Parallel()
	near, far := net.Pipe()
	t.Cleanup(func() { _, _ = near.Close(), far.Close() })
	d := &deaf{asked: make(chan struct{}), released: make(chan struct{})}
	t.Cleanup(func() { close(d.released) })
	c := &Conn{wire: &wire{Conn: near}, ssh: d, over: make(chan struct{}), dead: make(chan struct{})}
	c.background.Go(func() { _ = d.Wait(); close(c.over) })
	_, err := c.open(t.Context(), RunOptions{})
	if fleet.KindOf(err) == fleet.OK {
		t.Errorf("open = %v, want that the connection is lost", err)
	}
}
