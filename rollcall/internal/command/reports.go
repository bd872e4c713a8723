package command

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"time"

	"github.com/google/uuid"

	"github.com/rollcallhq/rollcall/pkg/client"
	"github.com/rollcallhq/rollcall/pkg/wire"
)

type reportsCommand struct {
	Ls   reportsLsCommand   `cmd:"" help:"List reports, newest first."`
	Show reportsShowCommand `cmd:"" help:"Show a report, or the newest one of a host."`
}

type reportsLsCommand struct {
	Host  string    `arg:"" optional:"" help:"Name or ID; all hosts without it."`
	Type  string    `short:"t" help:"Only reports of this type, such as os." placeholder:"TYPE"`
	Since time.Time `help:"Only reports from this time on, such as 2026-01-31T00:00:00Z." placeholder:"TIME" format:"2006-01-02T15:04:05Z07:00"`
	Until time.Time `help:"Only reports before this time." placeholder:"TIME" format:"2006-01-02T15:04:05Z07:00"`
	paging
	output
}

// Run lists reports.
func (c reportsLsCommand) Run(ctx context.Context, in Invocation) error {
	server, err := connect(in)
	if err != nil {
		return err
	}
	q := client.ReportQuery{Type: c.Type, Since: c.Since, Until: c.Until}
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
	output
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
	values, err := flatten(report)
	if err != nil {
		return err
	}
	return list(in, c.output, seqOf(values),
		col("PATH", func(v value) any { return v.path }),
		col("VALUE", func(v value) any { return v.text }))
}

func (c reportsShowCommand) find(ctx context.Context, server *client.Client) (wire.Report, error) {
	if c.Type == "" {
		id, err := uuid.Parse(c.Report)
		if err != nil {
			return wire.Report{}, usage{errors.New("give the ID of a report, or a host and a type such as os")}
		}
		return server.Report(ctx, id)
	}
	host, err := findHost(ctx, server, c.Report)
	if err != nil {
		return wire.Report{}, err
	}
	return server.HostReport(ctx, host.ID, c.Type)
}

// A value is one leaf of a report.
type value struct{ path, text string }

// flatten returns the leaves of a report: facts, metrics, and what was unavailable and why.
func flatten(r wire.Report) ([]value, error) {
	var values []value
	for _, part := range []struct {
		name string
		raw  json.RawMessage
	}{{"facts", r.Facts}, {"metrics", r.Metrics}} {
		if len(part.raw) == 0 {
			continue
		}
		d := json.NewDecoder(bytes.NewReader(part.raw))
		d.UseNumber() // or large ones would change
		var v any
		if err := d.Decode(&v); err != nil {
			return nil, fmt.Errorf("reading the %s of the report: %w", part.name, err)
		}
		values = leaves(values, part.name, v)
	}
	for _, path := range slices.Sorted(maps.Keys(r.Unavailable)) {
		values = append(values, value{"unavailable." + path, r.Unavailable[path]})
	}
	return values, nil
}

func leaves(values []value, path string, v any) []value {
	switch v := v.(type) {
	case nil:
	case map[string]any:
		for _, name := range slices.Sorted(maps.Keys(v)) {
			values = leaves(values, path+"."+name, v[name])
		}
	case []any:
		for i, item := range v {
			values = leaves(values, path+"["+strconv.Itoa(i)+"]", item)
		}
	default:
		values = append(values, value{path, fmt.Sprint(v)})
	}
	return values
}
