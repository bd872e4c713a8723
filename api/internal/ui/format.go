package ui

import (
	"fmt"
	"html/template"
	"strings"
	"time"

	"github.com/rollcallhq/rollcall/pkg/fleet"
)

func functions() template.FuncMap {
	return template.FuncMap{
		"at": at, "iso": iso, "stamp": stamp, "seconds": seconds, "plural": plural, "span": span, "reason": reasonInWords, "join": strings.Join,
		"late": late, "why": why, "bytes": showBytes, "size": func(n int64) string { return showBytes(float64(n)) },
		"rows":   func(now time.Time, rows any) part { return part{Now: now, Rows: rows} },
		"ofhost": func(now time.Time, rows any) part { return part{Now: now, Rows: rows, One: true} },
		"lone":   func(now time.Time, rows any) part { return part{Now: now, Rows: rows, Lone: true} },
		"feed":   func(now time.Time, rows any) part { return part{Now: now, Rows: rows, ID: "feed"} },
		"view":   func(now time.Time, view factsView) part { return part{Now: now, View: view} },
		"wrong":  func(field string, wrong map[string]string) wrongField { return wrongField{field, wrong[field]} },
		"done":   func(c fleet.Counts) int { return c.Total - c.Queued - c.Running },
	}
}

// A part is what a part of a page is made of that is used on several.
type part struct {
	Now  time.Time
	Rows any
	View factsView
	ID   string // of the element
	One  bool   // whether all is about the host of the page
	Lone bool   // whether it has the width of the page for itself
}

// A moment is a time as a page shows it: how long ago, with the time itself behind it.
type moment struct {
	Time time.Time
	Ago  string
}

// at returns the moment t as seen from now; the zero moment for a time that nobody knows.
func at(now time.Time, t any) moment {
	switch t := t.(type) {
	case time.Time:
		if !t.IsZero() {
			return moment{t, ago(now, t)}
		}
	case *time.Time:
		if t != nil {
			return moment{*t, ago(now, *t)}
		}
	}
	return moment{}
}

// ago returns the time from t to now in one unit.
func ago(now, t time.Time) string {
	d := now.Sub(t)
	switch {
	case d < -2*time.Second:
		return "in " + span(-d)
	case d < 2*time.Second:
		return "just now"
	default:
		return span(d) + " ago"
	}
}

// span returns a length of time in one unit.
func span(d time.Duration) string {
	switch {
	case d < 2*time.Minute:
		return fmt.Sprintf("%d s", int(d.Seconds()))
	case d < 2*time.Hour:
		return fmt.Sprintf("%d min", int(d.Minutes()))
	case d < 48*time.Hour:
		return fmt.Sprintf("%d h", int(d.Hours()))
	default:
		return fmt.Sprintf("%d days", int(d.Hours()/24))
	}
}

// stamp returns t as people read it, iso as machines do.
func stamp(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05 UTC") }

func iso(t time.Time) string { return t.UTC().Format(time.RFC3339Nano) }

// seconds returns the time between two moments, to a hundredth.
func seconds(from, to *time.Time) string {
	if from == nil || to == nil {
		return ""
	}
	return fmt.Sprintf("%.2f s", to.Sub(*from).Seconds())
}

// why returns the reason of a firing without the outcome that it begins with.
func why(f fleet.Firing) string {
	return strings.TrimPrefix(strings.TrimPrefix(f.Reason, string(f.Outcome)), ": ")
}

// late returns how long after its moment a firing was decided.
func late(f fleet.Firing) string {
	d := max(0, f.FiredAt.Sub(f.DueAt))
	if d < 10*time.Second {
		return fmt.Sprintf("%.2f s", d.Seconds())
	}
	return span(d)
}

// plural returns the number with the word for so many.
func plural(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}

// reasonInWords returns why something is not known, as a collector noted it, for people.
func reasonInWords(reason string) string {
	switch reason {
	case "no_permission":
		return "the account that collects may not read it"
	case "tool_missing":
		return "the host lacks the tool that would tell"
	case "not_applicable":
		return "the host has nothing of the kind"
	case "no_answer":
		return "the host asked somebody else, who did not answer"
	case "unsettled":
		return "it was changing when the host was asked"
	case "timed_out":
		return "the host did not answer in time"
	case "truncated":
		return "the answer was too long and was cut off"
	case "parse_failed":
		return "the answer could not be read"
	case "denied":
		return "the host refused to answer"
	case "os_unsupported":
		return "not asked on this operating system"
	default:
		return strings.ReplaceAll(reason, "_", " ")
	}
}
