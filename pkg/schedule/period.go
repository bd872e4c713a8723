package schedule

import "time"

// How far a period is looked for. A timetable that is due often is not walked through but sounded: what lies between two
// of its moments is found if it is longer than the time between two soundings.
const (
	walkMoments = 512
	walkHorizon = 366 * 24 * time.Hour
	soundNear   = time.Hour // apart, for as long as a month and its weekends
	nearHorizon = 35 * 24 * time.Hour
	soundFar    = 24 * time.Hour // apart, to the horizon
	longestGap  = 5 * 366 * 24 * time.Hour
)

// Period returns the longest time between two moments of the timetable that follow each other within a year or so from
// then on: of one that is due on weekdays only it is the time over the weekend. Where there is no second moment it is
// what remains of five years, the longest that a period can be.
func (t Timetable) Period(from time.Time) time.Duration {
	first := t.Next(from)
	if first.IsZero() {
		return longestGap
	}
	longest, last := time.Duration(0), first
	for range walkMoments {
		next := t.Next(last)
		if next.IsZero() {
			return longestGap
		}
		longest, last = max(longest, next.Sub(last)), next
		if last.Sub(from) > walkHorizon {
			return longest
		}
	}
	for at := last; at.Sub(from) < walkHorizon; {
		step := soundNear
		if at.Sub(from) > nearHorizon {
			step = soundFar
		}
		next := t.Next(at)
		if next.IsZero() {
			return longestGap
		}
		if t.Next(next.Add(-longest - time.Second)).Equal(next) { // nothing is due for longer than that before it
			longest = max(longest, next.Sub(t.begin(at.Add(-step), at, next)))
		}
		at = at.Add(step)
		if next.After(at) {
			at = next
		}
	}
	return longest
}

// begin returns the moment before next, to the second, looking for it between early and late: nothing is due between late
// and next.
func (t Timetable) begin(early, late, next time.Time) time.Time {
	for late.Sub(early) > time.Second {
		middle := early.Add(late.Sub(early) / 2)
		if t.Next(middle).Equal(next) {
			late = middle
		} else {
			early = middle
		}
	}
	return late.Truncate(time.Second)
}
