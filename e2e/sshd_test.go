package e2e_test

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/pem"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"
)

// An sshd is a real OpenSSH server on loopback that lets the given account in by key.
type sshd struct {
	port       int
	account    string
	privateKey string
	dir        string
	cmd        *exec.Cmd
}

// startSSHD starts a server for the account. extra are further lines of its configuration.
func startSSHD(t *testing.T, account string, extra ...string) *sshd {
	t.Helper()
	program, err := exec.LookPath("/usr/sbin/sshd")
	if err != nil {
		t.Fatalf("this test needs OpenSSH's server (apt-get install openssh-server): %v", err)
	}
	s := &sshd{account: account, dir: t.TempDir()}
	if err := openPath(s.dir); err != nil {
		t.Fatal(err)
	}
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	block, err := ssh.MarshalPrivateKey(private, "")
	if err != nil {
		t.Fatal(err)
	}
	s.privateKey = string(pem.EncodeToMemory(block))
	signer, err := ssh.NewSignerFromKey(private)
	if err != nil {
		t.Fatal(err)
	}
	s.write(t, "authorized_keys", string(ssh.MarshalAuthorizedKey(signer.PublicKey())), 0o644)
	s.newHostKey(t)
	s.port = freePort(t)
	s.write(t, "sshd_config", strings.Join(append([]string{
		"Port " + strconv.Itoa(s.port), "ListenAddress 127.0.0.1", "HostKey " + filepath.Join(s.dir, "host_key"),
		"AuthorizedKeysFile " + filepath.Join(s.dir, "authorized_keys"), "StrictModes no", "UsePAM " + pam(), "PidFile none",
		"PasswordAuthentication no", "PermitRootLogin yes", "LogLevel VERBOSE",
	}, extra...), "\n")+"\n", 0o644)
	if os.Geteuid() == 0 {
		if err := os.MkdirAll("/run/sshd", 0o755); err != nil {
			t.Fatal(err)
		}
	}
	log := &safeBuffer{}
	s.cmd = exec.Command(program, "-D", "-e", "-f", filepath.Join(s.dir, "sshd_config"))
	s.cmd.Stdout, s.cmd.Stderr = log, log
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = s.cmd.Process.Kill()
		_ = s.cmd.Wait()
		if t.Failed() {
			t.Logf("log of sshd:\n%s", log)
		}
	})
	eventually(t, 10*time.Second, "sshd listening", func() error {
		c, err := net.DialTimeout("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(s.port)), time.Second)
		if err == nil {
			_ = c.Close()
		}
		return err
	})
	return s
}

// pam returns whether sshd uses PAM: as root it must, or it refuses accounts without a password, such as those that
// packages make.
func pam() string {
	if os.Geteuid() == 0 {
		return "yes"
	}
	return "no"
}

// openPath makes dir and its parents passable for other accounts, as far as they are ours.
func openPath(dir string) error {
	for ; dir != os.TempDir() && dir != "/"; dir = filepath.Dir(dir) {
		if err := os.Chmod(dir, 0o755); err != nil {
			return err
		}
	}
	return nil
}

func (s *sshd) write(t *testing.T, name, content string, mode os.FileMode) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(s.dir, name), []byte(content), mode); err != nil {
		t.Fatal(err)
	}
}

// newHostKey gives the server another host key, which it takes up at its next start or connection.
func (s *sshd) newHostKey(t *testing.T) {
	t.Helper()
	_ = os.Remove(filepath.Join(s.dir, "host_key"))
	out, err := exec.Command("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", filepath.Join(s.dir, "host_key")).CombinedOutput()
	if err != nil {
		t.Fatalf("ssh-keygen: %v\n%s", err, out)
	}
}

func freePort(t *testing.T) int {
	t.Helper()
	_, port, err := net.SplitHostPort(freeAddr(t))
	if err != nil {
		t.Fatal(err)
	}
	n, err := strconv.Atoi(port)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// accounts returns who can log in on this machine: as root, root and a plain account with a shell; else ourselves.
func accounts(t *testing.T) []string {
	t.Helper()
	me, err := user.Current()
	if err != nil {
		t.Fatal(err)
	}
	if os.Geteuid() != 0 {
		return []string{me.Username}
	}
	for _, fields := range database(t, "/etc/passwd") {
		if len(fields) == 7 && fields[2] != "0" && strings.HasSuffix(fields[6], "sh") {
			return []string{"root", fields[0]}
		}
	}
	t.Fatal("this test needs a plain account with a shell, such as postgres")
	return nil
}

// database returns the fields of each line of a file like /etc/passwd.
func database(t *testing.T, path string) [][]string {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var entries [][]string
	for line := range bytes.Lines(content) {
		if fields := strings.Split(strings.TrimSpace(string(line)), ":"); len(fields) > 1 {
			entries = append(entries, fields)
		}
	}
	return entries
}

// addHost adds a credential and a host for the server over REST and returns the host's ID.
func (s *stack) addHost(name string, server *sshd) string {
	s.t.Helper()
	var credential, host struct {
		ID string `json:"id"`
	}
	s.post("/api/v1/credentials", map[string]any{
		"name": "key of " + name, "kind": "private_key", "username": server.account, "private_key": server.privateKey,
	}, 201, &credential)
	s.post("/api/v1/hosts", map[string]any{
		"name": name, "address": "127.0.0.1", "port": server.port, "labels": map[string]string{"env": "test"}, "credential_id": credential.ID,
	}, 201, &host)
	if host.ID == "" {
		s.t.Fatal("the host has no ID")
	}
	return host.ID
}
