package schedule

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/rollcallhq/rollcall/pkg/fleet"
)

// days returns the days of the week as they are written, Sunday first.
func days() []string { return []string{"sun", "mon", "tue", "wed", "thu", "fri", "sat"} }

// A window is a fleet.Blackout that has been read.
type window struct {
	fleet.Blackout
	days     [7]bool // on which a weekly one begins
	from, to int     // of a weekly one, in minutes since midnight
}

// readBlackouts returns the windows, and the blackouts as they are written best, or what is wrong with one of them.
func readBlackouts(blackouts []fleet.Blackout) ([]window, []fleet.Blackout, error) {
	if len(blackouts) > fleet.MaxBlackouts {
		return nil, nil, fleet.InvalidField("blackouts", "at most %d", fleet.MaxBlackouts)
	}
	windows := make([]window, 0, len(blackouts))
	written := make([]fleet.Blackout, 0, len(blackouts))
	for i, b := range blackouts {
		w, err := readBlackout(fmt.Sprintf("blackouts[%d]", i), b)
		if err != nil {
			return nil, nil, err
		}
		windows, written = append(windows, w), append(written, w.Blackout)
	}
	return windows, written, nil
}

func readBlackout(field string, b fleet.Blackout) (window, error) {
	w := window{Blackout: b}
	weekly, once := len(b.Days) > 0 || b.From != "" || b.To != "", b.StartsAt != nil || b.EndsAt != nil
	switch {
	case weekly == once:
		return w, fleet.InvalidField(field, "give from and to, and days if it is not every day, or starts_at and ends_at")
	case once && (b.StartsAt == nil || b.EndsAt == nil || !b.EndsAt.After(*b.StartsAt)):
		return w, fleet.InvalidField(field+".ends_at", "starts_at and an ends_at after it are needed")
	case once:
		w.StartsAt, w.EndsAt = new(b.StartsAt.UTC()), new(b.EndsAt.UTC())
		return w, nil
	}
	w.Days = nil
	for _, name := range b.Days {
		day := slices.Index(days(), strings.ToLower(name))
		if day < 0 {
			return w, fleet.InvalidField(field+".days", "there are mon, tue, wed, thu, fri, sat and sun")
		}
		w.days[day] = true
	}
	for _, day := range []int{1, 2, 3, 4, 5, 6, 0} {
		if w.days[day] {
			w.Days = append(w.Days, days()[day])
		}
	}
	if len(w.Days) == 0 {
		w.days = [7]bool{true, true, true, true, true, true, true}
	}
	var ok bool
	if w.from, ok = readClock(b.From); !ok || w.from == 24*60 {
		return w, fleet.InvalidField(field+".from", "a time of the day is needed, from 00:00 to 23:59")
	}
	if w.to, ok = readClock(b.To); !ok {
		return w, fleet.InvalidField(field+".to", "a time of the day is needed, from 00:00 to 24:00")
	}
	if w.from == w.to {
		return w, fleet.InvalidField(field+".to", "it is the same as from; a whole day is from 00:00 to 24:00")
	}
	return w, nil
}

// readClock returns the minutes since midnight of HH:MM, up to 24:00.
func readClock(text string) (int, bool) {
	if text == "24:00" {
		return 24 * 60, true
	}
	at, err := time.Parse("15:04", text)
	return at.Hour()*60 + at.Minute(), err == nil && len(text) == len("15:04")
}

// covers reports whether an instant, in the schedule's time zone, lies within the window.
func (w window) covers(at time.Time) bool {
	if w.StartsAt != nil {
		return !at.Before(*w.StartsAt) && at.Before(*w.EndsAt)
	}
	minute, today := at.Hour()*60+at.Minute(), at.Weekday()
	if w.from < w.to {
		return w.days[today] && w.from <= minute && minute < w.to
	}
	return w.days[today] && w.from <= minute || w.days[(today+6)%7] && minute < w.to
}

func (w window) String() string {
	if w.StartsAt != nil {
		return w.StartsAt.Format(time.RFC3339) + " to " + w.EndsAt.Format(time.RFC3339)
	}
	when := "every day"
	if len(w.Days) > 0 {
		when = strings.Join(w.Days, ", ")
	}
	return when + " from " + w.From + " to " + w.To
}
