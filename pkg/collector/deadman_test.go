package collector_test

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rollcallhq/rollcall/pkg/collector"
)

// A client starts a script and can vanish. Every process of the script carries its mark in the environment, wherever
// it has moved to.
type client struct {
	cmd   *exec.Cmd
	mark  string
	lines *bufio.Scanner
	close func()
}

// start starts a plan in a shell. An own session is what sshd gives; without it the script has to make one.
func start(t *testing.T, p collector.Plan, shell, path string, ownSession bool) *client {
	t.Helper()
	c := &client{mark: "ROLLCALL_TEST_MARK=" + p.Nonce()}
	c.cmd = exec.Command("/bin/sh", "-c", withShell(p.Command(), shell))
	c.cmd.Env = []string{"PATH=" + path, c.mark}
	c.cmd.Stdin = strings.NewReader(withShell(string(p.Script()), shell))
	c.cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: ownSession}
	stdout, err := c.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	c.lines = bufio.NewScanner(stdout)
	c.close = func() { _ = stdout.Close() }
	t.Cleanup(func() {
		c.close()
		for _, pid := range marked(t, c.mark) {
			_ = syscall.Kill(pid, syscall.SIGKILL)
		}
		_ = c.cmd.Wait() // the shell was killed, which is what the test is about
	})
	return c
}

// until reads lines until one contains the words.
func (c *client) until(t *testing.T, words string) string {
	t.Helper()
	for c.lines.Scan() {
		if strings.Contains(c.lines.Text(), words) {
			return c.lines.Text()
		}
	}
	t.Fatalf("the script ended without %q", words)
	return ""
}

// gone waits until no process of the script is left.
func (c *client) gone(t *testing.T, within time.Duration) {
	t.Helper()
	defer func() {
		if left := marked(t, c.mark); t.Failed() && len(left) > 0 {
			t.Errorf("left: %s", describe(left))
		}
	}()
	eventually(t, within, "everything is gone", func() bool { return len(marked(t, c.mark)) == 0 })
}

// marked returns the processes of this machine that carry a mark and are not dead.
func marked(t *testing.T, mark string) []int {
	t.Helper()
	environments, err := filepath.Glob("/proc/[0-9]*/environ")
	if err != nil {
		t.Fatal(err)
	}
	var pids []int
	for _, path := range environments {
		env, err := os.ReadFile(path)
		if err != nil || !bytes.Contains(env, []byte(mark)) {
			continue // gone, or somebody else's
		}
		if pid, err := strconv.Atoi(strings.Split(path, "/")[2]); err == nil {
			pids = append(pids, pid)
		}
	}
	return pids
}

// eventually polls until done, and fails the test when the time is over.
func eventually(t *testing.T, within time.Duration, what string, done func() bool) {
	t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(within)
	for !done() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("%s: not within %v", what, within)
		}
	}
}

// describe tells what processes are, for a test that found them where they should not be.
func describe(pids []int) string {
	var b strings.Builder
	for _, pid := range pids {
		line, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
		fmt.Fprintf(&b, "%d %.60q; ", pid, line)
	}
	return b.String()
}

// pathWithout returns a PATH on which a command cannot be found.
func pathWithout(t *testing.T, hidden string) string {
	t.Helper()
	dir := t.TempDir()
	for _, place := range []string{"/bin", "/usr/bin"} {
		entries, err := os.ReadDir(place)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range entries {
			if e.Name() != hidden {
				_ = os.Symlink(filepath.Join(place, e.Name()), filepath.Join(dir, e.Name())) // /bin may be /usr/bin
			}
		}
	}
	return dir
}

// pathWithFailing returns a PATH on which a command fails whatever it is asked.
func pathWithFailing(t *testing.T, name string) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, name), []byte("#!/bin/sh\nexit 125\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	return dir + ":/usr/bin:/bin"
}

