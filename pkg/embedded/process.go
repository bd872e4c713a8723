package embedded

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"syscall"
	"time"

	"github.com/rollcallhq/rollcall/pkg/fleet"
)

// A command describes a child process.
type command struct {
	path  string
	args  []string
	stdin []byte // empty: /dev/null
	id    identity
	death syscall.Signal // sent to it when this process dies
	log   *serverLog     // takes standard output and standard error
}

// A process is a running child. Its zero value is not usable.
type process struct {
	name string
	cmd  *exec.Cmd
	done chan struct{} // closed when it has ended and its output is read
	err  error         // why it ended; read it after done
}

// spawn starts c. The child is waited for by a goroutine that ends with it.
func spawn(c command) (*process, error) {
	cmd := exec.Command(c.path, c.args...) //nolint:noctx,gosec // a server outlives the call that starts it; the path was found by us
	cmd.Dir = "/"
	cmd.Env = childEnv()
	cmd.Stdout, cmd.Stderr = c.log, c.log
	cmd.SysProcAttr = childAttr(c.id, c.death)
	cmd.WaitDelay = 5 * time.Second // a grandchild that keeps the pipe open must not keep us
	if len(c.stdin) > 0 {
		cmd.Stdin = bytes.NewReader(c.stdin)
	}
	p := &process{name: filepath.Base(c.path), cmd: cmd, done: make(chan struct{})}
	started := make(chan error, 1)
	go func() {
		// The kernel ties the child to the thread that started it, not to the process. The thread is therefore
		// kept until the child has ended; if it were reused and then retired, the server would be stopped.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		defer close(p.done)
		err := cmd.Start()
		started <- err
		if err == nil {
			p.err = cmd.Wait()
		}
	}()
	if err := <-started; err != nil {
		<-p.done
		return nil, fmt.Errorf("starting %s: %w", p.name, err)
	}
	return p, nil
}

// childEnv is the whole environment of a child. Ours stays with us: it may hold secrets, and PGPORT and its like
// would change what a server does.
func childEnv() []string {
	env := []string{"LC_ALL=C", "TZ=UTC", "HOME=/", "PATH=/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin"}
	if tmp := os.TempDir(); tmp != "/tmp" {
		env = append(env, "TMPDIR="+tmp)
	}
	return env
}

// run runs c to its end and returns the last of what it wrote. When ctx ends, the command is killed.
func run(ctx context.Context, c command) (string, error) {
	if c.log == nil {
		c.log = &serverLog{}
	}
	p, err := spawn(c)
	if err != nil {
		return "", err
	}
	select {
	case <-p.done:
	case <-ctx.Done():
		killGroup(p.cmd.Process.Pid)
		<-p.done
		return c.log.Tail(), fmt.Errorf("running %s: %w", p.name, ctx.Err())
	}
	if p.err != nil {
		return c.log.Tail(), fmt.Errorf("running %s: %w\n%s", p.name, p.err, c.log.Tail())
	}
	return c.log.Tail(), nil
}

// ended says whether the process has ended.
func (p *process) ended() bool {
	select {
	case <-p.done:
		return true
	default:
		return false
	}
}

// A rung is a signal, and how long a process may take to end after it.
type rung struct {
	signal syscall.Signal
	wait   time.Duration
}

// stop ends the process: it climbs the ladder until the process has ended, and kills it at the top. When ctx ends,
// every rung that was not reached is given a second only. The error is nil once the process has ended, however
// that came about; ungentle says that more than the first rung was needed.
func (p *process) stop(ctx context.Context, ladder ...rung) (ungentle bool, err error) {
	ladder = append(ladder, rung{syscall.SIGKILL, 10 * time.Second})
	for i, r := range ladder {
		if p.ended() {
			return i > 1, nil
		}
		if r.signal == syscall.SIGKILL {
			killGroup(p.cmd.Process.Pid)
		} else if err := p.cmd.Process.Signal(r.signal); err != nil && !errors.Is(err, os.ErrProcessDone) {
			return i > 0, fmt.Errorf("stopping %s: %w", p.name, err)
		}
		if p.wait(ctx, r.wait) {
			return i > 0, nil
		}
	}
	return true, fleet.Errorf(fleet.Unavailable, "%s (process %d) cannot be stopped", p.name, p.cmd.Process.Pid)
}

// wait waits for the end of the process, at most as long as limit says, or a second after ctx has ended.
func (p *process) wait(ctx context.Context, limit time.Duration) bool {
	timer := time.NewTimer(limit)
	defer timer.Stop()
	given := ctx.Done()
	for {
		select {
		case <-p.done:
			return true
		case <-timer.C:
			return false
		case <-given:
			given = nil
			timer.Reset(min(limit, time.Second))
		}
	}
}

// exitText describes why an ended process ended.
func (p *process) exitText() string {
	if p.err == nil {
		return "exit status 0"
	}
	return p.err.Error()
}
