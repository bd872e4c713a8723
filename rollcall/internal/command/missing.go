package command

import (
	"fmt"
	"iter"
	"slices"
	"strings"

	"github.com/rollcallhq/rollcall/pkg/facts"
	"github.com/rollcallhq/rollcall/pkg/wire"
)

// orNothing yields the rows, or none of them if no host has anything at any of the paths: what is asked for like that is
// not there. At the end say is called with the paths at which no host has anything, if there are any, and with the last
// of the rows.
func orNothing(paths []string, rows iter.Seq2[wire.QueryRow, error], say func(last wire.QueryRow, none []string)) iter.Seq2[wire.QueryRow, error] {
	return func(yield func(wire.QueryRow, error) bool) {
		none := slices.Clone(paths)
		var kept []wire.QueryRow // as long as nothing was found; there is nothing in them
		var last wire.QueryRow
		for row, err := range rows {
			if err == nil {
				last = row
				none = slices.DeleteFunc(none, func(path string) bool { return holds(row, path) })
				if len(none) == len(paths) {
					kept = append(kept, row)
					continue
				}
			}
			for _, k := range kept {
				if !yield(k, nil) {
					return
				}
			}
			if kept = nil; !yield(row, err) || err != nil {
				return
			}
		}
		if len(none) > 0 && last.Host != "" {
			say(last, none)
		}
	}
}

// sayMissing says at which paths no host has anything, and what the host of a report has that may have been meant. A
// report without facts has nothing.
func sayMissing(in Invocation, none []string, report wire.Report) {
	var paths []string
	for path, raw := range facts.Leaves(report.Facts) {
		if string(raw) != "null" {
			paths = append(paths, path.String())
		}
	}
	for _, path := range none {
		text := "No host has anything at " + path
		if found := near(path, paths); len(found) > 0 {
			text += "; " + report.Host + " has " + strings.Join(found, ", ")
		}
		_, _ = fmt.Fprintln(in.Stderr, plain(text)+".")
	}
	if len(paths) > 0 {
		_, _ = fmt.Fprintln(in.Stderr, plain(fmt.Sprintf("  rollcall reports show %s %s lists the paths of a host", report.Host, report.Type)))
	}
}
