package schedule_test

import (
	"encoding/json"
	"fmt"
	"os/exec"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rollcallhq/rollcall/pkg/needs"
	"github.com/rollcallhq/rollcall/pkg/schedule"
)

// A change is when the clocks of a zone are set, as zdump tells it.
type change struct {
	at            time.Time // the first instant of the new offset
	before, after time.Time // what the clock would have shown then and what it shows, as if in UTC
}

func (c change) String() string {
	return fmt.Sprintf("%s: %s → %s", c.at.Format(time.RFC3339), c.before.Format(time.TimeOnly), c.after.Format(time.TimeOnly))
}

// by is how far the clocks are set forward.
func (c change) by() time.Duration { return c.after.Sub(c.before) }

var zdumpLine = regexp.MustCompile(`^\S+\s+(\w+ \w+ +\d+ \d\d:\d\d:\d\d \d{4}) UTC? = .* gmtoff=(-?\d+)$`)

// changes returns when the clocks of a zone are set, from the first of the years up to the last, as zdump tells it.
func changes(t *testing.T, zone string, years string) []change {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), needs.Program(t, "zdump", "libc-bin tzdata"), "-v", "-c", years, zone).Output()
	if err != nil {
		t.Fatalf("zdump: %v", err)
	}
	type line struct {
		at     time.Time
		offset int
	}
	var lines []line
	for text := range strings.Lines(string(out)) {
		m := zdumpLine.FindStringSubmatch(strings.TrimSpace(text))
		if m == nil {
			continue // the ends of time, which it lists too
		}
		at, err := time.Parse("Mon Jan _2 15:04:05 2006", m[1])
		if err != nil {
			t.Fatal(err)
		}
		offset, err := strconv.Atoi(m[2])
		if err != nil {
			t.Fatal(err)
		}
		lines = append(lines, line{at, offset})
	}
	var found []change
	for i := 1; i < len(lines); i++ {
		was, is := lines[i-1], lines[i]
		if is.at.Sub(was.at) == time.Second && was.offset != is.offset {
			found = append(found, change{
				at:     is.at,
				before: is.at.Add(time.Duration(was.offset) * time.Second),
				after:  is.at.Add(time.Duration(is.offset) * time.Second),
			})
		}
	}
	return found
}

// twoChanges returns a zone's newest two, one of which sets the clocks forward and one back.
func twoChanges(t *testing.T, zone, years string) (forward, back change) {
	t.Helper()
	for _, c := range changes(t, zone, years) {
		if c.by() > 0 {
			forward = c
		} else {
			back = c
		}
	}
	if forward.at.IsZero() || back.at.IsZero() {
		needs.Lacking(t, "zdump knows no two changes of %s in %s: apt-get install --no-install-recommends tzdata", zone, years)
	}
	return forward, back
}

func mustParse(t *testing.T, cron, zone string) schedule.Timetable {
	t.Helper()
	table, err := schedule.ParseTimetable(cron, zone)
	if err != nil {
		t.Fatalf("%q in %s: %v", cron, zone, err)
	}
	return table
}

func momentsOf(table schedule.Timetable, from, to time.Time) []time.Time {
	var found []time.Time
	for at := table.Next(from); !at.IsZero() && !at.After(to); at = table.Next(at) {
		found = append(found, at)
	}
	return found
}

// zones are those that the tests go through: the usual rules of both hemispheres, half an hour, gaps and repetitions at
// midnight, and a day that never was.
func zones() map[string]string {
	return map[string]string{
		"America/New_York":    "2024,2027",
		"Europe/Berlin":       "2024,2027",
		"Australia/Lord_Howe": "2024,2027",
		"Africa/Cairo":        "2024,2027",
		"Asia/Beirut":         "2024,2027",
		"America/Sao_Paulo":   "2017,2020",
		"Pacific/Apia":        "2011,2012",
	}
}

// TestMomentsOverChangesOfTheClock holds the moments of the day before and after each of two changes of the clock against
// those that a program finds by asking Python's zoneinfo about each single minute. The changes are those that zdump tells.
func TestMomentsOverChangesOfTheClock(t *testing.T) {
	t.Parallel()
	expressions := []string{
		"30 2 * * *", "0 0 * * *", "30 1 * * *", "15 0,1,2,3 * * *", "0 0-23 * * *", "45 23 * * *", "0 12 * * 5", "30 2 1 * *", "5 1 30 12 *",
		"*/5 * * * *", "0 * * * *", "30 */2 * * *", "*/20 2 * * *", "* 0 * * *", "45 1-3 1-31 * *",
	}
	for zone, years := range zones() {
		t.Run(zone, func(t *testing.T) {
			t.Parallel()
			forward, back := twoChanges(t, zone, years)
			for _, c := range []change{forward, back} {
				from, to := c.at.Add(-30*time.Hour).Truncate(time.Minute), c.at.Add(30*time.Hour).Truncate(time.Minute)
				for i, want := range otherOpinion(t, zone, from, to, expressions) {
					got := momentsOf(mustParse(t, expressions[i], zone), from, to)
					if !slices.EqualFunc(got, want, time.Time.Equal) {
						t.Errorf("%q around %s\n got %v\nwant %v", expressions[i], c, got, want)
					}
				}
			}
		})
	}
}

