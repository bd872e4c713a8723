package command

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/rollcallhq/rollcall/pkg/client"
	"github.com/rollcallhq/rollcall/pkg/wire"
)

type schedulesCommand struct {
	Ls      schedulesLsCommand      `cmd:"" help:"List schedules, by name."`
	Add     schedulesAddCommand     `cmd:"" help:"Collect again and again."`
	Rm      schedulesRmCommand      `cmd:"" help:"Delete schedules. What they have collected stays."`
	Run     schedulesRunCommand     `cmd:"" help:"Collect at once what a schedule would."`
	Next    schedulesNextCommand    `cmd:"" help:"Show when a schedule is due next."`
	Firings schedulesFiringsCommand `cmd:"" help:"List what came of a schedule's moments, newest first."`
}

func scheduleColumns() []column[wire.Schedule] {
	return []column[wire.Schedule]{
		col("NAME", func(s wire.Schedule) any { return s.Name }),
		col("CRON", func(s wire.Schedule) any { return s.Cron }),
		col("TIMEZONE", func(s wire.Schedule) any { return s.Timezone }),
		col("SELECTOR", func(s wire.Schedule) any { return s.Selector }),
		col("REPORT TYPES", func(s wire.Schedule) any { return s.ReportTypes }),
		col("ENABLED", func(s wire.Schedule) any { return s.Enabled }),
		col("NEXT", func(s wire.Schedule) any { return s.NextAt }),
		col("ID", func(s wire.Schedule) any { return s.ID }),
	}
}

type schedulesLsCommand struct{ output }

// Run lists schedules.
func (c schedulesLsCommand) Run(ctx context.Context, in Invocation) error {
	server, err := connect(in)
	if err != nil {
		return err
	}
	return list(in, c.output, server.Schedules(ctx, client.PageSize(maxPage)), scheduleColumns()...)
}

type schedulesAddCommand struct {
	Name     string   `arg:"" help:"What to call it."`
	Cron     string   `arg:"" help:"When, in quotes: '0 3 * * *', '@every 1h', @daily."`
	Selector string   `arg:"" help:"Which hosts, in quotes, such as 'env=prod'."`
	Types    []string `short:"t" help:"Which reports, such as os,cpu; all without it." placeholder:"TYPE"`
	Timezone string   `help:"Where the clock of the cron expression is (UTC)." placeholder:"ZONE"`
	Priority string   `help:"How urgent it is: ${enum}." enum:"interactive,normal,bulk" default:"bulk"`
	Overlap  string   `help:"What to do while the last collection of it still runs: ${enum}." enum:"skip,allow" default:"skip"`
	Misfire  string   `help:"What to do about moments that were missed: ${enum}." enum:"skip,once" default:"once"`
	Disabled bool     `help:"Do not collect yet."`
	output
}

// Run adds a schedule.
func (c schedulesAddCommand) Run(ctx context.Context, in Invocation) error {
	server, err := connect(in)
	if err != nil {
		return err
	}
	added, err := server.AddSchedule(ctx, wire.ScheduleInput{
		Name: c.Name, Cron: c.Cron, Selector: c.Selector, ReportTypes: c.Types, Timezone: orNil(c.Timezone),
		Priority: &c.Priority, Overlap: &c.Overlap, Misfire: &c.Misfire, Enabled: new(!c.Disabled),
	})
	if err != nil {
		return err
	}
	if c.Output != asTable {
		return one(in, c.output, added, scheduleColumns()...)
	}
	next := "It is disabled."
	if added.NextAt != nil && added.Enabled {
		next = "It is due " + shown(added.NextAt) + "."
	}
	_, err = fmt.Fprintf(in.Stdout, "Added %s (%s). %s\n", added.Name, added.ID, next)
	return err
}

func findSchedule(ctx context.Context, server *client.Client, name string) (wire.Schedule, error) {
	return find("schedule", name, server.Schedules(ctx, client.PageSize(maxPage)),
		func(s wire.Schedule) (uuid.UUID, string) { return s.ID, s.Name })
}

// theSchedule returns the server and the schedule of that name.
func theSchedule(ctx context.Context, in Invocation, name string) (*client.Client, wire.Schedule, error) {
	server, err := connect(in)
	if err != nil {
		return nil, wire.Schedule{}, err
	}
	schedule, err := findSchedule(ctx, server, name)
	return server, schedule, err
}

type schedulesRmCommand struct {
	Schedules []string `arg:"" name:"schedule" help:"Names or IDs."`
}

// Run deletes schedules.
func (c schedulesRmCommand) Run(ctx context.Context, in Invocation) error {
	server, err := connect(in)
	if err != nil {
		return err
	}
	return each(in, c.Schedules, func(name string) (string, error) {
		schedule, err := findSchedule(ctx, server, name)
		if err == nil {
			err = server.RemoveSchedule(ctx, schedule.ID)
		}
		return "Deleted " + schedule.Name + ".", err
	})
}

type schedulesRunCommand struct {
	Schedule string `arg:"" help:"Name or ID."`
	Wait     bool   `short:"w" help:"Wait until it has ended, and say how it went."`
	output
}

// Run collects what the schedule would.
func (c schedulesRunCommand) Run(ctx context.Context, in Invocation) error {
	server, schedule, err := theSchedule(ctx, in, c.Schedule)
	if err != nil {
		return err
	}
	collection, err := server.RunSchedule(ctx, schedule.ID)
	if err != nil {
		return err
	}
	return begun(ctx, in, server, collection, c.Wait, c.output)
}

type schedulesNextCommand struct {
	Schedule string `arg:"" help:"Name or ID."`
	N        int    `short:"n" name:"n" help:"How many moments, at most 100." default:"10"`
	output
}

// Run prints when the schedule is due next.
func (c schedulesNextCommand) Run(ctx context.Context, in Invocation) error {
	server, schedule, err := theSchedule(ctx, in, c.Schedule)
	if err != nil {
		return err
	}
	moments, err := server.NextFirings(ctx, schedule.ID, c.N)
	if err != nil {
		return err
	}
	items := make([]wire.Moment, 0, len(moments))
	for _, at := range moments {
		items = append(items, wire.Moment{DueAt: at})
	}
	return list(in, c.output, seqOf(items),
		col("DUE AT", func(m wire.Moment) any { return m.DueAt.UTC().Format(time.RFC3339) }),
		col("WHEN", func(m wire.Moment) any { return m.DueAt }))
}

type schedulesFiringsCommand struct {
	Schedule string `arg:"" help:"Name or ID."`
	paging
	output
}

// Run lists a schedule's firings.
func (c schedulesFiringsCommand) Run(ctx context.Context, in Invocation) error {
	server, schedule, err := theSchedule(ctx, in, c.Schedule)
	if err != nil {
		return err
	}
	return list(in, c.output, cut(in, c.paging, server.Firings(ctx, schedule.ID, client.PageSize(c.size()))),
		col("DUE AT", func(f wire.Firing) any { return f.DueAt }),
		col("FIRED AT", func(f wire.Firing) any { return f.FiredAt }),
		col("COLLECTION", func(f wire.Firing) any { return f.CollectionID }),
		col("REASON", func(f wire.Firing) any { return f.Reason }))
}
