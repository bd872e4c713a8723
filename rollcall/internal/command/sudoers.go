package command

import (
	"context"
	"fmt"
)

type sudoersCommand struct {
	Types   []string `help:"Report types that are to be collected, with commas between them (all built-in ones)." placeholder:"TYPE,…"`
	Account string   `help:"The account that collects." default:"rollcall"`
	Become  string   `help:"For which program: ${enum}." enum:"sudo,doas" default:"sudo"`
}

// Run prints the lines.
func (c sudoersCommand) Run(ctx context.Context, in Invocation) error {
	server, err := connect(in)
	if err != nil {
		return err
	}
	lines, err := server.Sudoers(ctx, c.Types, c.Account, c.Become)
	if err != nil {
		return err
	}
	_, err = fmt.Fprint(in.Stdout, lines)
	return err
}
