package command

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/rollcallhq/rollcall/pkg/client"
	"github.com/rollcallhq/rollcall/pkg/facts"
	"github.com/rollcallhq/rollcall/pkg/wire"
)

type reportsHistoryCommand struct {
	Host  string `arg:"" help:"Name or ID."`
	Type  string `arg:"" help:"Of the reports, such as os."`
	Path  string `arg:"" help:"Of the fact, as rollcall reports show HOST TYPE lists it."`
	Since moment `help:"Only what held after this time: 24h ago, 2026-01-31, 2026-01-31T15:04:05Z." placeholder:"TIME"`
	Until moment `help:"Only what held before this time." placeholder:"TIME"`
	paging
	output
}

// Help is what --help adds.
func (reportsHistoryCommand) Help() string {
	return `  rollcall reports history web-1 os kernel.release
  rollcall reports history web-1 packages 'packages."dpkg:openssl:amd64".version' --since 90d

Names that hold dots are quoted. Where CONFIRMED lies before TO, nobody has looked in between.`
}

// Run shows the values of a fact, newest first.
func (c reportsHistoryCommand) Run(ctx context.Context, in Invocation) error {
	server, err := connect(in)
	if err != nil {
		return err
	}
	host, err := findHost(ctx, server, c.Host)
	if err != nil {
		return err
	}
	q := client.HistoryQuery{Type: c.Type, Path: c.Path, Since: c.Since.Time, Until: c.Until.Time}
	periods := orElse(server.History(ctx, host.ID, q, client.PageSize(c.size())),
		func(p wire.PathPeriod) bool { return p.Present },
		func() error { return noFact(ctx, server, host, c.Type, c.Path) })
	if c.Output == asTable {
		return list(in, c.output, cut(in, c.paging, periods),
			col("VALUE", func(p wire.PathPeriod) any { return periodText(p, max(2*room(in, 3*len(secondForm)), 0)) }),
			col("FROM", func(p wire.PathPeriod) any { return stamp(p.From) }),
			col("TO", func(p wire.PathPeriod) any {
				if p.To == nil {
					return "now"
				}
				return stamp(*p.To)
			}),
			col("CONFIRMED", func(p wire.PathPeriod) any { return stamp(p.ConfirmedAt) }))
	}
	return list(in, c.output, cut(in, c.paging, periods),
		col("PRESENT", func(p wire.PathPeriod) any { return p.Present }),
		col("VALUE", func(p wire.PathPeriod) any {
			if !p.Present {
				return ""
			}
			return bare(p.Value)
		}),
		col("FROM", func(p wire.PathPeriod) any { return p.From }),
		col("TO", func(p wire.PathPeriod) any { return p.To }),
		col("CONFIRMED AT", func(p wire.PathPeriod) any { return p.ConfirmedAt }),
		col("REPORT ID", func(p wire.PathPeriod) any { return p.ReportID }))
}

// periodText returns what was at a path, in at most so many characters; 0 is without a bound.
func periodText(p wire.PathPeriod, most int) string {
	if !p.Present {
		return "(nothing)"
	}
	return shorten(spoken(p.Value), most)
}

// noFact returns the error of a path at which no fact was found; nil if the newest report has one there.
func noFact(ctx context.Context, server *client.Client, host wire.Host, reportType, asked string) error {
	report, err := server.HostReport(ctx, host.ID, reportType)
	if err != nil {
		return err
	}
	path, err := facts.ParsePath(asked)
	if err != nil {
		return err
	}
	if _, ok := facts.At(report.Facts, path); ok {
		return nil
	}
	return noSuchPath("fact", asked, report, report.Facts)
}

// noSuchPath returns the error of a path that is none, which names those that may have been meant.
func noSuchPath(what, asked string, report wire.Report, doc json.RawMessage) error {
	var paths []string
	for path := range facts.Leaves(doc) {
		paths = append(paths, path.String())
	}
	text := fmt.Sprintf("there is no %s at %s in the reports of type %s of %s", what, asked, report.Type, report.Host)
	if found := near(asked, paths); len(found) > 0 {
		text += "; there is " + strings.Join(found, ", ")
	}
	return fmt.Errorf("%s\n  rollcall reports show %s %s lists the paths", text, report.Host, report.Type)
}
