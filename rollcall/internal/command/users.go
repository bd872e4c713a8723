package command

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/rollcallhq/rollcall/pkg/client"
	"github.com/rollcallhq/rollcall/pkg/settings"
	"github.com/rollcallhq/rollcall/pkg/wire"
	"github.com/rollcallhq/rollcall/rollcall/internal/rescue"
)

type usersCommand struct {
	Ls       usersLsCommand       `cmd:"" help:"List users, newest first."`
	Show     usersShowCommand     `cmd:"" help:"Show a user."`
	Add      usersAddCommand      `cmd:"" help:"Add a user. Without a password, print the one-time link with which the user sets one."`
	Set      usersSetCommand      `cmd:"" help:"Change what a user may do; what is not named stays."`
	Disable  usersDisableCommand  `cmd:"" help:"Shut users out, at once, with their sessions and API tokens."`
	Enable   usersEnableCommand   `cmd:"" help:"Let disabled users in again."`
	Rm       usersRmCommand       `cmd:"" help:"Delete users: shut them out for good. Their names stay taken."`
	Reset    usersResetCommand    `cmd:"" help:"Print a one-time link with which a user sets a password within 24 hours."`
	Sessions usersSessionsCommand `cmd:"" help:"List where a user is signed in, or end it."`
}

func userColumns() []column[wire.User] {
	return []column[wire.User]{
		col("USERNAME", func(u wire.User) any { return u.Username }),
		col("ROLE", func(u wire.User) any { return u.Role }),
		col("SELECTOR", func(u wire.User) any { return u.Selector }),
		col("DISABLED", func(u wire.User) any { return u.Disabled }),
		col("LAST LOGIN", func(u wire.User) any { return u.LastLoginAt }),
		col("CREATED", func(u wire.User) any { return u.CreatedAt }),
		col("CHANGED", func(u wire.User) any { return u.UpdatedAt }),
		col("ID", func(u wire.User) any { return u.ID }),
	}
}

type usersLsCommand struct{ output }

// Run lists users.
func (c usersLsCommand) Run(ctx context.Context, in Invocation) error {
	server, err := connect(in)
	if err != nil {
		return err
	}
	return list(in, c.output, server.Users(ctx, client.PageSize(maxPage)), userColumns()...)
}

type usersShowCommand struct {
	User string `arg:"" help:"Name or ID."`
	output
}

// Run shows one user.
func (c usersShowCommand) Run(ctx context.Context, in Invocation) error {
	_, user, err := theUser(ctx, in, c.User)
	if err != nil {
		return err
	}
	return one(in, c.output, user, userColumns()...)
}

func theUser(ctx context.Context, in Invocation, name string) (*client.Client, wire.User, error) {
	server, err := connect(in)
	if err != nil {
		return nil, wire.User{}, err
	}
	user, err := findUser(ctx, server, name)
	return server, user, err
}

func findUser(ctx context.Context, server *client.Client, name string) (wire.User, error) {
	return find("user", name, server.Users(ctx, client.PageSize(maxPage)), func(u wire.User) (uuid.UUID, string) { return u.ID, u.Username })
}

type usersAddCommand struct {
	Username      string `arg:"" help:"What it signs in as."`
	Role          string `short:"r" required:"" enum:"viewer,operator,admin" help:"What it may do: viewer, operator or admin." placeholder:"ROLE"`
	Selector      string `short:"s" help:"Which hosts it sees, in quotes, such as 'env=staging' (all)." placeholder:"SELECTOR"`
	PasswordFile  string `help:"File of its password; - is standard input." placeholder:"FILE" type:"path" xor:"password"`
	PasswordStdin bool   `help:"Read its password from standard input." xor:"password"`
	output
}

