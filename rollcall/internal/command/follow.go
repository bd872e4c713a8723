package command

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/rollcallhq/rollcall/pkg/client"
	"github.com/rollcallhq/rollcall/pkg/fleet"
	"github.com/rollcallhq/rollcall/pkg/wire"
)

// begun tells of a collection that has begun, and follows it if that is asked for.
func begun(ctx context.Context, in Invocation, server *client.Client, c wire.Collection, wait bool, o output) error {
	if c.Delayed {
		_, _ = fmt.Fprintln(in.Stderr, "The queue does not answer; the collection is accepted and begins when it is back.")
	}
	if wait {
		return follow(ctx, in, server, c, o)
	}
	if o.Output != asTable {
		return one(in, o, c, collectionColumns()...)
	}
	printSkipped(in, c.Skipped)
	_, err := fmt.Fprintf(in.Stdout, "Collecting from %d hosts. Next: rollcall collections watch %s\n", c.Counts.Total, c.ID)
	return err
}

// follow shows how a collection goes until it has ended, and then how it went.
func follow(ctx context.Context, in Invocation, server *client.Client, c wire.Collection, o output) error {
	p := newProgress(in, c)
	var failed error
	for now, err := range server.Watch(ctx, c.ID) {
		if err != nil {
			failed = err
			break
		}
		c = now
		p.show(c)
	}
	p.stop()
	if ctx.Err() != nil {
		return left{fmt.Errorf("interrupted; the collection goes on: rollcall collections watch %s follows it, collections cancel ends it", c.ID)}
	}
	if failed != nil {
		return fmt.Errorf("lost sight of the collection, which goes on (rollcall collections watch %s): %w", c.ID, failed)
	}
	if o.Output != asTable {
		if err := one(in, o, c, collectionColumns()...); err != nil {
			return err
		}
		return outcome(c)
	}
	if err := summarize(ctx, in, server, c); err != nil {
		return err
	}
	return outcome(c)
}

// outcome returns the error that an ended collection amounts to.
func outcome(c wire.Collection) error {
	incomplete := c.Counts.Failed + c.Counts.Partial + c.Counts.Cancelled
	switch c.State {
	case "partial":
		return partly{fmt.Errorf("%d of %d %s failed or are incomplete", incomplete, c.Counts.Total, unit(c))}
	case "failed":
		if c.Kind == string(fleet.KindReseal) {
			return fmt.Errorf("resealing failed: none of %d seals is renewed", c.Counts.Total)
		}
		return fmt.Errorf("the collection failed: %d of %d hosts brought nothing", c.Counts.Failed, c.Counts.Total)
	case "cancelled":
		return errors.New("the collection was cancelled")
	}
	return nil
}

// summarize prints how a collection went, its failures rolled up by their code, and what to do about each.
func summarize(ctx context.Context, in Invocation, server *client.Client, c wire.Collection) error {
	took := ""
	if c.StartedAt != nil && c.FinishedAt != nil {
		took = " in " + c.FinishedAt.Sub(*c.StartedAt).Round(10*time.Millisecond).String()
	}
	printSkipped(in, c.Skipped)
	what := "hosts collected"
	if c.Kind == string(fleet.KindReseal) {
		what = "seals renewed"
	}
	_, err := fmt.Fprintf(in.Stdout, "%s: %d of %d %s%s.\n", c.State, c.Counts.Succeeded+c.Counts.Partial, c.Counts.Total, what, took)
	if err != nil {
		return err
	}
	for _, code := range slices.SortedFunc(maps.Keys(c.Errors), func(a, b string) int { return c.Errors[b] - c.Errors[a] }) {
		hosts, err := affected(ctx, server, c, code)
		if err != nil {
			return err
		}
		info := fleet.Code(code).Info()
		_, _ = fmt.Fprintf(in.Stdout, "\n%d × %s: %s\n", c.Errors[code], plain(code), info.Meaning)
		if hosts != "" {
			label := "Hosts"
			if c.Kind == string(fleet.KindReseal) {
				label = "Credentials"
			}
			_, _ = fmt.Fprintf(in.Stdout, "  %s: %s\n", label, plain(hosts))
		}
		_, _ = fmt.Fprintf(in.Stdout, "  What to do: %s\n", info.Remedy)
	}
	return nil
}

// affected names some hosts whose tasks ended with the code.
func affected(ctx context.Context, server *client.Client, c wire.Collection, code string) (string, error) {
	if c.Kind == string(fleet.KindReseal) {
		names, err := resealed(ctx, server, c, code)
		return strings.Join(names, ", "), err
	}
	names := make([]string, 0, maxNames+1)
	for task, err := range server.Tasks(ctx, c.ID, client.TaskQuery{Code: code}, client.PageSize(maxNames)) {
		if err != nil {
			return "", err
		}
		if names = append(names, task.Host); len(names) == maxNames {
			break
		}
	}
	slices.Sort(names)
	if more := c.Errors[code] - len(names); more > 0 && len(names) > 0 {
		names = append(names, fmt.Sprintf("and %d more", more))
	}
	return strings.Join(names, ", "), nil
}
