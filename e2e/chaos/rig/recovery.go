package rig

import (
	"slices"
	"time"
)

// A Span is a time from and up to a moment.
type Span struct{ From, To time.Time }

// union returns the spans in order, those that touch made one.
func union(spans []Span) []Span {
	ordered := slices.SortedFunc(slices.Values(spans), func(a, b Span) int { return a.From.Compare(b.From) })
	var all []Span
	for _, s := range ordered {
		if last := len(all) - 1; last >= 0 && !s.From.After(all[last].To) {
			if s.To.After(all[last].To) {
				all[last].To = s.To
			}
			continue
		}
		all = append(all, s)
	}
	return all
}

// within returns how much of s lies in the spans, which are a union.
func within(s Span, spans []Span) time.Duration {
	total := time.Duration(0)
	for _, o := range spans {
		from, to := o.From, o.To
		if s.From.After(from) {
			from = s.From
		}
		if s.To.Before(to) {
			to = s.To
		}
		if to.After(from) {
			total += to.Sub(from)
		}
	}
	return total
}

// intersect returns what lies in both unions.
func intersect(a, b []Span) []Span {
	var all []Span
	for _, s := range a {
		for _, o := range b {
			from, to := s.From, s.To
			if o.From.After(from) {
				from = o.From
			}
			if o.To.Before(to) {
				to = o.To
			}
			if to.After(from) {
				all = append(all, Span{from, to})
			}
		}
	}
	return all
}

// A Recovery says how long tasks did not end although they could have.
type Recovery struct {
	Longest time.Duration `json:"longest"` // from the end of a fault until a task ended
	Fault   int           `json:"fault"`   // the number of that fault
	Gap     time.Duration `json:"gap"`     // between the ends of two tasks, anywhere
	GapAt   time.Duration `json:"gap_at"`  // from the start of the run
	Drained time.Duration `json:"drained"` // from the end of the last fault until everything had ended
}

// recovery measures, from when tasks ended and when there was work, how long work waited that could have been done: times
// at which nothing was to be done do not count, and neither do those at which PostgreSQL was not to be had, because
// then nothing can end. It sets After of the faults.
func recovery(start time.Time, ends []time.Time, work, outages []Span, faults []Done) Recovery {
	work, outages = union(work), union(outages)
	lame := intersect(work, outages)
	waited := func(s Span) time.Duration { return within(s, work) - within(s, lame) }
	var r Recovery
	for i := range faults {
		f := &faults[i]
		if f.Skipped != "" {
			continue
		}
		next, _ := slices.BinarySearchFunc(ends, f.Ended, time.Time.Compare)
		if next == len(ends) {
			continue
		}
		f.After = waited(Span{f.Ended, ends[next]})
		if f.After > r.Longest {
			r.Longest, r.Fault = f.After, f.Number
		}
	}
	for i := 1; i < len(ends); i++ {
		if gap := waited(Span{ends[i-1], ends[i]}); gap > r.Gap {
			r.Gap, r.GapAt = gap, ends[i-1].Sub(start)
		}
	}
	return r
}
