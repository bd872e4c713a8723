package rig

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"sync"
	"syscall"
	"time"
)

// restartPause is how long a process that ended by itself stays down, as under a service manager.
const restartPause = time.Second

// A process is one of the product's, and is kept running: whatever ends is started again, unless somebody wants it down.
type process struct {
	name string // worker-1
	path string
	args []string
	env  []string
	ops  string // base URL of its health; empty: none
	log  *slog.Logger
	out  *os.File // takes what it prints, over all of its lives

	mu     sync.Mutex
	pid    int           // 0 while it is down
	ended  chan struct{} // closed when the life that pid names is over
	wanted bool
	deaths int // lives that ended although the process was wanted
}

// newProcess opens the process's log. It is not started yet.
func newProcess(log *slog.Logger, logs, name, path string, args, env []string) (*process, error) {
	out, err := os.OpenFile(filepath.Join(logs, name+".log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600) //nolint:gosec // our own directory
	if err != nil {
		return nil, fmt.Errorf("opening the log of %s: %w", name, err)
	}
	return &process{name: name, path: path, args: args, env: env, log: log, out: out}, nil
}

// start starts the process if it is down, and keeps it running from then on.
func (p *process) start() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.wanted = true
	if p.pid != 0 {
		return nil
	}
	return p.spawnLocked()
}

func (p *process) spawnLocked() error {
	cmd := exec.Command(p.path, p.args...) //nolint:noctx,gosec // it outlives the call; the path is our own build
	cmd.Env, cmd.Stdout, cmd.Stderr, cmd.SysProcAttr = p.env, p.out, p.out, childAttr()
	started, ended := make(chan error, 1), make(chan struct{})
	go func() {
		// The kernel ends a child with the thread that started it, so the thread is kept as long as the child lives.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		started <- err
		if err == nil {
			err = cmd.Wait()
			p.gone(ended, err)
		}
	}()
	if err := <-started; err != nil {
		return fmt.Errorf("starting %s: %w", p.name, err)
	}
	p.pid, p.ended = cmd.Process.Pid, ended
	return nil
}

// gone notes that a life is over, and begins the next one if the process is wanted.
func (p *process) gone(ended chan struct{}, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.pid = 0
	close(ended)
	if !p.wanted {
		return
	}
	p.deaths++
	p.log.Warn("process ended by itself", "process", p.name, "reason", err)
	time.AfterFunc(restartPause, func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		if !p.wanted || p.pid != 0 {
			return
		}
		if err := p.spawnLocked(); err != nil {
			p.log.Warn("process cannot be started again", "process", p.name, "reason", err)
		}
	})
}

// down sends the signal to the process, does not start it again, and waits until it has ended or ctx does. A stopped
// one goes on first, so that it can obey.
func (p *process) down(ctx context.Context, signal syscall.Signal) error {
	p.mu.Lock()
	p.wanted = false
	pid, ended := p.pid, p.ended
	if pid != 0 {
		_ = syscall.Kill(pid, signal)
		_ = syscall.Kill(pid, syscall.SIGCONT)
	}
	p.mu.Unlock()
	if pid == 0 {
		return nil
	}
	select {
	case <-ended:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("ending %s: %w", p.name, ctx.Err())
	}
}

// signal sends a signal to the process if it runs.
func (p *process) signal(signal syscall.Signal) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.pid != 0 {
		_ = syscall.Kill(p.pid, signal)
	}
}

// endedByItself returns how often the process ended although nobody ended it.
func (p *process) endedByItself() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.deaths
}

// ready waits until the process says that it is.
func (p *process) ready(ctx context.Context) error {
	err := eventually(ctx, 50*time.Millisecond, func() error {
		_, err := get(ctx, p.ops+"/readyz", time.Second)
		return err
	})
	if err != nil {
		return fmt.Errorf("waiting for %s: %w", p.name, err)
	}
	return nil
}

// eventually calls f until it succeeds or ctx ends; then it returns what f said last.
func eventually(ctx context.Context, every time.Duration, f func() error) error {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		err := f()
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return errors.Join(ctx.Err(), err)
		case <-tick.C:
		}
	}
}

// get returns the body of a URL that answers 200 within the limit.
func get(ctx context.Context, url string, limit time.Duration) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
	if err != nil {
		return nil, err
	}
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		return nil, err
	}
	defer func() { _ = answer.Body.Close() }()
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		return nil, err
	}
	if answer.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s answers %d: %.200s", url, answer.StatusCode, body)
	}
	return body, nil
}
