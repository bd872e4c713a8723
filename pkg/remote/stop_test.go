package remote_test

import (
	"bytes"
	"context"
	"io"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/rollcallhq/rollcall/pkg/await"
	"github.com/rollcallhq/rollcall/pkg/fleet"
	"github.com/rollcallhq/rollcall/pkg/remote"
)

// A double is a host on which a second session ends what runs in the first.
type double struct {
	sessions atomic.Int32
	kill     chan struct{} // closed by the second session if it kills
	once     sync.Once
}

// serve returns what serves a server's sessions: the first one runs until it is killed, the second one is second.
func (d *double) serve(running func(), second func(ssh.NewChannel)) func(ssh.NewChannel) {
	first := onExec(func(c ssh.Channel, signals <-chan string) {
		_, _ = c.Write([]byte("group 7\n"))
		_, _ = io.ReadAll(c) // its end: the client knows that the command runs
		running()
		for {
			select {
			case <-d.kill:
				exit(c, 137)
				return
			case _, ok := <-signals: // which it ignores, until the channel ends
				if !ok {
					return
				}
			}
		}
	})
	return func(offered ssh.NewChannel) {
		if d.sessions.Add(1) == 1 {
			first(offered)
			return
		}
		second(offered)
	}
}

func (d *double) killed() { d.once.Do(func() { close(d.kill) }) }

func TestAnEndIsConfirmedByASecondSession(t *testing.T) {
	t.Parallel()
	says := func(text string, kills bool) func(*double) func(ssh.NewChannel) {
		return func(d *double) func(ssh.NewChannel) {
			return onExec(func(c ssh.Channel, _ <-chan string) {
				script, _ := io.ReadAll(c)
				// The cancel may come before what the first session has written: what is told then is less, and never another thing.
				if told := string(script); kills && (told == "kill group 7\n" || told == "kill ") {
					d.killed()
				}
				_, _ = c.Write([]byte(text))
				exit(c, 0)
			})
		}
	}
	tests := []struct {
		name   string
		second func(*double) func(ssh.NewChannel)
		want   fleet.Termination
	}{
		{"nothing is left, and the server says so too", says("welcome!\nall gone\n", true), remote.TerminationConfirmed},
		{"something is left", says("", true), remote.TerminationUnconfirmed},
		{"something else is said", says("all is well\n", true), remote.TerminationUnconfirmed},
		{"nothing is left, and the server does not know of the end", says("all gone\n", false), remote.TerminationUnconfirmed},
		{"the server allows no second session", func(*double) func(ssh.NewChannel) {
			return func(offered ssh.NewChannel) { _ = offered.Reject(ssh.ResourceShortage, "one is enough") }
		}, remote.TerminationUnconfirmed},
		{"the second session hangs", func(*double) func(ssh.NewChannel) {
			return onExec(func(_ ssh.Channel, signals <-chan string) {
				for range signals { // until the channel ends
				}
			})
		}, remote.TerminationUnconfirmed},
		{"the second session talks and talks", func(d *double) func(ssh.NewChannel) {
			return onExec(func(c ssh.Channel, _ <-chan string) {
				d.killed()
				for line := bytes.Repeat([]byte("y\n"), 4096); ; {
					if _, err := c.Write(line); err != nil {
						return
					}
				}
			})
		}, remote.TerminationUnconfirmed},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			ctx, cancel := context.WithCancel(within(t))
			s, d := newServer(t), &double{kill: make(chan struct{})}
			var cancelled atomic.Int64
			began := time.Now()
			s.sessions = d.serve(func() { cancelled.Store(int64(time.Since(began))); cancel() }, tt.second(d))
			conn := s.start(t).dial(t)
			got, err := conn.Run(ctx, "x", nil, remote.RunOptions{Stop: func(stdout []byte) remote.Stop {
				return remote.Stop{Command: "stop", Stdin: append([]byte("kill "), stdout...), Gone: "all gone\n"}
			}})
			wantCode(t, err, fleet.CodeCancelled)
			if got.Termination != tt.want || string(got.Stdout) != "group 7\n" {
				t.Errorf("termination = %q after %q, want %q", got.Termination, got.Stdout, tt.want)
			}
			if took := time.Since(began) - time.Duration(cancelled.Load()); took > 5*time.Second {
				t.Errorf("ended %v after it was cancelled", took)
			}
		})
	}
}

