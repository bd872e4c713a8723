package e2e_test

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rollcallhq/rollcall/e2e/thismachine"
)

// up returns the command that runs everything over the data directory, as the account of the ID, with nothing in its
// environment that names a database.
func up(ctx context.Context, data string, uid int, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, filepath.Join(bin, "rollcall"), append([]string{"up", "--data", data}, args...)...)
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + data, "TMPDIR=" + os.TempDir()}
	cmd.Dir = data
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = 40 * time.Second
	if uid != os.Geteuid() {
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(uid), Gid: uint32(uid)}}
	}
	return cmd
}

// dataDir returns a directory that the account owns.
func dataDir(t *testing.T, uid int) string {
	t.Helper()
	// Not t.TempDir: other accounts cannot pass through its parents.
	dir, err := os.MkdirTemp("", "rollcall-up-") //nolint:usetesting // see above
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	if uid != os.Geteuid() {
		if err := os.Chown(dir, uid, uid); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestUpOnceTellsTheTruthAboutThisMachine(t *testing.T) {
	t.Parallel()
	uids := []int{os.Geteuid()}
	if os.Geteuid() == 0 {
		nobody, err := user.Lookup("nobody")
		if err != nil {
			t.Fatal(err)
		}
		uid, err := strconv.Atoi(nobody.Uid)
		if err != nil {
			t.Fatal(err)
		}
		uids = append(uids, uid)
	}
	for _, uid := range uids {
		t.Run(fmt.Sprintf("as %d", uid), func(t *testing.T) {
			t.Parallel()
			cmd := up(t.Context(), dataDir(t, uid), uid, "--once", "-o", "json")
			var stderr bytes.Buffer
			cmd.Stderr = &stderr
			began := time.Now()
			out, err := cmd.Output()
			if err != nil {
				t.Fatalf("up --once: %v\n%s", err, &stderr)
			}
			t.Logf("took %s", time.Since(began).Round(time.Millisecond))
			differences, err := thismachine.Differences(t.Context(), out)
			if err != nil {
				t.Fatalf("%v\n%s", err, clip(out))
			}
			for _, d := range differences {
				t.Error(d)
			}
		})
	}
}

func TestTwoUpsSideBySideAndASecondOneRefused(t *testing.T) {
	t.Parallel()
	first, second := dataDir(t, os.Geteuid()), dataDir(t, os.Geteuid())
	var stderr safeBuffer
	running := up(t.Context(), first, os.Geteuid(), "--http", freeAddr(t), "--grpc", freeAddr(t))
	running.Stderr, running.Stdout = &stderr, &stderr
	if err := running.Start(); err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- running.Wait() }()
	eventually(t, 60*time.Second, "the first up serving", func() error {
		if !strings.Contains(stderr.String(), "Ctrl-C stops everything") {
			return fmt.Errorf("it says %s", stderr.String())
		}
		return nil
	})
	if !strings.Contains(stderr.String(), "Sign in as admin with the password") {
		t.Errorf("no password was printed: %s", stderr.String())
	}
	refused, err := up(t.Context(), first, os.Geteuid(), "--once").CombinedOutput()
	if err == nil || !strings.Contains(string(refused), fmt.Sprintf("process %d", running.Process.Pid)) {
		t.Errorf("a second up on the same directory: %v, %s; want it refused with who holds it", err, refused)
	}
	if out, err := up(t.Context(), second, os.Geteuid(), "--once").CombinedOutput(); err != nil {
		t.Errorf("an up beside it: %v\n%s", err, out)
	}
	if err := running.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	select {
	case err := <-done:
		if err != nil {
			t.Errorf("after Ctrl-C: %v\n%s", err, stderr.String())
		}
	case <-time.After(40 * time.Second):
		t.Fatal("Ctrl-C did not stop it")
	}
	if left := processesOf(first); len(left) > 0 {
		t.Errorf("left running: %q", left)
	}
}

func TestUpAfterACrashFindsEverythingAgain(t *testing.T) {
	t.Parallel()
	data := dataDir(t, os.Geteuid())
	if out, err := up(t.Context(), data, os.Geteuid(), "--once").CombinedOutput(); err != nil {
		t.Fatalf("the first time: %v\n%s", err, out)
	}
	var stderr safeBuffer
	crashed := up(t.Context(), data, os.Geteuid(), "--http", freeAddr(t), "--grpc", freeAddr(t))
	crashed.Stdout, crashed.Stderr = &stderr, &stderr
	if err := crashed.Start(); err != nil {
		t.Fatal(err)
	}
	eventually(t, 60*time.Second, "up serving", func() error {
		if !strings.Contains(stderr.String(), "Ctrl-C stops everything") {
			return fmt.Errorf("it says %s", stderr.String())
		}
		return nil
	})
	_ = crashed.Process.Kill()
	_ = crashed.Wait()
	out, err := up(t.Context(), data, os.Geteuid(), "--once", "-o", "json").Output()
	if err != nil {
		t.Fatalf("after the crash: %v\n%s", err, out)
	}
	eventually(t, 15*time.Second, "nothing left running", func() error {
		if left := processesOf(data); len(left) > 0 {
			return fmt.Errorf("left running: %q", left)
		}
		return nil
	})
}

// processesOf returns the command lines that name the directory.
func processesOf(dir string) []string {
	found, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	var who []string
	for _, path := range found {
		if line, err := os.ReadFile(path); err == nil && bytes.Contains(line, []byte(dir)) {
			who = append(who, strings.ReplaceAll(string(line), "\x00", " "))
		}
	}
	return who
}
