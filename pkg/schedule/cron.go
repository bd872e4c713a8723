// Package schedule is when to collect: schedules, what they mean, and firing them. Any number of processes may fire;
// none is special.
package schedule

import (
	"strings"
	"time"
	_ "time/tzdata" // time zones by name, on machines that have none of their own

	"github.com/robfig/cron/v3"

	"github.com/rollcallhq/rollcall/pkg/fleet"
)

// A Timetable says when a schedule is due.
type Timetable struct {
	spec     cron.Schedule
	location *time.Location
}

// minEvery is the shortest period of a schedule: nothing is gained by asking a machine more often.
const minEvery = time.Second

// ParseTimetable reads a cron expression of five fields, or six with seconds first, or a descriptor such as @daily or
// "@every 1h30m", in the time zone of that IANA name; the empty name means UTC.
func ParseTimetable(expression, timezone string) (Timetable, error) {
	if timezone == "" {
		timezone = "UTC"
	}
	location, err := time.LoadLocation(timezone)
	if err != nil || timezone == "Local" {
		return Timetable{}, fleet.InvalidField("timezone", "there is no such IANA time zone; an example is Europe/Berlin")
	}
	if len(expression) > 255 {
		return Timetable{}, fleet.InvalidField("cron", "longer than 255 characters")
	}
	spec, err := parse(expression)
	if err != nil {
		return Timetable{}, err
	}
	t := Timetable{spec: spec, location: location}
	if t.Next(time.Now()).IsZero() {
		return Timetable{}, fleet.InvalidField("cron", "it is never due")
	}
	return t, nil
}

// parse reads the expression. The library panics on some malformed time zones inside an expression, which are
// refused before: the time zone has a field of its own.
func parse(expression string) (cron.Schedule, error) {
	if len(expression) >= 3 && (expression[:3] == "TZ=" || expression[:3] == "CRO") {
		return nil, fleet.InvalidField("cron", "the time zone has a field of its own: timezone")
	}
	parser := cron.NewParser(cron.SecondOptional | cron.Minute | cron.Hour | cron.Dom | cron.Month | cron.Dow | cron.Descriptor)
	spec, err := parser.Parse(expression)
	if err != nil {
		return nil, fleet.InvalidField("cron", "expected five fields (minute hour day month weekday), six with seconds first, "+
			"@daily or the like, or @every and a duration").WithCode("invalid_cron")
	}
	// The library rounds what is less than a second up to one, and fractions of a second down.
	if text, ok := strings.CutPrefix(expression, "@every "); ok {
		if every, err := time.ParseDuration(text); err != nil || every < minEvery || every%time.Second != 0 {
			return nil, fleet.InvalidField("cron", "@every takes whole seconds, and at least one")
		}
	}
	return spec, nil
}

// Next returns the first moment after t, in UTC, or the zero time if there is none within five years.
func (t Timetable) Next(after time.Time) time.Time {
	next := t.spec.Next(after.In(t.location))
	if next.IsZero() {
		return next
	}
	return next.UTC()
}

// maxMissed bounds how many missed moments are walked through; beyond that, time is made up for by jumping.
const maxMissed = 10_000

// Missed returns the last moment at or before now, starting with due, and how many moments there were; due itself
// is one of them.
func (t Timetable) Missed(due, now time.Time) (last time.Time, n int) {
	last, n = due, 1
	for next := t.Next(due); !next.IsZero() && !next.After(now); next = t.Next(next) {
		last = next
		if n++; n >= maxMissed {
			return now.UTC().Truncate(time.Second), n
		}
	}
	return last, n
}
