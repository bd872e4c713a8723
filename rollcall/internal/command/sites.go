package command

import (
	"context"

	"github.com/rollcallhq/rollcall/pkg/wire"
)

type sitesCommand struct {
	Ls      sitesLsCommand      `cmd:"" help:"List sites, by name."`
	Workers sitesWorkersCommand `cmd:"" help:"List the workers that are alive, the newest first."`
}

type sitesLsCommand struct{ output }

// Run lists sites.
func (c sitesLsCommand) Run(ctx context.Context, in Invocation) error {
	server, err := connect(in)
	if err != nil {
		return err
	}
	sites, err := server.Sites(ctx)
	if err != nil {
		return err
	}
	return list(in, c.output, seqOf(sites),
		col("NAME", func(s wire.Site) any { return s.Name }),
		col("STATUS", func(s wire.Site) any { return s.Status }),
		col("HOSTS", func(s wire.Site) any { return s.Hosts }),
		col("ENABLED", func(s wire.Site) any { return s.Enabled }),
		col("WORKERS", func(s wire.Site) any { return s.Workers }),
		col("SLOTS", func(s wire.Site) any { return s.Slots }),
		col("BUSY", func(s wire.Site) any { return s.Busy }),
		col("QUEUED", func(s wire.Site) any { return s.Queued }),
		col("RUNNING", func(s wire.Site) any { return s.Running }),
		col("OLDEST SECONDS", func(s wire.Site) any { return s.OldestWaitingSeconds }))
}

type sitesWorkersCommand struct{ output }

// Run lists workers.
func (c sitesWorkersCommand) Run(ctx context.Context, in Invocation) error {
	server, err := connect(in)
	if err != nil {
		return err
	}
	workers, err := server.Workers(ctx)
	if err != nil {
		return err
	}
	return list(in, c.output, seqOf(workers),
		col("HOST", func(w wire.Worker) any { return w.Host }),
		col("SITES", func(w wire.Worker) any { return w.Sites }),
		col("SLOTS", func(w wire.Worker) any { return w.Slots }),
		col("VERSION", func(w wire.Worker) any { return w.Version }),
		col("STARTED", func(w wire.Worker) any { return w.StartedAt }),
		col("SEEN", func(w wire.Worker) any { return w.SeenAt }),
		col("ID", func(w wire.Worker) any { return w.ID }))
}
