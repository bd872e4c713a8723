package schedule_test

import (
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rollcallhq/rollcall/pkg/fleet"
	"github.com/rollcallhq/rollcall/pkg/schedule"
)

func TestParseTimetable(t *testing.T) {
	t.Parallel()
	from := time.Date(2026, 3, 28, 12, 0, 0, 0, time.UTC)
	tests := []struct {
		name, cron, zone string
		want             string // the first moment after from; empty: refused
	}{
		{"five fields", "30 2 * * *", "", "2026-03-29T02:30:00Z"},
		{"six fields begin with seconds", "15 30 2 * * *", "UTC", "2026-03-29T02:30:15Z"},
		{"every", "@every 90s", "", "2026-03-28T12:01:30Z"},
		{"daily in its zone", "@daily", "Europe/Berlin", "2026-03-28T23:00:00Z"},
		{"hourly", "@hourly", "Asia/Kolkata", "2026-03-28T12:30:00Z"},
		{"a weekday by name", "0 6 * * mon", "Asia/Tokyo", "2026-03-29T21:00:00Z"},
		{"a day of the month or of the week", "0 0 1 * tue", "", "2026-03-31T00:00:00Z"},
		{"a leap day", "0 0 29 2 *", "", "2028-02-29T00:00:00Z"},
		{"the last second of the year", "59 59 23 31 12 *", "", "2026-12-31T23:59:59Z"},
		{"an unknown zone", "@daily", "Mars/Olympus", ""},
		{"the machine's own zone is nobody's", "@daily", "Local", ""},
		{"a zone inside the expression", "TZ=UTC @daily", "", ""},
		{"four fields", "* * * *", "", ""},
		{"nonsense", "whenever", "", ""},
		{"nothing", "", "", ""},
		{"never due", "0 0 30 2 *", "", ""},
		{"a field of commas", ", 1 * * *", "", ""},
		{"more often than once a second", "@every 10ms", "", ""},
		{"every no time at all", "@every 0s", "", ""},
		{"backwards", "@every -5s", "", ""},
		{"every second and a half", "@every 1500ms", "", ""},
		{"a very long text", strings.Repeat("*", 300), "", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			table, err := schedule.ParseTimetable(tt.cron, tt.zone)
			if tt.want == "" {
				if fleet.KindOf(err) != fleet.Invalid {
					t.Fatalf("ParseTimetable = %v, want Invalid", err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if got := table.Next(from).Format(time.RFC3339); got != tt.want {
				t.Errorf("Next = %s, want %s", got, tt.want)
			}
		})
	}
	if got := (schedule.Timetable{}).Next(from); !got.IsZero() {
		t.Errorf("the zero timetable is due %s", got)
	}
}

func FuzzParseTimetable(f *testing.F) {
	for _, seed := range []string{"30 2 * * *", "@every 1s", "@daily", "TZ=", "CRON_TZ=x", "*/5 * * * * *", "1-5/2 * * * *", "0 0 29 2 ?"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		table, err := schedule.ParseTimetable(text, "Asia/Beirut")
		if err != nil {
			return
		}
		now := time.Now()
		if next := table.Next(now); !next.After(now) {
			t.Errorf("the next moment of %q after %s is %s", text, now, next)
		}
	})
}

// chance makes expressions and times, the same ones for one seed.
type chance struct{ *rand.Rand }

func (c chance) field(low, high int) string {
	a, b := low+c.IntN(high-low+1), low+c.IntN(high-low+1)
	switch c.IntN(5) {
	case 0:
		return "*"
	case 1:
		return fmt.Sprintf("*/%d", 1+c.IntN(high))
	case 2:
		return fmt.Sprintf("%d-%d", min(a, b), max(a, b))
	case 3:
		return fmt.Sprintf("%d,%d", a, b)
	default:
		return strconv.Itoa(a)
	}
}

func (c chance) expression() string {
	if c.IntN(10) == 0 {
		return "@every " + (time.Duration(1+c.IntN(100_000)) * time.Second).String()
	}
	fields := []string{c.field(0, 59), c.field(0, 59), c.field(0, 23), c.field(1, 31), c.field(1, 12), c.field(0, 6)}
	if c.IntN(3) > 0 {
		fields[0] = "0"
	}
	if c.IntN(2) == 0 {
		fields[3], fields[4] = "*", "*"
	}
	return strings.Join(fields, " ")
}

func TestTheLastDayOfALeapYearEnds(t *testing.T) {
	t.Parallel()
	for zone := range zones() {
		table := mustParse(t, "30 * 1 1 *", zone)
		from := time.Date(2044, 12, 31, 0, 0, 1, 0, location(t, zone))
		if got, want := table.Next(from), time.Date(2045, 1, 1, 0, 30, 0, 0, location(t, zone)); !got.Equal(want) {
			t.Errorf("%s: after %s it is due %s, want %s", zone, from, got, want)
		}
	}
}

// TestNextLeavesNoInstantOut: the next moment lies ahead, is whole seconds, comes no earlier for whoever asks later, and is
// the same for everybody who asks before it. For what goes by the clock, the clock shows something that is named.
func TestNextLeavesNoInstantOut(t *testing.T) {
	t.Parallel()
	c := chance{rand.New(rand.NewPCG(1, 2))}
	zones := []string{"UTC", "America/New_York", "Australia/Lord_Howe", "Africa/Cairo", "Asia/Beirut", "America/Sao_Paulo", "Pacific/Apia", "Africa/Casablanca", "Africa/Monrovia", "Asia/Gaza"}
	for range 4000 {
		expression, zone := c.expression(), zones[c.IntN(len(zones))]
		table, err := schedule.ParseTimetable(expression, zone)
		if err != nil {
			continue // the thirtieth of February
		}
		at := time.Unix(c.Int64N(80*365*86400), c.Int64N(1e9)) // 1970 to 2050
		if changed, _ := at.In(location(t, zone)).ZoneBounds(); c.IntN(2) == 0 && !changed.IsZero() {
			at = changed.Add(time.Duration(c.IntN(180)-90) * time.Minute)
		}
		next := table.Next(at)
		switch {
		case next.IsZero():
			t.Errorf("%q in %s is never due after %s", expression, zone, at)
			continue
		case !next.After(at), next.Nanosecond() != 0:
			t.Errorf("%q in %s is due %s after %s", expression, zone, next, at)
			continue
		case strings.HasPrefix(expression, "@every"):
			continue
		}
		for range 3 {
			between := at.Add(time.Duration(c.Int64N(int64(next.Sub(at)))))
			if again := table.Next(between); !again.Equal(next) {
				t.Errorf("%q in %s after %s is due %s, and after %s, which is in between, %s", expression, zone, at, next, between, again)
			}
		}
		if later := table.Next(next); !later.After(next) {
			t.Errorf("%q in %s is due %s and then %s", expression, zone, next, later)
		}
	}
}

func TestMissedMomentsCollapseIntoTheLast(t *testing.T) {
	t.Parallel()
	c := chance{rand.New(rand.NewPCG(3, 4))}
	for range 500 {
		expression := c.expression()
		table, err := schedule.ParseTimetable(expression, "Europe/Berlin")
		if err != nil {
			continue
		}
		due := table.Next(time.Unix(c.Int64N(60*365*86400), 0))
		now := due
		for range c.IntN(300) {
			now = table.Next(now)
		}
		now = now.Add(time.Duration(c.Int64N(int64(table.Next(now).Sub(now)))))
		moments := append([]time.Time{due}, momentsOf(table, due, now)...)
		got := table.Missed(due, now)
		if got.N != len(moments) || !got.Last.Equal(moments[len(moments)-1]) {
			t.Errorf("%q from %s to %s: %+v, want %d up to %s", expression, due, now, got, len(moments), moments[len(moments)-1])
		}
		if len(moments) > 1 && !got.Before.Equal(moments[len(moments)-2]) || len(moments) == 1 && !got.Before.IsZero() {
			t.Errorf("%q from %s to %s: %+v, of %v", expression, due, now, got, moments)
		}
	}
}

func TestAVeryLongGapIsJumpedOver(t *testing.T) {
	t.Parallel()
	for _, expression := range []string{"* * * * *", "* * * * * *", "*/7 0-3 * * *", "@every 1s", "@every 13s"} {
		table := mustParse(t, expression, "Europe/Berlin")
		due := table.Next(time.Date(2021, 1, 1, 0, 0, 0, 0, time.UTC))
		now := due.AddDate(4, 0, 0)
		got := table.Missed(due, now)
		if next := table.Next(got.Last); got.N != 10_000 || got.Last.After(now) || !next.After(now) {
			t.Errorf("%q: %+v, and the next is %s; now is %s", expression, got, next, now)
		}
		if !table.Next(got.Before).Equal(got.Last) {
			t.Errorf("%q: %+v, and the last is not the one after the one before it", expression, got)
		}
		if early := table.Missed(due, due.Add(-time.Hour)); early.N != 1 || !early.Last.Equal(due) {
			t.Errorf("%q: before anything is due: %+v", expression, early)
		}
	}
}

func BenchmarkNext(b *testing.B) {
	for _, expression := range []string{"30 2 * * *", "*/5 * * * *", "0 0 29 2 *", "@every 1h"} {
		table, err := schedule.ParseTimetable(expression, "Europe/Berlin")
		if err != nil {
			b.Fatal(err)
		}
		b.Run(expression, func(b *testing.B) {
			at := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
			for b.Loop() {
				at = table.Next(at)
				if at.Year() > 2100 {
					at = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
				}
			}
		})
	}
}
