package e2e_test

import (
	"crypto/ed25519"
	"crypto/rand"
	"encoding/pem"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/rollcallhq/rollcall/pkg/needs"
)

// The accounts of a doorway have one user ID each, whatever their shell: what they see is the same.
const plainID = 31_001

// homes is where the homes are for the servers: TinySSH wants nothing above them that others may write, such as /tmp.
const homes = "/srv"

// A doorway is a set of real SSH servers in mount namespaces where each login shell of this machine has an account, as
// root and as a plain user.
type doorway struct {
	dir        string
	privateKey string
	shells     map[string]string // paths by name; sh is always there
}

// loginShells are the shells that have to be there where changes are judged, with the Debian packages they are in.
func loginShells() map[string]string {
	return map[string]string{
		"sh": "dash", "dash": "dash", "bash": "bash", "zsh": "zsh", "fish": "fish", "tcsh": "tcsh", "csh": "csh", "mksh": "mksh",
		"busybox": "busybox-static", "yash": "yash", "rc": "rc",
	}
}

// openDoorway makes the accounts.
func openDoorway(t *testing.T) *doorway {
	t.Helper()
	needs.Root(t, "make accounts")
	needs.Program(t, "unshare", "util-linux")
	d := &doorway{dir: t.TempDir(), shells: map[string]string{}}
	if err := openPath(d.dir); err != nil {
		t.Fatal(err)
	}
	for name, pack := range loginShells() {
		path, err := exec.LookPath(name)
		switch {
		case err == nil && name == "busybox":
			d.shells["ash"] = filepath.Join(d.dir, "ash")
			if err := os.Symlink(path, d.shells["ash"]); err != nil {
				t.Fatal(err)
			}
		case err == nil:
			d.shells[name] = path
		case os.Getenv("CI") != "":
			t.Errorf("%s is missing: apt-get install --no-install-recommends %s", name, pack)
		default:
			t.Logf("%s is missing", name)
		}
	}
	d.makeAccounts(t)
	return d
}

// makeAccounts writes the files that say who there is, and their homes.
func (d *doorway) makeAccounts(t *testing.T) {
	t.Helper()
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	block, err := ssh.MarshalPrivateKey(private, "")
	if err != nil {
		t.Fatal(err)
	}
	key, err := ssh.NewPublicKey(public)
	if err != nil {
		t.Fatal(err)
	}
	d.privateKey = string(pem.EncodeToMemory(block))
	text := map[string]*strings.Builder{}
	for _, name := range []string{"passwd", "shadow", "group", "shells"} {
		content, err := os.ReadFile("/etc/" + name)
		if err != nil {
			t.Fatal(err)
		}
		text[name] = &strings.Builder{}
		text[name].Write(content)
	}
	fmt.Fprintf(text["group"], "rollcall-plain:x:%d:\n", plainID)
	for _, id := range []int{0, plainID} {
		home := filepath.Join(d.dir, "homes", strconv.Itoa(id))
		for name, path := range d.shells {
			fmt.Fprintf(text["passwd"], "%s:x:%d:%d::%s:%s\n", account(name, id), id, id, filepath.Join(homes, strconv.Itoa(id)), path)
			fmt.Fprintf(text["shadow"], "%s:*:20000:0:99999:7:::\n", account(name, id))
			fmt.Fprintln(text["shells"], path)
		}
		file := filepath.Join(home, ".ssh", "authorized_keys")
		if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, ssh.MarshalAuthorizedKey(key), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(filepath.Dir(home), 0o755); err != nil {
			t.Fatal(err)
		}
		for _, path := range []string{home, filepath.Dir(file), file} {
			if err := os.Chown(path, id, id); err != nil {
				t.Fatal(err)
			}
		}
	}
	for name, content := range text {
		d.write(t, name, content.String(), 0o644)
	}
	if err := os.Chmod(filepath.Join(d.dir, "shadow"), 0o600); err != nil {
		t.Fatal(err)
	}
}

// account returns the name of the account with that shell and user ID.
func account(shell string, id int) string { return "rc-" + shell + "-" + strconv.Itoa(id) }

