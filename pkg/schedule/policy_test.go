package schedule_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/rollcallhq/rollcall/pkg/fleet"
	"github.com/rollcallhq/rollcall/pkg/store"
)

// told is what a firing says, without its times and IDs.
type told struct {
	Outcome   fleet.Outcome
	Missed    int
	Collected bool
}

func toldOf(firings []fleet.Firing) []told {
	var all []told
	for _, f := range firings {
		all = append(all, told{f.Outcome, f.Missed, f.CollectionID != nil})
	}
	return all
}

func (d *desk) wants(t *testing.T, id uuid.UUID, want ...told) {
	t.Helper()
	got := toldOf(d.firings(t, id))
	if len(got) != len(want) {
		t.Fatalf("the firings say %+v, want %+v", got, want)
	}
	for i := range want {
		if got[i] != want[i] {
			t.Errorf("firing %d says %+v, want %+v (all: %+v)", i, got[i], want[i], got)
		}
	}
}

func TestWhatPassedIsCoveredOrRecorded(t *testing.T) {
	t.Parallel()
	day := func(at time.Time) []fleet.Blackout {
		from, to := at.Add(-24*time.Hour), at.Add(24*time.Hour)
		return []fleet.Blackout{{StartsAt: &from, EndsAt: &to}}
	}
	now := time.Now()
	for _, tt := range []struct {
		name  string
		with  fleet.Schedule
		since time.Duration
		want  []told // newest first
	}{
		{"in time", fleet.Schedule{}, 10 * time.Second, []told{{fleet.OutcomeCollected, 0, true}}},
		{"once: one collection stands for the gap", fleet.Schedule{Cron: "@every 10m"}, time.Hour, []told{{fleet.OutcomeCollected, 6, true}}},
		{"skip: all of them are recorded as missed", fleet.Schedule{Cron: "@every 40m", Misfire: fleet.MisfireSkip}, time.Hour, []told{{fleet.OutcomeMisfire, 1, false}}},
		{
			"skip: the last is fired if it is in time",
			fleet.Schedule{Cron: "@every 20s", Misfire: fleet.MisfireSkip},
			10 * time.Minute,
			[]told{{fleet.OutcomeCollected, 0, true}, {fleet.OutcomeMisfire, 29, false}},
		},
		{"a blackout covers the moment", fleet.Schedule{Blackouts: day(now)}, 10 * time.Second, []told{{fleet.OutcomeBlackout, 0, false}}},
		{"a blackout has begun since", fleet.Schedule{Cron: "@every 2h", Blackouts: []fleet.Blackout{{StartsAt: new(now.Add(-time.Minute)), EndsAt: new(now.Add(time.Hour))}}}, time.Hour, []told{{fleet.OutcomeBlackout, 0, false}}},
		{"a blackout is over", fleet.Schedule{Cron: "@every 2h", Blackouts: []fleet.Blackout{{StartsAt: new(now.Add(-30 * time.Minute)), EndsAt: new(now.Add(-time.Minute))}}}, time.Hour, []told{{fleet.OutcomeCollected, 0, true}}},
		{"the end came first", fleet.Schedule{EndsAt: new(now.Add(-2 * time.Minute))}, time.Hour, []told{{fleet.OutcomeEnded, 5, false}}},
		{"the end has just come", fleet.Schedule{EndsAt: new(now.Add(-time.Second))}, 10 * time.Second, []told{{fleet.OutcomeCollected, 0, true}}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			d := newDesk(t)
			s := d.due(t, tt.with, tt.since)
			d.fire(t, 1)
			d.wants(t, s.ID, tt.want...)
			d.fire(t, 0)
			after, err := d.store.Schedule(t.Context(), fleet.Everything(), s.ID)
			if err != nil || (after.NextAt == nil) != (tt.with.EndsAt != nil) || after.NextAt != nil && !after.NextAt.After(time.Now()) {
				t.Errorf("it waits for %v, %v", after.NextAt, err)
			}
		})
	}
}

