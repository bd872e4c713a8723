package command

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// A moment is a time as people give it: how long ago, a date, or in full.
type moment struct{ time.Time }

// UnmarshalText reads 90m, 24h or 7d as that long ago, now, and dates and times, which are in UTC unless they say
// otherwise.
func (m *moment) UnmarshalText(text []byte) error {
	at, err := parseMoment(string(text), time.Now())
	m.Time = at
	return err
}

func parseMoment(text string, now time.Time) (time.Time, error) {
	if text == "now" {
		return now, nil
	}
	if ago, err := parseSpan(text); err == nil {
		return now.Add(-ago), nil
	}
	for _, form := range []string{time.RFC3339, time.DateOnly, minuteForm, secondForm, "2006-01-02T15:04Z07:00"} {
		if at, err := time.Parse(form, text); err == nil {
			return at.UTC(), nil
		}
	}
	return time.Time{}, fmt.Errorf("%q is no time: give how long ago (90m, 24h, 7d), a date (2026-01-31), or both date and time (2026-01-31T15:04:05Z)", text)
}

// How times are printed.
const (
	minuteForm = "2006-01-02 15:04Z07:00"
	secondForm = "2006-01-02 15:04:05Z07:00"
)

// stamp returns a time to the second; empty for the zero time.
func stamp(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(secondForm)
}

const maxDays = 100 * 365

// parseSpan reads 90s, 12h, 7d or 1d12h.
func parseSpan(text string) (time.Duration, error) {
	var span time.Duration
	if days, rest, ok := strings.Cut(text, "d"); ok {
		n, err := strconv.ParseUint(days, 10, 16)
		if err != nil || n > maxDays {
			return 0, fmt.Errorf("%q is not a number of days such as 90d", text)
		}
		if span = time.Duration(n) * day; rest == "" {
			return span, nil
		}
		text = rest
	}
	d, err := time.ParseDuration(text)
	if err != nil || d < 0 || d > maxDays*day {
		return 0, fmt.Errorf("%q is not a time such as 90d or 12h", text)
	}
	return span + d, nil
}

// A lifetime is how long something lives; it may be given in days.
type lifetime time.Duration

// UnmarshalText reads 90d, 12h or 30m.
func (l *lifetime) UnmarshalText(text []byte) error {
	d, err := parseSpan(string(text))
	if err == nil && d == 0 {
		err = fmt.Errorf("%q is not a time such as 90d or 12h", text)
	}
	*l = lifetime(d)
	return err
}

// A step is the distance of two points in time; a bare number is of seconds.
type step time.Duration

// UnmarshalText reads 300, 5m, 1h or 1d.
func (s *step) UnmarshalText(text []byte) error {
	if n, err := strconv.ParseUint(string(text), 10, 31); err == nil {
		text = fmt.Appendf(nil, "%ds", n)
	}
	d, err := parseSpan(string(text))
	if err != nil || d < time.Second || d%time.Second != 0 {
		return fmt.Errorf("%q is not a number of whole seconds such as 300, 5m, 1h or 1d", text)
	}
	*s = step(d)
	return nil
}
