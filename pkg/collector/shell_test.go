package collector_test

import (
	"bytes"
	"context"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rollcallhq/rollcall/pkg/collector"
)

// run runs a plan on this machine as sshd would: in a session of its own, by a login shell.
func run(tb testing.TB, p collector.Plan, loginShell ...string) collector.Run {
	tb.Helper()
	r, err := p.Read(output(tb, p, loginShell...))
	if err != nil {
		tb.Fatalf("Read: %v", err)
	}
	return r
}

// output returns what a plan prints on this machine.
func output(tb testing.TB, p collector.Plan, loginShell ...string) []byte {
	tb.Helper()
	if len(loginShell) == 0 {
		loginShell = []string{"/bin/sh"}
	}
	ctx, cancel := context.WithTimeout(tb.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, loginShell[0], append(loginShell[1:], "-c", p.Command())...)
	cmd.Stdin = bytes.NewReader(p.Script())
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		tb.Fatalf("%v -c: %v\n%s", loginShell, err, stderr.Bytes())
	}
	return out
}

// plan plans a run and ends the test if that fails.
func plan(tb testing.TB, o collector.Options, types ...string) collector.Plan {
	tb.Helper()
	if len(types) == 0 {
		types = allTypes()
	}
	p, err := collector.NewPlan(types, o)
	if err != nil {
		tb.Fatalf("NewPlan(%q): %v", types, err)
	}
	return p
}

// allTypes returns the names of the built-in types.
func allTypes() []string {
	var names []string
	for _, t := range collector.Builtin() {
		names = append(names, t.Name)
	}
	return names
}

// shellOutput returns what a plan prints when another shell than /bin/sh interprets it.
func shellOutput(tb testing.TB, p collector.Plan, words string) []byte {
	tb.Helper()
	ctx, cancel := context.WithTimeout(tb.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "/bin/sh", "-c", withShell(p.Command(), words))
	cmd.Stdin = strings.NewReader(withShell(string(p.Script()), words))
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	out, err := cmd.Output()
	if err != nil {
		tb.Fatalf("%s: %v", words, err)
	}
	return out
}

// withShell returns a command or a script that runs in the shell named by words.
func withShell(text, words string) string {
	return strings.ReplaceAll(text, "/bin/sh -c", words+" -c")
}
