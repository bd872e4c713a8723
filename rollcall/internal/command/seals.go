package command

import (
	"context"
	"fmt"

	"github.com/rollcallhq/rollcall/pkg/client"
	"github.com/rollcallhq/rollcall/pkg/fleet"
	"github.com/rollcallhq/rollcall/pkg/wire"
)

type credentialsSealsCommand struct{ output }

// Run counts seals by site and key.
func (c credentialsSealsCommand) Run(ctx context.Context, in Invocation) error {
	server, err := connect(in)
	if err != nil {
		return err
	}
	seals, err := server.Seals(ctx)
	if err != nil {
		return err
	}
	return list(in, c.output, seqOf(seals),
		col("SITE", func(s wire.SealCount) any { return s.Site }),
		col("KEY", func(s wire.SealCount) any { return s.KeyID }),
		col("CURRENT", func(s wire.SealCount) any { return s.Current }),
		col("SEALS", func(s wire.SealCount) any { return s.Seals }),
		col("WORKERS", func(s wire.SealCount) any { return s.Workers }),
	)
}

type credentialsResealCommand struct {
	Site []string `help:"Whose seals; every site's without it." placeholder:"SITE"`
	Wait bool     `short:"w" help:"Wait until it has ended, and say how it went."`
	output
}

// Run lets the workers seal anew what is sealed to earlier keys.
func (c credentialsResealCommand) Run(ctx context.Context, in Invocation) error {
	server, err := connect(in)
	if err != nil {
		return err
	}
	collection, err := server.Reseal(ctx, wire.ResealInput{Sites: c.Site})
	if err != nil {
		return err
	}
	if c.Wait {
		return follow(ctx, in, server, collection, c.output)
	}
	if c.Output != asTable {
		return one(in, c.output, collection, collectionColumns()...)
	}
	if collection.Counts.Total == 0 {
		_, err = fmt.Fprintln(in.Stdout, "Nothing to do: every secret is sealed to the current key of its site.")
		return err
	}
	_, err = fmt.Fprintf(in.Stdout, "Sealing %d secrets anew. Next: rollcall collections watch %s\n", collection.Counts.Total, collection.ID)
	return err
}

// unit returns what a collection counts: hosts, or what is sealed anew.
func unit(c wire.Collection) string {
	if c.Kind == string(fleet.KindReseal) {
		return "seals"
	}
	return "hosts"
}

// resealed names some credentials whose seals a collection did not renew for that reason.
func resealed(ctx context.Context, server *client.Client, c wire.Collection, code string) ([]string, error) {
	var names []string
	for r, err := range server.Reseals(ctx, c.ID) {
		if err != nil {
			return nil, err
		}
		if r.Code == nil || *r.Code != code {
			continue
		}
		name := r.CredentialID.String()
		if r.Credential != nil {
			name = *r.Credential
		}
		if names = append(names, name+" at "+r.Site); len(names) == maxNames {
			break
		}
	}
	return names, nil
}
