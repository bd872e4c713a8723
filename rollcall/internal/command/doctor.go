package command

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"net/http"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/rollcallhq/rollcall/pkg/client"
	"github.com/rollcallhq/rollcall/pkg/wire"
)

const (
	maxSkew   = 5 * time.Second
	endsSoon  = 7 * day
	openPerms = fs.FileMode(0o077)

	setClocks = "Set one of them right, best by NTP."
)

type doctorCommand struct {
	Output string `short:"o" help:"table or json." enum:"table,json" default:"table" placeholder:"FORMAT"`
}

// Run looks at everything between this machine and a report, and says what is wrong in plain words. What failed makes
// the exit status 1, and what is only a warning 3.
func (c doctorCommand) Run(ctx context.Context, in Invocation) error {
	e := examination{out: in.Stdout, quiet: c.Output == asJSON}
	d, err := findDoor(in)
	if err != nil {
		return err
	}
	if d.url == "" {
		d.url, d.from = defaultURL, "the default, because nobody is signed in"
	}
	e.well("address", "The server is %s (%s).", d.url, d.from)
	e.file(d.file)
	server, err := d.anonymous(in)
	if err != nil {
		return err
	}
	if e.health(ctx, server) {
		e.server(ctx, in, server)
		e.actor(ctx, in, d)
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return e.end(in)
}

// The marks of findings, of which a note is nothing to worry about.
const (
	markWell    = "ok"
	markNote    = "note"
	markWarning = "warning"
	markProblem = "PROBLEM"
)

// An examination prints what it finds, or with quiet keeps it until the end.
type examination struct {
	out      io.Writer
	quiet    bool
	found    []wire.Finding
	failed   int
	warnings int
}

func (e *examination) say(mark string, f wire.Finding) {
	f.Status = mark
	switch mark {
	case markNote:
		f.Status = markWell
	case markWarning:
		e.warnings++
	case markProblem:
		e.failed++
		f.Status = "failed"
	}
	text := f.Detail
	f.Detail = strings.TrimSpace(text)
	e.found = append(e.found, f)
	if e.quiet {
		return
	}
	if f.Cure != "" {
		text += " " + f.Cure
	}
	_, _ = fmt.Fprintf(e.out, "%-8s%s\n", mark, plain(text))
}

func finding(name, form string, args ...any) wire.Finding {
	return wire.Finding{Name: name, Detail: fmt.Sprintf(form, args...)}
}

func (e *examination) well(name, form string, args ...any) {
	e.say(markWell, finding(name, form, args...))
}

func (e *examination) note(name, form string, args ...any) {
	e.say(markNote, finding(name, form, args...))
}

func (e *examination) problem(name, cure, form string, args ...any) {
	f := finding(name, form, args...)
	f.Cure = cure
	e.say(markProblem, f)
}

// end prints what is left to print, and returns what the exit status follows from.
func (e *examination) end(in Invocation) error {
	var verdict error
	status := markWell
	switch {
	case e.failed > 0:
		status, verdict = "failed", fmt.Errorf("problems that need attention: %d", e.failed)
	case e.warnings > 0:
		status, verdict = markWarning, partly{fmt.Errorf("it works, with warnings: %d", e.warnings)}
	}
	if e.quiet {
		if err := printJSON(in.Stdout, wire.Diagnosis{Status: status, Timestamp: time.Now().UTC(), Checks: e.found}); err != nil {
			return err
		}
		return verdict
	}
	if verdict != nil {
		return verdict
	}
	_, err := fmt.Fprintln(in.Stdout, "All is well.")
	return err
}

// file looks at who may read the tokens.
func (e *examination) file(f contextFile) {
	if f == "" {
		return
	}
	info, err := os.Stat(string(f))
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		e.problem("session_file", "", "%v.", err)
	case info.Mode()&openPerms != 0:
		e.problem("session_file", fmt.Sprintf("chmod 600 %s.", f), "Others may read your session.")
	}
}

