package remote

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/rollcallhq/rollcall/pkg/fleet"
)

// Local runs commands on the machine it runs on. Its zero value is ready.
type Local struct{}

// Run runs command by /bin/sh in a session of its own, with an environment of PATH, HOME and LANG only: what else
// stands in ours may be secret. Otherwise it is as Conn.Run; when ctx ends, the whole process group is killed, and Run
// returns within five seconds.
func (Local) Run(ctx context.Context, command string, stdin []byte, options RunOptions) (Output, error) {
	output := Output{ExitStatus: -1}
	if ctx.Err() != nil {
		return output, ended(ctx, phaseSession)
	}
	began := time.Now()
	running, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	stdout, stderr := newSinks(options, func() { stop(errFull) })
	cmd := localCommand(running, command)
	cmd.Stdout, cmd.Stderr = stdout, stderr
	cmd.WaitDelay = killGrace // for what has left the group and still holds the output open
	err := runFed(cmd, options.Lead, stdin, stdout, stderr)
	if cmd.Process == nil {
		return output, fleet.Fail(fleet.CodeInternal, err, "phase", phaseSession)
	}
	output.Stdout, output.Stderr = stdout.kept, stderr.kept
	output.StderrTruncated = stderr.truncated()
	output.ExitStatus, output.Signal = exitOf(cmd.ProcessState)
	output.Truncated = errors.Is(context.Cause(running), errFull)
	if err != nil && running.Err() != nil {
		gone := awaitGroup(cmd.Process.Pid)
		if options.Stop != nil { // the shell may have given the command a group of its own
			gone = goneHere(context.WithoutCancel(ctx), options.Stop(stdout.kept)) && gone
		}
		output.Termination = termination(gone)
	}
	output.Duration = time.Since(began)
	return output, localFailure(ctx, output, err)
}

// runFed runs the command to its end with the lead and then the rest as its standard input.
func runFed(cmd *exec.Cmd, lead Lead, rest []byte, stdout, stderr *sink) error {
	if len(lead.Bytes) == 0 {
		cmd.Stdin = bytes.NewReader(rest)
		return cmd.Run()
	}
	pipe, err := cmd.StdinPipe() // as Stdin, cmd would wait for a reader that waits for what becomes of the lead
	if err != nil {
		return err
	}
	over := make(chan struct{})
	input := lead.stdin(rest, stdout, stderr, over)
	var feeding sync.WaitGroup
	feeding.Go(func() {
		_, _ = io.Copy(pipe, input)
		_ = pipe.Close()
	})
	err = cmd.Run()
	close(over)
	feeding.Wait()
	return err
}

// localCommand returns a command whose whole process group is killed when ctx ends.
func localCommand(ctx context.Context, command string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, "/bin/sh", "-c", command) //nolint:gosec // the commands are ours; see package collector
	cmd.Env = environment(os.Environ())
	cmd.Dir = "/"
	// A session of its own: what kills the group from inside, such as the script's dead-man switch, must not hit us.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	cmd.Cancel = func() error { return killGroup(cmd.Process.Pid) }
	return cmd
}

// localFailure tells an end that is the command's own from one that is not.
func localFailure(ctx context.Context, output Output, err error) error {
	_, exited := errors.AsType[*exec.ExitError](err)
	switch {
	case output.Truncated:
		return nil
	case output.Termination != "":
		return ended(ctx, phaseRun)
	case err == nil, exited, errors.Is(err, exec.ErrWaitDelay):
		return nil
	}
	return fleet.Fail(fleet.CodeInternal, err, "phase", phaseRun)
}

// environment keeps of the variables what a shell needs.
func environment(variables []string) []string {
	kept := make([]string, 0, 3)
	for _, variable := range variables {
		name, _, _ := strings.Cut(variable, "=")
		if name == "PATH" || name == "HOME" || name == "LANG" {
			kept = append(kept, variable)
		}
	}
	return kept
}

func exitOf(state *os.ProcessState) (status int, signal string) {
	status = state.ExitCode()
	if wait, ok := state.Sys().(syscall.WaitStatus); ok && wait.Signaled() {
		signal = signalName(wait.Signal())
	}
	return status, signal
}

// signalName returns the name that SSH would report.
func signalName(signal syscall.Signal) string {
	switch signal {
	case syscall.SIGKILL:
		return "KILL"
	case syscall.SIGTERM:
		return "TERM"
	case syscall.SIGPIPE:
		return "PIPE"
	case syscall.SIGSEGV:
		return "SEGV"
	case syscall.SIGABRT:
		return "ABRT"
	case syscall.SIGHUP:
		return "HUP"
	case syscall.SIGINT:
		return "INT"
	default:
		return signal.String()
	}
}

// killGroup kills the process group that pid leads.
func killGroup(pid int) error {
	err := syscall.Kill(-pid, syscall.SIGKILL)
	if errors.Is(err, syscall.ESRCH) {
		return os.ErrProcessDone
	}
	return err
}

// localGrace bounds the looking for what is left here of a killed command; killing takes killGrace at most.
const localGrace = 1200 * time.Millisecond

// awaitGroup waits until no process of the killed group is left, at most localGrace, and reports whether none is.
func awaitGroup(pid int) bool {
	ticker := time.NewTicker(10 * time.Millisecond)
	defer ticker.Stop()
	for range int(localGrace / (10 * time.Millisecond)) {
		if !groupAlive(pid) {
			return true
		}
		<-ticker.C
	}
	return false
}
