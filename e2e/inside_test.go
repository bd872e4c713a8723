package e2e_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rollcallhq/rollcall/pkg/needs"
)

// An enclosure is "rollcall up" in mount, network and UTS namespaces of its own, where a test may change what the
// machine is without anybody outside noticing.
type enclosure struct {
	*stack
	dir string // the test's own, in and outside
}

// unshareFlags make the namespaces: as root directly, else with a user namespace around them that gives the rights.
func unshareFlags() []string {
	flags := []string{"--mount", "--net", "--uts"}
	if os.Geteuid() != 0 {
		flags = append(flags, "--user", "--map-current-user", "--keep-caps")
	}
	return flags
}

// linkKinds are interfaces that exist in software alone, the plainest first. Which of them there are depends on the
// kernel.
func linkKinds() []string { return []string{"dummy", "bridge", "ifb"} }

// enclosable returns the first of linkKinds that can be made in namespaces of our own, or skips the test and says why
// there are none: that depends on the rights of whoever runs it, not on what is tested.
func enclosable(t *testing.T) string {
	t.Helper()
	var said strings.Builder
	for _, kind := range linkKinds() {
		script := "mount -t sysfs sysfs /sys && mount -t tmpfs tmpfs /run && ip link set lo up && ip link add standing0 type " + kind
		out, err := exec.CommandContext(t.Context(), "unshare", append(unshareFlags(), "sh", "-ec", script)...).CombinedOutput()
		if err == nil {
			return kind
		}
		fmt.Fprintf(&said, "%s: %v: %s\n", kind, err, out)
	}
	needs.Lacking(t, "this account (%d) can make no namespaces in which to change this machine:\n%s", os.Geteuid(), said.String())
	return ""
}

// enclose starts "rollcall up" behind the setup, a shell script that finds the enclosure's directory in $DIR, signs in,
// and returns when this machine has been collected once. It is stopped when the test ends.
func enclose(t *testing.T, setup string) *enclosure {
	t.Helper()
	e := &enclosure{stack: &stack{t: t, http: "http://inside"}, dir: dataDir(t, os.Geteuid())}
	program, socket := filepath.Join(e.dir, "inside"), filepath.Join(e.dir, "socket")
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-o", program, "./inside").CombinedOutput(); err != nil {
		t.Fatalf("building inside: %v\n%s", err, out)
	}
	args := append(unshareFlags(), "--", program, socket, setup, "http://127.0.0.1:8080",
		filepath.Join(bin, "rollcall"), "up", "--data", dataDir(t, os.Geteuid()))
	cmd := exec.Command("unshare", args...)
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + e.dir, "TMPDIR=" + os.TempDir(), "DIR=" + e.dir, "ROLLCALL_ADMIN_PASSWORD=" + adminPassword}
	log := &safeBuffer{}
	cmd.Stdout, cmd.Stderr = log, log
	if _, err := cmd.StdinPipe(); err != nil { // it ends with us, whatever becomes of us
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() { _ = cmd.Wait(); close(ended) }()
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		select {
		case <-ended:
		case <-time.After(90 * time.Second):
			t.Error("the enclosure did not stop")
			_ = cmd.Process.Kill()
		}
		if t.Failed() {
			t.Logf("log of the enclosure:\n%s", log)
		}
	})
	e.connect(socket)
	eventually(t, 90*time.Second, "up serving in the enclosure", func() error {
		select {
		case <-ended:
			t.Fatalf("the enclosure has ended:\n%s", log)
		default:
		}
		if !strings.Contains(log.String(), "Ctrl-C stops everything") {
			return fmt.Errorf("it says %s", log)
		}
		return nil
	})
	e.signIn()
	return e
}

// connect lets the stack's client speak through the socket.
func (e *enclosure) connect(socket string) {
	e.record = &recorder{t: e.t, used: map[string]int{}, next: &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "unix", socket)
		},
	}}
	e.client = &http.Client{Transport: e.record, Timeout: time.Minute}
	e.t.Cleanup(e.client.CloseIdleConnections)
}

// shell runs a script in the enclosure and returns what it printed, and whether it succeeded.
func (e *enclosure) shell(script string) (string, bool) {
	e.t.Helper()
	req, err := http.NewRequestWithContext(e.t.Context(), http.MethodPost, e.http+"/run", strings.NewReader("DIR="+e.dir+"\n"+script))
	if err != nil {
		e.t.Fatal(err)
	}
	res, err := e.client.Do(req)
	if err != nil {
		e.t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	out, err := io.ReadAll(res.Body)
	if err != nil {
		e.t.Fatal(err)
	}
	return string(out), res.StatusCode == http.StatusOK
}

// mustShell runs a script in the enclosure that has to succeed.
func (e *enclosure) mustShell(script string) {
	e.t.Helper()
	if out, ok := e.shell(script); !ok {
		e.t.Fatalf("in the enclosure: %s\n%s", script, out)
	}
}
