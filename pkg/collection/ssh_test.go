package collection_test

import (
	"bufio"
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/pem"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/rollcallhq/rollcall/pkg/needs"
	"github.com/rollcallhq/rollcall/pkg/secret"
)

// newKey returns a fresh key, to sign with and in PEM.
func newKey(t *testing.T) (ssh.Signer, []byte) {
	t.Helper()
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	signer, err := ssh.NewSignerFromKey(key)
	if err != nil {
		t.Fatal(err)
	}
	block, err := ssh.MarshalPrivateKey(key, "")
	if err != nil {
		t.Fatal(err)
	}
	return signer, pem.EncodeToMemory(block)
}

// A server is an SSH server in this process that counts what it is offered and opens no session.
type server struct {
	address     string
	connections atomic.Int32
	offers      atomic.Int32 // of whatever credential
}

const rightPassword = "correct horse battery staple"

// password is the secret of a credential.
func password(text string) secret.Credential { return secret.Credential{Password: []byte(text)} }

func startServer(t *testing.T) *server {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &server{address: listener.Addr().String()}
	config := &ssh.ServerConfig{
		PasswordCallback: func(_ ssh.ConnMetadata, offered []byte) (*ssh.Permissions, error) {
			if s.offers.Add(1); string(offered) != rightPassword {
				return nil, errors.New("wrong password")
			}
			return &ssh.Permissions{}, nil
		},
		PublicKeyCallback: func(ssh.ConnMetadata, ssh.PublicKey) (*ssh.Permissions, error) {
			s.offers.Add(1)
			return nil, errors.New("no keys here")
		},
	}
	hostKey, _ := newKey(t)
	config.AddHostKey(hostKey)
	var serving sync.WaitGroup
	serving.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			s.connections.Add(1)
			serving.Go(func() { s.serve(conn, config) })
		}
	})
	t.Cleanup(func() { _ = listener.Close(); serving.Wait() })
	return s
}

func (s *server) serve(conn net.Conn, config *ssh.ServerConfig) {
	defer func() { _ = conn.Close() }()
	_ = conn.SetDeadline(time.Now().Add(patience))
	authenticated, channels, requests, err := ssh.NewServerConn(conn, config)
	if err != nil {
		return
	}
	defer func() { _ = authenticated.Close() }()
	go ssh.DiscardRequests(requests)
	for channel := range channels {
		_ = channel.Reject(ssh.ResourceShortage, "no sessions today")
	}
}

// An sshd is a real OpenSSH server on loopback.
type sshd struct {
	address  string
	username string
	key      []byte // PEM, which it accepts
}

// startSSHD starts OpenSSH, for the user who runs the test, with the further lines of configuration.
func startSSHD(t *testing.T, lines ...string) *sshd {
	t.Helper()
	binary := needs.Program(t, "sshd", "openssh-server")
	me, err := user.Current()
	if err != nil {
		t.Fatal(err)
	}
	client, clientPEM := newKey(t)
	_, hostPEM := newKey(t)
	s := &sshd{username: me.Username, key: clientPEM}
	dir := publicDir(t) // the keys are read as the user who logs in
	write := func(name string, data []byte, mode os.FileMode) string {
		file := filepath.Join(dir, name)
		if err := os.WriteFile(file, data, mode); err != nil {
			t.Fatal(err)
		}
		return file
	}
	if os.Geteuid() == 0 { // sshd insists on it; the package's service makes it at boot
		if err := os.MkdirAll("/run/sshd", 0o755); err != nil {
			t.Fatal(err)
		}
	}
	config := append([]string{
		"StrictModes no", "UsePAM no", "PidFile none", "PasswordAuthentication no", "KbdInteractiveAuthentication no",
		"PermitRootLogin prohibit-password", "HostKey " + write("host_key", hostPEM, 0o600),
		"AuthorizedKeysFile " + write("authorized_keys", ssh.MarshalAuthorizedKey(client.PublicKey()), 0o644),
	}, lines...)
	for range 5 { // the free port may be taken before sshd comes to listen on it
		s.address = freeAddress(t)
		host, port, _ := net.SplitHostPort(s.address)
		file := write("sshd_config", []byte(strings.Join(append(config, "ListenAddress "+host+":"+port), "\n")+"\n"), 0o600)
		if runDaemon(t, "Server listening on", binary, "-D", "-e", "-f", file) {
			return s
		}
	}
	t.Fatal("sshd does not start")
	return nil
}

// publicDir returns a directory of the test that every user may enter, and write to.
func publicDir(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for at := dir; at != os.TempDir() && at != "/"; at = filepath.Dir(at) {
		if err := os.Chmod(at, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Chmod(dir, 0o777|os.ModeSticky); err != nil {
		t.Fatal(err)
	}
	return dir
}

func freeAddress(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = listener.Close() }()
	return listener.Addr().String()
}

// runDaemon starts a server that stays in the foreground and reports whether it said that it is ready. The end of the
// test ends it.
func runDaemon(t *testing.T, ready, binary string, args ...string) bool {
	t.Helper()
	cmd := exec.Command(binary, args...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	stderr, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	said := make(chan bool, 1)
	var mu sync.Mutex
	var log bytes.Buffer
	var reading sync.WaitGroup
	reading.Go(func() {
		defer close(said)
		lines := bufio.NewScanner(stderr)
		for lines.Scan() {
			mu.Lock()
			fmt.Fprintln(&log, lines.Text())
			mu.Unlock()
			if strings.Contains(lines.Text(), ready) {
				select {
				case said <- true:
				default:
				}
			}
		}
	})
	t.Cleanup(func() {
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) // the group is its own: Setsid
		reading.Wait()
		_ = cmd.Wait()
		if t.Failed() {
			mu.Lock()
			defer mu.Unlock()
			t.Logf("%s said:\n%s", filepath.Base(binary), log.String())
		}
	})
	select {
	case ok := <-said:
		return ok
	case <-time.After(patience):
		return false
	}
}