// health asks the server how it is, and reports whether it answers.
func (e *examination) health(ctx context.Context, server *client.Client) bool {
	h, err := server.Health(ctx)
	if err != nil {
		e.problem("server", "Check that Rollcall runs there and can be reached from here: the address, a firewall, a proxy.", "%v.", err)
		return false
	}
	switch h.Status {
	case "ok":
		e.well("server", "The server answers and says that it is well.")
	case "degraded":
		e.note("server", "The server answers, and does without something:")
	default:
		e.problem("server", "", "The server answers, and says that it is %s:", h.Status)
	}
	for _, name := range slices.Sorted(maps.Keys(h.Checks)) {
		check := h.Checks[name]
		text := fmt.Sprintf("%s is %s (%.1f ms)", name, check.Status, check.LatencyMS)
		if check.Reason != "" {
			text += ": " + strings.TrimRight(check.Reason, ".")
		}
		switch check.Status {
		case "ok":
			e.well("health_"+name, "  %s.", text)
		case "degraded":
			e.note("health_"+name, "  %s.", text)
		default:
			e.problem("health_"+name, "", "  %s.", text)
		}
	}
	for _, w := range h.Warnings {
		e.note("warning_"+w.Code, "  %s", w.Message)
	}
	return true
}

// server compares versions and clocks.
func (e *examination) server(ctx context.Context, in Invocation, server *client.Client) {
	info, err := server.Server(ctx)
	if err != nil {
		e.problem("version", "", "The server does not say what it can do: %v.", err)
		return
	}
	if info.Version == in.Version {
		e.well("version", "The server and this program are of the same version, %s.", in.Version)
	} else {
		e.note("version", "The server is of version %s, this program of %s; it may ask for what the server does not have.", info.Version, in.Version)
	}
	skew := info.Skew.Round(time.Second)
	switch {
	case skew.Abs() > maxSkew && skew > 0:
		e.problem("clock_here", setClocks, "This machine's clock is %s behind the server's.", skew)
	case skew.Abs() > maxSkew:
		e.problem("clock_here", setClocks, "This machine's clock is %s ahead of the server's.", -skew)
	default:
		e.well("clock_here", "The clocks agree, as far as can be seen.")
	}
}

// actor looks at who is asking and how long that will do.
func (e *examination) actor(ctx context.Context, in Invocation, d door) {
	server, err := d.client(in)
	if errors.Is(err, errNotSignedIn) {
		e.problem("actor", fmt.Sprintf("rollcall login %s.", d.url), "Nobody is signed in.")
		return
	}
	if err != nil {
		e.problem("actor", "", "%v.", err)
		return
	}
	me, err := server.Me(ctx)
	if err != nil {
		e.problem("actor", "", "The server does not know who you are: %s", strings.ReplaceAll(explain(err), "\n ", "."))
		return
	}
	e.well("actor", "You are %s, with the role %s.", me.Name, me.Role)
	if d.token != "" && me.ExpiresAt != nil && time.Until(*me.ExpiresAt) < endsSoon {
		e.note("actor", "Your token expires %s; rollcall tokens create makes another one.", shown(me.ExpiresAt))
	}
	if me.Role == "viewer" {
		e.note("actor", "A viewer can read, and not collect.")
	}
	e.deployment(ctx, server, me)
}

// deployment has the server look at itself and at what it stands on, which it does for admins.
func (e *examination) deployment(ctx context.Context, server *client.Client, me wire.Actor) {
	if me.Role != "admin" || me.Selector != nil {
		e.note("deployment", "Only an admin who may see every host is told how databases, queues and workers are.")
		return
	}
	d, err := server.Doctor(ctx)
	if refused, ok := errors.AsType[*client.Error](err); ok && refused.Status == http.StatusNotFound {
		e.note("deployment", "The server is too old to look at databases, queues and workers.")
		return
	}
	if err != nil {
		e.problem("deployment", "", "The server cannot look at its deployment: %s", strings.ReplaceAll(explain(err), "\n ", "."))
		return
	}
	for _, f := range d.Checks {
		switch f.Status {
		case markWell:
			e.say(markWell, f)
		case markWarning:
			e.say(markWarning, f)
		default:
			e.say(markProblem, f)
		}
	}
}
