package remote_test

import (
	"bytes"
	"context"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/rollcallhq/rollcall/pkg/fleet"
	"github.com/rollcallhq/rollcall/pkg/remote"
)

func TestRunTellsHowTheCommandEnded(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name   string
		run    func(ssh.Channel, <-chan string)
		stdin  string
		status int
		signal string
		stdout string
		stderr string
	}{
		{
			name: "input, both outputs and a status", stdin: "in", status: 3, stdout: "got in", stderr: "oh",
			run: func(c ssh.Channel, _ <-chan string) {
				in, _ := io.ReadAll(c)
				_, _ = c.Write(append([]byte("got "), in...))
				_, _ = c.Stderr().Write([]byte("oh"))
				exit(c, 3)
			},
		},
		{
			name: "input that nobody reads", stdin: string(make([]byte, 8<<20)), status: 0,
			run: func(c ssh.Channel, _ <-chan string) { exit(c, 0) },
		},
		{
			name: "a signal", status: -1, signal: "SEGV",
			run: func(c ssh.Channel, _ <-chan string) {
				_, _ = c.SendRequest("exit-signal", false, ssh.Marshal(struct {
					Signal      string
					Core        bool
					Error, Lang string
				}{Signal: "SEGV"}))
			},
		},
		{name: "a channel closed without a word", status: -1, stdout: "x", run: func(c ssh.Channel, _ <-chan string) { _, _ = c.Write([]byte("x")) }},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := newServer(t)
			s.sessions = onExec(tt.run)
			conn := s.start(t).dial(t)
			got, err := conn.Run(within(t), "x", []byte(tt.stdin), remote.RunOptions{})
			if err != nil {
				t.Fatal(err)
			}
			if got.ExitStatus != tt.status || got.Signal != tt.signal || string(got.Stdout) != tt.stdout || string(got.Stderr) != tt.stderr {
				t.Errorf("Output = %d %q %q %q, want %d %q %q %q", got.ExitStatus, got.Signal, got.Stdout, got.Stderr,
					tt.status, tt.signal, tt.stdout, tt.stderr)
			}
			if got.Truncated || got.Termination != "" {
				t.Errorf("Truncated = %v, Termination = %q of a command that ended by itself", got.Truncated, got.Termination)
			}
		})
	}
}

func TestRunRefused(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name     string
		sessions func(ssh.NewChannel)
		want     fleet.Code
	}{
		{"a server without sessions", nil, fleet.CodeSessionRefused},
		{"a server that refuses to execute", func(offered ssh.NewChannel) {
			channel, requests, err := offered.Accept()
			if err == nil {
				ssh.DiscardRequests(requests)
				_ = channel.Close()
			}
		}, fleet.CodeShellRestricted},
		{"a server that hangs up on the session", func(offered ssh.NewChannel) {
			channel, requests, err := offered.Accept()
			if err == nil {
				_ = channel.Close()
				ssh.DiscardRequests(requests)
			}
		}, fleet.CodeTCPTimeout},
		{"a server that asks and asks before it answers", func(offered ssh.NewChannel) {
			channel, requests, err := offered.Accept()
			if err != nil {
				return
			}
			for range 100 {
				_, _ = channel.SendRequest("chatter@example.com", false, nil)
			}
			ssh.DiscardRequests(requests)
		}, fleet.CodeShellRestricted},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := newServer(t)
			s.sessions = tt.sessions
			conn := s.start(t).dial(t)
			got, err := conn.Run(within(t), "x", nil, remote.RunOptions{})
			failure := failureOf(t, err, tt.want)
			if failure.Details["phase"] != "session" || got.ExitStatus != -1 {
				t.Errorf("phase = %q, status %d, want session, -1", failure.Details["phase"], got.ExitStatus)
			}
		})
	}
}

func TestAnExpiredPasswordIsNamed(t *testing.T) {
	t.Parallel()
	const notice = "WARNING: Your password has expired.\nPassword change required but no TTY available.\n"
	tests := []struct {
		name   string
		stdout string
		status uint32
		want   fleet.Code // empty: no failure
	}{
		{"as OpenSSH says it", "", 1, fleet.CodeAccountExpired},
		{"a command that ran and says the same", "out", 1, ""},
		{"a command that succeeded and says the same", "", 0, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := newServer(t)
			s.sessions = onExec(func(c ssh.Channel, _ <-chan string) {
				_, _ = c.Write([]byte(tt.stdout))
				_, _ = c.Stderr().Write([]byte(notice))
				exit(c, tt.status)
			})
			_, err := s.start(t).dial(t).Run(within(t), "x", nil, remote.RunOptions{})
			if tt.want != "" {
				wantCode(t, err, tt.want)
			} else if err != nil {
				t.Errorf("Run = %v, want no failure", err)
			}
		})
	}
}

