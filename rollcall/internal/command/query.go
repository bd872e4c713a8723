package command

import (
	"context"
	"fmt"
	"iter"
	"slices"
	"time"

	"github.com/rollcallhq/rollcall/pkg/client"
	"github.com/rollcallhq/rollcall/pkg/facts"
	"github.com/rollcallhq/rollcall/pkg/fleet"
	"github.com/rollcallhq/rollcall/pkg/wire"
)

type queryCommand struct {
	Type     string   `arg:"" help:"Of the reports, such as os."`
	Paths    []string `arg:"" optional:"" name:"path" help:"Of facts, as rollcall reports show HOST TYPE lists them; all facts without any."`
	Selector string   `short:"s" help:"Only of these hosts, such as 'env=prod and not role=db', as they are labelled now." placeholder:"SELECTOR"`
	AsOf     moment   `help:"As the facts stood then: 24h ago, 2026-01-31, 2026-01-31T15:04:05Z." placeholder:"TIME"`
	output
}

// Help is what --help adds.
func (queryCommand) Help() string {
	return `One line for each host that has reports of the type, or had them then, however many that are:

  rollcall query os kernel.release timezone                    what each host runs
  rollcall query os kernel.release -s env=prod --as-of 7d      what production ran a week ago
  rollcall query packages 'packages."dpkg:openssl:amd64".version' -o csv > openssl.csv
  rollcall query os -s name=web-1                              all there is, one fact a line

Names that hold dots are quoted. An empty cell is nothing, or a null. CONFIRMED is when the facts of a host were last
seen to hold; a table shows it if that was before TIME for some host, or without TIME more than a day ago. As JSON the
values of a host are under their paths, and all facts under the empty one. Times without a zone are in UTC.`
}

// Run shows facts of many hosts.
func (c queryCommand) Run(ctx context.Context, in Invocation) error {
	paths, err := readPaths(c.Paths)
	if err != nil {
		return err
	}
	server, err := connect(in)
	if err != nil {
		return err
	}
	q := client.FactQuery{Type: c.Type, Select: paths, Selector: c.Selector, AsOf: c.AsOf.Time}
	rows := server.Query(ctx, q)
	if len(paths) == 0 {
		return c.printAll(in, rows)
	}
	told := false
	rows = orNothing(paths, rows, func(row wire.QueryRow, none []string) {
		report, err := reportAsOf(ctx, server, wire.Host{ID: row.HostID, Name: row.Host}, c.Type, c.AsOf)
		if err != nil {
			report = wire.Report{} // which would have said what may have been meant
		}
		sayMissing(in, none, report)
		told = true
	})
	if c.Output == asTable {
		all, failed := gather(rows)
		if len(all) == 0 && failed == nil && told {
			return nil
		}
		return list(in, c.output, andThen(all, failed), c.tableColumns(in, paths, all)...)
	}
	columns := rowColumns()
	for _, path := range paths {
		columns = append(columns, valueColumn(path, 0))
	}
	return list(in, c.output, rows, columns...)
}

// readPaths returns the canonical forms of paths.
func readPaths(texts []string) ([]string, error) {
	var paths []string
	for _, text := range texts {
		path, err := facts.ParsePath(text)
		if err != nil {
			return nil, usage{fmt.Errorf("%s: %s\n  %s", text, fleet.MessageOf(err), aboutPaths)}
		}
		paths = append(paths, path.String())
	}
	return paths, nil
}

// rowColumns returns the columns of a row that every form for programs begins with.
func rowColumns() []column[wire.QueryRow] {
	return []column[wire.QueryRow]{
		col("HOST", func(r wire.QueryRow) any { return r.Host }),
		col("HOST ID", func(r wire.QueryRow) any { return r.HostID }),
		col("CONFIRMED AT", func(r wire.QueryRow) any { return r.ConfirmedAt }),
	}
}

// valueColumn returns the column of what is at a path, in at most so many characters; 0 is without a bound.
func valueColumn(path string, most int) column[wire.QueryRow] {
	return column[wire.QueryRow]{name: path, verbatim: true, value: func(r wire.QueryRow) any {
		if !holds(r, path) {
			return ""
		}
		return shorten(bare(r.Values[path]), most)
	}}
}

// holds reports whether a host has something at a path.
func holds(r wire.QueryRow, path string) bool {
	raw := r.Values[path]
	return len(raw) > 0 && string(raw) != "null"
}

// tableColumns returns the columns of a table of rows.
func (c queryCommand) tableColumns(in Invocation, paths []string, rows []wire.QueryRow) []column[wire.QueryRow] {
	columns := []column[wire.QueryRow]{col("HOST", func(r wire.QueryRow) any { return r.Host })}
	for _, path := range paths {
		columns = append(columns, valueColumn(path, room(in, 0)))
	}
	if slices.ContainsFunc(rows, c.isStale) {
		columns = append(columns, col("CONFIRMED", func(r wire.QueryRow) any { return stamp(r.ConfirmedAt) }))
	}
	return columns
}

// isStale reports whether nobody has seen that the facts still held at the time that was asked for, or of late.
func (c queryCommand) isStale(r wire.QueryRow) bool {
	if c.AsOf.IsZero() {
		return time.Since(r.ConfirmedAt) > day
	}
	return r.ConfirmedAt.Before(c.AsOf.Time)
}

// gather returns the items that come before an error, and the error.
func gather[T any](items iter.Seq2[T, error]) (all []T, failed error) {
	for item, err := range items {
		if err != nil {
			return all, err
		}
		all = append(all, item)
	}
	return all, nil
}

// andThen yields items and then the error, unless that is nil.
func andThen[T any](items []T, failed error) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		for _, item := range items {
			if !yield(item, nil) {
				return
			}
		}
		if failed != nil {
			var none T
			yield(none, failed)
		}
	}
}

// A factOf is one fact of a host.
type factOf struct {
	wire.QueryRow
	path, text string
}

// printAll prints all facts: a fact a line, or a host a document.
func (c queryCommand) printAll(in Invocation, rows iter.Seq2[wire.QueryRow, error]) error {
	if c.Output == asJSON || c.Output == asNDJSON {
		return list(in, c.output, rows)
	}
	hosts := 0
	leaves := func(yield func(factOf, error) bool) {
		for row, err := range rows {
			if err != nil {
				yield(factOf{}, err)
				return
			}
			hosts++
			for path, raw := range facts.Leaves(row.Values[""]) {
				if len(path) > 0 && string(raw) != "null" && !yield(factOf{row, path.String(), bare(raw)}, nil) {
					return
				}
			}
		}
	}
	columns := []column[factOf]{col("HOST", func(f factOf) any { return f.Host })}
	if c.Output != asTable {
		columns = append(columns,
			col("HOST ID", func(f factOf) any { return f.HostID }),
			col("CONFIRMED AT", func(f factOf) any { return f.ConfirmedAt }))
	}
	err := list(in, c.output, leaves, append(columns,
		col("PATH", func(f factOf) any { return f.path }),
		col("VALUE", func(f factOf) any { return f.text }))...)
	if err == nil && hosts > 1 && c.Output == asTable {
		_, err = fmt.Fprintln(in.Stderr, "These are all facts; with paths each host is one line, as rollcall query --help shows.")
	}
	return err
}
