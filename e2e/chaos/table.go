package main

import (
	"cmp"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/rollcallhq/rollcall/e2e/chaos/ledger"
	"github.com/rollcallhq/rollcall/e2e/chaos/plan"
	"github.com/rollcallhq/rollcall/e2e/chaos/rig"
)

// table prints the result for people.
func table(w io.Writer, r rig.Result) error {
	out := &strings.Builder{}
	columns := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	line := func(name, format string, args ...any) {
		_, _ = fmt.Fprintf(columns, "%s\t%s\n", name, fmt.Sprintf(format, args...)) // into memory
	}
	v := r.Verdict
	line("seed", "%d", r.Seed)
	line("faults", "%s", faults(r))
	line("took", "%s, %d hosts, PostgreSQL's disk: %s", round(r.Took), r.Hosts, r.Disk)
	line("requests", "%d in %d tries; no answer to %d, outcome of %d unknown, %d refused", r.Load.Requests, r.Load.Tries,
		r.Load.GivenUp, r.Load.Unknown, r.Load.Refused)
	line("accepted", "%d collections (%d answers were repeated), and %d whose answer was lost", v.Accepted, r.Load.Replayed, v.Unanswered)
	line("ended", "%d tasks of %d: %s", v.Ended, v.Asked, counted(v.States))
	line("not succeeded", "%s", cmp.Or(counted(v.Codes), "none"))
	line("executions", "%d by the hosts' own count, %d of them repeated, %d attempts", v.Executions, v.Repeated, v.Attempts)
	line("longest recovery", "%s (fault %d), longest gap %s at %s, all ended %s after the last fault",
		round(r.Recovery.Longest), r.Recovery.Fault, round(r.Recovery.Gap), round(r.Recovery.GapAt), round(r.Recovery.Drained))
	if len(r.Deaths) > 0 {
		line("ended by themselves", "%s", counted(r.Deaths))
	}
	line("lost", "%d", v.Lost.Count)
	line("doubled", "%d", v.Doubled.Count)
	line("wrong", "%d", v.Wrong.Count+len(r.Refusals))
	if err := columns.Flush(); err != nil {
		return err
	}
	kinds(out, r.Faults)
	for _, refusal := range r.Refusals {
		_, _ = fmt.Fprintf(out, "wrong: %s\n", refusal)
	}
	for name, found := range map[string]ledger.Findings{"lost": v.Lost, "doubled": v.Doubled, "wrong": v.Wrong} {
		for _, example := range found.Examples {
			_, _ = fmt.Fprintf(out, "%s: %s\n", name, example)
		}
	}
	_, err := io.WriteString(w, out.String())
	return err
}

func faults(r rig.Result) string {
	skipped := 0
	for _, f := range r.Faults {
		if f.Skipped != "" {
			skipped++
		}
	}
	text := strconv.Itoa(len(r.Faults) - skipped)
	if skipped > 0 {
		text += fmt.Sprintf(", and %d left out", skipped)
	}
	return text
}

// kinds prints a line for each kind of fault.
func kinds(out io.Writer, faults []rig.Done) {
	columns := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprint(columns, "\nfault\tdone\tlongest recovery\n")
	for _, kind := range plan.Kinds() {
		n, longest, skipped := 0, time.Duration(0), ""
		for _, f := range faults {
			switch {
			case f.Kind != kind:
			case f.Skipped != "":
				skipped = f.Skipped
			default:
				n++
				longest = max(longest, f.After)
			}
		}
		text := round(longest).String()
		if skipped != "" {
			text = "left out: " + skipped
		}
		_, _ = fmt.Fprintf(columns, "%s\t%d\t%s\n", kind, n, text)
	}
	_ = columns.Flush() // into memory
}

func counted(counts map[string]int) string {
	var parts []string
	for _, name := range slices.Sorted(maps.Keys(counts)) {
		parts = append(parts, fmt.Sprintf("%d %s", counts[name], name))
	}
	return strings.Join(parts, ", ")
}

func round(d time.Duration) time.Duration { return d.Round(100 * time.Millisecond) }