func TestKeysExchangedAnewAreNotVerifiedAnew(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	s.config.RekeyThreshold = 64 << 10
	s.sessions = onExec(func(c ssh.Channel, _ <-chan string) {
		_, _ = io.Copy(c, c)
		exit(c, 0)
	})
	s.start(t)
	target := s.target(rightPassword)
	var asked atomic.Int32
	target.Verify = func(context.Context, remote.Key) error {
		asked.Add(1)
		return nil
	}
	conn, err := remote.Dial(within(t), target)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	input := bytes.Repeat([]byte("0123456789abcdef"), 64<<10) // many thresholds
	got, err := conn.Run(within(t), "cat", input, remote.RunOptions{})
	if err != nil || !bytes.Equal(got.Stdout, input) {
		t.Errorf("Run = %d bytes, %v, want all %d back", len(got.Stdout), err, len(input))
	}
	if asked.Load() != 1 {
		t.Errorf("Verify was asked %d times, want once", asked.Load())
	}
}

func TestEndlessOutputIsCutOff(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name   string
		stream func(ssh.Channel) io.Writer
	}{
		{"on standard output", func(c ssh.Channel) io.Writer { return c }},
		{"on standard error", func(c ssh.Channel) io.Writer { return c.Stderr() }},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := newServer(t)
			s.sessions = onExec(func(c ssh.Channel, _ <-chan string) {
				for line := bytes.Repeat([]byte("y\n"), 4096); ; {
					if _, err := tt.stream(c).Write(line); err != nil {
						return
					}
				}
			})
			conn := s.start(t).dial(t)
			got, err := conn.Run(within(t), "yes", nil, remote.RunOptions{MaxStdout: 100_000, MaxStderr: 1000})
			if err != nil {
				t.Fatal(err)
			}
			if !got.Truncated || len(got.Stdout) > 100_000 || len(got.Stderr) > 1000 || got.Termination == "" {
				t.Errorf("Truncated = %v with %d and %d bytes, termination %q", got.Truncated, len(got.Stdout), len(got.Stderr), got.Termination)
			}
			if kept := max(len(got.Stdout), len(got.Stderr)*100); kept != 100_000 {
				t.Errorf("kept %d bytes, want the first 100000 (or 1000)", kept)
			}
		})
	}
}

func TestMuchOnStandardErrorIsDroppedQuietly(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	s.sessions = onExec(func(c ssh.Channel, _ <-chan string) {
		_, _ = c.Stderr().Write(make([]byte, 50_000))
		_, _ = c.Write([]byte("fine"))
		exit(c, 0)
	})
	conn := s.start(t).dial(t)
	got, err := conn.Run(within(t), "x", nil, remote.RunOptions{MaxStderr: 10})
	if err != nil || got.Truncated || !got.StderrTruncated || len(got.Stderr) != 10 || string(got.Stdout) != "fine" || got.ExitStatus != 0 {
		t.Errorf("Output = %+v, error %v", got, err)
	}
}

func TestRunIsEndedByItsContext(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name        string
		obeys       bool
		cause       error
		want        fleet.Code
		termination fleet.Termination
	}{
		{"a deadline, and the server obeys the signal", true, context.DeadlineExceeded, fleet.CodeDeadlineExceeded, remote.TerminationConfirmed},
		{"a cancellation, and the server ignores the signal", false, context.Canceled, fleet.CodeCancelled, remote.TerminationUnconfirmed},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := newServer(t)
			var mu sync.Mutex
			var heard []string
			ctx, cancel := context.WithCancelCause(within(t))
			s.sessions = onExec(func(c ssh.Channel, signals <-chan string) {
				_, _ = c.Write([]byte("partial"))
				_, _ = io.ReadAll(c) // its end: the client knows that the command runs
				cancel(tt.cause)
				for name := range signals {
					mu.Lock()
					heard = append(heard, name)
					mu.Unlock()
					if tt.obeys {
						exit(c, 137)
						return
					}
				}
			})
			conn := s.start(t).dial(t)
			began := time.Now()
			got, err := conn.Run(ctx, "sleep", nil, remote.RunOptions{})
			failure := failureOf(t, err, tt.want)
			if failure.Details["phase"] != "run" || got.Termination != tt.termination || string(got.Stdout) != "partial" {
				t.Errorf("phase %q, termination %q, stdout %q, want run, %q, partial", failure.Details["phase"], got.Termination, got.Stdout, tt.termination)
			}
			if took := time.Since(began); took > 6*time.Second {
				t.Errorf("took %v, want at most two seconds after the end of the context", took)
			}
			_ = conn.Close()
			mu.Lock()
			defer mu.Unlock()
			if len(heard) != 1 || heard[0] != "KILL" {
				t.Errorf("signals = %v, want one KILL", heard)
			}
			if _, err := conn.Run(within(t), "again", nil, remote.RunOptions{}); err == nil {
				t.Error("a closed connection ran a command")
			}
		})
	}
}