func otherOpinion(t *testing.T, zone string, from, to time.Time, expressions []string) [][]time.Time {
	t.Helper()
	args := []string{"testdata/moments.py", zone, strconv.FormatInt(from.Unix(), 10), strconv.FormatInt(to.Unix(), 10)}
	cmd := exec.CommandContext(t.Context(), needs.Program(t, "python3", "python3 tzdata"), append(args, expressions...)...)
	var complaint strings.Builder
	cmd.Stderr = &complaint
	out, err := cmd.Output()
	if strings.Contains(complaint.String(), "ZoneInfoNotFoundError") {
		needs.Lacking(t, "Python knows no zone %s: apt-get install --no-install-recommends tzdata", zone)
	}
	if err != nil {
		t.Fatalf("moments.py: %v: %s", err, &complaint)
	}
	var found [][]time.Time
	for decoder := json.NewDecoder(strings.NewReader(string(out))); decoder.More(); {
		var seconds []int64
		if err := decoder.Decode(&seconds); err != nil {
			t.Fatal(err)
		}
		var moments []time.Time
		for _, s := range seconds {
			moments = append(moments, time.Unix(s, 0).UTC())
		}
		found = append(found, moments)
	}
	if len(found) != len(expressions) {
		t.Fatalf("moments.py answered %d of %d", len(found), len(expressions))
	}
	return found
}

// TestATimeThatIsNotOrTwice asks about just the times that zdump says a zone's clocks skip and repeat.
func TestATimeThatIsNotOrTwice(t *testing.T) {
	t.Parallel()
	for zone, years := range zones() {
		t.Run(zone, func(t *testing.T) {
			t.Parallel()
			forward, back := twoChanges(t, zone, years)

			skipped := forward.before.Add(forward.by() / 2).Truncate(time.Minute) // a time on the wall that never was
			named := mustParse(t, fmt.Sprintf("%d %d * * *", skipped.Minute(), skipped.Hour()), zone)
			if got := named.Next(forward.at.Add(-time.Minute)); !got.Equal(forward.at) {
				t.Errorf("%s: what is due at %s comes %s, want the first instant after the gap", forward, skipped.Format(time.TimeOnly), got)
			}
			if got := named.Next(forward.at); got.Before(forward.at.Add(12 * time.Hour)) {
				t.Errorf("%s: and then again %s", forward, got)
			}
			shown := mustParse(t, fmt.Sprintf("%d * * * *", skipped.Minute()), zone)
			for _, at := range momentsOf(shown, forward.at.Add(-3*time.Hour), forward.at.Add(3*time.Hour)) {
				if wall := at.In(location(t, zone)); wall.Minute() != skipped.Minute() {
					t.Errorf("%s: what is due at each minute %d comes %s", forward, skipped.Minute(), wall)
				}
			}

			repeated := back.after.Add(-back.by() / 2).Truncate(time.Minute)
			first := back.at.Add(repeated.Sub(back.before)) // by the offset of before
			named = mustParse(t, fmt.Sprintf("%d %d * * *", repeated.Minute(), repeated.Hour()), zone)
			if got := named.Next(first.Add(-time.Second)); !got.Equal(first) {
				t.Errorf("%s: what is due at %s comes %s, want %s, the first time", back, repeated.Format(time.TimeOnly), got, first)
			}
			if got := named.Next(first); got.Before(first.Add(12 * time.Hour)) {
				t.Errorf("%s: and then again %s", back, got)
			}
			shown = mustParse(t, fmt.Sprintf("%d * * * *", repeated.Minute()), zone)
			second := first.Add(-back.by())
			if got := momentsOf(shown, first.Add(-time.Second), second); len(got) < 2 || !got[0].Equal(first) || !got[len(got)-1].Equal(second) {
				t.Errorf("%s: what is due at each minute %d comes %v, want it both times", back, repeated.Minute(), got)
			}

			each := mustParse(t, "@every 7m", zone)
			for _, c := range []change{forward, back} {
				from := c.at.Add(-10 * time.Minute)
				if got := momentsOf(each, from, c.at.Add(10*time.Minute)); len(got) != 2 || got[1].Sub(got[0]) != 7*time.Minute || got[0].Sub(from) != 7*time.Minute {
					t.Errorf("%s: every seven minutes is %v", c, got)
				}
			}
		})
	}
}

func location(t *testing.T, zone string) *time.Location {
	t.Helper()
	l, err := time.LoadLocation(zone)
	if err != nil {
		t.Fatal(err)
	}
	return l
}
