package remote_test

import (
	"bytes"
	"context"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rollcallhq/rollcall/pkg/await"
	"github.com/rollcallhq/rollcall/pkg/fleet"
	"github.com/rollcallhq/rollcall/pkg/remote"
)

func TestLocalRunsACommand(t *testing.T) {
	t.Parallel()
	got, err := remote.Local{}.Run(within(t), "cat; echo oops >&2; exit 7", []byte("hello"), remote.RunOptions{})
	if err != nil || string(got.Stdout) != "hello" || string(got.Stderr) != "oops\n" || got.ExitStatus != 7 || got.Termination != "" {
		t.Errorf("Run = %+v, %v", got, err)
	}
	got, err = remote.Local{}.Run(within(t), "kill -s SEGV $$", bytes.Repeat([]byte("unread"), 1<<20), remote.RunOptions{})
	if err != nil || got.Signal != "SEGV" || got.ExitStatus != -1 {
		t.Errorf("Run = %+v, %v, want signal SEGV", got, err)
	}
}

func TestLocalHidesOurEnvironment(t *testing.T) {
	t.Setenv("DATABASE_URL", "postgres://secret")
	t.Setenv("LANG", "C")
	got, err := remote.Local{}.Run(within(t), "env", nil, remote.RunOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(got.Stdout)) {
		name, _, _ := strings.Cut(line, "=")
		switch name {
		case "PATH", "HOME", "LANG", "PWD", "OLDPWD", "SHLVL", "_": // the latter four are the shell's own
		default:
			t.Errorf("the command sees %s", strings.TrimSpace(line))
		}
	}
	if !strings.Contains(string(got.Stdout), "LANG=C\n") || !strings.Contains(string(got.Stdout), "PATH=") {
		t.Errorf("environment = %q, want PATH and LANG", got.Stdout)
	}
}

func TestLocalHasASessionOfItsOwn(t *testing.T) {
	t.Parallel()
	got, err := remote.Local{}.Run(within(t), "kill -s KILL -- -$$", nil, remote.RunOptions{})
	if err != nil || got.Signal != "KILL" { // and this test process is still here
		t.Errorf("Run = %+v, %v, want signal KILL", got, err)
	}
}

func TestLocalKillsTheWholeGroup(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(within(t))
	defer cancel()
	ready := t.TempDir() + "/ready"
	go func() {
		await.Until(t, "the command to run", func() bool { _, err := os.Stat(ready); return err == nil })
		cancel()
	}()
	began := time.Now()
	got, err := remote.Local{}.Run(ctx, "sleep 30 & echo $!; : >'"+ready+"'; wait", nil, remote.RunOptions{})
	wantCode(t, err, fleet.CodeCancelled)
	if got.Termination != remote.TerminationConfirmed {
		t.Errorf("termination = %q, want confirmed", got.Termination)
	}
	if took := time.Since(began); took > 10*time.Second {
		t.Errorf("took %v", took)
	}
	waitUntilGone(t, got.Stdout)
}

func TestLocalDeadlineKeepsWhatArrived(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(within(t), 2*time.Second)
	defer cancel()
	got, err := remote.Local{}.Run(ctx, "echo partial; exec sleep 30", nil, remote.RunOptions{})
	wantCode(t, err, fleet.CodeDeadlineExceeded)
	if string(got.Stdout) != "partial\n" {
		t.Errorf("stdout = %q, want partial", got.Stdout)
	}
	_, err = remote.Local{}.Run(ctx, "true", nil, remote.RunOptions{})
	wantCode(t, err, fleet.CodeDeadlineExceeded)
}

func TestLocalEndlessOutput(t *testing.T) {
	t.Parallel()
	got, err := remote.Local{}.Run(within(t), "echo $$ >&2; exec yes", nil, remote.RunOptions{MaxStdout: 1 << 20})
	if err != nil || !got.Truncated || len(got.Stdout) != 1<<20 || got.Termination != remote.TerminationConfirmed {
		t.Errorf("Run = %d bytes, truncated %v, termination %q, %v", len(got.Stdout), got.Truncated, got.Termination, err)
	}
	waitUntilGone(t, got.Stderr)
}

func TestLocalCommandLeavesSomethingBehind(t *testing.T) {
	t.Parallel()
	got, err := remote.Local{}.Run(within(t), "sleep 30 & echo $!", nil, remote.RunOptions{})
	if err != nil || got.ExitStatus != 0 || got.Duration > 10*time.Second {
		t.Errorf("Run = %+v, %v, want the command's own status", got, err)
	}
	_ = syscall.Kill(pidIn(t, got.Stdout), syscall.SIGKILL)
}