func TestNothingIsStoppedThatEndsByItself(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	s.sessions = onExec(func(c ssh.Channel, _ <-chan string) { exit(c, 0) })
	conn := s.start(t).dial(t)
	got, err := conn.Run(within(t), "x", nil, remote.RunOptions{Stop: func([]byte) remote.Stop {
		t.Error("asked how to stop it")
		return remote.Stop{}
	}})
	if err != nil || got.Termination != "" {
		t.Errorf("Run = %+v, %v", got, err)
	}
}

func TestAStopEndsWhatSSHDoesNot(t *testing.T) {
	t.Parallel()
	s := startSSHD(t, nil)
	tests := []struct {
		name    string
		command string
		stop    string
		want    fleet.Termination
	}{
		{"the stop kills it", "echo $$; exec sleep 100", "kill -s KILL %PID%; echo it is gone", remote.TerminationConfirmed},
		{
			"the stop kills it, and something else holds its output open", "(exec setsid sleep 6) & echo $$; exec sleep 100",
			"kill -s KILL %PID%; echo it is gone", remote.TerminationConfirmed,
		},
		{"the stop fails", "trap '' HUP TERM; echo $$; (exec setsid sleep 6) & wait", "echo it is still there", remote.TerminationUnconfirmed},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			ctx, cancel := context.WithTimeout(within(t), 3*time.Second)
			defer cancel()
			began := time.Now()
			got, err := s.dial(t, me(t)).Run(ctx, tt.command, nil, remote.RunOptions{Stop: func(stdout []byte) remote.Stop {
				return remote.Stop{
					Command: string(bytes.ReplaceAll([]byte(tt.stop), []byte("%PID%"), bytes.TrimSpace(stdout))), Gone: "it is gone\n",
				}
			}})
			wantCode(t, err, fleet.CodeDeadlineExceeded)
			if got.Termination != tt.want {
				t.Errorf("termination = %q (%+v), want %q", got.Termination, got, tt.want)
			}
			if took := time.Since(began); took > 8*time.Second {
				t.Errorf("took %v, five of them after the deadline at most", took)
			}
			if got.Termination == remote.TerminationConfirmed {
				waitUntilGone(t, got.Stdout)
			}
		})
	}
}

func TestLocalAsksTheStopToo(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name string
		stop string
		want fleet.Termination
	}{
		{"the stop kills what has left the group", `kill -s KILL "$(cat)" && echo it is gone`, remote.TerminationConfirmed},
		{"the stop fails", "echo it is gone; exit 1", remote.TerminationUnconfirmed},
		{"the stop says nothing", ":", remote.TerminationUnconfirmed},
		{"the stop hangs", "sleep 30; echo it is gone", remote.TerminationUnconfirmed},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			ready := t.TempDir() + "/ready"
			ctx, cancel := context.WithCancel(within(t))
			defer cancel()
			go func() {
				await.Until(t, "the command to run", func() bool { _, err := os.Stat(ready); return err == nil })
				cancel()
			}()
			got, err := remote.Local{}.Run(ctx, "setsid sleep 6 >/dev/null 2>&1 & echo $!; : >'"+ready+"'; wait", nil,
				remote.RunOptions{Stop: func(stdout []byte) remote.Stop {
					return remote.Stop{Command: tt.stop, Stdin: bytes.TrimSpace(stdout), Gone: "it is gone\n"}
				}})
			wantCode(t, err, fleet.CodeCancelled)
			if got.Termination != tt.want {
				t.Errorf("termination = %q (%+v), want %q", got.Termination, got, tt.want)
			}
			if got.Duration > 8*time.Second {
				t.Errorf("took %v", got.Duration)
			}
		})
	}
}