func TestNothingIsLeftWhenTheClientHasVanished(t *testing.T) {
	t.Parallel()
	const deadline = 6 * time.Second
	const everyKindOfChild = `sleep 61 | cat & (sleep 62; :) & lim 55 sh -c 'sleep 63; :'`
	tests := []struct {
		name       string
		path       func(*testing.T) string
		ownSession bool
		group      bool
	}{
		{"as under sshd", func(*testing.T) string { return "/usr/bin:/bin" }, true, true},
		{"without a session of its own", func(*testing.T) string { return "/usr/bin:/bin" }, false, true},
		{"without a working timeout", func(t *testing.T) string { t.Helper(); return pathWithFailing(t, "timeout") }, true, true},
		{"without a session and without setsid", func(t *testing.T) string { t.Helper(); return pathWithout(t, "setsid") }, false, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			type started struct {
				*client
				shell string
				at    time.Time
			}
			var clients []started // all together, because each takes the whole deadline
			for shell, words := range shells(t) {
				p := collector.PlanOf(collector.Options{Deadline: deadline}, 1<<20, everyKindOfChild)
				c := start(t, p, words, tt.path(t), tt.ownSession)
				begin := strings.Fields(c.until(t, " BEGIN "))
				at := time.Now()
				// BusyBox may find its own setsid although there is none on the path.
				if group := begin[len(begin)-1]; shell != "busybox" && (group != "0") != tt.group {
					t.Errorf("%s: the group is %s, want one: %v", shell, group, tt.group)
				}
				c.until(t, " S test")
				eventually(t, deadline, shell+": the sleeping children run", func() bool {
					return strings.Contains(describe(marked(t, c.mark)), `sleep\x0063`)
				})
				c.close()
				clients = append(clients, started{c, shell, at})
			}
			for _, c := range clients {
				c.gone(t, deadline+2*time.Second-time.Since(c.at))
				if lived := time.Since(c.at); lived < deadline-time.Second {
					t.Errorf("%s: it lived for %v only, with a deadline of %v", c.shell, lived, deadline)
				}
			}
		})
	}
}

func TestNothingIsLeftAfterACompleteRun(t *testing.T) {
	t.Parallel()
	for shell, words := range shells(t) {
		t.Run(shell, func(t *testing.T) {
			t.Parallel()
			p := plan(t, collector.Options{})
			c := start(t, p, words, "/usr/bin:/bin", true)
			c.until(t, " END ")
			if c.lines.Scan() {
				t.Errorf("the script goes on after its end: %q", c.lines.Text())
			}
			// The shell itself may not have been reaped yet.
			c.gone(t, time.Second)
		})
	}
}

func TestACommandThatHangsCostsItsBoundAndNothingElse(t *testing.T) {
	t.Parallel()
	paths := map[string]func(*testing.T) string{
		"with timeout":              func(*testing.T) string { return "/usr/bin:/bin" },
		"without a working timeout": func(t *testing.T) string { t.Helper(); return pathWithFailing(t, "timeout") },
	}
	for shell, words := range shells(t) {
		for name, path := range paths {
			t.Run(name+" in "+shell, func(t *testing.T) {
				t.Parallel()
				p := collector.PlanOf(collector.Options{}, 1<<20, "echo before; lim 1 sleep 64; echo $?; lim 5 echo after")
				c := start(t, p, words, path(t), true)
				c.until(t, "before")
				if status := c.until(t, ""); status != "137" {
					t.Errorf("status of the command = %s, want 137", status)
				}
				c.until(t, "after")
				if end := c.until(t, " E test"); !strings.HasSuffix(end, " E test t 0") {
					t.Errorf("end of the section = %q, want it to have timed out and ended with 0", end)
				}
				c.until(t, " END ")
				within := time.Second
				if shell == "mksh" {
					// mksh may run the trap of a watchdog before it knows of the sleep that it has just started. The
					// sleep is in our group, holds nothing, and ends with the bound of its command.
					within = 6 * time.Second
				}
				c.gone(t, within)
			})
		}
	}
}

func TestASectionIsCutAtItsCap(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, commands string
		kept           int
		cut            bool
	}{
		{"one that says nothing", ":", 0, false},
		{"one that just fits", "printf 1234567890", 10, false},
		{"one byte too much", "printf 1234567890x", 10, true},
		{"one without an end", "while :; do echo endless || exit; done", 10, true},
		{"one that eats its input", "cat; printf 1234567890", 10, false},
	}
	for shell, words := range shells(t) {
		for _, tt := range tests {
			t.Run(tt.name+" in "+shell, func(t *testing.T) {
				t.Parallel()
				p := collector.PlanOf(collector.Options{Deadline: 20 * time.Second}, 10, tt.commands)
				r, err := p.Read(shellOutput(t, p, words))
				if err != nil {
					t.Fatal(err)
				}
				s, ok := r.Section("test")
				if !ok || !r.Complete || len(s.Data) != tt.kept || s.Truncated != tt.cut {
					t.Errorf("complete %v; section %v with %d bytes, cut %v; want %d, cut %v",
						r.Complete, ok, len(s.Data), s.Truncated, tt.kept, tt.cut)
				}
			})
		}
	}
}