func TestOneMomentWaits(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	s := d.due(t, fleet.Schedule{Overlap: fleet.OverlapQueue}, 10*time.Minute-10*time.Second)
	d.fire(t, 1) // the open collection
	at := func(ago time.Duration) { d.setNext(t, s.ID, time.Now().Add(-ago).Truncate(time.Second)) }
	at(9 * time.Second)
	d.fire(t, 1)
	at(6 * time.Second)
	d.fire(t, 1)
	d.wants(t, s.ID, told{fleet.OutcomeWaiting, 0, false}, told{fleet.OutcomeReplaced, 0, false}, told{fleet.OutcomeCollected, 0, true})
	waits := func(want int) {
		t.Helper()
		if n, err := d.FireWaiting(t.Context(), 10); err != nil || n != want {
			t.Fatalf("FireWaiting = %d, %v; want %d", n, err, want)
		}
	}
	waits(0)
	before := d.firings(t, s.ID)
	if _, err := d.store.RequestCancel(t.Context(), *before[2].CollectionID); err != nil { // its tasks have ended
		t.Fatal(err)
	}
	waits(1)
	waits(0)
	after := d.firings(t, s.ID)
	if len(after) != 3 || after[0].Outcome != fleet.OutcomeCollected || !after[0].DueAt.Equal(before[0].DueAt) || after[0].CollectionID == nil {
		t.Fatalf("firings = %+v, want the moment that waited with its collection", after)
	}

	at(3 * time.Second) // and while that is open, it is paused
	d.fire(t, 1)
	read, err := d.store.Schedule(t.Context(), fleet.Everything(), s.ID)
	if err != nil || read.WaitingAt == nil {
		t.Fatalf("the schedule = %+v, %v; want a moment that waits", read, err)
	}
	read.Enabled = false
	if read, err = d.Update(t.Context(), d.admin, read); err != nil || read.WaitingAt != nil {
		t.Fatalf("paused: %+v, %v", read, err)
	}
	if got := d.firings(t, s.ID)[0]; got.Outcome != fleet.OutcomeReplaced || !strings.Contains(got.Reason, "paused") {
		t.Errorf("what waited when it was paused = %+v", got)
	}
}

func TestAPauseIsNoMisfire(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	s := d.due(t, fleet.Schedule{}, time.Hour)
	change := func(f func(*fleet.Schedule)) fleet.Schedule {
		t.Helper()
		read, err := d.store.Schedule(t.Context(), fleet.Everything(), s.ID)
		if err != nil {
			t.Fatal(err)
		}
		f(&read)
		if read, err = d.Update(t.Context(), d.admin, read); err != nil {
			t.Fatal(err)
		}
		return read
	}
	if kept := change(func(s *fleet.Schedule) { s.Selector, s.Name = "name=web-1", "renamed" }); kept.NextAt.After(time.Now()) {
		t.Errorf("renamed, it waits for %s: what was due is lost", kept.NextAt)
	}
	change(func(s *fleet.Schedule) { s.Enabled = false })
	d.fire(t, 0)
	if resumed := change(func(s *fleet.Schedule) { s.Enabled = true }); !resumed.NextAt.After(time.Now()) {
		t.Errorf("resumed, it waits for %s", resumed.NextAt)
	}
	d.fire(t, 0)
	d.setNext(t, s.ID, time.Now().Add(-time.Hour))
	if changed := change(func(s *fleet.Schedule) { s.Cron = "@every 11m" }); !changed.NextAt.After(time.Now()) {
		t.Errorf("changed, it waits for %s", changed.NextAt)
	}
	d.fire(t, 0)
	d.wants(t, s.ID)
}

