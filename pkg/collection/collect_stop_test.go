package collection_test

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/rollcallhq/rollcall/pkg/await"
	"github.com/rollcallhq/rollcall/pkg/collection"
	"github.com/rollcallhq/rollcall/pkg/collector"
	"github.com/rollcallhq/rollcall/pkg/fleet"
	"github.com/rollcallhq/rollcall/pkg/needs"
	"github.com/rollcallhq/rollcall/pkg/secret"
)

// A process is one of this machine, as its stat tells.
type process struct {
	pid, parent, group, session int
	state                       string
}

// processes returns the living processes of this machine that ok picks.
func processes(t *testing.T, ok func(process) bool) []process {
	t.Helper()
	names, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil || len(names) == 0 {
		t.Fatalf("no processes: %v", err)
	}
	var found []process
	for _, name := range names {
		stat, err := os.ReadFile(name)
		if err != nil {
			continue // it has ended meanwhile
		}
		p := process{}
		p.pid, _ = strconv.Atoi(strings.Split(name, "/")[2])
		_, err = fmt.Sscan(string(stat[bytes.LastIndexByte(stat, ')')+1:]), &p.state, &p.parent, &p.group, &p.session)
		if err != nil {
			t.Fatalf("%s: %v", stat, err)
		}
		if p.state != "Z" && p.state != "X" && ok(p) {
			found = append(found, p)
		}
	}
	return found
}

func inGroup(group int) func(process) bool {
	return func(p process) bool { return p.group == group }
}

// marked picks the processes that were started with the mark in their environment, wherever they have moved to.
func marked(mark string) func(process) bool {
	return func(p process) bool {
		environment, _ := os.ReadFile(fmt.Sprintf("/proc/%d/environ", p.pid))
		return bytes.Contains(environment, []byte(mark))
	}
}

// A hanging sshd serves logins whose uname hangs, which is when the script has just begun. It makes noise, as login
// shells do.
type hanging struct {
	*sshd
	dir string
}

func startHanging(t *testing.T, lines ...string) hanging {
	t.Helper()
	h := hanging{dir: publicDir(t)}
	h.plant(t)
	h.sshd = startSSHD(t, append(lines, "SetEnv PATH="+h.dir+":/usr/bin:/bin")...)
	return h
}

// plant puts a uname that hangs into the directory.
func (h hanging) plant(t *testing.T) {
	t.Helper()
	stuck := "#!/bin/sh\necho $$ >" + h.dir + "/stuck.tmp && mv " + h.dir + "/stuck.tmp " + h.dir + "/stuck\nsleep 100 | sleep 100\n"
	if err := os.WriteFile(filepath.Join(h.dir, "uname"), []byte(stuck), 0o755); err != nil {
		t.Fatal(err)
	}
}

// stuck waits until the script hangs, and returns one of its processes. Whatever becomes of it, the end of the test
// ends its group.
func (h hanging) stuck(t *testing.T) process {
	t.Helper()
	var found []process
	await.Until(t, "the script hanging", func() bool {
		text, err := os.ReadFile(filepath.Join(h.dir, "stuck"))
		if err != nil {
			return false
		}
		pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
		if err != nil {
			t.Fatal(err)
		}
		found = processes(t, func(p process) bool { return p.pid == pid })
		return len(found) == 1 && len(processes(t, inGroup(found[0].group))) >= 4
	})
	group := found[0].group
	if group < 2 || group == syscall.Getpgrp() {
		t.Fatalf("the script is in the group %d", group)
	}
	t.Cleanup(func() { _ = syscall.Kill(-group, syscall.SIGKILL) })
	return found[0]
}

// leader returns the login shell's process and the one of sshd that serves its connection.
func (p process) leader(t *testing.T) (shell, server process) {
	t.Helper()
	shells := processes(t, func(other process) bool { return other.pid == p.session })
	if len(shells) != 1 {
		t.Fatalf("the session of %+v has no leader", p)
	}
	servers := processes(t, func(other process) bool { return other.pid == shells[0].parent })
	if len(servers) != 1 {
		t.Fatalf("the login shell %+v has no parent", shells[0])
	}
	return shells[0], servers[0]
}

func currentUser(tb testing.TB) string {
	tb.Helper()
	me, err := user.Current()
	if err != nil {
		tb.Fatal(err)
	}
	return me.Username
}

// A network lies between the worker and a host, and can swallow everything.
type network struct {
	address   string
	swallowed atomic.Bool
	open      atomic.Int32 // connections that the worker has
}

