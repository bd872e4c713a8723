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
	environ := settings.Environ(in.Environ)
	if environ["REDIS_URL"] == "" {
		environ["REDIS_URL"] = "redis://127.0.0.1:6379/0" // never connected to
	}
	r := settings.NewReader(environ)
	c := process.Read(r)
	process.Others(r)
	if err := r.Err(); err != nil {
		return usage{err}
	}
	c.Migrate = process.MigrateAuto
	b, err := process.Open(ctx, c, "migrate", process.Logger(in.Stderr, "migrate", c.Log))
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