func (d *doorway) write(t *testing.T, name, content string, mode os.FileMode) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(d.dir, name), []byte(content), mode); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(filepath.Join(d.dir, name), mode); err != nil {
		t.Fatal(err)
	}
}

// start runs a server that listens on the port, with the accounts in place. It ends with the test, and must not before:
// what is collected through it shall never take it away.
func (d *doorway) start(t *testing.T, port int, command string) *sshd {
	t.Helper()
	script := `for f in passwd shadow group shells; do mount --bind "$DIR/$f" "/etc/$f"; done; mount --bind "$DIR/homes" ` + homes + `; mkdir -p /run/sshd; exec ` + command
	log := &safeBuffer{}
	cmd := exec.Command("unshare", "--mount", "--propagation", "private", "sh", "-ec", script)
	cmd.Env = append(os.Environ(), "DIR="+d.dir, "PORT="+strconv.Itoa(port))
	cmd.Stdout, cmd.Stderr, cmd.Dir = log, log, "/"
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	t.Cleanup(func() {
		select {
		case err := <-ended:
			t.Errorf("the server has ended by itself: %v\n%s", err, log)
			return
		default:
		}
		_ = cmd.Process.Kill()
		<-ended //nolint:errcheck // it was killed
		if t.Failed() {
			t.Logf("log of %s:\n%s", command, log)
		}
	})
	eventually(t, 20*time.Second, "a server on port "+strconv.Itoa(port), func() error {
		c, err := (&net.Dialer{Timeout: time.Second}).DialContext(t.Context(), "tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
		if err == nil {
			_ = c.Close()
		}
		return err
	})
	return &sshd{port: port, privateKey: d.privateKey, dir: d.dir, cmd: cmd}
}

// openSSH starts OpenSSH's server.
func (d *doorway) openSSH(t *testing.T) *sshd {
	t.Helper()
	needs.Program(t, "/usr/sbin/sshd", "openssh-server")
	s := &sshd{dir: d.dir}
	s.newHostKey(t)
	port := freePort(t)
	d.write(t, "sshd_config", strings.Join([]string{
		"Port " + strconv.Itoa(port), "ListenAddress 127.0.0.1", "HostKey " + filepath.Join(d.dir, "host_key"), "StrictModes no", "UsePAM no",
		"PidFile none", "PasswordAuthentication no", "PermitRootLogin yes", "MaxStartups 100",
	}, "\n")+"\n", 0o600)
	return d.start(t, port, `/usr/sbin/sshd -D -e -f "$DIR/sshd_config"`)
}

// dropbear starts Dropbear, which many small systems have.
func (d *doorway) dropbear(t *testing.T) *sshd {
	t.Helper()
	needs.Program(t, "dropbear", "dropbear-bin")
	key := filepath.Join(d.dir, "dropbear_key")
	if out, err := exec.CommandContext(t.Context(), needs.Program(t, "dropbearkey", "dropbear-bin"), "-t", "ed25519", "-f", key).CombinedOutput(); err != nil {
		t.Fatalf("dropbearkey: %v\n%s", err, out)
	}
	return d.start(t, freePort(t), `dropbear -F -E -s -P "$DIR/dropbear.pid" -p "127.0.0.1:$PORT" -r "$DIR/dropbear_key"`)
}

// tinySSH starts TinySSH behind a listener that runs it for each connection, in its own process group: a command that
// ended its group would end the listener.
func (d *doorway) tinySSH(t *testing.T) *sshd {
	t.Helper()
	needs.Program(t, "tinysshd", "tinysshd")
	needs.Program(t, "tcpserver", "ucspi-tcp")
	if out, err := exec.CommandContext(t.Context(), needs.Program(t, "tinysshd-makekey", "tinysshd"), filepath.Join(d.dir, "tiny")).CombinedOutput(); err != nil {
		t.Fatalf("tinysshd-makekey: %v\n%s", err, out)
	}
	return d.start(t, freePort(t), `tcpserver -HRDl0 127.0.0.1 "$PORT" tinysshd -v "$DIR/tiny"`)
}