func startNetwork(t *testing.T, to string) *network {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	n := &network{address: listener.Addr().String()}
	var carrying sync.WaitGroup
	carry := func(to, from net.Conn) {
		defer func() { _ = to.Close() }()
		buffer := make([]byte, 32<<10)
		for {
			size, err := from.Read(buffer)
			if err != nil {
				return
			}
			if n.swallowed.Load() {
				continue
			}
			if _, err := to.Write(buffer[:size]); err != nil {
				return
			}
		}
	}
	carrying.Go(func() {
		for {
			near, err := listener.Accept()
			if err != nil {
				return
			}
			far, err := net.Dial("tcp", to)
			if err != nil {
				_ = near.Close()
				continue
			}
			n.open.Add(1)
			carrying.Go(func() {
				carry(far, near)
				n.open.Add(-1)
			})
			carrying.Go(func() { carry(near, far) })
		}
	})
	t.Cleanup(func() { _ = listener.Close(); carrying.Wait() })
	return n
}

// TestCancelEndsWhatRunsOnTheHost cancels a collection whose script hangs on a real sshd, and looks from outside what
// has become of it.
func TestCancelEndsWhatRunsOnTheHost(t *testing.T) {
	t.Parallel()
	freeze := func(pid int) { _ = syscall.Kill(pid, syscall.SIGSTOP) }
	nothing := func(*testing.T, process, *network) {}
	tests := []struct {
		name   string
		user   func(testing.TB) string
		config []string
		before func(t *testing.T, stuck process, lan *network)
		want   fleet.Termination
	}{
		{"as root, whom sshd sends no signals", currentUser, nil, nothing, fleet.TerminationConfirmed},
		{"as a plain user", needs.PlainUser, nil, nothing, fleet.TerminationConfirmed},
		{"as a plain user with one session at a time", needs.PlainUser, []string{"MaxSessions 1"}, nothing, fleet.TerminationConfirmed},
		{"with the script stopped, whom KILL reaches all the same", currentUser, nil, func(_ *testing.T, p process, _ *network) {
			freeze(-p.group)
		}, fleet.TerminationConfirmed},
		{"as a plain user with the script stopped", needs.PlainUser, nil, func(_ *testing.T, p process, _ *network) {
			freeze(-p.group)
		}, fleet.TerminationConfirmed},
		{"with sshd stopped, which then passes on nothing", currentUser, nil, func(t *testing.T, p process, _ *network) {
			t.Helper()
			_, server := p.leader(t)
			freeze(server.pid)
			t.Cleanup(func() { _ = syscall.Kill(server.pid, syscall.SIGCONT) })
		}, fleet.TerminationUnconfirmed},
		{"with a network that swallows everything", currentUser, nil, func(_ *testing.T, _ process, lan *network) {
			lan.swallowed.Store(true)
		}, fleet.TerminationUnconfirmed},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, nil)
			w, _ := r.worker()
			h := startHanging(t, tt.config...)
			lan := startNetwork(t, h.address)
			host := r.host("web-1", at(lan.address), r.credential(tt.user(t), secret.Credential{PrivateKey: h.key}))
			id, messages := r.request(time.Minute, []string{"os"}, host)
			var working sync.WaitGroup
			working.Go(func() { contains(t, r.work(w, messages[0]), " cancelled ") })
			stuck := h.stuck(t)
			tt.before(t, stuck, lan)
			began := time.Now()
			if _, err := r.service.Cancel(t.Context(), actor(fleet.Operator, ""), id); err != nil {
				t.Fatal(err)
			}
			working.Wait()
			took := time.Since(began)
			left := processes(t, inGroup(stuck.group))
			task := r.tasks(id)[0]
			r.ended(task, fleet.TaskCancelled, fleet.CodeCancelled)
			if task.Termination != tt.want {
				t.Errorf("termination = %q with %d processes left, want %q", task.Termination, len(left), tt.want)
			}
			if confirmed := tt.want == fleet.TerminationConfirmed; confirmed != (len(left) == 0) {
				t.Errorf("%q, and left are %+v", task.Termination, left)
			}
			t.Logf("%s after %v with %d processes left", task.Termination, took.Round(time.Millisecond), len(left))
			if took > 7*time.Second { // a heartbeat, at most four seconds, and what the machine is busy with
				t.Errorf("the task ended after %v", took)
			}
		})
	}
}

func TestADeadlineEndsWhatRunsOnTheHost(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	w, _ := r.worker()
	h := startHanging(t)
	host := r.host("web-1", at(h.address), r.credential(currentUser(t), secret.Credential{PrivateKey: h.key}))
	id, messages := r.request(4*time.Second, []string{"os"}, host)
	var working sync.WaitGroup
	working.Go(func() { contains(t, r.work(w, messages[0]), " failed deadline_exceeded ") })
	stuck := h.stuck(t)
	working.Wait()
	task := r.tasks(id)[0]
	if left := processes(t, inGroup(stuck.group)); task.Termination != fleet.TerminationConfirmed || len(left) > 0 {
		t.Errorf("termination = %q, and left are %+v", task.Termination, left)
	}
}

