package command

import (
	"context"
	"errors"
	"fmt"
	"maps"

	"github.com/google/uuid"

	"github.com/rollcallhq/rollcall/pkg/client"
	"github.com/rollcallhq/rollcall/pkg/wire"
)

type collectionsCommand struct {
	Ls     collectionsLsCommand     `cmd:"" help:"List collections, newest first."`
	Show   collectionsShowCommand   `cmd:"" help:"Show one collection, or how it went per host."`
	Watch  collectionsWatchCommand  `cmd:"" help:"Follow a collection until it has ended."`
	Cancel collectionsCancelCommand `cmd:"" help:"Cancel a collection: hosts that wait are not asked any more."`
	Retry  collectionsRetryCommand  `cmd:"" help:"Collect again from the hosts of a collection that failed."`
}

func collectionColumns() []column[wire.Collection] {
	return []column[wire.Collection]{
		col("ID", func(c wire.Collection) any { return c.ID }),
		col("STATE", func(c wire.Collection) any { return c.State }),
		col("KIND", func(c wire.Collection) any { return c.Kind }),
		col("SELECTOR", func(c wire.Collection) any { return c.Selector }),
		col("TOTAL", func(c wire.Collection) any { return c.Counts.Total }),
		col("SUCCEEDED", func(c wire.Collection) any { return c.Counts.Succeeded }),
		col("PARTIAL", func(c wire.Collection) any { return c.Counts.Partial }),
		col("FAILED", func(c wire.Collection) any { return c.Counts.Failed }),
		col("ACTOR", func(c wire.Collection) any { return c.Actor }),
		col("CREATED", func(c wire.Collection) any { return c.CreatedAt }),
	}
}

type collectionsLsCommand struct {
	paging
	output
}

// Run lists collections.
func (c collectionsLsCommand) Run(ctx context.Context, in Invocation) error {
	server, err := connect(in)
	if err != nil {
		return err
	}
	return list(in, c.output, cut(in, c.paging, server.Collections(ctx, client.PageSize(c.size()))), collectionColumns()...)
}

type collectionsShowCommand struct {
	ID    uuid.UUID `arg:"" help:"ID of the collection."`
	Tasks bool      `help:"List how it went per host."`
	State string    `help:"With --tasks: only those in this state." placeholder:"STATE"`
	Code  string    `help:"With --tasks: only those that failed with this code." placeholder:"CODE"`
	output
}

// Run shows one collection.
func (c collectionsShowCommand) Run(ctx context.Context, in Invocation) error {
	if !c.Tasks && c.State+c.Code != "" {
		return usage{errors.New("--state and --code pick from what --tasks lists, which is missing")}
	}
	server, err := connect(in)
	if err != nil {
		return err
	}
	if c.Tasks {
		q := client.TaskQuery{State: c.State, Code: c.Code}
		return list(in, c.output, server.Tasks(ctx, c.ID, q, client.PageSize(maxPage)), taskColumns()...)
	}
	collection, err := server.Collection(ctx, c.ID)
	if err != nil {
		return err
	}
	more := []column[wire.Collection]{
		col("QUEUED", func(c wire.Collection) any { return c.Counts.Queued }),
		col("RUNNING", func(c wire.Collection) any { return c.Counts.Running }),
		col("CANCELLED", func(c wire.Collection) any { return c.Counts.Cancelled }),
		col("ERRORS", func(c wire.Collection) any { return c.Errors }),
		col("REPORT TYPES", func(c wire.Collection) any { return c.ReportTypes }),
		col("PRIORITY", func(c wire.Collection) any { return c.Priority }),
		col("MAX PARALLEL", func(c wire.Collection) any { return c.MaxParallel }),
		col("STARTED", func(c wire.Collection) any { return c.StartedAt }),
		col("FINISHED", func(c wire.Collection) any { return c.FinishedAt }),
	}
	if err := one(in, c.output, collection, append(collectionColumns(), more...)...); err != nil || c.Output != asTable || len(collection.Errors) == 0 {
		return err
	}
	_, _ = fmt.Fprintln(in.Stdout)
	return summarize(ctx, in, server, collection)
}

func taskColumns() []column[wire.Task] {
	return []column[wire.Task]{
		col("HOST", func(t wire.Task) any { return t.Host }),
		col("STATE", func(t wire.Task) any { return t.State }),
		col("CODE", func(t wire.Task) any { return t.Code }),
		col("REPORTS", func(t wire.Task) any { return t.ReportErrors }),
		col("ATTEMPTS", func(t wire.Task) any { return t.Attempts }),
		col("STARTED", func(t wire.Task) any { return t.StartedAt }),
		col("FINISHED", func(t wire.Task) any { return t.FinishedAt }),
		col("DETAILS", taskDetails),
	}
}

// taskDetails adds to the details what is known of the end of what ran on the host, where it did not end by itself.
func taskDetails(t wire.Task) any {
	if t.Termination == nil {
		return t.Details
	}
	details := maps.Clone(t.Details)
	if details == nil {
		details = map[string]string{}
	}
	details["termination"] = *t.Termination
	return details
}

type collectionsWatchCommand struct {
	ID uuid.UUID `arg:"" help:"ID of the collection."`
	output
}

// Run follows a collection.
func (c collectionsWatchCommand) Run(ctx context.Context, in Invocation) error {
	server, err := connect(in)
	if err != nil {
		return err
	}
	collection, err := server.Collection(ctx, c.ID)
	if err != nil {
		return err
	}
	return follow(ctx, in, server, collection, c.output)
}

type collectionsCancelCommand struct {
	ID uuid.UUID `arg:"" help:"ID of the collection."`
	output
}

// Run cancels a collection.
func (c collectionsCancelCommand) Run(ctx context.Context, in Invocation) error {
	server, err := connect(in)
	if err != nil {
		return err
	}
	collection, err := server.Cancel(ctx, c.ID)
	if err != nil {
		return err
	}
	if c.Output != asTable {
		return one(in, c.output, collection, collectionColumns()...)
	}
	_, err = fmt.Fprintf(in.Stdout, "Cancelling; %d of %d hosts were done.\n", done(collection.Counts), collection.Counts.Total)
	return err
}

type collectionsRetryCommand struct {
	ID    uuid.UUID `arg:"" help:"ID of the collection."`
	State []string  `help:"Hosts whose tasks ended like this (failed,partial)." placeholder:"STATE"`
	Code  []string  `help:"Only hosts that failed with these codes." placeholder:"CODE"`
	Wait  bool      `short:"w" help:"Wait until it has ended, and say how it went."`
	output
}

// Run collects again from hosts of a collection.
func (c collectionsRetryCommand) Run(ctx context.Context, in Invocation) error {
	server, err := connect(in)
	if err != nil {
		return err
	}
	collection, err := server.Retry(ctx, c.ID, wire.RetryInput{States: c.State, Codes: c.Code})
	if err != nil {
		return err
	}
	return begun(ctx, in, server, collection, c.Wait, c.output)
}
