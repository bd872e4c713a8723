package settings

import (
	"fmt"
	"strconv"
	"time"
)

// A Period is a span of the calendar: months, which have no fixed length, and a duration.
type Period struct {
	Months   int
	Duration time.Duration
}

// Months returns a period of n months.
func Months(n int) Period { return Period{Months: n} }

// Days returns a period of n times 24 hours.
func Days(n int) Period { return Period{Duration: time.Duration(n) * day} }

// Before returns the time that lies p before t. Where the month has no such day it is the last that it has: a
// month before 31 March is 28 or 29 February.
func (p Period) Before(t time.Time) time.Time {
	if p.Months != 0 {
		first := time.Date(t.Year(), t.Month(), 1, t.Hour(), t.Minute(), t.Second(), t.Nanosecond(), t.Location()).AddDate(0, -p.Months, 0)
		last := first.AddDate(0, 1, -1).Day()
		t = first.AddDate(0, 0, min(t.Day(), last)-1)
	}
	return t.Add(-p.Duration)
}

// String returns the period as it is written in the environment.
func (p Period) String() string {
	switch {
	case p.Months == 0:
		return durationText(p.Duration)
	case p.Duration == 0 && p.Months == 1:
		return "1month"
	case p.Duration == 0:
		return strconv.Itoa(p.Months) + "months"
	}
	return fmt.Sprintf("%dmonths and %s", p.Months, durationText(p.Duration))
}

// approximate is for comparing periods: a month counts 30 days.
func (p Period) approximate() time.Duration {
	return time.Duration(p.Months)*30*day + p.Duration
}

// Period returns a period between low and high, or def: 13months or 13mo, 30d or a Go duration. For the comparison a
// month has 30 days.
func (r *Reader) Period(name string, def, low, high Period, meaning string) Period {
	v := Variable{Name: name, Default: def.String(), Example: def.String(), Meaning: meaning}
	return read(r, v, def, func(s string) (Period, error) {
		p, err := parsePeriod(s)
		if err != nil || p.approximate() < low.approximate() || p.approximate() > high.approximate() {
			return Period{}, fmt.Errorf("is not a period between %s and %s; the units are months, d and those of Go's durations", low, high)
		}
		return p, nil
	})
}

func parsePeriod(s string) (Period, error) {
	if n, ok := countOf(s, "mo", "month", "months"); ok && n <= 1200 {
		return Months(n), nil
	}
	d, err := parseDuration(s)
	return Period{Duration: d}, err
}
