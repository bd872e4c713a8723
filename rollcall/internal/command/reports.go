package command

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/rollcallhq/rollcall/pkg/client"
	"github.com/rollcallhq/rollcall/pkg/facts"
	"github.com/rollcallhq/rollcall/pkg/wire"
)

type reportsCommand struct {
	Ls      reportsLsCommand      `cmd:"" help:"List reports, newest first."`
	Show    reportsShowCommand    `cmd:"" help:"Show a report, the newest one of a host, or the one as of some time."`
	History reportsHistoryCommand `cmd:"" help:"Show which values one fact of a host has had, and when."`
	Metrics reportsMetricsCommand `cmd:"" help:"Show metrics of a host over time."`
}

type reportsLsCommand struct {
	Host  string `arg:"" optional:"" help:"Name or ID; all hosts without it."`
	Type  string `short:"t" help:"Only reports of this type, such as os." placeholder:"TYPE"`
	Since moment `help:"Only from this time on: 24h ago, 2026-01-31, 2026-01-31T15:04:05Z." placeholder:"TIME"`
	Until moment `help:"Only before this time." placeholder:"TIME"`
	paging
	output
}

// Run lists reports.
func (c reportsLsCommand) Run(ctx context.Context, in Invocation) error {
	server, err := connect(in)
	if err != nil {
		return err
	}
	q := client.ReportQuery{Type: c.Type, Since: c.Since.Time, Until: c.Until.Time}
	if c.Host != "" {
		host, err := findHost(ctx, server, c.Host)
		if err != nil {
			return err
		}
		q.HostID = host.ID
	}
	size := min(c.size(), 100) // reports are large
	return list(in, c.output, cut(in, c.paging, server.Reports(ctx, q, client.PageSize(size))), reportColumns()...)
}

func reportColumns() []column[wire.Report] {
	return []column[wire.Report]{
		col("HOST", func(r wire.Report) any { return r.Host }),
		col("TYPE", func(r wire.Report) any { return r.Type }),
		col("STATUS", func(r wire.Report) any { return r.Status }),
		col("CREATED", func(r wire.Report) any { return r.CreatedAt }),
		col("CONFIRMED", func(r wire.Report) any { return r.ConfirmedAt }),
		col("UNAVAILABLE", func(r wire.Report) any { return len(r.Unavailable) }),
		col("ID", func(r wire.Report) any { return r.ID }),
	}
}

type reportsShowCommand struct {
	Report string `arg:"" name:"id-or-host" help:"ID of a report, or name or ID of a host."`
	Type   string `arg:"" optional:"" help:"Of a host: which report, such as os."`
	AsOf   moment `help:"Of a host: as it was then: 24h ago, 2026-01-31, 2026-01-31T15:04:05Z." placeholder:"TIME"`
	Since  bool   `help:"Of a host: say since when each value holds."`
	output
}

// Help is what --help adds.
func (reportsShowCommand) Help() string {
	return `  rollcall reports show web-1 os                           the newest one
  rollcall reports show web-1 packages --as-of 2026-01-31  as it was then
  rollcall reports show web-1 users --since                since when each value holds

The paths are those that rollcall changes --path, rollcall reports history and rollcall reports metrics take.`
}

// Run shows a report.
func (c reportsShowCommand) Run(ctx context.Context, in Invocation) error {
	server, err := connect(in)
	if err != nil {
		return err
	}
	report, err := c.find(ctx, server)
	if err != nil {
		return err
	}
	switch c.Output {
	case asJSON, asNDJSON:
		return one(in, c.output, report)
	case asTable:
		if err := one(in, c.output, report, reportColumns()...); err != nil {
			return err
		}
		_, _ = fmt.Fprintln(in.Stdout)
	}
	columns := []column[value]{
		col("PART", func(v value) any { return v.part }),
		col("PATH", func(v value) any { return v.path }),
		col("VALUE", func(v value) any { return v.text }),
	}
	if c.Since {
		columns = append(columns, col("SINCE", func(v value) any { return v.since }))
	}
	return list(in, c.output, seqOf(flatten(report)), columns...)
}

func (c reportsShowCommand) find(ctx context.Context, server *client.Client) (wire.Report, error) {
	if c.Type == "" {
		id, err := uuid.Parse(c.Report)
		if err != nil {
			return wire.Report{}, usage{errors.New("give the ID of a report, or a host and a type such as os")}
		}
		if c.Since || !c.AsOf.IsZero() {
			return wire.Report{}, usage{errors.New("--as-of and --since are about a host and a type such as os, not about the ID of a report")}
		}
		return server.Report(ctx, id)
	}
	host, err := findHost(ctx, server, c.Report)
	if err != nil {
		return wire.Report{}, err
	}
	var options []client.CallOption
	if c.Since {
		options = append(options, client.SinceWhen())
	}
	return reportAsOf(ctx, server, host, c.Type, c.AsOf, options...)
}

// A value is one leaf of a report.
type value struct {
	part  string // facts, metrics or unavailable
	path  string
	text  string
	since *time.Time // of a fact, if that was asked for
}

// flatten returns the leaves of a report: facts, metrics, and what was unavailable and why. Values that are null are
// left out.
func flatten(r wire.Report) []value {
	var values []value
	for _, part := range []struct {
		name string
		raw  json.RawMessage
	}{{"facts", r.Facts}, {"metrics", r.Metrics}} {
		for path, raw := range facts.Leaves(part.raw) {
			if string(raw) == "null" {
				continue
			}
			v := value{part: part.name, path: path.String(), text: bare(raw)}
			if at, ok := r.Since[v.path]; ok && part.name == "facts" {
				v.since = &at
			}
			values = append(values, v)
		}
	}
	for _, path := range slices.Sorted(maps.Keys(r.Unavailable)) {
		values = append(values, value{part: "unavailable", path: path, text: r.Unavailable[path]})
	}
	return values
}
