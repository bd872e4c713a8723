package schedule_test

import (
	"context"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/rollcallhq/rollcall/pkg/fleet"
	"github.com/rollcallhq/rollcall/pkg/schedule"
	"github.com/rollcallhq/rollcall/pkg/store"
	"github.com/rollcallhq/rollcall/pkg/storetest"
)

// A desk is a service on a test store that notes what it was asked to trigger.
type desk struct {
	*schedule.Service
	store     *store.Store
	admin     fleet.Actor
	triggered []fleet.Actor
	answer    error
}

func newDesk(t *testing.T) *desk {
	t.Helper()
	s := storetest.New(t)
	user := fleet.User{ID: fleet.NewID(), Username: "root", PasswordHash: "x", Role: fleet.Admin}
	if err := s.AddUser(t.Context(), user); err != nil {
		t.Fatal(err)
	}
	d := &desk{store: s, admin: fleet.Actor{Kind: fleet.ActorUser, ID: user.ID, UserID: &user.ID, Name: "root", Role: fleet.Admin}}
	d.Service = schedule.New(schedule.Config{
		Store: s, Log: slog.New(slog.DiscardHandler),
		CheckTypes: func(_ context.Context, types []string) ([]string, error) { return append(types, "os"), nil },
		Trigger: func(ctx context.Context, tx *store.Store, actor fleet.Actor, sch fleet.Schedule, due time.Time) (fleet.Collection, error) {
			d.triggered = append(d.triggered, actor)
			if d.answer != nil {
				return fleet.Collection{}, d.answer
			}
			id := fleet.NewID()
			selector, err := fleet.ParseSelector(sch.Selector)
			if err != nil {
				return fleet.Collection{}, err
			}
			return tx.AddCollection(ctx, actor.Scope(), fleet.Collection{
				ID: id, Kind: fleet.KindCollect, Actor: actor.String(), Selector: sch.Selector, ReportTypes: sch.ReportTypes,
				Priority: sch.Priority, Deadline: time.Minute, ExpiresAt: time.Now().Add(time.Hour),
				Schedule: &fleet.Due{ScheduleID: sch.ID, At: due},
			}, &selector)
		},
	})
	_, err := s.AddHost(t.Context(), fleet.Host{
		ID: fleet.NewID(), Name: "web-1", Address: "192.0.2.1", Port: 22,
		Site: fleet.DefaultSite, Connection: fleet.ConnectionSSH, Enabled: true,
	})
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// due stores a schedule that has been due since the given time.
func (d *desk) due(t *testing.T, s fleet.Schedule, since time.Duration) fleet.Schedule {
	t.Helper()
	s.Name, s.Selector, s.Enabled = "nightly", "*", true
	if s.Cron == "" {
		s.Cron = "@every 10m"
	}
	stored, err := d.Add(t.Context(), d.admin, s)
	if err != nil {
		t.Fatal(err)
	}
	at := time.Now().Add(-since).Truncate(10 * time.Second)
	d.setNext(t, stored.ID, at)
	return stored
}

// setNext makes a schedule wait for a moment, as if it had been there.
func (d *desk) setNext(t *testing.T, id uuid.UUID, at time.Time) {
	t.Helper()
	s, err := d.store.Schedule(t.Context(), fleet.Everything(), id)
	if err != nil {
		t.Fatal(err)
	}
	err = d.store.AdvanceSchedules(t.Context(), []store.Advance{{ID: id, NextAt: &at, WaitingAt: s.WaitingAt, WaitMissed: s.WaitMissed}})
	if err != nil {
		t.Fatal(err)
	}
}

// fire fires what is due, and insists on how many schedules that are.
func (d *desk) fire(t *testing.T, want int) {
	t.Helper()
	if n, err := d.FireDue(t.Context(), 10); err != nil || n != want {
		t.Fatalf("FireDue = %d, %v; want %d", n, err, want)
	}
}

// firings returns what came of the schedule's moments, newest first.
func (d *desk) firings(t *testing.T, id uuid.UUID) []fleet.Firing {
	t.Helper()
	firings, _, err := d.store.Firings(t.Context(), id, fleet.Page{Limit: 1000})
	if err != nil {
		t.Fatal(err)
	}
	return firings
}

func TestFiring(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name   string
		with   fleet.Schedule
		since  time.Duration
		answer error
		twice  bool
		reason string // of the newest firing; empty: it made a collection
	}{
		{name: "a due schedule makes a collection", since: 10 * time.Second},
		{name: "a gap makes one collection", since: time.Hour},
		{name: "a refusal is recorded", since: 10 * time.Second, answer: fleet.Errorf(fleet.Invalid, "no enabled host is selected"), reason: "refused: no enabled host is selected"},
		{name: "an open collection is not overlapped", since: 20 * time.Second, twice: true, reason: "overlap: the last collection has not ended"},
		{name: "an open collection is overlapped if allowed", with: fleet.Schedule{Overlap: fleet.OverlapAllow}, since: 20 * time.Second, twice: true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			d := newDesk(t)
			d.answer = tt.answer
			s := d.due(t, tt.with, tt.since)
			d.fire(t, 1)
			if tt.twice {
				again := time.Now().Add(-time.Second).Truncate(time.Second)
				d.setNext(t, s.ID, again)
				d.fire(t, 1)
			}
			firings, _, err := d.store.Firings(t.Context(), s.ID, fleet.Page{})
			if err != nil || len(firings) == 0 {
				t.Fatalf("Firings = %v, %v", firings, err)
			}
			newest := slices.MaxFunc(firings, func(a, b fleet.Firing) int { return a.FiredAt.Compare(b.FiredAt) })
			if got := newest; got.Reason != tt.reason || (got.CollectionID == nil) != (tt.reason != "") {
				t.Errorf("firing = %+v, want reason %q", got, tt.reason)
			}
			d.fire(t, 0)
			if len(d.triggered) > 0 && (d.triggered[0].Kind != fleet.ActorSchedule || d.triggered[0].Role != fleet.Admin) {
				t.Errorf("it acted as %+v, want the schedule with its owner's role", d.triggered[0])
			}
		})
	}
}

