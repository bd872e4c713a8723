package command

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"github.com/google/uuid"

	"github.com/rollcallhq/rollcall/pkg/client"
	"github.com/rollcallhq/rollcall/pkg/fleet"
	"github.com/rollcallhq/rollcall/pkg/wire"
)

type schedulesCommand struct {
	Ls      schedulesLsCommand      `cmd:"" help:"List schedules, by name."`
	Show    schedulesShowCommand    `cmd:"" help:"Show one schedule."`
	Add     schedulesAddCommand     `cmd:"" help:"Collect again and again."`
	Set     schedulesSetCommand     `cmd:"" help:"Change a schedule; what is not named stays."`
	Pause   schedulesPauseCommand   `cmd:"" help:"Let schedules pause. What would be due meanwhile is not made up for."`
	Resume  schedulesResumeCommand  `cmd:"" help:"Let schedules go on, from now."`
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

type schedulesLsCommand struct {
	Paused bool `help:"Only those that pause."`
	output
}

// Run lists schedules.
func (c schedulesLsCommand) Run(ctx context.Context, in Invocation) error {
	server, err := connect(in)
	if err != nil {
		return err
	}
	q := client.ScheduleQuery{}
	if c.Paused {
		q.Enabled = new(false)
	}
	return list(in, c.output, server.Schedules(ctx, q, client.PageSize(maxPage)), scheduleColumns()...)
}

type schedulesShowCommand struct {
	Schedule string `arg:"" help:"Name or ID."`
	output
}

// Run shows one schedule.
func (c schedulesShowCommand) Run(ctx context.Context, in Invocation) error {
	_, schedule, err := theSchedule(ctx, in, c.Schedule)
	if err != nil {
		return err
	}
	return one(in, c.output, schedule, append(scheduleColumns(), scheduleDetails()...)...)
}

func scheduleDetails() []column[wire.Schedule] {
	return []column[wire.Schedule]{
		col("PRIORITY", func(s wire.Schedule) any { return s.Priority }),
		col("JITTER", func(s wire.Schedule) any { return (time.Duration(s.JitterSeconds) * time.Second).String() }),
		col("OVERLAP", func(s wire.Schedule) any { return s.Overlap }),
		col("MISFIRE", func(s wire.Schedule) any { return s.Misfire }),
		col("BLACKOUTS", func(s wire.Schedule) any {
			var texts []string
			for _, b := range s.Blackouts {
				texts = append(texts, b.Blackout().String())
			}
			return texts
		}),
		col("ENDS", func(s wire.Schedule) any { return s.EndsAt }),
		col("WAITING", func(s wire.Schedule) any { return s.WaitingAt }),
		col("TRIED AGAIN", func(s wire.Schedule) any { return s.RetryAt }),
	}
}

// timing is what add and set have in common: flags that say when and how a schedule fires.
type timing struct {
	Timezone string   `help:"Where the clock of the cron expression is, an IANA name (UTC)." placeholder:"ZONE"`
	Priority string   `help:"How urgent it is: interactive, normal or bulk (bulk)." enum:"interactive,normal,bulk," default:"" placeholder:"PRIORITY"`
	Jitter   string   `help:"Spread the hosts over so long, each always at its own place, such as 10m; 0 for not (0)." placeholder:"TIME"`
	Overlap  string   `help:"What to do while the last collection of it still runs: skip the moment, queue one, or allow several at once (skip)." enum:"skip,queue,allow," default:"" placeholder:"skip|queue|allow"`
	Misfire  string   `help:"What to do about moments that were missed: skip them, or collect once for all of them (once)." enum:"skip,once," default:"" placeholder:"skip|once"`
	Blackout []string `sep:"none" help:"Collect nothing then, such as 'sat,sun 22:00-06:00', '12:00-13:00' or '2027-01-01T00:00:00Z/2027-01-02T00:00:00Z'; may be repeated; none for no blackouts." placeholder:"WHEN"`
	Ends     string   `help:"Fire nothing after it, such as 2027-01-31T00:00:00Z; never for no end." placeholder:"TIME"`
}

// apply writes what the flags say into a schedule's fields, and leaves alone what they do not say.
func (f timing) apply(timezone, priority, overlap, misfire **string, jitter **int, blackouts *[]wire.Blackout, ends **time.Time) error {
	for _, set := range []struct {
		flag  string
		field **string
	}{{f.Timezone, timezone}, {f.Priority, priority}, {f.Overlap, overlap}, {f.Misfire, misfire}} {
		if set.flag != "" {
			*set.field = &set.flag
		}
	}
	if f.Jitter != "" {
		d, err := time.ParseDuration(f.Jitter)
		if err != nil || d < 0 || d%time.Second != 0 {
			return fmt.Errorf("--jitter takes whole seconds, such as 90s or 10m, and not %q", f.Jitter)
		}
		*jitter = new(int(d / time.Second))
	}
	for _, text := range f.Blackout {
		if text == "none" {
			*blackouts = []wire.Blackout{}
			continue
		}
		b, err := fleet.ParseBlackout(text)
		if err != nil {
			return fmt.Errorf("--blackout takes days and times such as 'sat,sun 22:00-06:00', or two times with a slash, and not %q", text)
		}
		*blackouts = append(*blackouts, wire.BlackoutView(b))
	}
	if f.Ends != "" && f.Ends != "never" {
		at, err := time.Parse(time.RFC3339, f.Ends)
		if err != nil {
			return fmt.Errorf("--ends takes a time such as 2027-01-31T00:00:00Z, and not %q", f.Ends)
		}
		*ends = &at
	}
	return nil
}

type schedulesAddCommand struct {
	Name     string   `arg:"" help:"What to call it."`
	Cron     string   `arg:"" help:"When, in quotes: '0 3 * * *', '@every 1h', @daily."`
	Selector string   `arg:"" help:"Which hosts, in quotes, such as 'env=prod'."`
	Types    []string `short:"t" help:"Which reports, such as os,cpu; all without it." placeholder:"TYPE"`
	Disabled bool     `help:"Do not collect yet."`
	timing
	output
}

// Run adds a schedule.
func (c schedulesAddCommand) Run(ctx context.Context, in Invocation) error {
	s := wire.ScheduleInput{Name: c.Name, Cron: c.Cron, Selector: c.Selector, ReportTypes: c.Types, Enabled: new(!c.Disabled)}
	if err := c.apply(&s.Timezone, &s.Priority, &s.Overlap, &s.Misfire, &s.JitterSeconds, &s.Blackouts, &s.EndsAt); err != nil {
		return err
	}
	server, err := connect(in)
	if err != nil {
		return err
	}
	added, err := server.AddSchedule(ctx, s)
	if err != nil {
		return err
	}
	return scheduled(in, c.output, "Added", added)
}

// scheduled says what has become of a schedule.
func scheduled(in Invocation, o output, verb string, s wire.Schedule) error {
	if o.Output != asTable {
		return one(in, o, s, append(scheduleColumns(), scheduleDetails()...)...)
	}
	next := "It pauses."
	switch {
	case s.Enabled && s.NextAt != nil:
		next = "It is due " + shown(s.NextAt) + "."
	case s.Enabled:
		next = "It is never due again."
	}
	_, err := fmt.Fprintf(in.Stdout, "%s %s (%s). %s\n", verb, s.Name, s.ID, next)
	return err
}

type schedulesSetCommand struct {
	Schedule string   `arg:"" help:"Name or ID."`
	Name     string   `help:"What to call it from now on." placeholder:"NAME"`
	Cron     string   `help:"When, in quotes: '0 3 * * *', '@every 1h', @daily." placeholder:"CRON"`
	Selector string   `help:"Which hosts, in quotes, such as 'env=prod'." placeholder:"SELECTOR"`
	Types    []string `short:"t" help:"Which reports, such as os,cpu." placeholder:"TYPE"`
	timing
	output
}

// Run changes a schedule. A field that is cleared, such as an end, needs a null, which a patch of Go's types cannot say.
func (c schedulesSetCommand) Run(ctx context.Context, in Invocation) error {
	patch := wire.SchedulePatch{Name: orNil(c.Name), Cron: orNil(c.Cron), Selector: orNil(c.Selector), ReportTypes: c.Types}
	if err := c.apply(&patch.Timezone, &patch.Priority, &patch.Overlap, &patch.Misfire, &patch.JitterSeconds, &patch.Blackouts, &patch.EndsAt); err != nil {
		return err
	}
	var cleared []string
	if c.Ends == "never" {
		cleared = append(cleared, "ends_at")
	}
	if patch.Blackouts != nil && len(patch.Blackouts) == 0 {
		cleared = append(cleared, "blackouts")
	}
	server, schedule, err := theSchedule(ctx, in, c.Schedule)
	if err != nil {
		return err
	}
	changed, err := server.UpdateSchedule(ctx, schedule.ID, patch, cleared)
	if err != nil {
		return err
	}
	return scheduled(in, c.output, "Changed", changed)
}

type schedulesPauseCommand struct {
	Schedules []string `arg:"" name:"schedule" help:"Names or IDs."`
}

// Run pauses schedules.
func (c schedulesPauseCommand) Run(ctx context.Context, in Invocation) error {
	return enable(ctx, in, c.Schedules, false, "%s pauses.")
}

type schedulesResumeCommand struct {
	Schedules []string `arg:"" name:"schedule" help:"Names or IDs."`
}

// Run lets schedules go on.
func (c schedulesResumeCommand) Run(ctx context.Context, in Invocation) error {
	return enable(ctx, in, c.Schedules, true, "%s goes on.")
}

func enable(ctx context.Context, in Invocation, names []string, enabled bool, done string) error {
	server, err := connect(in)
	if err != nil {
		return err
	}
	return each(in, names, func(name string) (string, error) {
		schedule, err := findSchedule(ctx, server, name)
		if err == nil {
			_, err = server.UpdateSchedule(ctx, schedule.ID, wire.SchedulePatch{Enabled: &enabled}, nil)
		}
		return fmt.Sprintf(done, schedule.Name), err
	})
}

// findSchedule returns the schedule of that name, or of that ID.
func findSchedule(ctx context.Context, server *client.Client, name string) (wire.Schedule, error) {
	for schedule, err := range server.Schedules(ctx, client.ScheduleQuery{Name: name}) {
		return schedule, err
	}
	if id, err := uuid.Parse(name); err == nil {
		schedule, err := server.Schedule(ctx, id)
		if !isStatus(err, http.StatusNotFound) {
			return schedule, err
		}
	}
	return wire.Schedule{}, fmt.Errorf("there is no schedule %q; rollcall schedules ls shows which there are", name)
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
	return list(in, c.output, seqOf(moments),
		col("DUE AT", func(m wire.Moment) any { return m.DueAt.UTC().Format(time.RFC3339) }),
		col("WHEN", func(m wire.Moment) any { return m.DueAt }),
		col("BLACKOUT", func(m wire.Moment) any { return m.Blackout }))
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
		col("LATE", func(f wire.Firing) any {
			return (time.Duration(f.LatenessMS) * time.Millisecond).Round(time.Millisecond).String()
		}),
		col("OUTCOME", func(f wire.Firing) any { return f.Outcome }),
		col("MISSED", func(f wire.Firing) any { return f.Missed }),
		col("COLLECTION", func(f wire.Firing) any { return f.CollectionID }),
		col("REASON", func(f wire.Firing) any { return f.Reason }))
}