func TestWhatFailsHoldsUpNoOther(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	poisoned := d.due(t, fleet.Schedule{}, 20*time.Second)
	trigger := d.Trigger
	d.Trigger = func(ctx context.Context, tx *store.Store, a fleet.Actor, s fleet.Schedule, due time.Time) (fleet.Collection, error) {
		c, err := trigger(ctx, tx, a, s, due)
		if s.ID == poisoned.ID && err == nil {
			err = errors.New("this one is poisoned")
		}
		return c, err
	}
	good, err := d.Add(t.Context(), d.admin, fleet.Schedule{Name: "good", Cron: "@every 10m", Selector: "*", Enabled: true})
	if err != nil {
		t.Fatal(err)
	}
	d.setNext(t, good.ID, time.Now().Add(-5*time.Second).Truncate(time.Second))
	d.fire(t, 2)
	d.wants(t, good.ID, told{fleet.OutcomeCollected, 0, true})
	d.wants(t, poisoned.ID, told{fleet.OutcomeFailed, 0, false})
	d.fire(t, 0) // it is left alone
	read, err := d.store.Schedule(t.Context(), fleet.Everything(), poisoned.ID)
	if err != nil || read.Failures != 1 || read.RetryAt == nil || !read.RetryAt.After(time.Now()) || read.NextAt.After(time.Now()) {
		t.Errorf("the schedule = %+v, %v; want the same moment tried again later", read, err)
	}
	collections, _, err := d.store.Collections(t.Context(), fleet.Everything(), fleet.Page{})
	if err != nil || len(collections) != 1 {
		t.Errorf("%d collections, %v; want none of what failed", len(collections), err)
	}
	d.Trigger = trigger // and it is cured
	d.setNext(t, poisoned.ID, *read.NextAt)
	d.fire(t, 1)
	d.wants(t, poisoned.ID, told{fleet.OutcomeCollected, 0, true})
}

func TestWhatIsTriedAgainIsCountedOnce(t *testing.T) {
	t.Parallel()
	for _, misfire := range []fleet.Misfire{fleet.MisfireOnce, fleet.MisfireSkip} {
		d := newDesk(t)
		trigger := d.Trigger
		d.Trigger = func(context.Context, *store.Store, fleet.Actor, fleet.Schedule, time.Time) (fleet.Collection, error) {
			return fleet.Collection{}, errors.New("nothing goes")
		}
		s := d.due(t, fleet.Schedule{Cron: "@every 10s", Misfire: misfire}, 0)
		d.fire(t, 1)
		first := d.firings(t, s.ID)[0].DueAt
		d.Trigger = trigger
		past := first.Add(-40 * time.Second) // as if it had been 40 s ago
		if _, err := d.store.RecordFirings(t.Context(), []fleet.Firing{{ScheduleID: s.ID, DueAt: past, Outcome: fleet.OutcomeFailed, Reason: "failed: x"}}); err != nil {
			t.Fatal(err)
		}
		again := time.Now().Add(-time.Second)
		if err := d.store.AdvanceSchedules(t.Context(), []store.Advance{{ID: s.ID, NextAt: &past, RetryAt: &again, Failures: 1}}); err != nil {
			t.Fatal(err)
		}
		d.fire(t, 1)
		firings := d.firings(t, s.ID)
		counted := 0
		for _, f := range firings {
			counted += 1 + f.Missed
			if f.Outcome == fleet.OutcomeFailed {
				t.Errorf("%s: what was tried again is still %+v", misfire, f)
			}
		}
		if want := int(firings[0].DueAt.Sub(past)/(10*time.Second)) + 1; counted != want || firings[0].Outcome != fleet.OutcomeCollected {
			t.Errorf("%s: %d moments are counted, want %d: %+v", misfire, counted, want, firings)
		}
	}
}

