package command

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/rollcallhq/rollcall/pkg/client"
)

const (
	maxSkew   = 5 * time.Second
	endsSoon  = 7 * day
	openPerms = fs.FileMode(0o077)
)

type doctorCommand struct{}

// Run looks at everything between this machine and a report, and says what is wrong in plain words.
func (doctorCommand) Run(ctx context.Context, in Invocation) error {
	e := examination{out: in.Stdout}
	d, err := findDoor(in)
	if err != nil {
		return err
	}
	if d.url == "" {
		d.url, d.from = defaultURL, "the default, because nobody is signed in"
	}
	e.well("The server is %s (%s).", d.url, d.from)
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
	if e.failed > 0 {
		return fmt.Errorf("problems that need attention: %d", e.failed)
	}
	_, err = fmt.Fprintln(in.Stdout, "All is well.")
	return err
}

// An examination prints what it finds.
type examination struct {
	out    io.Writer
	failed int
}

func (e *examination) say(mark, form string, args ...any) {
	_, _ = fmt.Fprintf(e.out, "%-8s%s\n", mark, plain(fmt.Sprintf(form, args...)))
}

func (e *examination) well(form string, args ...any) { e.say("ok", form, args...) }
func (e *examination) note(form string, args ...any) { e.say("note", form, args...) }

func (e *examination) problem(form string, args ...any) {
	e.failed++
	e.say("PROBLEM", form, args...)
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
		e.problem("%v.", err)
	case info.Mode()&openPerms != 0:
		e.problem("Others may read your session: chmod 600 %s.", f)
	}
}

// health asks the server how it is, and reports whether it answers.
func (e *examination) health(ctx context.Context, server *client.Client) bool {
	h, err := server.Health(ctx)
	if err != nil {
		e.problem("%v. Check that Rollcall runs there and can be reached from here: the address, a firewall, a proxy.", err)
		return false
	}
	switch h.Status {
	case "ok":
		e.well("The server answers and says that it is well.")
	case "degraded":
		e.note("The server answers, and does without something:")
	default:
		e.problem("The server answers, and says that it is %s:", h.Status)
	}
	for _, name := range slices.Sorted(maps.Keys(h.Checks)) {
		check := h.Checks[name]
		text := fmt.Sprintf("%s is %s (%.1f ms)", name, check.Status, check.LatencyMS)
		if check.Reason != "" {
			text += ": " + strings.TrimRight(check.Reason, ".")
		}
		switch check.Status {
		case "ok":
			e.well("  %s.", text)
		case "degraded":
			e.note("  %s.", text)
		default:
			e.problem("  %s.", text)
		}
	}
	return true
}

// server compares versions and clocks.
func (e *examination) server(ctx context.Context, in Invocation, server *client.Client) {
	info, err := server.Server(ctx)
	if err != nil {
		e.problem("The server does not say what it can do: %v.", err)
		return
	}
	if info.Version == in.Version {
		e.well("The server and this program are of the same version, %s.", in.Version)
	} else {
		e.note("The server is of version %s, this program of %s; it may ask for what the server does not have.", info.Version, in.Version)
	}
	skew := info.Skew.Round(time.Second)
	switch {
	case skew.Abs() > maxSkew && skew > 0:
		e.problem("This machine's clock is %s behind the server's. Set one of them right, best by NTP.", skew)
	case skew.Abs() > maxSkew:
		e.problem("This machine's clock is %s ahead of the server's. Set one of them right, best by NTP.", -skew)
	default:
		e.well("The clocks agree, as far as can be seen.")
	}
}

// actor looks at who is asking and how long that will do.
func (e *examination) actor(ctx context.Context, in Invocation, d door) {
	server, err := d.client(in)
	if errors.Is(err, errNotSignedIn) {
		e.problem("Nobody is signed in: rollcall login %s.", d.url)
		return
	}
	if err != nil {
		e.problem("%v.", err)
		return
	}
	me, err := server.Me(ctx)
	if err != nil {
		e.problem("The server does not know who you are: %s", strings.ReplaceAll(explain(err), "\n ", "."))
		return
	}
	e.well("You are %s, with the role %s.", me.Name, me.Role)
	if d.token != "" && me.ExpiresAt != nil && time.Until(*me.ExpiresAt) < endsSoon {
		e.note("Your token expires %s; rollcall tokens create makes another one.", shown(me.ExpiresAt))
	}
	if me.Role == "viewer" {
		e.note("A viewer can read, and not collect.")
	}
}
