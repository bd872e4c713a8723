package remote

import (
	"context"
	"io"
	"sync"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/rollcallhq/rollcall/pkg/fleet"
)

const (
	killGrace  = 2 * time.Second        // from asking for the end of a command to closing the connection
	stopGrace  = 4 * time.Second        // the same, with a Stop
	lastWords  = 300 * time.Millisecond // how long output may still arrive of a command of which nothing is left
	drainEvery = 2 * time.Second        // how long a channel may stay open and silent after its command has exited
)

// An execution is one running command.
type execution struct {
	conn           *Conn
	channel        ssh.Channel
	stdout, stderr *sink
	stop           func(stdout []byte) Stop // may be nil
	streams        sync.WaitGroup
	full           chan struct{} // closed when a stream has reached its limit
	exited         chan struct{} // closed when the exit status or signal is known
	over           chan struct{} // closed when the channel has ended and everything was read
	status         int           // valid once exited is closed
	signal         string
	termination    fleet.Termination
}

func newExecution(c *Conn, channel ssh.Channel, options RunOptions) *execution {
	e := &execution{
		conn: c, channel: channel, status: -1, stop: options.Stop,
		full: make(chan struct{}), exited: make(chan struct{}), over: make(chan struct{}),
	}
	e.stdout, e.stderr = newSinks(options, sync.OnceFunc(func() { close(e.full) }))
	return e
}

// start starts moving the streams of a command.
func (e *execution) start(lead Lead, rest []byte) {
	silent := make(chan struct{}) // closed when nothing more comes, so that nothing more is waited for
	stdin := lead.stdin(rest, e.stdout, e.stderr, silent)
	e.streams.Go(func() {
		defer close(silent)
		_, _ = io.Copy(e.stdout, e.channel)
	})
	e.streams.Go(func() { _, _ = io.Copy(e.stderr, e.channel.Stderr()) })
	e.streams.Go(func() {
		// A command may end without having read its input; that is its own business.
		_, _ = io.Copy(e.channel, stdin)
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
			return e.verdict(ctx)
		case <-e.full:
			e.kill(ctx)
			return nil
		case <-ctx.Done():
			if e.isOver() { // it ended in the same moment, and by itself
				return e.verdict(ctx)
			}
			e.kill(ctx)
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
func (e *execution) verdict(ctx context.Context) error {
	if e.isFull() {
		e.kill(ctx)
		return nil
	}
	if !e.hasExited() && e.conn.isLost() {
		e.termination = TerminationUnconfirmed
		return e.conn.lost(io.ErrUnexpectedEOF, phaseRun)
	}
	return nil
}

// kill asks for the end of the command, which ctx can no longer hurry, and waits until the channel is over. The signal
// alone says little: servers ignore it for root, and the process that it ends may have been waiting for others.
func (e *execution) kill(ctx context.Context) {
	grace := killGrace
	if e.stop != nil {
		grace = stopGrace
	}
	closing := time.AfterFunc(grace, func() { _ = e.conn.wire.Close() })
	defer closing.Stop()
	_, _ = e.channel.SendRequest("signal", false, ssh.Marshal(struct{ Signal string }{"KILL"}))
	gone := e.stop == nil || e.gone(context.WithoutCancel(ctx), e.stop(e.stdout.sofar()))
	if e.stop != nil && gone {
		e.hearOut()
	}
	if e.isFull() { // nobody reads on, so the host may never come to closing its side
		_ = e.channel.Close()
	}
	<-e.over
	e.termination = termination(gone && e.hasExited())
}

// hearOut waits for the last words of a command of which nothing is left on the host. What it has passed its output on
// to, outside of what the Stop looks at, may hold the channel open for good.
func (e *execution) hearOut() {
	select {
	case <-e.over:
		return
	case <-e.exited:
	}
	soon := time.NewTimer(lastWords)
	defer soon.Stop()
	select {
	case <-e.over:
	case <-soon.C:
		_ = e.channel.Close()
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
