package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/rollcallhq/rollcall/e2e/chaos/rig"
)

// TestNothingIsLostInAShortRun is the short form of "task chaos": twenty faults of every kind, the same in every run. What the
// machine makes of them is its own; what comes of it must not depend on that.
func TestNothingIsLostInAShortRun(t *testing.T) {
	t.Parallel()
	dir, err := os.MkdirTemp("", "rollcall-chaos-test-*") //nolint:usetesting // PostgreSQL's account has to pass, which it cannot below t.TempDir
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	program := filepath.Join(dir, "chaos")
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-o", program, ".").CombinedOutput(); err != nil {
		t.Fatalf("building: %v\n%s", err, out)
	}
	command := exec.CommandContext(t.Context(), program, "-seed", "1", "-faults", "20", "-hosts", "300", "-gap", "700ms",
		"-drain", "3m", "-dir", filepath.Join(dir, "run"), "-keep", "-o", "json")
	command.Cancel = func() error { return command.Process.Signal(syscall.SIGTERM) }
	command.WaitDelay = time.Minute
	var stdout, stderr bytes.Buffer
	command.Stdout, command.Stderr = &stdout, &stderr
	err = command.Run()
	if exit, ok := errors.AsType[*exec.ExitError](err); err != nil && (!ok || exit.ExitCode() != exitLost) {
		t.Fatalf("%v\n%s", err, stderr.String())
	}
	var result rig.Result
	if err := json.Unmarshal(stdout.Bytes(), &result); err != nil {
		t.Fatalf("reading the result: %v\n%s", err, stdout.String())
	}
	var text bytes.Buffer
	if err := table(&text, result); err != nil {
		t.Fatal(err)
	}
	t.Logf("\n%s", text.String())
	if !result.OK() || err != nil {
		t.Errorf("something was lost or doubled\n%s", stderr.String())
	}
	v := result.Verdict
	if len(result.Faults) != 20 || v.Accepted < 10 || v.Ended < 300 || v.States["succeeded"] < v.Ended*9/10 {
		t.Errorf("%d faults, %d collections, %d tasks, of which %d succeeded, are no run to learn from", len(result.Faults), v.Accepted, v.Ended, v.States["succeeded"])
	}
}
