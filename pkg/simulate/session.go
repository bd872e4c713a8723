package simulate

import (
	"context"
	"io"
	"net"
	"sync"
	"time"

	"golang.org/x/crypto/ssh"
)

// session serves the requests of one session: one exec, and the signals to it.
func (s *server) session(ctx context.Context, h *host, conn net.Conn, channel ssh.Channel, asked <-chan *ssh.Request) {
	ctx, kill := context.WithCancel(ctx)
	var command sync.WaitGroup
	defer command.Wait()
	defer kill()
	running := false
	for request := range asked {
		ok := false
		switch request.Type {
		case "exec":
			if ok = !running; ok {
				running = true
				command.Go(func() { s.execute(ctx, h, conn, channel) })
			}
		case "signal":
			if ok = running; ok {
				_, _ = channel.SendRequest("exit-signal", false, ssh.Marshal(struct {
					Signal          string
					Core            bool
					Error, Language string
				}{Signal: "KILL"}))
				kill()
			}
		}
		if request.WantReply {
			_ = request.Reply(ok, nil)
		}
	}
}

// execute answers one command. What the command says does not matter, only the script on its standard input.
func (s *server) execute(ctx context.Context, h *host, conn net.Conn, channel ssh.Channel) {
	defer func() { _ = channel.Close() }()
	// The client's going away, or a signal, ends the command wherever it is.
	stop := context.AfterFunc(ctx, func() { _ = channel.Close() })
	defer stop()
	b := *h.behaviour.Load()
	if b.Noise {
		if _, err := io.WriteString(channel, h.noise()); err != nil {
			return
		}
	}
	stdin, err := io.ReadAll(io.LimitReader(channel, maxStdin))
	if err != nil {
		return
	}
	if b.Fault == FaultHang {
		<-ctx.Done()
		return
	}
	if !wait(ctx, b.Latency) {
		return
	}
	script, found := readScript(stdin)
	if !found {
		_, _ = io.WriteString(channel.Stderr(), "sh: not found\n")
		exit(channel, 127)
		return
	}
	answer, err := s.answer(h, script, h.executions.Add(1))
	if err == nil {
		err = b.send(ctx, answer, conn, channel)
	}
	if err != nil {
		exit(channel, 1)
		return
	}
	exit(channel, 0)
}

// wait waits, and reports whether ctx has not ended meanwhile.
func wait(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}

func exit(channel ssh.Channel, status uint32) {
	_, _ = channel.SendRequest("exit-status", false, ssh.Marshal(struct{ Status uint32 }{status}))
}
