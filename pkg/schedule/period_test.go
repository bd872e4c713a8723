package schedule_test

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/rollcallhq/rollcall/pkg/schedule"
)

func timetable(t *testing.T, cron, zone string) schedule.Timetable {
	t.Helper()
	table, err := schedule.ParseTimetable(cron, zone)
	if err != nil {
		t.Fatalf("reading %s: %v", cron, err)
	}
	return table
}

func TestThePeriodIsTheLongestTimeBetweenTwoMoments(t *testing.T) {
	t.Parallel()
	const hour, day = time.Hour, 24 * time.Hour
	from := time.Date(2026, 3, 3, 10, 20, 30, 0, time.UTC)
	for _, tt := range []struct {
		name, cron, zone string
		want             time.Duration
	}{
		{"every so often is that often", "@every 90m", "UTC", 90 * time.Minute},
		{"every second is one", "@every 1s", "UTC", time.Second},
		{"hourly is an hour", "@hourly", "UTC", hour},
		{"daily in UTC is a day", "30 2 * * *", "UTC", day},
		{"daily where the clocks are set back is an hour more", "0 12 * * *", "Europe/Berlin", day + hour},
		{"every minute of the working hours leaves the weekend", "* 9-17 * * 1-5", "UTC", 2*day + 15*hour + time.Minute},
		{"with seconds it is the same", "*/10 * 9-17 * * 1-5", "UTC", 2*day + 15*hour + 10*time.Second},
		{"monthly is the longest month", "0 3 1 * *", "UTC", 31 * day},
		{"every minute of a month leaves the others", "* * * 1 *", "UTC", 334*day + time.Minute},
		{"twice a day is the longer part", "0 6,14 * * *", "UTC", 16 * hour},
		{"yearly is a year", "@yearly", "UTC", 365 * day},
		{"a leap day is four years", "0 0 29 2 *", "UTC", (3*365 + 366) * day},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if got := timetable(t, tt.cron, tt.zone).Period(from); got != tt.want {
				t.Errorf("%s in %s has the period %s, want %s", tt.cron, tt.zone, got, tt.want)
			}
		})
	}
}

// TestAPeriodThatIsSoundedIsTheOneThatIsWalked compares with every single moment of five weeks, which hold all that these
// timetables can do.
func TestAPeriodThatIsSoundedIsTheOneThatIsWalked(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(6, 14))
	from := time.Date(2026, 6, 1, 0, 0, 0, 0, time.UTC) // no clock is set in UTC
	for range 40 {
		first := r.IntN(20)
		last := first + r.IntN(24-first)
		weekday := 1 + r.IntN(3)
		cron := fmt.Sprintf("*/%d %d-%d * * %d-%d", 1+r.IntN(20), first, last, weekday, weekday+r.IntN(4))
		table := timetable(t, cron, "UTC")
		want, before := time.Duration(0), table.Next(from)
		for before.Sub(from) < 5*7*24*time.Hour {
			next := table.Next(before)
			want, before = max(want, next.Sub(before)), next
		}
		if got := table.Period(from); got != want {
			t.Errorf("%s has the period %s, want %s", cron, got, want)
		}
	}
}
