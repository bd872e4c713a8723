package command

import (
	"bufio"
	"context"
	"fmt"
	"iter"
	"strings"

	"github.com/rollcallhq/rollcall/pkg/client"
	"github.com/rollcallhq/rollcall/pkg/wire"
)

// print prints changes, each as soon as it comes if they are followed.
func (c changesCommand) print(in Invocation, log *changeLog, changes iter.Seq2[wire.Change, error]) error {
	if c.Output == asTable {
		return log.print(changes, c.Follow, c.nothing())
	}
	show := list[wire.Change]
	if c.Follow {
		show = live[wire.Change]
	}
	columns := []column[wire.Change]{
		col("SEEN AT", func(c wire.Change) any { return c.SeenAt }),
		col("HOST", func(c wire.Change) any { return c.Host }),
		col("TYPE", func(c wire.Change) any { return c.Type }),
		col("PATH", func(c wire.Change) any { return c.Path }),
	}
	columns = append(columns, columnsOf(func(c wire.Change) difference { return difference{c.Kind, c.Before, c.After} })...)
	columns = append(columns,
		col("BEFORE SINCE", func(c wire.Change) any { return c.BeforeSince }),
		col("BEFORE REPORT ID", func(c wire.Change) any { return c.BeforeReportID }),
		col("AFTER REPORT ID", func(c wire.Change) any { return c.AfterReportID }),
		col("HOST ID", func(c wire.Change) any { return c.HostID }),
		col("ID", func(c wire.Change) any { return c.ID }))
	return show(in, c.output, changes, columns...)
}

// nothing returns what to say if there are no changes.
func (c changesCommand) nothing() string {
	if c.Path != "" {
		return "There are none. The paths that a host has are those that rollcall reports show HOST TYPE lists."
	}
	return "There are none."
}

// A changeLog prints changes for people, one a line.
type changeLog struct {
	in         Invocation
	host, kind int // characters of the longest host and type so far
}

func newChangeLog(in Invocation) *changeLog { return &changeLog{in: in} }

// fit makes room for a change, so that what is printed stands below each other.
func (l *changeLog) fit(c wire.Change) {
	l.host, l.kind = max(l.host, characters(plain(c.Host))), max(l.kind, characters(plain(c.Type)))
}

// line returns a change as a line.
func (l *changeLog) line(c wire.Change) string {
	l.fit(c)
	lead := stamp(c.SeenAt) + "  " + pad(plain(c.Host), l.host) + "  " + pad(plain(c.Type), l.kind) + "  " + plain(c.Path) + "  "
	d := difference{c.Kind, c.Before, c.After}
	return lead + plain(d.text(room(l.in, characters(lead))))
}

func (l *changeLog) print(changes iter.Seq2[wire.Change, error], atOnce bool, nothing string) error {
	out := bufio.NewWriter(l.in.Stdout)
	n := 0
	for change, err := range changes {
		if err != nil {
			_ = out.Flush() // the error says more
			return err
		}
		n++
		if _, err := fmt.Fprintln(out, l.line(change)); err != nil {
			return err
		}
		if atOnce {
			if err := out.Flush(); err != nil {
				return err
			}
		}
	}
	if n == 0 && !atOnce {
		_, _ = fmt.Fprintln(l.in.Stderr, nothing)
	}
	return out.Flush()
}

// groups shows what hosts have in common, what was seen last at the end.
func (c changesCommand) groups(ctx context.Context, in Invocation, server *client.Client, q client.ChangeQuery) error {
	size := maxPage
	if c.limit() > 0 {
		size = min(c.limit()+1, maxPage)
	}
	groups, err := newest(in, c.limit(), server.ChangeGroups(ctx, q, client.PageSize(size)))
	if err != nil {
		return err
	}
	of := func(g wire.ChangeGroup) difference { return difference{g.Kind, g.Before, g.After} }
	if c.Output != asTable {
		columns := []column[wire.ChangeGroup]{
			col("TYPE", func(g wire.ChangeGroup) any { return g.Type }),
			col("PATH", func(g wire.ChangeGroup) any { return g.Path }),
		}
		columns = append(columns, columnsOf(of)...)
		columns = append(columns,
			col("HOSTS", func(g wire.ChangeGroup) any { return g.Hosts }),
			col("SAMPLE", func(g wire.ChangeGroup) any { return names(g.Sample) }),
			col("FIRST SEEN AT", func(g wire.ChangeGroup) any { return g.FirstSeenAt }),
			col("LAST SEEN AT", func(g wire.ChangeGroup) any { return g.LastSeenAt }))
		return list(in, c.output, seqOf(groups), columns...)
	}
	if len(groups) == 0 {
		_, err := fmt.Fprintln(in.Stderr, c.nothing())
		return err
	}
	width := 0
	for _, g := range groups {
		width = max(width, characters(plain(g.Type)))
	}
	out := bufio.NewWriter(in.Stdout)
	for _, g := range groups {
		lead := stamp(g.LastSeenAt) + "  " + pad(plain(g.Type), width) + "  " + plain(g.Path) + "  "
		tail := "  " + onHosts(g)
		_, _ = fmt.Fprintln(out, lead+plain(of(g).text(room(in, characters(lead+tail))))+tail) // Flush reports what it could not do
	}
	return out.Flush()
}

func names(hosts []wire.HostRef) []string {
	names := make([]string, 0, len(hosts))
	for _, h := range hosts {
		names = append(names, h.Name)
	}
	return names
}

// onHosts returns which hosts a group is on.
func onHosts(g wire.ChangeGroup) string {
	hosts := names(g.Sample)
	if g.Hosts > len(hosts) {
		hosts = append(hosts, ellipsis)
	}
	noun := "hosts"
	if g.Hosts == 1 {
		noun = "host"
	}
	return fmt.Sprintf("on %d %s (%s)", g.Hosts, noun, plain(strings.Join(hosts, ", ")))
}