func TestAMomentThatMeetsAFullQueue(t *testing.T) {
	t.Parallel()
	full := fleet.Errorf(fleet.Exhausted, "Too much waits already.").WithCode("queue_full")
	for _, tt := range []struct {
		name    string
		misfire fleet.Misfire
		next    time.Duration // after the moment, of the next one by its timetable, which is fired within a second
		again   bool
	}{
		{"is made up for", fleet.MisfireOnce, 10 * time.Minute, true},
		{"is left out if that was asked for", fleet.MisfireSkip, 10 * time.Minute, false},
		{"is left to the next one if that comes first", fleet.MisfireOnce, 30 * time.Second, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			d := newDesk(t)
			d.answer = full
			s := d.due(t, fleet.Schedule{Misfire: tt.misfire, Cron: "@every " + tt.next.String()}, 0)
			before, err := d.store.Schedule(t.Context(), fleet.Everything(), s.ID)
			if err != nil {
				t.Fatal(err)
			}
			began := time.Now()
			d.fire(t, 1)
			firings, _, err := d.store.Firings(t.Context(), s.ID, fleet.Page{})
			if err != nil || len(firings) != 1 || firings[0].CollectionID != nil || !strings.HasPrefix(firings[0].Reason, "queue_full: Too much waits already.") {
				t.Fatalf("firings = %+v, %v; want one that says why it made no collection", firings, err)
			}
			if got := strings.Contains(firings[0].Reason, "tried again at"); got != tt.again {
				t.Errorf("the reason is %q, want it to say that it is tried again: %v", firings[0].Reason, tt.again)
			}
			after, err := d.store.Schedule(t.Context(), fleet.Everything(), s.ID)
			if err != nil || after.NextAt == nil {
				t.Fatalf("the schedule = %+v, %v", after, err)
			}
			if !tt.again {
				if got := after.NextAt.Sub(*before.NextAt); got != tt.next {
					t.Errorf("it is due %s after the moment, want %s", got, tt.next)
				}
				return
			}
			if after.RetryAt == nil || after.RetryAt.Sub(began) < 58*time.Second || after.RetryAt.Sub(began) > 70*time.Second || !after.NextAt.Equal(*before.NextAt) {
				t.Errorf("the schedule = %+v, want the same moment tried again in about a minute", after)
			}
			d.answer = nil // and there is room again
			d.fire(t, 0)
			d.setNext(t, s.ID, *before.NextAt) // and a minute has passed
			d.fire(t, 1)
			if firings := d.firings(t, s.ID); len(firings) != 1 || firings[0].Outcome != fleet.OutcomeCollected || firings[0].Reason != "" {
				t.Errorf("firings = %+v, want the same moment with its collection", firings)
			}
			collections, _, err := d.store.Collections(t.Context(), fleet.Everything(), fleet.Page{})
			if err != nil || len(collections) != 1 {
				t.Errorf("%d collections, %v; want the one that was made up for", len(collections), err)
			}
		})
	}
}

