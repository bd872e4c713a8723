package schedule_test

import (
	"context"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rollcallhq/rollcall/pkg/fleet"
	"github.com/rollcallhq/rollcall/pkg/schedule"
	"github.com/rollcallhq/rollcall/pkg/store"
	"github.com/rollcallhq/rollcall/pkg/storetest"
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
		{"a weekday by name", "0 6 * * mon", "Asia/Tokyo", "2026-03-29T21:00:00Z"},
		{"an unknown zone", "@daily", "Mars/Olympus", ""},
		{"the machine's own zone is nobody's", "@daily", "Local", ""},
		{"a zone inside the expression", "TZ=UTC @daily", "", ""},
		{"four fields", "* * * *", "", ""},
		{"nonsense", "whenever", "", ""},
		{"never due", "0 0 30 2 *", "", ""},
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
}

func FuzzParseTimetable(f *testing.F) {
	for _, seed := range []string{"30 2 * * *", "@every 1s", "@daily", "TZ=", "CRON_TZ=x", "*/5 * * * * *", "1-5/2 * * * *"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		table, err := schedule.ParseTimetable(text, "")
		if err != nil {
			return
		}
		now := time.Now()
		if next := table.Next(now); !next.After(now) {
			t.Errorf("the next moment of %q after %s is %s", text, now, next)
		}
	})
}

func TestMissedMomentsCollapseIntoTheLast(t *testing.T) {
	t.Parallel()
	table, err := schedule.ParseTimetable("*/10 * * * *", "")
	if err != nil {
		t.Fatal(err)
	}
	due := time.Date(2026, 1, 1, 0, 10, 0, 0, time.UTC)
	last, n := table.Missed(due, due.Add(35*time.Minute))
	if n != 4 || !last.Equal(due.Add(30*time.Minute)) {
		t.Errorf("Missed = %s, %d; want 00:40 and 4 moments", last, n)
	}
}

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
	if err := d.store.SetNextAt(t.Context(), stored.ID, &at); err != nil {
		t.Fatal(err)
	}
	return stored
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
		{name: "an open collection is not overlapped", since: 20 * time.Second, twice: true, reason: schedule.ReasonOverlap},
		{name: "an open collection is overlapped if allowed", with: fleet.Schedule{Overlap: fleet.OverlapAllow}, since: 20 * time.Second, twice: true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			d := newDesk(t)
			d.answer = tt.answer
			s := d.due(t, tt.with, tt.since)
			if fired, err := d.FireOne(t.Context()); err != nil || !fired {
				t.Fatalf("FireOne = %v, %v", fired, err)
			}
			if tt.twice {
				again := time.Now().Add(-time.Second).Truncate(time.Second)
				if err := d.store.SetNextAt(t.Context(), s.ID, &again); err != nil {
					t.Fatal(err)
				}
				if fired, err := d.FireOne(t.Context()); err != nil || !fired {
					t.Fatalf("second FireOne = %v, %v", fired, err)
				}
			}
			firings, _, err := d.store.Firings(t.Context(), s.ID, fleet.Page{})
			if err != nil || len(firings) == 0 {
				t.Fatalf("Firings = %v, %v", firings, err)
			}
			newest := slices.MaxFunc(firings, func(a, b fleet.Firing) int { return a.FiredAt.Compare(b.FiredAt) })
			if got := newest; got.Reason != tt.reason || (got.CollectionID == nil) != (tt.reason != "") {
				t.Errorf("firing = %+v, want reason %q", got, tt.reason)
			}
			if fired, err := d.FireOne(t.Context()); err != nil || fired {
				t.Errorf("a further FireOne = %v, %v; want nothing due", fired, err)
			}
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
			before, err := d.store.Schedule(t.Context(), s.ID)
			if err != nil {
				t.Fatal(err)
			}
			began := time.Now()
			if fired, err := d.FireOne(t.Context()); err != nil || !fired {
				t.Fatalf("FireOne = %v, %v", fired, err)
			}
			firings, _, err := d.store.Firings(t.Context(), s.ID, fleet.Page{})
			if err != nil || len(firings) != 1 || firings[0].CollectionID != nil || !strings.HasPrefix(firings[0].Reason, schedule.ReasonFull+"Too much waits already.") {
				t.Fatalf("firings = %+v, %v; want one that says why it made no collection", firings, err)
			}
			if got := strings.Contains(firings[0].Reason, "tried again at"); got != tt.again {
				t.Errorf("the reason is %q, want it to say that it is tried again: %v", firings[0].Reason, tt.again)
			}
			after, err := d.store.Schedule(t.Context(), s.ID)
			if err != nil || after.NextAt == nil {
				t.Fatalf("the schedule = %+v, %v", after, err)
			}
			if !tt.again {
				if got := after.NextAt.Sub(*before.NextAt); got != tt.next {
					t.Errorf("it is due %s after the moment, want %s", got, tt.next)
				}
				return
			}
			if wait := after.NextAt.Sub(began); wait < 58*time.Second || wait > 70*time.Second {
				t.Errorf("it is tried again after %s, want about a minute", wait)
			}
			d.answer = nil // and there is room again
			now := time.Now().Add(-time.Second).Truncate(time.Second)
			if err := d.store.SetNextAt(t.Context(), s.ID, &now); err != nil {
				t.Fatal(err)
			}
			if fired, err := d.FireOne(t.Context()); err != nil || !fired {
				t.Fatalf("FireOne = %v, %v", fired, err)
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
	if fired, err := d.FireOne(t.Context()); err != nil || !fired {
		t.Fatalf("FireOne = %v, %v", fired, err)
	}
	if fired, err := d.FireOne(t.Context()); err != nil || fired {
		t.Errorf("a further FireOne = %v, %v; want the refused one out of the way", fired, err)
	}
}

func TestThePreviewBeginsWithWhatIsWaitedFor(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	s, err := d.Add(t.Context(), d.admin, fleet.Schedule{Name: "n", Cron: "@every 1h", Selector: "*", Enabled: true})
	if err != nil {
		t.Fatal(err)
	}
	waits := s.NextAt.Add(-20 * time.Minute)
	if err := d.store.SetNextAt(t.Context(), s.ID, &waits); err != nil {
		t.Fatal(err)
	}
	moments, err := d.Next(t.Context(), s.ID, 2)
	if err != nil || len(moments) != 2 || !moments[0].Equal(waits) || !moments[1].Equal(waits.Add(time.Hour)) {
		t.Errorf("Next = %v, %v; want %s and an hour later", moments, err, waits)
	}
}

func TestAMomentIsFiredOnce(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	s := d.due(t, fleet.Schedule{Overlap: fleet.OverlapAllow}, 10*time.Second)
	before, err := d.store.Schedule(t.Context(), s.ID)
	if err != nil {
		t.Fatal(err)
	}
	for range 2 { // the second time, as if the clock had been set back
		if err := d.store.SetNextAt(t.Context(), s.ID, before.NextAt); err != nil {
			t.Fatal(err)
		}
		if fired, err := d.FireOne(t.Context()); err != nil || !fired {
			t.Fatalf("FireOne = %v, %v", fired, err)
		}
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
		{"jitter is not supported yet", func(s *fleet.Schedule, _ *fleet.Actor) { s.Jitter = time.Second }, fleet.Invalid, "not_supported_yet"},
		{"queueing is not supported yet", func(s *fleet.Schedule, _ *fleet.Actor) { s.Overlap = fleet.OverlapQueue }, fleet.Invalid, "not_supported_yet"},
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
