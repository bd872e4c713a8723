package remote

import (
	"bytes"
	"context"
	"io"
	"sync"
	"time"

	"golang.org/x/crypto/ssh"
)

const (
	killGrace  = 2 * time.Second // from asking for the end of a command to closing the connection
	drainEvery = 2 * time.Second // how long a channel may stay open and silent after its command has exited
)

// An execution is one running command.
type execution struct {
	conn           *Conn
	channel        ssh.Channel
	stdout, stderr *sink
	streams        sync.WaitGroup
	full           chan struct{} // closed when a stream has reached its limit
	exited         chan struct{} // closed when the exit status or signal is known
	over           chan struct{} // closed when the channel has ended and everything was read
	status         int           // valid once exited is closed
	signal         string
	termination    string
}

func newExecution(c *Conn, channel ssh.Channel, options RunOptions) *execution {
	e := &execution{
		conn: c, channel: channel, status: -1,
		full: make(chan struct{}), exited: make(chan struct{}), over: make(chan struct{}),
	}
	e.stdout, e.stderr = newSinks(options, sync.OnceFunc(func() { close(e.full) }))
	return e
}

// start starts moving the streams of a command.
func (e *execution) start(stdin []byte) {
	e.streams.Go(func() { _, _ = io.Copy(e.stdout, e.channel) })
	e.streams.Go(func() { _, _ = io.Copy(e.stderr, e.channel.Stderr()) })
	e.streams.Go(func() {
		// A command may end without having read its input; that is its own business.
		_, _ = io.Copy(e.channel, bytes.NewReader(stdin))
		_ = e.channel.CloseWrite()
	})
	go func() {
		e.streams.Wait()
		close(e.over)
	}()
}

// attend answers the server's requests about the channel until it is closed, and notes how the command ended.
func (e *execution) attend(requests <-chan *ssh.Request) {
	known := sync.OnceFunc(func() { close(e.exited) })
	for request := range requests {
		switch request.Type {
		case "exit-status":
			var message struct{ Status uint32 }
			if ssh.Unmarshal(request.Payload, &message) == nil && !e.hasExited() {
				e.status = int(message.Status & 0xff)
				known()
			}
		case "exit-signal":
			var message struct {
				Signal     string
				CoreDumped bool
				Error      string
				Lang       string
			}
			if ssh.Unmarshal(request.Payload, &message) == nil && !e.hasExited() {
				e.signal = printable(message.Signal, 16)
				known()
			}
		}
		if request.WantReply {
			_ = request.Reply(false, nil)
		}
	}
}

func (e *execution) hasExited() bool { return closed(e.exited) }

func (e *execution) isOver() bool { return closed(e.over) }

func (e *execution) isFull() bool { return closed(e.full) }

func closed(done <-chan struct{}) bool {
	select {
	case <-done:
		return true
	default:
		return false
	}
}

// await waits until the command has ended or must end, and leaves nothing of it running here.
func (e *execution) await(ctx context.Context) error {
	exited := e.exited
	var drain <-chan time.Time
	var read int64
	for {
		select {
		case <-e.over:
			return e.verdict()
		case <-e.full:
			e.kill()
			return nil
		case <-ctx.Done():
			if e.isOver() { // it ended in the same moment, and by itself
				return e.verdict()
			}
			e.kill()
			_ = e.conn.wire.Close()
			return ended(ctx, phaseRun)
		case <-exited:
			// What it left in the background may hold its output open for good: wait while there is any.
			exited = nil
			ticker := time.NewTicker(drainEvery)
			defer ticker.Stop()
			drain = ticker.C
		case <-drain:
			total := e.stdout.total.Load() + e.stderr.total.Load()
			if total == read {
				e.finish()
				return nil
			}
			read = total
		}
	}
}

// verdict judges a channel that has ended by itself.
func (e *execution) verdict() error {
	if e.isFull() {
		e.kill()
		return nil
	}
	if !e.hasExited() && e.conn.isLost() {
		return e.conn.lost(io.ErrUnexpectedEOF, phaseRun)
	}
	return nil
}

// kill asks for the end of the command and waits until the channel is over.
func (e *execution) kill() {
	closing := time.AfterFunc(killGrace, func() { _ = e.conn.wire.Close() })
	defer closing.Stop()
	_, _ = e.channel.SendRequest("signal", false, ssh.Marshal(struct{ Signal string }{"KILL"}))
	if e.isFull() { // nobody reads on, so the host may never come to closing its side
		_ = e.channel.Close()
	}
	<-e.over
	e.termination = TerminationUnconfirmed
	if e.hasExited() {
		e.termination = TerminationConfirmed
	}
}

// finish closes the channel of a command that has exited.
func (e *execution) finish() {
	closing := time.AfterFunc(killGrace, func() { _ = e.conn.wire.Close() })
	defer closing.Stop()
	_ = e.channel.Close()
	<-e.over
}

// output returns what arrived. It is called when the execution is over.
func (e *execution) output() Output {
	return Output{
		Stdout: e.stdout.kept, Stderr: e.stderr.kept, ExitStatus: e.status, Signal: e.signal,
		Truncated: e.isFull(), StderrTruncated: e.stderr.truncated(), Termination: e.termination,
	}
}