func TestAFullQueueHoldsNoOtherScheduleUp(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	d.answer = fleet.Errorf(fleet.Exhausted, "Too much waits already.").WithCode("queue_full")
	d.due(t, fleet.Schedule{}, time.Minute)
	d.fire(t, 1)
	d.fire(t, 0)
}

func TestThePreviewBeginsWithWhatIsWaitedFor(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	s, err := d.Add(t.Context(), d.admin, fleet.Schedule{Name: "n", Cron: "@every 1h", Selector: "*", Enabled: true})
	if err != nil {
		t.Fatal(err)
	}
	waits := s.NextAt.Add(-20 * time.Minute)
	d.setNext(t, s.ID, waits)
	moments, err := d.Next(t.Context(), fleet.Everything(), s.ID, 2)
	if err != nil || len(moments) != 2 || !moments[0].At.Equal(waits) || !moments[1].At.Equal(waits.Add(time.Hour)) {
		t.Errorf("Next = %v, %v; want %s and an hour later", moments, err, waits)
	}
}

func TestAMomentIsFiredOnce(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	s := d.due(t, fleet.Schedule{Overlap: fleet.OverlapAllow}, 10*time.Second)
	before, err := d.store.Schedule(t.Context(), fleet.Everything(), s.ID)
	if err != nil {
		t.Fatal(err)
	}
	for range 2 { // the second time, as if the clock had been set back
		d.setNext(t, s.ID, *before.NextAt)
		d.fire(t, 1)
	}
	collections, _, err := d.store.Collections(t.Context(), fleet.Everything(), fleet.Page{})
	if err != nil {
		t.Fatal(err)
	}
	due := map[time.Time]int{}
	for _, c := range collections {
		due[c.Schedule.At]++
	}
	for at, n := range due {
		if n != 1 {
			t.Errorf("%d collections for %s", n, at)
		}
	}
}

func TestRefusals(t *testing.T) {
	t.Parallel()
	good := fleet.Schedule{Name: "n", Cron: "@daily", Selector: "*"}
	tests := []struct {
		name   string
		change func(*fleet.Schedule, *fleet.Actor)
		kind   fleet.Kind
		code   string
	}{
		{"an operator may not define", func(_ *fleet.Schedule, a *fleet.Actor) { a.Role = fleet.Operator }, fleet.Forbidden, "forbidden"},
		{"a bad selector", func(s *fleet.Schedule, _ *fleet.Actor) { s.Selector = "env=" }, fleet.Invalid, "invalid_selector"},
		{"a bad cron", func(s *fleet.Schedule, _ *fleet.Actor) { s.Cron = "x" }, fleet.Invalid, "invalid_cron"},
		{"no name", func(s *fleet.Schedule, _ *fleet.Actor) { s.Name = "" }, fleet.Invalid, "invalid"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			d := newDesk(t)
			s, actor := good, d.admin
			tt.change(&s, &actor)
			_, err := d.Add(t.Context(), actor, s)
			if fleet.KindOf(err) != tt.kind || (fleet.CodeOf(err) != tt.code && tt.code != "invalid") {
				t.Errorf("Add = %v (%s), want kind %d, code %s", err, fleet.CodeOf(err), tt.kind, tt.code)
			}
		})
	}
}
