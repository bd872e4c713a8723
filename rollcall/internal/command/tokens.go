package command

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/rollcallhq/rollcall/pkg/client"
	"github.com/rollcallhq/rollcall/pkg/wire"
)

type tokensCommand struct {
	Ls     tokensLsCommand     `cmd:"" help:"List your API tokens, or those of a user, without their secrets."`
	Create tokensCreateCommand `cmd:"" help:"Make an API token, and print it this once."`
	Revoke tokensRevokeCommand `cmd:"" help:"Make API tokens worthless, at once."`
}

func tokenColumns() []column[wire.APIToken] {
	return []column[wire.APIToken]{
		col("NAME", func(t wire.APIToken) any { return t.Name }),
		col("ROLE", func(t wire.APIToken) any { return t.Role }),
		col("SELECTOR", func(t wire.APIToken) any { return t.Selector }),
		col("CREATED", func(t wire.APIToken) any { return t.CreatedAt }),
		col("EXPIRES", func(t wire.APIToken) any { return t.ExpiresAt }),
		col("LAST USED", func(t wire.APIToken) any { return t.LastUsedAt }),
		col("ID", func(t wire.APIToken) any { return t.ID }),
	}
}

type tokensLsCommand struct {
	User string `help:"Those of this user, by name or ID; for admins of all hosts." placeholder:"USER"`
	output
}

// Run lists API tokens.
func (c tokensLsCommand) Run(ctx context.Context, in Invocation) error {
	server, err := connect(in)
	if err != nil {
		return err
	}
	owner, err := ownerOf(ctx, server, c.User)
	if err != nil {
		return err
	}
	tokens, err := owner.list(ctx)
	if err != nil {
		return err
	}
	return list(in, c.output, seqOf(tokens), tokenColumns()...)
}

type tokensCreateCommand struct {
	Name     string   `arg:"" help:"What it is for."`
	Expires  lifetime `help:"How long it is good, such as 90d or 12h; for ever without it." placeholder:"TIME"`
	Role     *string  `help:"What it may do at most: viewer, operator or admin; what you may without it." placeholder:"ROLE"`
	Selector *string  `help:"Which of the hosts that you see it sees; all without it." placeholder:"SELECTOR"`
	output
}

// Run makes an API token. On standard output there is nothing but the token, for scripts.
func (c tokensCreateCommand) Run(ctx context.Context, in Invocation) error {
	server, err := connect(in)
	if err != nil {
		return err
	}
	request := wire.TokenInput{Name: c.Name, Role: c.Role, Selector: c.Selector}
	if c.Expires > 0 {
		request.ExpiresAt = new(time.Now().Add(time.Duration(c.Expires)).UTC().Truncate(time.Second))
	}
	token, err := server.CreateToken(ctx, request)
	if err != nil {
		return err
	}
	if c.Output != asTable {
		columns := []column[wire.NewAPIToken]{col("TOKEN", func(t wire.NewAPIToken) any { return t.Token })}
		for _, known := range tokenColumns() {
			columns = append(columns, col(known.name, func(t wire.NewAPIToken) any { return known.value(t.APIToken) }))
		}
		return one(in, c.output, token, columns...)
	}
	_, _ = fmt.Fprintf(in.Stderr, "The token %s is shown this once. Use it as %s, with %s=%s.\n", plain(token.Name), envToken, envURL, server.BaseURL())
	_, err = fmt.Fprintln(in.Stdout, token.Token)
	return err
}

type tokensRevokeCommand struct {
	Tokens []string `arg:"" name:"token" help:"Names or IDs."`
	User   string   `help:"Those of this user, by name or ID; for admins of all hosts." placeholder:"USER"`
}

// Run revokes API tokens.
func (c tokensRevokeCommand) Run(ctx context.Context, in Invocation) error {
	server, err := connect(in)
	if err != nil {
		return err
	}
	owner, err := ownerOf(ctx, server, c.User)
	if err != nil {
		return err
	}
	return each(in, c.Tokens, func(name string) (string, error) {
		tokens, err := owner.list(ctx)
		if err != nil {
			return "", err
		}
		token, err := find("token", name, seqOf(tokens), func(t wire.APIToken) (uuid.UUID, string) { return t.ID, t.Name })
		if err != nil {
			return "", err
		}
		return "Revoked " + token.Name + ".", owner.revoke(ctx, token.ID)
	})
}

// An owner is whose API tokens a command is about.
type owner struct {
	list   func(context.Context) ([]wire.APIToken, error)
	revoke func(context.Context, uuid.UUID) error
}

// ownerOf returns the user of that name or ID, and without one whoever runs the command.
func ownerOf(ctx context.Context, server *client.Client, name string) (owner, error) {
	if name == "" {
		return owner{server.Tokens, server.RevokeToken}, nil
	}
	user, err := findUser(ctx, server, name)
	return owner{
		list:   func(ctx context.Context) ([]wire.APIToken, error) { return server.UserTokens(ctx, user.ID) },
		revoke: func(ctx context.Context, id uuid.UUID) error { return server.RevokeUserToken(ctx, user.ID, id) },
	}, err
}
