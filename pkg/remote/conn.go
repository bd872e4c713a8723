package remote

import (
	"time"

	"golang.org/x/crypto/ssh"
)

// keepaliveMisses is how many probes in a row may stay without a sign of life.
const keepaliveMisses = 3

func newConn(w *wire, conn ssh.Conn, channels <-chan ssh.NewChannel, requests <-chan *ssh.Request, key Key) *Conn {
	c := &Conn{
		wire: w, ssh: conn, transport: transportOf(conn, key),
		over: make(chan struct{}), dead: make(chan struct{}),
	}
	// A host may not open anything towards us, and what it asks is declined.
	c.background.Go(func() { ssh.DiscardRequests(requests) })
	c.background.Go(func() {
		for channel := range channels {
			_ = channel.Reject(ssh.Prohibited, "not offered")
		}
	})
	c.background.Go(func() {
		_ = conn.Wait()
		close(c.over)
	})
	return c
}

func transportOf(conn ssh.Conn, key Key) Transport {
	t := Transport{
		RemoteAddress: conn.RemoteAddr().String(),
		User:          conn.User(),
		ServerVersion: string(conn.ServerVersion()),
		HostKey:       key,
	}
	if negotiated, ok := conn.(ssh.AlgorithmsConnMetadata); ok {
		algorithms := negotiated.Algorithms()
		t.KeyExchange = algorithms.KeyExchange
		t.HostKeyAlgorithm = algorithms.HostKey
		t.Cipher = algorithms.Write.Cipher
		t.MAC = algorithms.Write.MAC
	}
	return t
}

// Transport tells how the connection is secured. It stays readable after Close.
func (c *Conn) Transport() Transport { return c.transport }

// Close ends the connection and waits until nothing of it is left running. It may be called more than once.
func (c *Conn) Close() error {
	_ = c.wire.Close() // also the only way to end what waits in x/crypto/ssh; a second close is no news
	c.background.Wait()
	return nil
}

// keepAlive probes a silent server and gives it up after keepaliveMisses probes.
func (c *Conn) keepAlive(every time.Duration) {
	probes := make(chan struct{}, 1)
	c.background.Go(func() {
		for range probes {
			// Blocks until an answer or the end of the connection. Whether the answer is yes does not matter.
			_, _, _ = c.ssh.SendRequest("keepalive@openssh.com", true, nil)
		}
	})
	c.background.Go(func() {
		defer close(probes)
		ticker := time.NewTicker(every)
		defer ticker.Stop()
		for {
			select {
			case <-c.over:
				return
			case <-ticker.C:
			}
			switch silence := c.wire.silence(); {
			case silence > keepaliveMisses*every:
				close(c.dead)
				_ = c.wire.Close()
				return
			case silence > every/2:
				select {
				case probes <- struct{}{}:
				default: // the probe before is still unanswered
				}
			}
		}
	})
}
