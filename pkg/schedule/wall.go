package schedule

import (
	"math/bits"
	"time"

	"github.com/robfig/cron/v3"
)

// Times on the wall are what a clock shows, written as seconds since 1970-01-01 00:00:00 on that clock; instants are
// seconds since then in UTC. In a time zone's period, in which its clocks are not set, they differ by the period's offset.

// A spec is the times on the wall at which a timetable is due, as sets of bits.
type spec cron.SpecSchedule

const (
	starBit    = 1 << 63 // of a field that is a star, as the library marks it
	daySeconds = 24 * 60 * 60
	// maxMonths is how far is looked for a day: the longest time between two leap days is eight years.
	maxMonths = 120
)

// next returns the first time on the wall after another one that the spec names.
func (s *spec) next(after int64) (int64, bool) {
	today := floorDiv(after+1, daySeconds)
	day, ok := s.day(today)
	if day == today && ok {
		if clock, ok := s.clock(int(after + 1 - day*daySeconds)); ok {
			return day*daySeconds + int64(clock), true
		}
		day, ok = s.day(today + 1)
	}
	if !ok {
		return 0, false
	}
	clock, ok := s.clock(0)
	return day*daySeconds + int64(clock), ok
}

// day returns the first day, from one on, that the spec names; days are counted from 1970-01-01.
func (s *spec) day(from int64) (int64, bool) {
	year, month, day := time.Unix(from*daySeconds, 0).UTC().Date()
	for range maxMonths {
		if s.Month&(1<<month) != 0 {
			if days := s.days(year, month) >> day << day; days != 0 {
				at := time.Date(year, month, bits.TrailingZeros64(days), 0, 0, 0, 0, time.UTC)
				return at.Unix() / daySeconds, true
			}
		}
		if month++; month > time.December {
			year, month = year+1, time.January
		}
		day = 1
	}
	return 0, false
}

// days returns the days of a month that the spec names. A day has to be right by both of the fields of days unless both
// are given, as cron has it.
func (s *spec) days(year int, month time.Month) uint64 {
	weekday := time.Date(year, month, 1, 0, 0, 0, 0, time.UTC).Weekday()
	length := time.Date(year, month+1, 0, 0, 0, 0, 0, time.UTC).Day()
	var byWeekday, all uint64
	for day := 1; day <= length; day++ {
		all |= 1 << day
		if s.Dow&(1<<weekday) != 0 {
			byWeekday |= 1 << day
		}
		weekday = (weekday + 1) % 7
	}
	if (s.Dom|s.Dow)&starBit != 0 {
		return all & s.Dom & byWeekday
	}
	return all & (s.Dom | byWeekday)
}

// clock returns the first time of the day, in seconds, from one on, that the spec names.
func (s *spec) clock(from int) (int, bool) {
	hour, minute, second := from/3600, from/60%60, from%60
	if found := firstBit(s.Hour, hour); found != hour {
		hour, minute, second = found, 0, 0
	}
	if found := firstBit(s.Minute, minute); found != minute {
		minute, second = found, 0
	}
	if minute < 60 {
		second = firstBit(s.Second, second)
		if second >= 60 {
			second = firstBit(s.Second, 0)
			minute = firstBit(s.Minute, minute+1)
		}
	}
	if minute >= 60 {
		hour, minute, second = firstBit(s.Hour, hour+1), firstBit(s.Minute, 0), firstBit(s.Second, 0)
	}
	return hour*3600 + minute*60 + second, hour < 24 && minute < 60 && second < 60
}

// firstBit returns the lowest bit from one on, and 64 if there is none. The star's mark is none.
func firstBit(set uint64, from int) int {
	return bits.TrailingZeros64((set &^ starBit) >> from << from)
}

func floorDiv(a, b int64) int64 {
	q := a / b
	if a%b < 0 {
		q--
	}
	return q
}

// A period is a time in which a zone's clocks are not set: from start to before end, with one offset from UTC.
type period struct{ start, end, offset int64 }

// forever is beyond every instant, and bears adding to.
const forever = 1 << 62

func (t Timetable) periodAt(instant int64) period {
	at := time.Unix(instant, 0).In(t.location)
	_, offset := at.Zone()
	p := period{start: -forever, end: forever, offset: int64(offset)}
	start, end := at.ZoneBounds()
	if !start.IsZero() {
		p.start = start.Unix()
	}
	if !end.IsZero() {
		p.end = end.Unix()
	}
	if p.end <= instant { // what package time says of the last day of leap years that no table of a zone reaches
		p.end = instant + daySeconds
	}
	return p
}

// maxOffset is beyond the farthest that any zone has ever been from UTC.
const maxOffset = 26 * 3600

// first returns the first instant at which the clock shows a time, or, if it skips that, the first after the gap.
func (t Timetable) first(wall int64) int64 {
	for p := t.periodAt(wall - maxOffset); ; p = t.periodAt(p.end) {
		switch at := wall - p.offset; {
		case at < p.start:
			return p.start
		case at < p.end:
			return at
		}
	}
}

// nextNamed is Next for times of the day: those that the clock skips or repeats are due once. first never falls while the
// time on the wall rises, so that the answer belongs to the first time on the wall that none has been due for.
func (t Timetable) nextNamed(after int64) (int64, bool) {
	p := t.periodAt(after)
	wall := after + p.offset
	if p.start != -forever { // after the clock was set back, it has shown more than it shows now
		wall = max(wall, p.start+t.periodAt(p.start-1).offset-1)
	}
	for {
		named, ok := t.spec.next(wall)
		if !ok {
			return 0, false
		}
		if at := t.first(named); at > after {
			return at, true
		}
		wall = named
	}
}

// nextShown is Next for what goes by whatever the clock shows as time passes.
func (t Timetable) nextShown(after int64) (int64, bool) {
	const tenYears = 10 * 366 * daySeconds
	for p := t.periodAt(after + 1); ; p = t.periodAt(p.end) {
		from := max(after, p.start-1)
		wall, ok := t.spec.next(from + p.offset)
		if !ok {
			return 0, false
		}
		if at := wall - p.offset; at < p.end {
			return at, true
		}
		if p.end-after > tenYears {
			return 0, false
		}
	}
}
