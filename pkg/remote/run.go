package remote

import (
	"bytes"
	"context"
	"errors"
	"io"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/rollcallhq/rollcall/pkg/fleet"
)

// Run runs command by the user's login shell, without a terminal, with stdin as its standard input. A command that
// ends is no failure, whatever its exit status.
//
// When ctx ends, the command is ended: it is sent SIGKILL, and the options' Stop is run. The connection is closed at the
// latest two seconds later, four with a Stop, because nothing else ends the wait for a host that is gone; the failure
// then is what context.Cause says: the *fleet.Failure in it, deadline_exceeded, or else cancelled. The Output holds
// whatever arrived so far, and whether the end was confirmed. A command that sends more than MaxStdout is ended as well,
// and that is not a failure: Truncated tells. After a connection that was lost the end is unconfirmed.
//
// OpenSSH lets an account with an expired password log in and then runs nothing for it; that is the failure
// account_expired_or_password_change.
//
// One command runs at a time; a second Run meanwhile fails.
func (c *Conn) Run(ctx context.Context, command string, stdin []byte, options RunOptions) (Output, error) {
	none := Output{ExitStatus: -1}
	if !c.running.TryLock() {
		return none, fleet.Fail(fleet.CodeInternal, errors.New("a second command on a busy connection"), "phase", phaseSession)
	}
	defer c.running.Unlock()
	began := time.Now()
	passing := passing{tell: c.passed, since: began}
	e, err := c.open(ctx, options)
	if err != nil {
		return none, passing.failed(phaseSession, err)
	}
	if err := e.exec(ctx, command); err != nil {
		none.Termination = e.termination
		return none, passing.failed(phaseSession, err)
	}
	passing.over(phaseSession, time.Now())
	e.start(options.Lead, stdin)
	err = e.await(ctx)
	output := e.output()
	output.Duration = time.Since(began)
	if err == nil && passwordExpired(output) {
		err = fleet.Fail(fleet.CodeAccountExpired, errors.New("sshd asks for a new password before any command"),
			"phase", phaseRun, "message", printable(string(output.Stderr), 256))
	}
	if err != nil {
		return output, passing.failed(phaseRun, err)
	}
	passing.over(phaseRun, time.Now())
	return output, nil
}

// passwordExpired reports whether OpenSSH let an account with an expired password in, and then refused to run
// anything for it but passwd, which needs a terminal.
func passwordExpired(o Output) bool {
	return o.ExitStatus == 1 && len(o.Stdout) == 0 &&
		bytes.Contains(o.Stderr, []byte("Password change required but no TTY available"))
}

// open opens a session for a command.
func (c *Conn) open(ctx context.Context, options RunOptions) (*execution, error) {
	if ctx.Err() != nil {
		return nil, ended(ctx, phaseSession)
	}
	stop := context.AfterFunc(ctx, func() { _ = c.wire.Close() })
	channel, requests, err := c.openChannel()
	alive := stop()
	if err != nil {
		return nil, c.openFailure(ctx, alive, err)
	}
	e := newExecution(c, channel, options)
	// From now on, or a server that asks much before it answers would block the reading of its answer.
	e.streams.Go(func() { e.attend(requests) })
	return e, nil
}

// openChannel opens a session and ends with the connection at the latest. That x/crypto/ssh does not promise: a channel that
// is added between the moment in which the end of the connection drops all channels and the one in which writing fails
// waits for an answer for ever (mux.loop and mux.openChannel of v0.58.0; seen once, when the end of the first session was
// that of the connection). What waits so is left behind, a goroutine and a channel without a connection, as nothing ends it.
func (c *Conn) openChannel() (ssh.Channel, <-chan *ssh.Request, error) {
	type opened struct {
		channel  ssh.Channel
		requests <-chan *ssh.Request
		err      error
	}
	answer := make(chan opened, 1)
	go func() {
		var o opened
		o.channel, o.requests, o.err = c.ssh.OpenChannel("session", nil)
		answer <- o
	}()
	select {
	case o := <-answer:
		return o.channel, o.requests, o.err
	case <-c.over:
		return nil, nil, io.EOF // also where the server agreed in its last moment
	}
}

// exec starts the command. After a failure the connection is of no further use.
func (e *execution) exec(ctx context.Context, command string) error {
	stop := context.AfterFunc(ctx, func() { _ = e.conn.wire.Close() })
	accepted, err := e.channel.SendRequest("exec", true, ssh.Marshal(struct{ Command string }{command}))
	alive := stop()
	if err == nil && accepted && alive {
		return nil
	}
	_ = e.conn.wire.Close()
	e.streams.Wait()
	if err != nil || !alive {
		e.termination = TerminationUnconfirmed // nobody knows whether the request arrived
		return e.conn.openFailure(ctx, alive, err)
	}
	return fleet.Fail(fleet.CodeShellRestricted, errors.New("the server refused the exec request"),
		"phase", phaseSession, "reason", "exec request refused")
}

// openFailure classifies a session that could not be opened; alive tells that ctx had no part in it.
func (c *Conn) openFailure(ctx context.Context, alive bool, err error) *fleet.Failure {
	if !alive {
		return ended(ctx, phaseSession)
	}
	if refused, ok := errors.AsType[*ssh.OpenChannelError](err); ok {
		return fleet.Fail(fleet.CodeSessionRefused, err, "phase", phaseSession,
			"reason", refused.Reason.String(), "message", printable(refused.Message, 256))
	}
	return c.lost(err, phaseSession)
}

// isLost reports whether the connection has ended, asked when a channel has ended without an exit status: that may
// be the server's way or the first sign of the connection's end.
func (c *Conn) isLost() bool {
	if c.wire.broken.Load() {
		return true
	}
	// After a disconnect message the channels end just before the connection does.
	soon := time.NewTimer(100 * time.Millisecond)
	defer soon.Stop()
	select {
	case <-c.over:
		return true
	case <-soon.C:
		return false
	}
}

// lost returns the failure of this connection having broken.
func (c *Conn) lost(err error, phase string) *fleet.Failure {
	select {
	case <-c.dead:
		return lost(err, phase, "keepalive unanswered")
	default:
		return lost(err, phase, "connection lost")
	}
}
