package remote

import (
	"bytes"
	"context"
	"errors"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/rollcallhq/rollcall/pkg/fleet"
)

// gone ends by a second session what the execution has started, and reports whether the host said that nothing of it
// is left. It returns at the latest when the connection is closed.
func (e *execution) gone(ctx context.Context, stop Stop) bool {
	second := e.another(ctx)
	if second == nil || second.exec(ctx, stop.Command) != nil {
		return false
	}
	second.start(stop.Lead, stop.Stdin)
	select {
	case <-second.over:
	case <-second.full: // it talks and talks
		_ = second.channel.Close()
		<-second.over
	}
	return saidGone(second.stdout.sofar(), stop)
}

// another opens a second session, or returns nil. A server that allows one at a time has to be done with the first
// one, which takes it a moment longer than saying so.
func (e *execution) another(ctx context.Context) *execution {
	soon := time.NewTicker(lastWords / 3)
	defer soon.Stop()
	for range 10 {
		second, err := e.conn.open(ctx, stopOptions())
		if err == nil {
			return second
		}
		if _, refused := errors.AsType[*ssh.OpenChannelError](err); !refused {
			return nil
		}
		<-e.over // when the connection is closed at the latest
		<-soon.C
	}
	return nil
}

// stopOptions bound the answer of a Stop. There is room for what a login says before any command.
func stopOptions() RunOptions { return RunOptions{MaxStdout: 256 << 10, MaxStderr: 1 << 10} }

func saidGone(stdout []byte, stop Stop) bool {
	return stop.Gone != "" && bytes.Contains(stdout, []byte(stop.Gone))
}

// goneHere is gone for the machine we run on.
func goneHere(ctx context.Context, stop Stop) bool {
	ctx, cancel := context.WithTimeout(ctx, localGrace)
	defer cancel()
	stdout, stderr := newSinks(stopOptions(), cancel)
	cmd := localCommand(ctx, stop.Command)
	cmd.Stdout, cmd.Stderr = stdout, stderr
	cmd.WaitDelay = lastWords
	return runFed(cmd, stop.Lead, stop.Stdin, stdout, stderr) == nil && saidGone(stdout.kept, stop)
}

// termination is confirmed if ok.
func termination(ok bool) fleet.Termination {
	if ok {
		return TerminationConfirmed
	}
	return TerminationUnconfirmed
}
