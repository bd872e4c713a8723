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
	ctx, end := context.WithCancel(ctx)
	var command sync.WaitGroup
	defer command.Wait()
	defer end()
	var running *run
	for request := range asked {
		ok := false
		switch request.Type {
		case "exec":
			var exec struct{ Command string }
			if ok = running == nil && ssh.Unmarshal(request.Payload, &exec) == nil; ok {
				running = &run{command: exec.Command, channel: channel, end: end}
				command.Go(func() { s.execute(ctx, h, conn, running) })
			}
		case "signal":
			if ok = running != nil; ok {
				running.kill()
			}
		}
		if request.WantReply {
			_ = request.Reply(ok, nil)
		}
	}
}

// execute answers one command. What the command says does not matter, only the script on its standard input: one that
// collects, or one that stops another command, which is no execution and has no latency.
func (s *server) execute(ctx context.Context, h *host, conn net.Conn, command *run) {
	channel := command.channel
	defer func() { _ = channel.Close() }()
	// The client's going away, or a signal, ends the command wherever it is.
	stop := context.AfterFunc(ctx, func() { _ = channel.Close() })
	defer stop()
	b := *h.behaviour.Load()
	h.runs.add(command)
	defer h.runs.remove(command)
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
	if stop, found := readStop(stdin); found {
		for _, named := range h.runs.named(stop) {
			named.kill()
		}
		_, _ = io.WriteString(channel, "@@"+stop.word+" GONE\n")
		exit(channel, 0)
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
	execution := h.executions.Add(1)
	group := groupOf(execution)
	h.runs.tell(command, group)
	answer, err := s.answer(h, script, execution, group)
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
