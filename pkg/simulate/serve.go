package simulate

import (
	"bufio"
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
	serverVersion = "SSH-2.0-RollcallSimulate"
	loginTimeout  = 30 * time.Second // sshd's is 120 s
	maxStdin      = 4 << 20
	maxSessions   = 10 // of a connection, as sshd has it
)

var errLogin = errors.New("not the credential of the fleet")

// accept takes connections to one host until its listener is closed, and lets spawn serve each.
func (s *server) accept(ctx context.Context, h *host, listener net.Listener, spawn func(func())) {
	for {
		conn, err := listener.Accept()
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
		h.accepted(ctx, s, conn, spawn)
	}
}

// accepted counts a connection and drops it, or lets spawn serve it.
func (h *host) accepted(ctx context.Context, s *server, conn net.Conn, spawn func(func())) {
	b := *h.behaviour.Load()
	number := h.connections.Add(1)
	switch {
	case b.Fault == FaultResetAtAccept:
		reset(conn)
	case b.MaxStartups.drops(h.startups.Load(), func() int64 { return h.dice(number) }):
		// Nothing of what the client says is read, so that it sees this or a reset, as with sshd.
		_, _ = io.WriteString(conn, "Exceeded MaxStartups\r\n")
		_ = conn.Close()
	default:
		h.startups.Add(1)
		spawn(func() { s.talk(ctx, h, b, conn) })
	}
}

// talk serves one connection of a host that behaves so.
func (s *server) talk(ctx context.Context, h *host, b Behaviour, conn net.Conn) {
	loggedIn := sync.OnceFunc(func() { h.startups.Add(-1) })
	defer loggedIn()
	defer func() { _ = conn.Close() }()
	stop := context.AfterFunc(ctx, func() { reset(conn) })
	defer stop()
	if b.Fault == FaultMute {
		_, _ = io.Copy(io.Discard, conn) // until the client has had enough
		return
	}
	if b.Fault == FaultResetInHandshake {
		breakHandshake(conn)
		return
	}
	config, err := s.config(h, b)
	if err != nil || conn.SetDeadline(time.Now().Add(loginTimeout)) != nil {
		return
	}
	authenticated, channels, requests, err := ssh.NewServerConn(conn, config)
	if err != nil {
		return
	}
	loggedIn()
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
			s.session(ctx, h, conn, channel, asked)
		})
	}
}

// breakHandshake resets a connection in the key exchange: when the client has understood whom it talks to, and has
// begun.
func breakHandshake(conn net.Conn) {
	defer reset(conn)
	if err := conn.SetDeadline(time.Now().Add(loginTimeout)); err != nil {
		return
	}
	if _, err := io.WriteString(conn, serverVersion+"\r\n"); err != nil {
		return
	}
	client := bufio.NewReader(conn)
	if _, err := client.ReadSlice('\n'); err != nil { // a longer line than the buffer is an error too
		return
	}
	_, _ = client.ReadByte()
}

func (s *server) config(h *host, b Behaviour) (*ssh.ServerConfig, error) {
	config := &ssh.ServerConfig{MaxAuthTries: 3, ServerVersion: serverVersion}
	let := func(right bool) (*ssh.Permissions, error) {
		if !right || b.Fault == FaultAuth {
			return nil, errLogin
		}
		return &ssh.Permissions{}, nil
	}
	if s.publicKey != nil {
		config.PublicKeyCallback = func(meta ssh.ConnMetadata, key ssh.PublicKey) (*ssh.Permissions, error) {
			return let(meta.User() == User && bytes.Equal(key.Marshal(), s.publicKey))
		}
	} else {
		config.PasswordCallback = func(meta ssh.ConnMetadata, password []byte) (*ssh.Permissions, error) {
			return let(meta.User() == User && subtle.ConstantTimeCompare(password, []byte(s.password)) == 1)
		}
	}
	signer, err := h.signer(b.keyAt(h.executions.Load()))
	if err != nil {
		return nil, err
	}
	config.AddHostKey(signer)
	return config, nil
}
