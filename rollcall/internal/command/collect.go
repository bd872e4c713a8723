package command

import (
	"context"
	"fmt"
	"time"

	"github.com/rollcallhq/rollcall/pkg/wire"
)

type collectCommand struct {
	Selector    string        `arg:"" help:"Which hosts, in quotes: '*' for all, name=web-1, 'env=prod and not role=db'."`
	Types       []string      `short:"t" help:"Which reports, such as os,cpu; all without it." placeholder:"TYPE"`
	Priority    string        `help:"interactive (at most 50 hosts), normal or bulk." enum:"interactive,normal,bulk" default:"normal"`
	Deadline    time.Duration `help:"How long each host may take, over all attempts (2m)." placeholder:"TIME"`
	Expires     time.Duration `help:"How long a host may wait for its turn (24h)." placeholder:"TIME"`
	MaxParallel int           `help:"Ask at most so many hosts at once (as many as there are slots for)." placeholder:"N"`
	Wait        bool          `short:"w" help:"Wait until it has ended, and say how it went."`
	DryRun      bool          `short:"n" help:"Only say what would be done."`
	output
}

// Run collects reports.
func (c collectCommand) Run(ctx context.Context, in Invocation) error {
	request := wire.CollectionInput{Selector: &c.Selector, ReportTypes: c.Types, Priority: &c.Priority}
	var err error
	if request.DeadlineSeconds, err = wholeSeconds("--deadline", c.Deadline); err != nil {
		return err
	}
	if request.ExpiresSeconds, err = wholeSeconds("--expires", c.Expires); err != nil {
		return err
	}
	if c.MaxParallel < 0 {
		return usage{fmt.Errorf("--max-parallel: %d is not a number of hosts", c.MaxParallel)}
	}
	if c.MaxParallel > 0 {
		request.MaxParallel = &c.MaxParallel
	}
	server, err := connect(in)
	if err != nil {
		return err
	}
	if c.DryRun {
		preview, err := server.Preview(ctx, request)
		if err != nil {
			return err
		}
		return c.printPreview(in, preview)
	}
	collection, err := server.Collect(ctx, request)
	if err != nil {
		return err
	}
	return begun(ctx, in, server, collection, c.Wait, c.output)
}

// wholeSeconds returns a flag's time as the API takes it; nil without one.
func wholeSeconds(flag string, d time.Duration) (*int, error) {
	if d == 0 {
		return nil, nil //nolint:nilnil // the server has a default
	}
	if d < 0 || d%time.Second != 0 {
		return nil, usage{fmt.Errorf("%s: %s is not a number of whole seconds, such as 90s or 2m", flag, d)}
	}
	return new(int(d / time.Second)), nil
}

func (c collectCommand) printPreview(in Invocation, p wire.Preview) error {
	columns := []column[wire.PreviewHost]{
		col("NAME", func(h wire.PreviewHost) any { return h.Name }),
		col("SITE", func(h wire.PreviewHost) any { return h.Site }),
		col("ID", func(h wire.PreviewHost) any { return h.ID }),
	}
	if c.Output == asJSON {
		return printJSON(in.Stdout, p)
	}
	if err := list(in, c.output, seqOf(p.Hosts), columns...); err != nil || c.Output != asTable {
		return err
	}
	if more := p.Total - len(p.Hosts); more > 0 {
		_, _ = fmt.Fprintf(in.Stdout, "… and %d more\n", more)
	}
	printSkipped(in, p.Skipped)
	_, err := fmt.Fprintf(in.Stdout, "%d hosts would be asked for %s. -o json shows the script that would run on each.\n", p.Total, exact(p.ReportTypes))
	return err
}

// maxNames bounds how many hosts are named in a line.
const maxNames = 5

func printSkipped(in Invocation, skipped []wire.Skipped) {
	for i, s := range skipped {
		if i == maxNames {
			_, _ = fmt.Fprintf(in.Stdout, "… and %d more are skipped\n", len(skipped)-i)
			return
		}
		_, _ = fmt.Fprintf(in.Stdout, "%s is skipped: %s\n", plain(s.Host), plain(s.Reason))
	}
}
