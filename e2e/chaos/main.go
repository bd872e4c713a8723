// Command chaos runs Rollcall in real processes on servers of its own, asks for collections all the time, and does to it
// what a seed says: processes killed and stopped, Redis restarted and wiped, PostgreSQL restarted, crashed, stopped and
// left without disk, links cut and black-holed. Then it compares what the client, the simulated hosts and the database
// know. It exits with 1 if anything was lost, done twice or made up, and with 2 if the run itself failed.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"github.com/rollcallhq/rollcall/e2e/chaos/rig"
)

const (
	exitWell   = 0
	exitLost   = 1
	exitFailed = 2
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	status := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(status)
}

// flags are what the command is told.
type flags struct {
	rig.Options

	output string
	keep   bool
}

func parse(args []string, stderr io.Writer) (flags, error) {
	f := flags{}
	set := flag.NewFlagSet("chaos", flag.ContinueOnError)
	set.SetOutput(stderr)
	set.Uint64Var(&f.Seed, "seed", 1, "what the faults follow from: kinds, targets, times and lengths")
	set.IntVar(&f.Faults, "faults", 200, "how many faults")
	set.IntVar(&f.Hosts, "hosts", 2000, "how many simulated hosts")
	set.DurationVar(&f.Gap, "gap", 2*time.Second, "from the beginning of a fault to that of the next: once to twice this long")
	set.DurationVar(&f.Drain, "drain", 3*time.Minute, "how long everything may take to end after the last fault")
	set.StringVar(&f.Bin, "bin", "", "directory with the binaries api, worker, scheduler and rollcall; empty: they are built")
	set.StringVar(&f.Dir, "dir", "", "directory for everything, which must not exist; empty: a temporary one")
	set.StringVar(&f.output, "o", "table", "what to print: table or json")
	set.BoolVar(&f.keep, "keep", false, "keep the directory also if all is well")
	if err := set.Parse(args); err != nil {
		return f, err
	}
	switch {
	case set.NArg() > 0:
		return f, fmt.Errorf("%w: %q is no flag", errUsage, set.Arg(0))
	case f.Faults < 1 || f.Hosts < 1 || f.Hosts > 10_000:
		return f, fmt.Errorf("%w: at least one fault, and 1 to 10,000 hosts", errUsage)
	case f.Gap < time.Millisecond || f.Drain < time.Second:
		return f, fmt.Errorf("%w: the gap is at least 1ms, the drain at least 1s", errUsage)
	case f.output != "table" && f.output != "json":
		return f, fmt.Errorf("%w: the output is table or json", errUsage)
	}
	return f, nil
}

var errUsage = errors.New("chaos -help explains it")

func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	f, err := parse(args, stderr)
	if errors.Is(err, flag.ErrHelp) {
		return exitWell
	}
	if err != nil {
		_, _ = fmt.Fprintln(stderr, "chaos:", err)
		return exitFailed
	}
	if status, done := inOwnMounts(ctx, args); done {
		return status
	}
	f.Log = slog.New(slog.NewTextHandler(stderr, nil))
	result, err := prepareAndRun(ctx, &f)
	well := err == nil && result.OK()
	if err == nil {
		err = write(stdout, f.output, result)
	}
	if well && !f.keep {
		_ = os.RemoveAll(f.Dir)
	} else {
		_, _ = fmt.Fprintf(stderr, "The logs of all processes are in %s.\n", result.Logs)
	}
	switch {
	case err != nil:
		_, _ = fmt.Fprintln(stderr, "chaos:", err)
		return exitFailed
	case !well:
		return exitLost
	default:
		return exitWell
	}
}

func write(w io.Writer, form string, result rig.Result) error {
	if form == "table" {
		return table(w, result)
	}
	out := json.NewEncoder(w)
	out.SetIndent("", "  ")
	return out.Encode(result)
}

// prepareAndRun makes the directory and the binaries, where they are not given, and runs.
func prepareAndRun(ctx context.Context, f *flags) (rig.Result, error) {
	if f.Dir == "" {
		dir, err := os.MkdirTemp("", "rollcall-chaos-*")
		if err != nil {
			return rig.Result{}, fmt.Errorf("making a directory: %w", err)
		}
		f.Dir = dir
	} else if err := os.Mkdir(f.Dir, 0o755); err != nil { //nolint:gosec // other accounts run the servers in it
		return rig.Result{}, fmt.Errorf("making the directory: %w", err)
	}
	dir, err := filepath.Abs(f.Dir)
	if err != nil {
		return rig.Result{}, fmt.Errorf("making the directory: %w", err)
	}
	f.Dir = dir
	if err := os.Chmod(dir, 0o755); err != nil { //nolint:gosec // as above
		return rig.Result{}, fmt.Errorf("making the directory: %w", err)
	}
	if f.Bin == "" {
		f.Bin = filepath.Join(dir, "bin")
		build := exec.CommandContext(ctx, "go", "build", "-o", f.Bin+string(filepath.Separator), //nolint:gosec // our own module
			"github.com/rollcallhq/rollcall/api", "github.com/rollcallhq/rollcall/worker",
			"github.com/rollcallhq/rollcall/scheduler", "github.com/rollcallhq/rollcall/rollcall")
		if out, err := build.CombinedOutput(); err != nil {
			return rig.Result{}, fmt.Errorf("building: %w\n%s", err, out)
		}
	}
	return rig.Run(ctx, f.Options)
}