// Run adds a user. A password comes from a file or standard input, never from the command line, which every user of the
// machine can see. On standard output there is nothing but the one-time link, if there is one, for scripts.
func (c usersAddCommand) Run(ctx context.Context, in Invocation) error {
	server, err := connect(in)
	if err != nil {
		return err
	}
	user := wire.UserInput{Username: c.Username, Role: c.Role, Selector: orNil(c.Selector)}
	if c.PasswordFile != "" || c.PasswordStdin {
		file := c.PasswordFile
		if c.PasswordStdin {
			file = "-"
		}
		password, err := secretFile(in, file)
		if err != nil {
			return err
		}
		user.Password = new(wire.Secret(oneLine(password)))
	}
	added, err := server.AddUser(ctx, user)
	if err != nil {
		return err
	}
	if c.Output != asTable {
		columns := []column[wire.NewUser]{col("LINK", func(u wire.NewUser) any { return linkOf(server, u.Reset) })}
		for _, known := range userColumns() {
			columns = append(columns, col(known.name, func(u wire.NewUser) any { return known.value(u.User) }))
		}
		return one(in, c.output, added, columns...)
	}
	_, _ = fmt.Fprintf(in.Stderr, "Added %s (%s).\n", plain(added.Username), added.ID)
	if added.Reset == nil {
		return nil
	}
	return printLink(in, server, added.Username, *added.Reset)
}

// linkOf returns where a one-time link leads, nothing for none.
func linkOf(server *client.Client, link *wire.ResetLink) *string {
	if link == nil {
		return nil
	}
	return new(server.BaseURL() + link.Path)
}

func printLink(in Invocation, server *client.Client, name string, link wire.ResetLink) error {
	return showLink(in, name, link.ExpiresAt, *linkOf(server, &link))
}

func showLink(in Invocation, name string, expires time.Time, link string) error {
	_, _ = fmt.Fprintf(in.Stderr, "With this link, which is shown this once, %s sets a password. It is good once, until %s UTC.\n", plain(name), expires.UTC().Format("2006-01-02 15:04"))
	_, err := fmt.Fprintln(in.Stdout, plain(link))
	return err
}

type usersSetCommand struct {
	User     string  `arg:"" help:"Name or ID."`
	Role     string  `short:"r" enum:"viewer,operator,admin," default:"" help:"What it may do: viewer, operator or admin." placeholder:"ROLE"`
	Selector *string `short:"s" help:"Which hosts it sees, in quotes; '*' is all." placeholder:"SELECTOR"`
	output
}

// Run changes a user.
func (c usersSetCommand) Run(ctx context.Context, in Invocation) error {
	if c.Role == "" && c.Selector == nil {
		return usage{errors.New("there is nothing to change: give --role or --selector")}
	}
	server, user, err := theUser(ctx, in, c.User)
	if err != nil {
		return err
	}
	changed, err := server.UpdateUser(ctx, user.ID, wire.UserPatch{Role: orNil(c.Role), Selector: c.Selector})
	if err != nil {
		return err
	}
	if c.Output != asTable {
		return one(in, c.output, changed, userColumns()...)
	}
	hosts := "all hosts"
	if changed.Selector != nil {
		hosts = plain(*changed.Selector)
	}
	_, err = fmt.Fprintf(in.Stdout, "Changed %s: %s of %s.\n", plain(changed.Username), plain(changed.Role), hosts)
	return err
}

type usersDisableCommand struct {
	Users []string `arg:"" name:"user" help:"Names or IDs."`
}

// Run disables users.
func (c usersDisableCommand) Run(ctx context.Context, in Invocation) error {
	return disable(ctx, in, c.Users, true, "Disabled ")
}

type usersEnableCommand struct {
	Users []string `arg:"" name:"user" help:"Names or IDs."`
}

// Run enables users.
func (c usersEnableCommand) Run(ctx context.Context, in Invocation) error {
	return disable(ctx, in, c.Users, false, "Enabled ")
}

func disable(ctx context.Context, in Invocation, names []string, disabled bool, done string) error {
	return eachUser(ctx, in, names, func(server *client.Client, user wire.User) (string, error) {
		_, err := server.UpdateUser(ctx, user.ID, wire.UserPatch{Disabled: &disabled})
		return done + user.Username + ".", err
	})
}

