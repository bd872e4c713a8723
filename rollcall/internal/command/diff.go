package command

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/rollcallhq/rollcall/pkg/client"
	"github.com/rollcallhq/rollcall/pkg/wire"
)

type diffCommand struct {
	A    string `arg:"" help:"ID of a report, or name or ID of a host."`
	B    string `arg:"" optional:"" help:"ID of another report, a type such as os, or with --type another host."`
	Type string `short:"t" help:"Compare two hosts by their reports of this type." placeholder:"TYPE"`
	From moment `help:"Of a host: as it was then (24h); of two hosts: the first as it was then (now)." placeholder:"TIME"`
	To   moment `help:"Of a host: as it was then (now); of two hosts: the second as it was then (now)." placeholder:"TIME"`
	output
}

// Help is what --help adds.
func (diffCommand) Help() string {
	return `  rollcall diff web-1 os                                  what changed in the last 24 hours
  rollcall diff web-1 packages --from 7d --to 2026-01-31  what changed from then to then
  rollcall diff web-1 web-2 --type packages               how two hosts differ
  rollcall diff ID [ID]                                   two reports, or one and the newest of its host and type

TIME is how long ago (90m, 24h, 7d), a date, or 2026-01-31T15:04:05Z, in UTC. A note says what is no change of the
host: one of the reports could not tell, or the path has another meaning in the other's version of the schema.`
}

// Run shows how two reports differ.
func (c diffCommand) Run(ctx context.Context, in Invocation) error {
	server, err := connect(in)
	if err != nil {
		return err
	}
	from, to, err := c.pair(ctx, server)
	if err != nil {
		return err
	}
	diff, err := server.Diff(ctx, from, to)
	if err != nil {
		return err
	}
	return c.print(in, diff)
}

// pair returns the reports to compare; uuid.Nil is the newest.
func (c diffCommand) pair(ctx context.Context, server *client.Client) (from, to uuid.UUID, err error) {
	first, notFirst := uuid.Parse(c.A)
	second, notSecond := uuid.Parse(c.B)
	switch {
	case c.Type == "" && notFirst == nil && (notSecond == nil || c.B == ""):
		if !c.From.IsZero() || !c.To.IsZero() {
			return from, to, usage{errors.New("--from and --to pick reports of a host; these are picked by their IDs")}
		}
		return first, second, nil
	case c.B == "":
		return from, to, usage{errors.New("give two reports, a host and a type such as os, or two hosts and --type")}
	case c.Type == "":
		c.From.Time = cmp.Or(c.From.Time, time.Now().Add(-day))
		return c.reports(ctx, server, c.A, c.A, c.B)
	}
	return c.reports(ctx, server, c.A, c.B, c.Type)
}

// reports returns the IDs of the reports of two hosts, or of one at two times.
func (c diffCommand) reports(ctx context.Context, server *client.Client, a, b, reportType string) (from, to uuid.UUID, err error) {
	first, err := findHost(ctx, server, a)
	if err != nil {
		return from, to, err
	}
	second := first
	if b != a {
		if second, err = findHost(ctx, server, b); err != nil {
			return from, to, err
		}
	}
	before, err := reportAsOf(ctx, server, first, reportType, c.From)
	if hasCode(err, "unknown_report_type") && c.Type == "" {
		return from, to, fmt.Errorf("%w; to compare two hosts, say which reports with --type", err)
	}
	if err != nil {
		return from, to, err
	}
	after, err := reportAsOf(ctx, server, second, reportType, c.To)
	return before.ID, after.ID, err
}

// print prints the differences.
func (c diffCommand) print(in Invocation, diff wire.Diff) error {
	of := func(d wire.Difference) difference { return difference{d.Kind, d.Before, d.After} }
	path := col("PATH", func(d wire.Difference) any { return cmp.Or(d.Path, "(everything)") })
	switch c.Output {
	case asJSON:
		return printJSON(in.Stdout, diff)
	case asTable:
		if _, err := fmt.Fprintf(in.Stdout, "%s  from %s to %s\n", plain(diff.Type), refText(diff.From), refText(diff.To)); err != nil {
			return err
		}
		if len(diff.Items) == 0 {
			return c.same(in, diff)
		}
		_, _ = fmt.Fprintln(in.Stdout)
		taken := 0
		for _, d := range diff.Items {
			taken = max(taken, characters(d.Path)+2)
		}
		columns := []column[wire.Difference]{path, col("CHANGE", func(d wire.Difference) any { return of(d).text(room(in, taken)) })}
		if noted(diff.Items) {
			columns = append(columns, col("NOTE", func(d wire.Difference) any { return note(d.Unlearned) }))
		}
		return list(in, c.output, seqOf(diff.Items), columns...)
	}
	path = col("PATH", func(d wire.Difference) any { return d.Path })
	columns := append([]column[wire.Difference]{path}, columnsOf(of)...)
	return list(in, c.output, seqOf(diff.Items), append(columns, col("UNLEARNED", func(d wire.Difference) any { return d.Unlearned }))...)
}

// same says that there is nothing to tell, and why if that is no wonder.
func (diffCommand) same(in Invocation, diff wire.Diff) error {
	text := "no differences"
	if diff.From.ID == diff.To.ID {
		text += ": it is one and the same report"
	}
	_, err := fmt.Fprintln(in.Stdout, text)
	return err
}

// refText names a report.
func refText(r wire.ReportRef) string {
	return fmt.Sprintf("%s of %s (%s)", plain(r.Host), stamp(r.CreatedAt), r.ID)
}

func noted(items []wire.Difference) bool {
	for _, d := range items {
		if d.Unlearned != "" {
			return true
		}
	}
	return false
}

// note says why a difference is no change of the host.
func note(unlearned string) string {
	switch unlearned {
	case "unavailable":
		return "one of the reports could not tell"
	case "schema":
		return "it has another meaning in the other schema version"
	}
	return unlearned
}
