package command

import (
	"context"
	"time"

	"github.com/rollcallhq/rollcall/pkg/client"
	"github.com/rollcallhq/rollcall/pkg/wire"
)

// freshnessBack is how far back is shown unless somebody says otherwise.
const freshnessBack = 24 * time.Hour

type freshnessCommand struct {
	Host     string `arg:"" optional:"" help:"Name or ID; all hosts without it."`
	Selector string `short:"s" help:"Only of these hosts, such as 'env=prod and not role=db'." placeholder:"SELECTOR"`
	Status   string `help:"Only what became fresh, stale, failing, never or disabled." enum:",fresh,stale,failing,never,disabled" default:"" placeholder:"STATUS"`
	Since    moment `help:"From this time on: 24h ago (which it is without it), 2026-01-31, 2026-01-31T15:04:05Z." placeholder:"TIME"`
	output
}

// Help is what --help adds.
func (freshnessCommand) Help() string {
	return `A host is fresh while its last task brought a report no longer ago than the schedule that covers it allows, stale when
that is over, failing when its last task failed, and never collected before the first.

  rollcall freshness --status failing              what began to fail since yesterday, and why
  rollcall hosts ls --status stale                 which hosts are stale now
  rollcall hosts ls --status failing --code auth_failed`
}

// Run shows what became of hosts, oldest first.
func (c freshnessCommand) Run(ctx context.Context, in Invocation) error {
	server, err := connect(in)
	if err != nil {
		return err
	}
	q := client.FreshnessQuery{Selector: c.Selector, Status: c.Status, Since: c.Since.Time}
	if q.Since.IsZero() {
		q.Since = time.Now().Add(-freshnessBack)
	}
	if c.Host != "" {
		host, err := findHost(ctx, server, c.Host)
		if err != nil {
			return err
		}
		q.HostID = host.ID
	}
	return list(in, c.output, server.Freshness(ctx, q, new(string), client.PageSize(maxPage)),
		col("SEEN", func(f wire.FreshnessChange) any { return f.SeenAt }),
		col("HOST", func(f wire.FreshnessChange) any { return f.Host }),
		col("BEFORE", func(f wire.FreshnessChange) any { return f.Before }),
		col("AFTER", func(f wire.FreshnessChange) any { return f.After }),
		col("CODE", func(f wire.FreshnessChange) any { return f.Code }))
}
