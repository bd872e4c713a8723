package command

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"

	"github.com/google/uuid"

	"github.com/rollcallhq/rollcall/pkg/client"
	"github.com/rollcallhq/rollcall/pkg/wire"
)

// lastChanges is how many changes are shown unless somebody says otherwise.
const lastChanges = 50

type changesCommand struct {
	Host     string `arg:"" optional:"" help:"Name or ID; all hosts without it."`
	Selector string `short:"s" help:"Only on these hosts, such as 'env=prod and not role=db'." placeholder:"SELECTOR"`
	Type     string `short:"t" help:"Only in reports of this type, such as os." placeholder:"TYPE"`
	Path     string `short:"p" help:"Only at or below paths like this, such as 'packages.*.version'." placeholder:"PATTERN"`
	Since    moment `help:"Only from this time on: 24h ago, 2026-01-31, 2026-01-31T15:04:05Z." placeholder:"TIME"`
	Until    moment `help:"Only before this time." placeholder:"TIME"`
	Group    bool   `short:"g" help:"Show what hosts have in common once."`
	Follow   bool   `short:"f" help:"Go on with what changes from now on, until Ctrl-C."`
	Limit    *int   `short:"n" help:"How many, the newest ones (50, or all with --since), 0 for all." placeholder:"N"`
	output
}

// Help is what --help adds.
func (changesCommand) Help() string {
	return `Changes are printed like a log, the newest last: when, host, type of the report, path, and before → after.

  rollcall changes web-1 --since 24h                what changed on web-1 since yesterday
  rollcall changes -p 'packages.*.version' --group  which packages changed version, and on how many hosts
  rollcall changes -s env=prod -t users -n 10       the last 10 changes of accounts in production
  rollcall changes --follow -o ndjson | jq .path    everything from now on, for a program

In a PATTERN * stands for any part of a name and ** for any number of names; what lies below a path is meant, too.
Names that hold dots are quoted: 'packages."dpkg:libc6.1:amd64"'. Times without a zone are in UTC. With --group and
without --since the last 7 days are looked at. --follow outlives restarts of the server and misses nothing.`
}

// Run shows changes.
func (c changesCommand) Run(ctx context.Context, in Invocation) error {
	if err := c.check(); err != nil {
		return err
	}
	server, err := connect(in)
	if err != nil {
		return err
	}
	q := client.ChangeQuery{Selector: c.Selector, Type: c.Type, Path: c.Path, Since: c.Since.Time, Until: c.Until.Time}
	if c.Host != "" {
		host, err := findHost(ctx, server, c.Host)
		if err != nil {
			return err
		}
		q.HostID = host.ID
	}
	switch {
	case c.Group:
		return c.groups(ctx, in, server, q)
	case c.Follow:
		return c.print(in, newChangeLog(in), c.followed(ctx, in, server, q))
	case c.all():
		return c.print(in, newChangeLog(in), server.Changes(ctx, q, new(string), client.PageSize(maxPage)))
	}
	last, err := newest(in, c.limit(), server.LastChanges(ctx, q, client.PageSize(min(c.limit()+1, maxPage))))
	if err != nil {
		return err
	}
	log := newChangeLog(in)
	for _, change := range last {
		log.fit(change)
	}
	return c.print(in, log, seqOf(last))
}

func (c changesCommand) check() error {
	switch {
	case c.Host != "" && c.Selector != "":
		return usage{errors.New("give a host or --selector, not both")}
	case c.Limit != nil && *c.Limit < 0:
		return usage{errors.New("--limit is a number from 0 on")}
	case c.Follow && c.Group:
		return usage{errors.New("--follow shows each change as it comes; it cannot --group them")}
	case c.Follow && !c.Until.IsZero():
		return usage{errors.New("--follow has no end; leave --until out")}
	case !c.Since.IsZero() && !c.Until.IsZero() && !c.Since.Before(c.Until.Time):
		return usage{errors.New("--until is not after --since: nothing lies between")}
	}
	return nil
}

// all reports whether everything since --since or since ever is shown.
func (c changesCommand) all() bool {
	if c.Limit == nil {
		return !c.Since.IsZero()
	}
	return *c.Limit == 0
}

func (c changesCommand) limit() int {
	if c.Limit == nil {
		return lastChanges
	}
	return *c.Limit
}

// newest returns the first of things that come newest first, the oldest of them first, and says so if there are more;
// a limit of 0 is none.
func newest[T any](in Invocation, limit int, items iter.Seq2[T, error]) ([]T, error) {
	var first []T
	for item, err := range items {
		if err != nil {
			return nil, err
		}
		if limit > 0 && len(first) == limit {
			_, _ = fmt.Fprintf(in.Stderr, "These are the newest %d; -n 0 shows all.\n", limit)
			break
		}
		first = append(first, item)
	}
	slices.Reverse(first)
	return first, nil
}

// followed returns the changes that there are and those to come. The end of ctx is no error.
func (c changesCommand) followed(ctx context.Context, in Invocation, server *client.Client, q client.ChangeQuery) iter.Seq2[wire.Change, error] {
	lost := func(err error) { waiting(in, err) }
	return func(yield func(wire.Change, error) bool) {
		over, at, seen := false, "", map[uuid.UUID]bool{}
		pass := func(changes iter.Seq2[wire.Change, error]) {
			for change, err := range changes {
				over = ctx.Err() != nil || !yield(change, err) || err != nil
				if over {
					return
				}
			}
		}
		if !c.all() {
			at = client.Now
			pass(server.Changes(ctx, q, &at)) // none; at says where that is
		}
		if !c.all() && !over {
			pass(c.before(ctx, server, q, seen))
		}
		if !over {
			pass(unless(seen, server.FollowChanges(ctx, q, &at, lost)))
		}
	}
}

// before returns the last changes, oldest first, and keeps in seen which they are: those that have come since the place
// in the feed was asked for are in the feed behind it, too.
func (c changesCommand) before(ctx context.Context, server *client.Client, q client.ChangeQuery, seen map[uuid.UUID]bool) iter.Seq2[wire.Change, error] {
	return func(yield func(wire.Change, error) bool) {
		last, err := newest(Invocation{}, 0, firstOf(c.limit(), server.LastChanges(ctx, q, client.PageSize(min(c.limit(), maxPage)))))
		if err != nil {
			yield(wire.Change{}, err)
			return
		}
		for _, change := range last {
			if seen[change.ID] = true; !yield(change, nil) {
				return
			}
		}
	}
}

// firstOf returns the first n items.
func firstOf[T any](n int, items iter.Seq2[T, error]) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		left := n
		for item, err := range items {
			if left--; !yield(item, err) || left == 0 {
				return
			}
		}
	}
}

// unless returns the changes that were not seen.
func unless(seen map[uuid.UUID]bool, changes iter.Seq2[wire.Change, error]) iter.Seq2[wire.Change, error] {
	return func(yield func(wire.Change, error) bool) {
		for change, err := range changes {
			if err == nil && seen[change.ID] {
				delete(seen, change.ID)
				continue
			}
			if !yield(change, err) {
				return
			}
		}
	}
}

// waiting says that the server is away.
func waiting(in Invocation, err error) {
	_, _ = fmt.Fprintf(in.Stderr, "%s. Waiting for it to come back; Ctrl-C ends it.\n", plain(err.Error()))
}
