package simulate

import (
	"bytes"
	"context"
	"crypto/subtle"
	"errors"
	"io"
	"net"
	"sync"
	"time"

	"golang.org/x/crypto/ssh"
)

const (
	loginTimeout = 30 * time.Second // sshd's is 120 s
	maxStdin     = 4 << 20
	maxSessions  = 10 // of a connection, as sshd has it
)

var errLogin = errors.New("not the credential of the fleet")

// serve accepts connections to one host until its listener is closed, and waits for them.
func (s *server) serve(ctx context.Context, h *host) {
	var connections sync.WaitGroup
	defer connections.Wait()
	for {
		conn, err := h.listener.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil { // out of file descriptors, say: it passes
			select {
			case <-ctx.Done():
				return
			case <-time.After(50 * time.Millisecond):
				continue
			}
		}
		connections.Go(func() { s.talk(ctx, h, conn) })
	}
}

// talk serves one connection.
func (s *server) talk(ctx context.Context, h *host, conn net.Conn) {
	defer func() { _ = conn.Close() }()
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	defer stop()
	if err := conn.SetDeadline(time.Now().Add(loginTimeout)); err != nil {
		return
	}
	authenticated, channels, requests, err := ssh.NewServerConn(conn, s.config(h))
	if err != nil {
		return
	}
	var work sync.WaitGroup
	defer work.Wait()
	defer func() { _ = authenticated.Close() }()
	if err := conn.SetDeadline(time.Time{}); err != nil {
		return
	}
	work.Go(func() { ssh.DiscardRequests(requests) })
	free := make(chan struct{}, maxSessions)
	for offered := range channels {
		if offered.ChannelType() != "session" {
			_ = offered.Reject(ssh.UnknownChannelType, "only sessions")
			continue
		}
		select {
		case free <- struct{}{}:
		default:
			_ = offered.Reject(ssh.ResourceShortage, "too many sessions")
			continue
		}
		channel, asked, err := offered.Accept()
		if err != nil {
			<-free
			continue
		}
		work.Go(func() {
			defer func() { <-free }()
			s.session(ctx, h, channel, asked)
		})
	}
}

func (s *server) config(h *host) *ssh.ServerConfig {
	config := &ssh.ServerConfig{MaxAuthTries: 3, ServerVersion: "SSH-2.0-RollcallSimulate"}
	if s.publicKey != nil {
		config.PublicKeyCallback = func(meta ssh.ConnMetadata, key ssh.PublicKey) (*ssh.Permissions, error) {
			if meta.User() != User || !bytes.Equal(key.Marshal(), s.publicKey) {
				return nil, errLogin
			}
			return &ssh.Permissions{}, nil
		}
	} else {
		config.PasswordCallback = func(meta ssh.ConnMetadata, password []byte) (*ssh.Permissions, error) {
			if meta.User() != User || subtle.ConstantTimeCompare(password, []byte(s.password)) != 1 {
				return nil, errLogin
			}
			return &ssh.Permissions{}, nil
		}
	}
	config.AddHostKey(h.signer)
	return config
}

// session serves the requests of one session: one exec, and the signals to it.
func (s *server) session(ctx context.Context, h *host, channel ssh.Channel, asked <-chan *ssh.Request) {
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
				command.Go(func() { s.execute(ctx, h, channel) })
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
func (s *server) execute(ctx context.Context, h *host, channel ssh.Channel) {
	defer func() { _ = channel.Close() }()
	// The client's going away, or a signal, ends the command wherever it is.
	stop := context.AfterFunc(ctx, func() { _ = channel.Close() })
	defer stop()
	stdin, err := io.ReadAll(io.LimitReader(channel, maxStdin))
	if err != nil {
		return
	}
	select {
	case <-ctx.Done():
		return
	case <-time.After(h.behaviour.Latency):
	}
	script, found := readScript(stdin)
	if !found {
		_, _ = io.WriteString(channel.Stderr(), "sh: not found\n")
		exit(channel, 127)
		return
	}
	if err := s.answer(channel, h, script, h.executions.Add(1)); err != nil {
		exit(channel, 1)
		return
	}
	exit(channel, 0)
}

func exit(channel ssh.Channel, status uint32) {
	_, _ = channel.SendRequest("exit-status", false, ssh.Marshal(struct{ Status uint32 }{status}))
}
