// Package command is the command line, one file per command.
package command

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/alecthomas/kong"

	"github.com/rollcallhq/rollcall/pkg/fleet"
)

// Exit statuses.
const (
	exitDone   = 0
	exitFailed = 1
	exitUsage  = 2
	exitPartly = 3
)

// An Invocation is one call of the program.
type Invocation struct {
	Args    []string // without the program's name
	Environ []string // in the form of os.Environ
	Stdin   io.Reader
	Stdout  io.Writer
	Stderr  io.Writer
	Version string
}

// commands is the grammar of the command line.
type commands struct {
	Up       upCommand       `cmd:"" help:"Run everything in one process on embedded defaults, and collect from this machine."`
	Keygen   keygenCommand   `cmd:"" help:"Print fresh signing, sealing and opening keys as NAME=value lines."`
	Simulate simulateCommand `cmd:"" help:"Serve simulated SSH hosts on loopback, to try things on."`
	Migrate  migrateCommand  `cmd:"" help:"Bring the database's schema up to date."`
	Version  versionCommand  `cmd:"" help:"Print the version."`
}

// partly is the error of a command that did some of what it was asked to.
type partly struct{ error }

// Run runs one invocation and returns its exit status: 0 done, 1 failed, 2 wrong usage, 3 partly failed.
func Run(ctx context.Context, in Invocation) int {
	var cli commands
	status := -1
	parser, err := kong.New(&cli,
		kong.Name("rollcall"),
		kong.Description("Agentless fleet reporting: what is out there, what changed, when, on which hosts."),
		kong.Writers(in.Stdout, in.Stderr),
		kong.Exit(func(code int) { status = code }),
		kong.BindTo(ctx, (*context.Context)(nil)),
		kong.Bind(in),
		kong.UsageOnError())
	if err != nil {
		_, _ = fmt.Fprintln(in.Stderr, "rollcall:", err)
		return exitFailed
	}
	args := in.Args
	if len(args) == 0 {
		args = []string{"--help"}
	}
	parsed, err := parser.Parse(args)
	if status >= 0 { // --help has been answered
		return status
	}
	if err != nil {
		_, _ = fmt.Fprintf(in.Stderr, "rollcall: %v\nrollcall --help explains the commands.\n", err)
		return exitUsage
	}
	return report(in.Stderr, parsed.Run())
}

// report prints why a command failed, if it did, and returns the exit status.
func report(stderr io.Writer, err error) int {
	if err == nil {
		return exitDone
	}
	_, _ = fmt.Fprintln(stderr, "rollcall:", err)
	if _, ok := errors.AsType[partly](err); ok {
		return exitPartly
	}
	if _, ok := errors.AsType[usage](err); ok || fleet.CodeOf(err) == "usage" {
		return exitUsage
	}
	return exitFailed
}

// usage is the error of a call that makes no sense as it is.
type usage struct{ error }

var errSimulate = errors.New("--simulate takes a number from 0 to 10000") //nolint:gochecknoglobals // an error value