func TestBlackoutsByTheClock(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	for _, tt := range []struct {
		name  string
		b     fleet.Blackout
		cron  string
		black string // the hours of 24 that are, as they are seen from monday at midnight
	}{
		{"over midnight", fleet.Blackout{From: "22:00", To: "02:00"}, "0 * * * *", "##....................##"},
		{"on some days", fleet.Blackout{Days: []string{"Mon"}, From: "06:00", To: "08:00"}, "0 * * * *", "......##................"},
		{"from another day on", fleet.Blackout{Days: []string{"sun"}, From: "23:00", To: "03:00"}, "0 * * * *", "###....................."},
		{"on the day before only", fleet.Blackout{Days: []string{"tue"}, From: "23:00", To: "03:00"}, "0 * * * *", "........................"},
		{"a whole day", fleet.Blackout{Days: []string{"mon"}, From: "00:00", To: "24:00"}, "0 * * * *", "########################"},
	} {
		s := fleet.Schedule{Cron: tt.cron, Timezone: "Asia/Tokyo", Blackouts: []fleet.Blackout{tt.b}, Enabled: true}
		found, err := d.Preview(t.Context(), s, 100)
		if err != nil || len(found) != 100 {
			t.Fatalf("%s: %d, %v", tt.name, len(found), err)
		}
		more, err := d.Preview(t.Context(), fleet.Schedule{Cron: "0 * * * 1", Timezone: "Asia/Tokyo", Blackouts: s.Blackouts}, 48)
		if err != nil {
			t.Fatal(err)
		}
		var got strings.Builder
		for _, m := range more {
			if at := m.At.In(time.FixedZone("", 9*3600)); at.Hour() != got.Len() || got.Len() == 24 {
				continue
			}
			mark := "."
			if m.Blackout != "" {
				mark = "#"
			}
			got.WriteString(mark)
		}
		if got.String() != tt.black {
			t.Errorf("%s: %s, want %s", tt.name, got.String(), tt.black)
		}
	}
}

func TestWhatIsRefused(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	for field, change := range map[string]func(*fleet.Schedule){
		"jitter_seconds": func(s *fleet.Schedule) { s.Jitter = time.Hour },
		"overlap":        func(s *fleet.Schedule) { s.Overlap = "maybe" },
		"misfire":        func(s *fleet.Schedule) { s.Misfire = "maybe" },
		"timezone":       func(s *fleet.Schedule) { s.Timezone = "Mars/Olympus" },
		"blackouts":      func(s *fleet.Schedule) { s.Blackouts = make([]fleet.Blackout, 51) },
		"blackouts[0]":   func(s *fleet.Schedule) { s.Blackouts = make([]fleet.Blackout, 1) },
		"blackouts[0].days": func(s *fleet.Schedule) {
			s.Blackouts = []fleet.Blackout{{Days: []string{"someday"}, From: "01:00", To: "02:00"}}
		},
		"blackouts[0].from":    func(s *fleet.Schedule) { s.Blackouts = []fleet.Blackout{{From: "1:00", To: "02:00"}} },
		"blackouts[0].to":      func(s *fleet.Schedule) { s.Blackouts = []fleet.Blackout{{From: "01:00", To: "25:00"}} },
		"blackouts[0].ends_at": func(s *fleet.Schedule) { s.Blackouts = []fleet.Blackout{{StartsAt: new(time.Now())}} },
	} {
		s := fleet.Schedule{Name: "n", Cron: "@hourly", Selector: "*"}
		change(&s)
		_, err := d.Add(t.Context(), d.admin, s)
		if fields := fleet.FieldsOf(err); fleet.KindOf(err) != fleet.Invalid || len(fields) != 1 || fields[0].Field != field {
			t.Errorf("%s: %v names %+v", field, err, fields)
		}
	}
	good := fleet.Schedule{Name: "n", Cron: "0 3 * * *", Selector: "*", Jitter: 23 * time.Hour}
	if _, err := d.Add(t.Context(), d.admin, good); err != nil {
		t.Errorf("a jitter of 23 hours of a daily schedule: %v", err)
	}
}

func TestTheZeroMomentIsByHand(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	s := d.due(t, fleet.Schedule{}, -time.Hour)
	c, err := d.RunNow(t.Context(), d.admin, s.ID)
	if err != nil || c.Schedule == nil || c.Schedule.ScheduleID != s.ID || !c.Schedule.At.IsZero() {
		t.Errorf("RunNow = %+v, %v", c, err)
	}
	d.setNext(t, s.ID, time.Now().Add(-time.Second)) // and is no overlap
	d.fire(t, 1)
	d.wants(t, s.ID, told{fleet.OutcomeCollected, 0, true})
}
