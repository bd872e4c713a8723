package command

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"

	"github.com/rollcallhq/rollcall/pkg/client"
	"github.com/rollcallhq/rollcall/pkg/settings"
	"github.com/rollcallhq/rollcall/pkg/wire"
)

type loginCommand struct {
	URL           string `arg:"" optional:"" help:"The server, such as https://rollcall.example.com (ROLLCALL_URL, the last one, or http://127.0.0.1:8080)."`
	Username      string `short:"u" help:"Who signs in (the last one, or admin)." placeholder:"NAME"`
	PasswordStdin bool   `help:"Read the password from standard input; without it the terminal is asked."`
}

// Run signs in and keeps the session.
func (c loginCommand) Run(ctx context.Context, in Invocation) error {
	environ := settings.Environ(in.Environ)
	file, err := contextFileOf(environ)
	if err != nil {
		return err
	}
	kept, err := file.load()
	if err != nil {
		kept = saved{} // login is how to mend it
	}
	d := door{url: cmp.Or(c.URL, environ[envURL], kept.URL, defaultURL)}
	server, err := d.anonymous(in)
	if err != nil {
		return err
	}
	username := cmp.Or(c.Username, kept.Username, "admin")
	if isOpen(server.BaseURL()) {
		_, _ = fmt.Fprintln(in.Stderr, "Note: the connection is not encrypted; everybody on the way can read the password.")
	}
	password, err := readPassword(ctx, in, c.PasswordStdin, fmt.Sprintf("Password of %s at %s: ", username, server.BaseURL()))
	if err != nil {
		return err
	}
	tokens, err := server.Login(ctx, username, password)
	if err != nil {
		return err
	}
	unlock, err := file.lock(ctx)
	if err != nil {
		return err
	}
	defer unlock()
	if err := file.save(saved{URL: server.BaseURL(), Username: username}.with(tokens)); err != nil {
		return err
	}
	if environ[envToken] != "" {
		_, _ = fmt.Fprintln(in.Stderr, "Note: "+envToken+" is set and goes before this session; unset it.")
	}
	return c.welcome(ctx, in, server.BaseURL(), tokens)
}

func (c loginCommand) welcome(ctx context.Context, in Invocation, base string, tokens wire.Tokens) error {
	server, err := client.New(base, client.WithToken(tokens.AccessToken), agent(in))
	if err != nil {
		return err
	}
	me, err := server.Me(ctx)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(in.Stdout, "Signed in at %s as %s (%s). Next: rollcall hosts ls\n", base, plain(me.Username), plain(me.Role))
	return err
}

// isOpen reports whether what is sent to the server can be read on its way.
func isOpen(base string) bool {
	u, err := url.Parse(base)
	if err != nil || u.Scheme == "https" {
		return false
	}
	ip := net.ParseIP(u.Hostname())
	return u.Hostname() != "localhost" && (ip == nil || !ip.IsLoopback())
}

type logoutCommand struct{}

// Run ends the session and forgets it.
func (logoutCommand) Run(ctx context.Context, in Invocation) error {
	d, err := findDoor(in)
	if err != nil {
		return err
	}
	if d.token != "" {
		return usage{errors.New("an API token has no session: unset " + envToken + ", and revoke the token with rollcall tokens revoke")}
	}
	if d.kept.RefreshToken == "" {
		_, err := fmt.Fprintln(in.Stdout, "Nobody was signed in.")
		return err
	}
	d.url = d.kept.URL
	server, err := d.client(in)
	if err != nil {
		return err
	}
	ended := server.Logout(ctx)
	if err := d.file.remove(); err != nil {
		return err
	}
	if e, refused := errors.AsType[*client.Error](ended); errors.Is(ended, errSessionEnded) || refused && e.Status == 401 {
		ended = nil // it had ended before
	}
	if ended != nil {
		return fmt.Errorf("forgot the session, but the server could not be told and keeps it until it expires: %w", ended)
	}
	_, err = fmt.Fprintf(in.Stdout, "Signed out of %s.\n", d.kept.URL)
	return err
}

type whoamiCommand struct{ output }

// Run prints who is asking.
func (c whoamiCommand) Run(ctx context.Context, in Invocation) error {
	server, err := connect(in)
	if err != nil {
		return err
	}
	me, err := server.Me(ctx)
	if err != nil {
		return err
	}
	return one(in, c.output, me,
		col("NAME", func(a wire.Actor) any { return a.Name }),
		col("USER", func(a wire.Actor) any { return a.Username }),
		col("KIND", func(a wire.Actor) any { return a.Kind }),
		col("ROLE", func(a wire.Actor) any { return a.Role }),
		col("HOSTS", func(a wire.Actor) any { return cmp.Or(orEmpty(a.Selector), "*") }),
		col("EXPIRES", func(a wire.Actor) any { return a.ExpiresAt }),
		col("SERVER", func(wire.Actor) any { return server.BaseURL() }),
	)
}
