package command

import (
	"context"
	"fmt"
	"time"

	"github.com/rollcallhq/rollcall/pkg/wire"
)

type systemCommand struct {
	Storage   systemStorageCommand   `cmd:"" help:"What the database holds, how it grows, and how the housekeeping went."`
	Retention systemRetentionCommand `cmd:"" help:"How long types of report are kept."`
}

type systemStorageCommand struct {
	Output string `short:"o" help:"table or json." enum:"table,json" default:"table" placeholder:"FORMAT"`
}

// Run prints what the database holds.
func (c systemStorageCommand) Run(ctx context.Context, in Invocation) error {
	server, err := connect(in)
	if err != nil {
		return err
	}
	storage, err := server.Storage(ctx)
	if err != nil {
		return err
	}
	if c.Output == asJSON {
		return printJSON(in.Stdout, storage)
	}
	table := output{Output: asTable}
	if err := list(in, table, seqOf(storage.Tables), storageColumns(storage)...); err != nil {
		return err
	}
	if _, err := fmt.Fprintln(in.Stdout); err != nil {
		return err
	}
	if err := list(in, table, seqOf(storage.Jobs), jobColumns()...); err != nil {
		return err
	}
	_, err = fmt.Fprintf(in.Stdout, "\nThe database takes %s; partitions exist for %d months ahead.\n", byteText(storage.DatabaseBytes), storage.MonthsAhead)
	for _, f := range storage.Forecasts {
		if err == nil {
			_, err = fmt.Fprintf(in.Stdout, "In %d days: %s.\n", f.Days, byteText(f.Bytes))
		}
	}
	if len(storage.Forecasts) == 0 && err == nil {
		_, err = fmt.Fprintln(in.Stdout, "How it grows is not known yet: that takes two samples, an hour apart.")
	}
	return err
}

func storageColumns(s wire.Storage) []column[wire.StorageTable] {
	columns := []column[wire.StorageTable]{
		col("TABLE", func(t wire.StorageTable) any { return t.Name }),
		col("ROWS", func(t wire.StorageTable) any { return t.Rows }),
		col("SIZE", func(t wire.StorageTable) any { return byteText(t.Size.TotalBytes) }),
		col("MONTHS", func(t wire.StorageTable) any { return len(t.Partitions) }),
		col("KEPT", func(t wire.StorageTable) any { return t.Kept }),
		col("A DAY", func(t wire.StorageTable) any {
			if t.Growth == nil {
				return nil
			}
			return byteText(int64(t.Growth.BytesPerDay))
		}),
	}
	for i, f := range s.Forecasts {
		columns = append(columns, col(fmt.Sprintf("IN %d DAYS", f.Days), func(t wire.StorageTable) any {
			if i >= len(t.Forecasts) {
				return nil
			}
			return byteText(t.Forecasts[i].Bytes)
		}))
	}
	return columns
}

func jobColumns() []column[wire.StorageJob] {
	return []column[wire.StorageJob]{
		col("HOUSEKEEPING", func(j wire.StorageJob) any { return j.Name }),
		col("EVERY", func(j wire.StorageJob) any { return (time.Duration(j.EverySeconds) * time.Second).String() }),
		col("LAST DONE", func(j wire.StorageJob) any { return j.DoneAt }),
		col("HELD BY", func(j wire.StorageJob) any { return j.Holder }),
		col("ERROR", func(j wire.StorageJob) any { return j.Error }),
	}
}

// byteText writes bytes with a unit of 1024: 1.5 MiB.
func byteText(n int64) string {
	value, units := float64(n), []string{"B", "KiB", "MiB", "GiB", "TiB", "PiB"}
	for len(units) > 1 && (value >= 1024 || value <= -1024) {
		value, units = value/1024, units[1:]
	}
	if units[0] == "B" {
		return fmt.Sprintf("%.0f B", value)
	}
	return fmt.Sprintf("%.1f %s", value, units[0])
}

type systemRetentionCommand struct {
	Ls    systemRetentionLsCommand    `cmd:"" default:"1" help:"List the types of report that are kept shorter than the others."`
	Set   systemRetentionSetCommand   `cmd:"" help:"Keep a type of report for so many days only. What is older is removed."`
	Unset systemRetentionUnsetCommand `cmd:"" help:"Keep types of report as long as the others again."`
}

func retentionColumns() []column[wire.TypeRetention] {
	return []column[wire.TypeRetention]{
		col("TYPE", func(r wire.TypeRetention) any { return r.Type }),
		col("DAYS", func(r wire.TypeRetention) any { return r.Days }),
		col("SET BY", func(r wire.TypeRetention) any { return r.SetBy }),
		col("SET AT", func(r wire.TypeRetention) any { return r.SetAt }),
	}
}

type systemRetentionLsCommand struct{ output }

// Run lists the types that are kept shorter.
func (c systemRetentionLsCommand) Run(ctx context.Context, in Invocation) error {
	server, err := connect(in)
	if err != nil {
		return err
	}
	types, err := server.Retention(ctx)
	if err != nil {
		return err
	}
	return list(in, c.output, seqOf(types), retentionColumns()...)
}

type systemRetentionSetCommand struct {
	Type string `arg:"" help:"Type of report, such as packages."`
	Days int    `arg:"" help:"How many days its reports are kept."`
	output
}

// Run keeps a type for so many days.
func (c systemRetentionSetCommand) Run(ctx context.Context, in Invocation) error {
	server, err := connect(in)
	if err != nil {
		return err
	}
	set, err := server.SetRetention(ctx, c.Type, c.Days)
	if err != nil {
		return err
	}
	return one(in, c.output, set, retentionColumns()...)
}

type systemRetentionUnsetCommand struct {
	Types []string `arg:"" name:"type" help:"Types of report."`
}

// Run keeps types as long as the others.
func (c systemRetentionUnsetCommand) Run(ctx context.Context, in Invocation) error {
	server, err := connect(in)
	if err != nil {
		return err
	}
	return each(in, c.Types, func(name string) (string, error) {
		return name + " is kept as long as the others again.", server.UnsetRetention(ctx, name)
	})
}