func TestATaskThatEndsByItselfSaysNothingAboutItsEnd(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	w, _ := r.worker(local)
	host := r.host("here", func(h *fleet.Host) { h.Connection = fleet.ConnectionLocal })
	if task := r.collect(w, host, "os"); task.State != fleet.TaskSucceeded || task.Termination != "" {
		t.Errorf("task = %+v, want no termination", task)
	}
}

// shells returns the shells of this machine that the scripts are for, as the words that replace /bin/sh.
func shells() map[string]string {
	found := map[string]string{}
	for name, words := range map[string]string{
		"sh": "/bin/sh", "dash": "dash", "bash": "bash", "busybox": "busybox sh", "mksh": "mksh", "ksh": "ksh",
	} {
		program, rest, _ := strings.Cut(words, " ")
		if path, err := exec.LookPath(program); err == nil {
			found[name] = strings.TrimSpace(path + " " + rest)
		}
	}
	return found
}

// TestStoppingInEveryShell starts scripts as login shells do, ends them by what StopOf says, and looks from outside
// what is left.
func TestStoppingInEveryShell(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name    string
		login   string // what the login shell makes of the command
		begun   bool   // the script tells its group before it is stopped
		foreign bool   // the script is another one than the one that is to be stopped
		gone    bool
	}{
		{"a script that has told its group", "%s", true, false, true},
		{"a script in another group than the login shell", "%s; :", true, false, true},
		{"a script that has not begun", "%s", false, false, true},
		{"a script that has not begun, and a login shell that waits for it", "%s; :", false, false, true},
		{"a script of somebody else", "%s", false, true, false},
	}
	for shell, words := range shells() {
		for _, tt := range tests {
			t.Run(tt.name+" in "+shell, func(t *testing.T) {
				t.Parallel()
				plan, err := collector.NewPlan([]string{"os"}, collector.Options{})
				if err != nil {
					t.Fatal(err)
				}
				withShell := func(text string) string { return strings.ReplaceAll(text, "/bin/sh", words) }
				mark := "ROLLCALL_TEST_MARK=" + plan.Nonce()
				script := strings.Replace(withShell(string(plan.Script())), "sec id ", "sleep 101 | sleep 102\nsec id ", 1)
				if !tt.begun {
					script = "" // and the input stays open
				}
				cmd := exec.Command("/bin/sh", "-c", fmt.Sprintf(tt.login, withShell(plan.Command())))
				cmd.Env = []string{"PATH=/usr/bin:/bin", mark}
				cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
				stdin, err := cmd.StdinPipe()
				if err != nil {
					t.Fatal(err)
				}
				var stdout answer
				cmd.Stdout = &stdout
				if err := cmd.Start(); err != nil {
					t.Fatal(err)
				}
				t.Cleanup(func() {
					for _, p := range processes(t, marked(mark)) {
						_ = syscall.Kill(p.pid, syscall.SIGKILL)
					}
					_ = stdin.Close()
					_ = cmd.Wait() // it was killed, which is what the test is about
				})
				if tt.begun {
					_, _ = stdin.Write([]byte(script))
					_ = stdin.Close()
				}
				await.Until(t, "the script running", func() bool {
					return strings.Contains(stdout.String(), " BEGIN ") == tt.begun && len(processes(t, marked(mark))) >= 2
				})
				if tt.foreign {
					if plan, err = collector.NewPlan([]string{"os"}, collector.Options{}); err != nil {
						t.Fatal(err)
					}
				}
				stop := collection.StopOf(plan, []byte(stdout.String()))
				ctx, cancel := context.WithTimeout(t.Context(), patience)
				defer cancel()
				stopping := exec.CommandContext(ctx, "/bin/sh", "-c", withShell(stop.Command))
				stopping.Env = []string{"PATH=/usr/bin:/bin"}
				stopping.Stdin = bytes.NewReader(stop.Stdin)
				said, err := stopping.Output()
				if err != nil || !strings.Contains(string(said), stop.Gone) {
					t.Errorf("it said %q, %v; want that nothing is left", said, err)
				}
				left := processes(t, func(p process) bool { return marked(mark)(p) && p.pid != cmd.Process.Pid })
				if tt.gone && len(left) > 0 {
					t.Errorf("left: %+v", left)
				}
				if !tt.gone && len(left) == 0 {
					t.Error("somebody else's script has ended as well")
				}
			})
		}
	}
}

// An answer is the output of a program that still runs.
type answer struct {
	mu   sync.Mutex
	text bytes.Buffer
}

// Write takes in more of it.
func (a *answer) Write(p []byte) (int, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.text.Write(p)
}

// String returns what has come up to now.
func (a *answer) String() string {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.text.String()
}
