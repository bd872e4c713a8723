package schedule

import (
	"strings"
	"time"
	_ "time/tzdata" // time zones by name, on machines that have none of their own

	"github.com/robfig/cron/v3"

	"github.com/rollcallhq/rollcall/pkg/fleet"
)

// A Timetable says when a schedule is due. Its zero value is never due.
type Timetable struct {
	every    time.Duration // of an @every; 0: it goes by spec
	spec     spec
	elapsed  bool // the hour or the minute is a wildcard
	location *time.Location
}

// minEvery is the shortest period of a schedule: nothing is gained by asking a machine more often.
const minEvery = time.Second

// ParseTimetable reads a cron expression of five fields, or six with seconds first, or a descriptor such as @daily or
// "@every 1h30m", in the time zone of that IANA name; the empty name means UTC.
//
// Where the clock is set forward or back, it does as cron does: an expression whose hour or minute field begins with *
// goes by what the clock shows as time passes, so that it is due in both of two repeated hours and not at all at times
// that the clock never shows. All others name times of the day: one that the clock skips is due at the first instant
// after the gap, and one that it shows twice is due the first time only. An @every counts elapsed time.
func ParseTimetable(expression, timezone string) (Timetable, error) {
	location, err := zone(timezone)
	if err != nil {
		return Timetable{}, err
	}
	return parseTimetable(expression, location)
}

// zone returns the time zone of an IANA name.
func zone(name string) (*time.Location, error) {
	if name == "" {
		return time.UTC, nil
	}
	location, err := time.LoadLocation(name)
	if err != nil || name == "Local" {
		return nil, fleet.InvalidField("timezone", "there is no such IANA time zone; an example is Europe/Berlin")
	}
	return location, nil
}

func parseTimetable(expression string, location *time.Location) (Timetable, error) {
	if len(expression) > 255 {
		return Timetable{}, fleet.InvalidField("cron", "longer than 255 characters")
	}
	t, err := parse(expression)
	if err != nil {
		return Timetable{}, err
	}
	t.location = location
	if t.every == 0 && t.Next(reference()).IsZero() {
		return Timetable{}, fleet.InvalidField("cron", "it is never due")
	}
	return t, nil
}

// parse reads the expression. The library panics on some malformed time zones inside an expression, which are
// refused before: the time zone has a field of its own.
func parse(expression string) (Timetable, error) {
	if strings.HasPrefix(expression, "TZ=") || strings.HasPrefix(expression, "CRO") {
		return Timetable{}, fleet.InvalidField("cron", "the time zone has a field of its own: timezone")
	}
	// The library rounds what is less than a second up to one, and fractions of a second down.
	if text, ok := strings.CutPrefix(expression, "@every "); ok {
		every, err := time.ParseDuration(text)
		if err != nil || every < minEvery || every%time.Second != 0 {
			return Timetable{}, fleet.InvalidField("cron", "@every takes whole seconds, and at least one")
		}
		return Timetable{every: every}, nil
	}
	parser := cron.NewParser(cron.SecondOptional | cron.Minute | cron.Hour | cron.Dom | cron.Month | cron.Dow | cron.Descriptor)
	parsed, err := parser.Parse(expression)
	bits, isSpec := parsed.(*cron.SpecSchedule)
	if err != nil || !isSpec {
		return Timetable{}, fleet.InvalidField("cron", "expected five fields (minute hour day month weekday), six with seconds first, "+
			"@daily or the like, or @every and a duration").WithCode("invalid_cron")
	}
	return Timetable{spec: spec(*bits), elapsed: hasWildcard(expression)}, nil
}

// hasWildcard reports whether the minute or the hour of an expression that could be read begins with a wildcard.
func hasWildcard(expression string) bool {
	fields := strings.Fields(expression)
	if len(fields) < 5 {
		return expression == "@hourly"
	}
	if len(fields) == 6 {
		fields = fields[1:]
	}
	return strings.ContainsAny(fields[0][:1]+fields[1][:1], "*?")
}

// Next returns the first moment after a time, in UTC, or the zero time if there is none within ten years.
func (t Timetable) Next(after time.Time) time.Time {
	switch {
	case t.every > 0:
		return after.UTC().Truncate(time.Second).Add(t.every)
	case t.location == nil:
		return time.Time{}
	}
	next := t.nextNamed
	if t.elapsed {
		next = t.nextShown
	}
	at, ok := next(after.Unix())
	if !ok {
		return time.Time{}
	}
	return time.Unix(at, 0).UTC()
}

// maxMissed bounds how many missed moments are counted one by one.
const maxMissed = 10_000

// A Gap is the moments from one that is due up to now.
type Gap struct {
	Last   time.Time // the latest moment
	Before time.Time // the one before it; zero if there is only one
	N      int       // how many there are, counted up to 10,000
}

// Missed returns the moments at or before now, beginning with due, which is one of them whatever now is.
func (t Timetable) Missed(due, now time.Time) Gap {
	gap := Gap{Last: due, N: 1}
	if t.every > 0 {
		if first := t.Next(due); !first.After(now) {
			since := now.Sub(first)
			k := since / t.every // how many came after the first
			gap = Gap{Last: first.Add(since - since%t.every), Before: due, N: int(min(k, maxMissed-2)) + 2}
			if k > 0 {
				gap.Before = gap.Last.Add(-t.every)
			}
		}
		return gap
	}
	for next := t.Next(due); !next.IsZero() && !next.After(now); next = t.Next(next) {
		if gap.N >= maxMissed {
			gap.Last = t.latest(next, now)
			gap.Before = t.latest(next, gap.Last.Add(-time.Second))
			return gap
		}
		gap.Before, gap.Last = gap.Last, next
		gap.N++
	}
	return gap
}

// latest returns the last moment at or before now; moment is one of them or the answer.
func (t Timetable) latest(moment, now time.Time) time.Time {
	low, high := moment.Unix()-1, now.Unix() // the moment after low is not after now, the one after high is
	for high-low > 1 {
		middle := low + (high-low)/2
		if next := t.Next(time.Unix(middle, 0)); !next.IsZero() && !next.After(now) {
			low = middle
		} else {
			high = middle
		}
	}
	return t.Next(time.Unix(low, 0))
}

// reference is when a timetable is looked at for what does not depend on the time. It precedes a leap day.
func reference() time.Time { return time.Date(2023, 1, 1, 0, 0, 0, 0, time.UTC) }

// shortest returns the shortest time between two moments, as a clock shows them that is never set.
func (t Timetable) shortest() time.Duration {
	if t.every > 0 {
		return t.every
	}
	t.location = time.UTC
	const manyMoments, manyYears = 5000, 9
	shortest := time.Duration(1<<63 - 1)
	at := t.Next(reference())
	for range manyMoments {
		next := t.Next(at)
		if next.IsZero() || next.After(reference().AddDate(manyYears, 0, 0)) || shortest == time.Second {
			break
		}
		shortest, at = min(shortest, next.Sub(at)), next
	}
	return shortest
}
