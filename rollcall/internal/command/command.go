// Package command is the command line, one file per command.
package command

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

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
	Demo     demoCommand     `cmd:"" help:"Serve simulated hosts to an installation in containers, enrolled and scheduled."`
	Migrate  migrateCommand  `cmd:"" help:"Bring the database's schema up to date."`
	Version  versionCommand  `cmd:"" help:"Print the version."`

	Login       loginCommand       `cmd:"" help:"Sign in at a server, and stay signed in."`
	Logout      logoutCommand      `cmd:"" help:"Sign out, at once and everywhere this session is used."`
	Whoami      whoamiCommand      `cmd:"" help:"Show who is asking, and with which role."`
	Hosts       hostsCommand       `cmd:"" help:"The machines to collect from."`
	HostKeys    hostKeysCommand    `cmd:"" help:"The SSH keys that hosts have shown, and which are trusted."`
	Credentials credentialsCommand `cmd:"" help:"What lets us into hosts."`
	Sudoers     sudoersCommand     `cmd:"" help:"The lines of sudoers that let an account collect what only root may read."`
	Collect     collectCommand     `cmd:"" help:"Collect reports from hosts."`
	Collections collectionsCommand `cmd:"" help:"What was asked of hosts, and how far it is."`
	Reports     reportsCommand     `cmd:"" help:"What was learned from hosts."`
	Query       queryCommand       `cmd:"" help:"Facts of many hosts, a line for each, now or as they were."`
	Audit       auditCommand       `cmd:"" help:"Who did what to what, and whether the log still is what was sealed."`
	Changes     changesCommand     `cmd:"" help:"What changed, when, on which hosts."`
	Diff        diffCommand        `cmd:"" help:"How two reports differ: of a host at two times, or of two hosts."`
	Freshness   freshnessCommand   `cmd:"" help:"Which hosts became fresh, stale or failing, and when."`
	Sites       sitesCommand       `cmd:"" help:"Where hosts are, and which workers reach them."`
	Schedules   schedulesCommand   `cmd:"" help:"When to collect what, again and again."`
	Collectors  collectorsCommand  `cmd:"" help:"What can be collected, and your own collectors."`
	Users       usersCommand       `cmd:"" help:"Who may sign in, and what they may do."`
	Passwd      passwdCommand      `cmd:"" help:"Change your password."`
	Sessions    sessionsCommand    `cmd:"" help:"Where you are signed in."`
	Tokens      tokensCommand      `cmd:"" help:"Your API tokens, for scripts."`
	System      systemCommand      `cmd:"" help:"What the server keeps, for how long, and what it takes."`
	Doctor      doctorCommand      `cmd:"" help:"Say in plain words what is wrong between this machine and a report."`
	Completion  completionCommand  `cmd:"" help:"Print a script that completes commands in a shell."`
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
		kong.ConfigureHelp(kong.HelpOptions{Compact: true, NoExpandSubcommands: true}),
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
		_, _ = fmt.Fprintf(in.Stderr, "rollcall: %s\n%s\n", plain(err.Error()), hint(err))
		return exitUsage
	}
	return report(in.Stderr, parsed.Run())
}

// hint returns where to read how a command is called.
func hint(err error) string {
	command := "rollcall"
	e, ok := errors.AsType[*kong.ParseError](err)
	if ok && e.Context != nil {
		if node := e.Context.Selected(); node != nil {
			command = node.FullPath()
		}
	}
	text := command + " --help explains it."
	if command != "rollcall" && strings.HasPrefix(err.Error(), "unexpected argument") {
		text += " What holds spaces or * has to be in quotes."
	}
	return text
}

// report prints why a command failed, if it did, and returns the exit status.
func report(stderr io.Writer, err error) int {
	if err == nil {
		return exitDone
	}
	_, _ = fmt.Fprintln(stderr, "rollcall:", explain(err))
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

var errSimulate = errors.New("--simulate takes a number from 0 to 10000")