func TestAContextThatHasEndedRunsNothing(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	s.sessions = onExec(func(ssh.Channel, <-chan string) {})
	conn := s.start(t).dial(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := conn.Run(ctx, "x", nil, remote.RunOptions{})
	wantCode(t, err, fleet.CodeCancelled)
}

func TestOneCommandAtATime(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	started, release := make(chan struct{}, 2), make(chan struct{})
	s.sessions = onExec(func(c ssh.Channel, _ <-chan string) {
		started <- struct{}{}
		<-release
		exit(c, 0)
	})
	conn := s.start(t).dial(t)
	first := make(chan error)
	go func() {
		_, err := conn.Run(within(t), "x", nil, remote.RunOptions{})
		first <- err
	}()
	<-started
	_, err := conn.Run(within(t), "x", nil, remote.RunOptions{})
	wantCode(t, err, fleet.CodeInternal)
	close(release)
	if err := <-first; err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Run(within(t), "x", nil, remote.RunOptions{}); err != nil {
		t.Errorf("the next command after the first: %v", err)
	}
}

func TestConnectionLostDuringTheCommand(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	running := make(chan struct{})
	s.sessions = onExec(func(c ssh.Channel, signals <-chan string) {
		_, _ = c.Write([]byte("partial"))
		close(running)
		for range signals { // until the channel ends
		}
	})
	s.start(t)
	lan := newNetwork(t, s.listener.Addr().String())
	target := s.target(rightPassword)
	target.Port = lan.target().Port
	conn, err := remote.Dial(within(t), target)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	go func() {
		<-running
		lan.cut()
	}()
	_, err = conn.Run(within(t), "x", nil, remote.RunOptions{})
	failure := failureOf(t, err, fleet.CodeTCPTimeout)
	if failure.Details["reason"] != "connection lost" {
		t.Errorf("details = %v", failure.Details)
	}
}

func TestKeepaliveGivesUpASilentServer(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	s.sessions = onExec(func(_ ssh.Channel, signals <-chan string) {
		for range signals { // until the channel ends
		}
	})
	s.start(t)
	lan := newNetwork(t, s.listener.Addr().String())
	target := s.target(rightPassword)
	target.Port = lan.target().Port
	target.Options.Keepalive = 200 * time.Millisecond
	conn, err := remote.Dial(within(t), target)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	time.AfterFunc(time.Second, lan.freeze) // until then the server answers
	began := time.Now()
	_, err = conn.Run(within(t), "x", nil, remote.RunOptions{})
	failure := failureOf(t, err, fleet.CodeTCPTimeout)
	if failure.Details["reason"] != "keepalive unanswered" {
		t.Errorf("reason = %q, want keepalive unanswered", failure.Details["reason"])
	}
	if took := time.Since(began); took < time.Second {
		t.Errorf("given up after %v, although the server answered", took)
	}
}

// A network lies between client and server; it can be cut, and it can swallow everything.
type network struct {
	port
	mu     sync.Mutex
	frozen bool
	conns  []net.Conn
}

func newNetwork(t *testing.T, server string) *network {
	t.Helper()
	n := &network{}
	n.port = listen(t, func(client net.Conn) {
		onward, err := net.Dial("tcp", server)
		if err != nil {
			return
		}
		n.mu.Lock()
		n.conns = append(n.conns, client, onward)
		n.mu.Unlock()
		var both sync.WaitGroup
		both.Go(func() { n.carry(onward, client) })
		both.Go(func() { n.carry(client, onward) })
		both.Wait()
	})
	return n
}

func (n *network) carry(to, from net.Conn) {
	defer func() { _ = to.Close() }()
	buffer := make([]byte, 32<<10)
	for {
		size, err := from.Read(buffer)
		if err != nil {
			return
		}
		n.mu.Lock()
		frozen := n.frozen
		n.mu.Unlock()
		if frozen {
			continue
		}
		if _, err := to.Write(buffer[:size]); err != nil {
			return
		}
	}
}

func (n *network) freeze() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.frozen = true
}

func (n *network) cut() {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, conn := range n.conns {
		_ = conn.Close()
	}
}
