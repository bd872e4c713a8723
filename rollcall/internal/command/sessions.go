package command

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/google/uuid"

	"github.com/rollcallhq/rollcall/pkg/wire"
)

type sessionsCommand struct {
	Ls     sessionsLsCommand     `cmd:"" help:"List where you are signed in."`
	Revoke sessionsRevokeCommand `cmd:"" help:"End sessions, at once."`
}

func sessionColumns() []column[wire.Session] {
	return []column[wire.Session]{
		col("BEGUN", func(s wire.Session) any { return s.CreatedAt }),
		col("EXPIRES", func(s wire.Session) any { return s.ExpiresAt }),
		col("ADDRESS", func(s wire.Session) any { return s.Address }),
		col("CLIENT", func(s wire.Session) any { return s.UserAgent }),
		col("CURRENT", func(s wire.Session) any { return s.Current }),
		col("ID", func(s wire.Session) any { return s.ID }),
	}
}

type sessionsLsCommand struct{ output }

// Run lists sessions.
func (c sessionsLsCommand) Run(ctx context.Context, in Invocation) error {
	server, err := connect(in)
	if err != nil {
		return err
	}
	sessions, err := server.Sessions(ctx)
	if err != nil {
		return err
	}
	return list(in, c.output, seqOf(sessions), sessionColumns()...)
}

type sessionsRevokeCommand struct {
	Sessions []string `arg:"" optional:"" name:"session" help:"IDs."`
	Others   bool     `help:"All but the one of this command." xor:"which"`
	All      bool     `help:"All, this one too." xor:"which"`
}

// Run ends sessions.
func (c sessionsRevokeCommand) Run(ctx context.Context, in Invocation) error {
	if (len(c.Sessions) > 0) == (c.Others || c.All) {
		return usage{errors.New("name sessions by their IDs, or say --others or --all")}
	}
	server, err := connect(in)
	if err != nil {
		return err
	}
	if len(c.Sessions) == 0 {
		if err := server.RevokeSessions(ctx, c.Others); err != nil {
			return err
		}
		_, err := fmt.Fprintln(in.Stdout, "Ended them.")
		return err
	}
	return each(in, c.Sessions, func(text string) (string, error) {
		id, err := sessionID(text, "rollcall sessions ls")
		if err != nil {
			return "", err
		}
		return "Ended " + id.String() + ".", server.RevokeSession(ctx, id)
	})
}

// sessionID reads an ID, which the command shows.
func sessionID(text, shownBy string) (uuid.UUID, error) {
	id, err := uuid.Parse(text)
	if err != nil {
		return id, usage{fmt.Errorf("%q is not the ID of a session; %s shows them", text, shownBy)}
	}
	return id, nil
}

type passwdCommand struct {
	PasswordStdin bool `help:"Read two lines from standard input, the current password and the new one; without it the terminal is asked."`
}

// Run changes the password of whoever is signed in.
func (c passwdCommand) Run(ctx context.Context, in Invocation) error {
	server, err := connect(in)
	if err != nil {
		return err
	}
	current, password, err := c.passwords(ctx, in)
	if err != nil {
		return err
	}
	if err := server.ChangePassword(ctx, current, password); err != nil {
		return err
	}
	_, err = fmt.Fprintln(in.Stdout, "Changed your password. Your other sessions have ended.")
	return err
}

func (c passwdCommand) passwords(ctx context.Context, in Invocation) (current, password string, err error) {
	if c.PasswordStdin {
		content, err := readSecret(in.Stdin, "standard input")
		if err != nil {
			return "", "", err
		}
		current, password, ok := strings.Cut(oneLine(content), "\n")
		if !ok || strings.Contains(password, "\n") {
			return "", "", usage{errors.New("standard input needs two lines: the current password and the new one")}
		}
		return oneLine(current), password, nil
	}
	if current, err = askPassword(ctx, in, "Current password: "); err != nil {
		return "", "", err
	}
	if password, err = askPassword(ctx, in, "New password, at least 12 characters: "); err != nil {
		return "", "", err
	}
	again, err := askPassword(ctx, in, "The same again: ")
	if err == nil && again != password {
		err = errors.New("the two new passwords differ; nothing was changed")
	}
	return current, password, err
}
