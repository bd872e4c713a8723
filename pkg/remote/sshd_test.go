package remote_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/pem"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/rollcallhq/rollcall/pkg/await"
	"github.com/rollcallhq/rollcall/pkg/fleet"
	"github.com/rollcallhq/rollcall/pkg/needs"
	"github.com/rollcallhq/rollcall/pkg/remote"
)

// An sshd is a real OpenSSH server on loopback with a configuration of its own.
type sshd struct {
	port     int
	hostKeys map[string]pair // by algorithm
	client   pair            // an ed25519 key that it accepts for every user
}

// startSSHD starts OpenSSH with the further lines of configuration, and accepts the client keys.
func startSSHD(t *testing.T, lines []string, clients ...pair) *sshd {
	t.Helper()
	binary := needs.Program(t, "sshd", "openssh-server")
	s := &sshd{
		client:   newPair(t, newEd25519(t)),
		hostKeys: map[string]pair{"ssh-ed25519": newPair(t, newEd25519(t)), "ssh-rsa": newPair(t, newRSA(t)), "ecdsa-sha2-nistp256": newPair(t, newECDSA(t))},
	}
	dir := t.TempDir()
	// The keys are read as the user who logs in, so the directories above must let that user pass.
	for at := dir; at != os.TempDir() && at != "/"; at = filepath.Dir(at) {
		if err := os.Chmod(at, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	config := []string{
		"StrictModes no", "UsePAM no", "PidFile none", "LogLevel VERBOSE", "PasswordAuthentication no",
		"KbdInteractiveAuthentication no", "PermitRootLogin prohibit-password",
		"AuthorizedKeysFile " + filepath.Join(dir, "authorized_keys"),
	}
	for algorithm, key := range s.hostKeys {
		file := filepath.Join(dir, "host_"+algorithm)
		writeFile(t, file, key.pem, 0o600)
		config = append(config, "HostKey "+file)
	}
	var authorized bytes.Buffer
	for _, client := range append(clients, s.client) {
		authorized.Write(ssh.MarshalAuthorizedKey(client.signer.PublicKey()))
	}
	writeFile(t, filepath.Join(dir, "authorized_keys"), authorized.Bytes(), 0o644)
	if os.Geteuid() == 0 { // sshd insists on it; the package's service makes it at boot
		if err := os.MkdirAll("/run/sshd", 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for range 5 { // the free port may be taken before sshd comes to listen on it
		s.port = freePort(t)
		all := append([]string{fmt.Sprintf("ListenAddress 127.0.0.1:%d", s.port)}, append(config, lines...)...)
		file := filepath.Join(dir, "sshd_config")
		writeFile(t, file, []byte(strings.Join(all, "\n")+"\n"), 0o600)
		if runDaemon(t, "Server listening on", binary, "-D", "-e", "-f", file) {
			return s
		}
	}
	t.Fatal("sshd does not start")
	return nil
}

// runDaemon starts a server that stays in the foreground and reports whether it said that it is ready. The end of
// the test ends it.
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
	var log strings.Builder
	var reading sync.WaitGroup
	reading.Go(func() {
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
		close(said)
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

func writeFile(t *testing.T, name string, data []byte, mode os.FileMode) {
	t.Helper()
	if err := os.WriteFile(name, data, mode); err != nil {
		t.Fatal(err)
	}
}

func freePort(t *testing.T) int {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = listener.Close() }()
	return portOf(listener)
}

func me(t *testing.T) string {
	t.Helper()
	current, err := user.Current()
	if err != nil {
		t.Fatal(err)
	}
	return current.Username
}

func (s *sshd) target(credential remote.Credential) remote.Target {
	return remote.Target{Address: "127.0.0.1", Port: s.port, Credential: credential, Verify: trustAny}
}

func (s *sshd) dial(t *testing.T, user string) *remote.Conn {
	t.Helper()
	conn, err := remote.Dial(within(t), s.target(s.client.credential(user)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

func TestOpenSSHAcceptsOurKeys(t *testing.T) {
	t.Parallel()
	ed, ec, rsa := newPair(t, newEd25519(t)), newPair(t, newECDSA(t)), newPair(t, newRSA(t))
	locked := newEd25519(t)
	lockedPair := newPair(t, locked)
	block, err := ssh.MarshalPrivateKeyWithPassphrase(locked, "", []byte("open sesame"))
	if err != nil {
		t.Fatal(err)
	}
	lockedPair.pem = pem.EncodeToMemory(block)
	s := startSSHD(t, nil, ed, ec, rsa, lockedPair)
	withPassphrase := lockedPair.credential(me(t))
	withPassphrase.Passphrase = []byte("open sesame")
	tests := []struct {
		name       string
		credential remote.Credential
		want       fleet.Code
	}{
		{"ed25519", ed.credential(me(t)), ""},
		{"ecdsa", ec.credential(me(t)), ""},
		{"rsa", rsa.credential(me(t)), ""},
		{"an encrypted key with its passphrase", withPassphrase, ""},
		{"an encrypted key without", lockedPair.credential(me(t)), fleet.CodeAuthFailed},
		{"a key that nobody knows", newPair(t, newEd25519(t)).credential(me(t)), fleet.CodeAuthFailed},
		{"a user that nobody knows", ed.credential("nosuchuser"), fleet.CodeAuthFailed},
		{"a password where only keys are taken", remote.Credential{Kind: remote.KindPassword, Username: me(t), Password: []byte("x")}, fleet.CodeAuthFailed},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			conn, err := remote.Dial(within(t), s.target(tt.credential))
			if tt.want != "" {
				wantCode(t, err, tt.want)
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = conn.Close() }()
			got, err := conn.Run(within(t), "cat; echo oops >&2; exit 7", []byte("hello"), remote.RunOptions{})
			if err != nil || string(got.Stdout) != "hello" || string(got.Stderr) != "oops\n" || got.ExitStatus != 7 {
				t.Errorf("Run = %+v, %v", got, err)
			}
		})
	}
}

func TestOpenSSHIsAskedForTheKeyWeKnow(t *testing.T) {
	t.Parallel()
	s := startSSHD(t, nil)
	tests := []struct {
		name  string
		known []string
		want  string
	}{
		{"nothing known: ed25519", nil, "ssh-ed25519"},
		{"an RSA key is known", []string{"ssh-rsa"}, "ssh-rsa"},
		{"an ECDSA key is known", []string{"ecdsa-sha2-nistp256"}, "ecdsa-sha2-nistp256"},
		{"a key is known that the host has no more", []string{"ecdsa-sha2-nistp521"}, "ssh-ed25519"},
		{"an algorithm that nobody holds secure any more", []string{"ssh-dss"}, "ssh-ed25519"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			target := s.target(s.client.credential(me(t)))
			target.KnownAlgorithms = tt.known
			conn, err := remote.Dial(within(t), target)
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = conn.Close() }()
			key := conn.Transport().HostKey
			if want := ssh.FingerprintSHA256(s.hostKeys[tt.want].signer.PublicKey()); key.Algorithm != tt.want || key.Fingerprint != want {
				t.Errorf("host key = %s %s, want %s %s", key.Algorithm, key.Fingerprint, tt.want, want)
			}
		})
	}
}

func TestOpenSSHMovesMuchDataBothWays(t *testing.T) {
	t.Parallel()
	s := startSSHD(t, nil)
	input := bytes.Repeat([]byte("0123456789abcde\n"), 5<<16) // 5 MiB, more than any window
	got, err := s.dial(t, me(t)).Run(within(t), "cat", input, remote.RunOptions{})
	if err != nil || !bytes.Equal(got.Stdout, input) || got.ExitStatus != 0 || got.Truncated {
		t.Errorf("Run = %d bytes, status %d, truncated %v, %v; want all %d", len(got.Stdout), got.ExitStatus, got.Truncated, err, len(input))
	}
}

func TestOpenSSHEndlessOutput(t *testing.T) {
	t.Parallel()
	s := startSSHD(t, nil)
	got, err := s.dial(t, me(t)).Run(within(t), "echo $$ >&2; exec yes", nil, remote.RunOptions{MaxStdout: 1 << 20})
	if err != nil || !got.Truncated || len(got.Stdout) != 1<<20 {
		t.Errorf("Run = %d bytes, truncated %v, %v", len(got.Stdout), got.Truncated, err)
	}
	waitUntilGone(t, got.Stderr)
}

func TestOpenSSHCommandIsKilled(t *testing.T) {
	t.Parallel()
	s := startSSHD(t, nil)
	tests := []struct {
		name string
		user func(testing.TB) string
		want fleet.Termination
	}{
		{"a plain user's command dies and is known to", needs.PlainUser, remote.TerminationConfirmed},
		{"root's command: sshd ignores the signal, and we say so", root, remote.TerminationUnconfirmed},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			conn := s.dial(t, tt.user(t))
			ctx, cancel := context.WithTimeout(within(t), 3*time.Second)
			defer cancel()
			got, err := conn.Run(ctx, "echo $$; exec sleep 30", nil, remote.RunOptions{})
			wantCode(t, err, fleet.CodeDeadlineExceeded)
			if got.Termination != tt.want {
				t.Errorf("termination = %q (%+v), want %q", got.Termination, got, tt.want)
			}
			if got.Termination == remote.TerminationConfirmed {
				waitUntilGone(t, got.Stdout)
				return
			}
			if pid := pidIn(t, got.Stdout); syscall.Kill(pid, 0) == nil {
				_ = syscall.Kill(pid, syscall.SIGKILL) // started by this test, above
			}
		})
	}
}

func root(tb testing.TB) string {
	tb.Helper()
	needs.Root(tb, "be let in as root")
	return "root"
}

func pidIn(t *testing.T, output []byte) int {
	t.Helper()
	pid, err := strconv.Atoi(strings.TrimSpace(string(output)))
	if err != nil || pid < 2 {
		t.Fatalf("no process ID in %q", output)
	}
	return pid
}

// waitUntilGone waits until the process whose ID was printed has ended.
func waitUntilGone(t *testing.T, output []byte) {
	t.Helper()
	pid := pidIn(t, output)
	await.Until(t, "the end of the remote process", func() bool {
		stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		return err != nil || strings.Contains(string(stat), ") Z ")
	})
}

func TestOpenSSHCommandLeavesSomethingBehind(t *testing.T) {
	t.Parallel()
	s := startSSHD(t, nil)
	got, err := s.dial(t, me(t)).Run(within(t), "sleep 30 & echo $!", nil, remote.RunOptions{})
	if err != nil || got.ExitStatus != 0 || got.Duration > 10*time.Second {
		t.Errorf("Run = %+v, %v; want the status of the command, not its child's end", got, err)
	}
	_ = syscall.Kill(pidIn(t, got.Stdout), syscall.SIGKILL)
}

func TestOpenSSHOverItsMaxStartups(t *testing.T) {
	t.Parallel()
	s := startSSHD(t, []string{"MaxStartups 1"})
	holder, err := net.Dial("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(s.port)))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = holder.Close() }()
	if _, err := holder.Read(make([]byte, 4)); err != nil { // its banner: the one place is taken
		t.Fatal(err)
	}
	_, err = remote.Dial(within(t), s.target(s.client.credential(me(t))))
	wantCode(t, err, fleet.CodeRateLimitedBySSHD)
}

func TestOpenSSHWithoutSessions(t *testing.T) {
	t.Parallel()
	s := startSSHD(t, []string{"MaxSessions 0"})
	_, err := s.dial(t, me(t)).Run(within(t), "true", nil, remote.RunOptions{})
	wantCode(t, err, fleet.CodeSessionRefused)
}

func TestDropbearIsUnderstood(t *testing.T) {
	t.Parallel()
	needs.Program(t, "dropbear", "dropbear-bin")
	dir := t.TempDir()
	hostKey := filepath.Join(dir, "host")
	if out, err := exec.Command("dropbearkey", "-t", "ed25519", "-f", hostKey).CombinedOutput(); err != nil {
		t.Fatalf("dropbearkey: %v: %s", err, out)
	}
	s := &sshd{port: freePort(t)}
	if !runDaemon(t, "Not backgrounding", "/usr/sbin/dropbear", "-F", "-E", "-p", fmt.Sprintf("127.0.0.1:%d", s.port), "-r", hostKey, "-P", filepath.Join(dir, "pid")) {
		t.Fatal("dropbear does not start")
	}
	var shown remote.Key
	target := s.target(newPair(t, newEd25519(t)).credential(me(t)))
	target.Verify = func(_ context.Context, key remote.Key) error { shown = key; return nil }
	_, err := remote.Dial(within(t), target)
	wantCode(t, err, fleet.CodeAuthFailed) // it takes keys from the user's home only, which is not ours to change
	if shown.Algorithm != "ssh-ed25519" {
		t.Errorf("host key = %+v, want ed25519", shown)
	}
}