func eachUser(ctx context.Context, in Invocation, names []string, do func(*client.Client, wire.User) (string, error)) error {
	server, err := connect(in)
	if err != nil {
		return err
	}
	return each(in, names, func(name string) (string, error) {
		user, err := findUser(ctx, server, name)
		if err != nil {
			return "", err
		}
		return do(server, user)
	})
}

type usersRmCommand struct {
	Users []string `arg:"" name:"user" help:"Names or IDs."`
}

// Run deletes users.
func (c usersRmCommand) Run(ctx context.Context, in Invocation) error {
	return eachUser(ctx, in, c.Users, func(server *client.Client, user wire.User) (string, error) {
		return "Deleted " + user.Username + ".", server.RemoveUser(ctx, user.ID)
	})
}

type usersResetCommand struct {
	User     string `arg:"" help:"Name or ID; the name with --database."`
	Database bool   `help:"Ask no server: write to the database of DATABASE_URL, where no admin can sign in any more."`
	output
}

// Run makes a one-time link.
func (c usersResetCommand) Run(ctx context.Context, in Invocation) error {
	if c.Database {
		return c.recover(ctx, in)
	}
	server, user, err := theUser(ctx, in, c.User)
	if err != nil {
		return err
	}
	link, err := server.ResetUser(ctx, user.ID)
	if err != nil {
		return err
	}
	if c.Output != asTable {
		return one(in, c.output, link,
			col("LINK", func(l wire.ResetLink) any { return linkOf(server, &l) }),
			col("EXPIRES", func(l wire.ResetLink) any { return l.ExpiresAt }))
	}
	return printLink(in, server, user.Username, link)
}

// recover makes a one-time link by way of the database.
func (c usersResetCommand) recover(ctx context.Context, in Invocation) error {
	b, err := openDatabase(ctx, in, "users")
	if err != nil {
		return err
	}
	defer b.Close()
	path, expires, err := rescue.ResetLink(ctx, b.Store, c.User)
	if err != nil {
		return err
	}
	base := strings.TrimSuffix(settings.Environ(in.Environ)["ROLLCALL_URL"], "/")
	if c.Output != asTable {
		return one(in, c.output, base+path,
			col("LINK", func(link string) any { return link }),
			col("EXPIRES", func(string) any { return expires }))
	}
	if base == "" {
		_, _ = fmt.Fprintln(in.Stderr, "Put the address of the pages before it, or set ROLLCALL_URL to it.")
	}
	return showLink(in, c.User, expires, base+path)
}

type usersSessionsCommand struct {
	User     string   `arg:"" help:"Name or ID."`
	Sessions []string `arg:"" optional:"" name:"session" help:"IDs, with --revoke; all without them."`
	Revoke   bool     `help:"End them, at once."`
	output
}

// Run lists the sessions of a user, or ends them.
func (c usersSessionsCommand) Run(ctx context.Context, in Invocation) error {
	if len(c.Sessions) > 0 && !c.Revoke {
		return usage{errors.New("IDs of sessions are for --revoke")}
	}
	server, user, err := theUser(ctx, in, c.User)
	if err != nil {
		return err
	}
	if c.Revoke {
		return c.revoke(ctx, in, server, user)
	}
	sessions, err := server.UserSessions(ctx, user.ID)
	if err != nil {
		return err
	}
	return list(in, c.output, seqOf(sessions), sessionColumns()...)
}

func (c usersSessionsCommand) revoke(ctx context.Context, in Invocation, server *client.Client, user wire.User) error {
	if len(c.Sessions) > 0 {
		return each(in, c.Sessions, func(text string) (string, error) {
			id, err := sessionID(text, "rollcall users sessions "+user.Username)
			if err != nil {
				return "", err
			}
			return "Ended " + id.String() + ".", server.RevokeUserSession(ctx, user.ID, id)
		})
	}
	if err := server.RevokeUserSessions(ctx, user.ID); err != nil {
		return err
	}
	_, err := fmt.Fprintf(in.Stdout, "Ended the sessions of %s.\n", plain(user.Username))
	return err
}
