package main

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"runtime"
	"syscall"
	"time"
)

const ownMounts = "ROLLCALL_CHAOS_OWN_MOUNTS"

// inOwnMounts runs this program again in a mount namespace of its own, if it is root: what it mounts goes with it,
// however it ends. done is false where it is there already, or cannot get there and goes on as it is.
func inOwnMounts(ctx context.Context, args []string) (status int, done bool) {
	if _, there := os.LookupEnv(ownMounts); there || os.Geteuid() != 0 {
		return 0, false
	}
	self, err := os.Executable()
	if err != nil {
		return 0, false
	}
	again := exec.CommandContext(ctx, self, args...) //nolint:gosec // itself
	again.Env = append(os.Environ(), ownMounts+"=1")
	again.Stdout, again.Stderr = os.Stdout, os.Stderr
	again.SysProcAttr = &syscall.SysProcAttr{Unshareflags: syscall.CLONE_NEWNS, Setpgid: true, Pdeathsig: syscall.SIGTERM}
	again.Cancel = func() error { return again.Process.Signal(syscall.SIGTERM) }
	again.WaitDelay = 2 * time.Minute
	runtime.LockOSThread() // the child ends with the thread that started it
	defer runtime.UnlockOSThread()
	err = again.Run()
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		return max(exit.ExitCode(), exitLost), true
	}
	if again.ProcessState == nil { // it was not allowed to
		return 0, false
	}
	if err != nil {
		return exitFailed, true
	}
	return exitWell, true
}
