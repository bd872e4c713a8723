package remote_test

import (
	"errors"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"testing"

	"golang.org/x/crypto/ssh"

	"github.com/rollcallhq/rollcall/pkg/remote"
)

// A server is an SSH server in this process that misbehaves as a test wants it to.
type server struct {
	config   *ssh.ServerConfig
	sessions func(ssh.NewChannel) // what to do with a session; nil rejects it
	attempts atomic.Int32         // logins tried, by whatever method

	listener net.Listener
}

const rightPassword = "correct horse battery staple"

// newServer returns a server that accepts the right password; change its fields, then start it.
func newServer(t *testing.T) *server {
	t.Helper()
	s := &server{}
	s.config = &ssh.ServerConfig{
		PasswordCallback: func(_ ssh.ConnMetadata, password []byte) (*ssh.Permissions, error) {
			s.attempts.Add(1)
			if string(password) != rightPassword {
				return nil, errors.New("wrong password")
			}
			return &ssh.Permissions{}, nil
		},
	}
	s.config.AddHostKey(newPair(t, newEd25519(t)).signer)
	return s
}

func (s *server) start(t *testing.T) *server {
	t.Helper()
	s.listener = listen(t, s.serve).listener
	return s
}

func (s *server) serve(conn net.Conn) {
	sshConn, channels, requests, err := ssh.NewServerConn(conn, s.config)
	if err != nil {
		return
	}
	var work sync.WaitGroup
	work.Go(func() { ssh.DiscardRequests(requests) })
	for channel := range channels {
		if s.sessions == nil {
			_ = channel.Reject(ssh.ResourceShortage, "no sessions today")
			continue
		}
		work.Go(func() { s.sessions(channel) })
	}
	_ = sshConn.Close()
	work.Wait()
}

// target returns how to reach the server with a password.
func (s *server) target(password string) remote.Target {
	return remote.Target{
		Address: "127.0.0.1", Port: portOf(s.listener), Verify: trustAny,
		Credential: remote.Credential{Kind: remote.KindPassword, Username: "rollcall", Password: []byte(password)},
	}
}

// dial connects to the server with the right password.
func (s *server) dial(t *testing.T) *remote.Conn {
	t.Helper()
	conn, err := remote.Dial(within(t), s.target(rightPassword))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

// onExec returns a session that accepts its exec request and then is run's business; the channel is closed when run
// returns. Signals are the names that the client sends.
func onExec(run func(channel ssh.Channel, signals <-chan string)) func(ssh.NewChannel) {
	return func(offered ssh.NewChannel) {
		channel, requests, err := offered.Accept()
		if err != nil {
			return
		}
		signals := make(chan string, 8)
		done := make(chan struct{})
		for request := range requests {
			switch request.Type {
			case "exec":
				_ = request.Reply(true, nil)
				go func() {
					defer close(done)
					run(channel, signals)
					_ = channel.Close()
				}()
			case "signal":
				var message struct{ Name string }
				_ = ssh.Unmarshal(request.Payload, &message)
				signals <- message.Name
			default:
				_ = request.Reply(false, nil)
			}
		}
		close(signals)
		<-done
	}
}

func exit(channel ssh.Channel, status uint32) {
	_, _ = channel.SendRequest("exit-status", false, ssh.Marshal(struct{ Status uint32 }{status}))
}

// A port is a TCP server in this process.
type port struct{ listener net.Listener }

func (p port) target() remote.Target {
	return remote.Target{
		Address: "127.0.0.1", Port: portOf(p.listener), Verify: trustAny,
		Credential: remote.Credential{Kind: remote.KindPassword, Username: "rollcall", Password: []byte("x")},
	}
}

// portOf returns the port of a TCP listener, and 0 of any other.
func portOf(listener net.Listener) int {
	address, ok := listener.Addr().(*net.TCPAddr)
	if !ok {
		return 0
	}
	return address.Port
}

// listen serves each connection by handle and closes it afterwards. The end of the test closes all of them and waits.
func listen(t *testing.T, handle func(net.Conn)) port {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	var open []net.Conn
	var work sync.WaitGroup
	work.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			mu.Lock()
			open = append(open, conn)
			mu.Unlock()
			work.Go(func() {
				handle(conn)
				_ = conn.Close()
			})
		}
	})
	t.Cleanup(func() {
		_ = listener.Close()
		mu.Lock()
		for _, conn := range open {
			_ = conn.Close()
		}
		mu.Unlock()
		work.Wait()
	})
	return port{listener}
}

// waitForEnd blocks until the client goes away.
func waitForEnd(conn net.Conn) { _, _ = io.Copy(io.Discard, conn) }
