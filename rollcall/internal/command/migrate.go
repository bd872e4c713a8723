package command

import (
	"context"
	"fmt"

	"github.com/rollcallhq/rollcall/pkg/process"
	"github.com/rollcallhq/rollcall/pkg/settings"
)

type migrateCommand struct{}

// Run migrates the database of DATABASE_URL, as DATABASE_OWNER_URL if that is set, and makes the partitions of the
// next months. It waits for a database that does not answer yet.
func (migrateCommand) Run(ctx context.Context, in Invocation) error {
	b, err := openDatabase(ctx, in, "migrate")
	if err != nil {
		return err
	}
	defer b.Close()
	if err := b.PrepareDatabase(ctx); err != nil {
		return err
	}
	_, err = fmt.Fprintln(in.Stdout, "The schema is up to date.")
	return err
}

// openDatabase opens the database of DATABASE_URL for a command that needs nothing else. The caller owes a Close.
func openDatabase(ctx context.Context, in Invocation, name string) (*process.Backends, error) {
	environ := settings.Environ(in.Environ)
	if environ["REDIS_URL"] == "" {
		environ["REDIS_URL"] = "redis://127.0.0.1:6379/0" // never connected to
	}
	r := settings.NewReader(environ)
	c := process.Read(r)
	process.Others(r)
	if err := r.Err(); err != nil {
		return nil, usage{err}
	}
	c.Migrate = process.MigrateAuto
	return process.Open(ctx, c, name, process.Logger(in.Stderr, name, c.Log))
}
