package store_test

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/rollcallhq/rollcall/pkg/fleet"
	"github.com/rollcallhq/rollcall/pkg/store"
	"github.com/rollcallhq/rollcall/pkg/storetest"
)

func aSchedule(name string) fleet.Schedule {
	return fleet.Schedule{
		ID: fleet.NewID(), Name: name, Cron: "@every 1h", Timezone: "Europe/Berlin", Selector: "*", ReportTypes: []string{"os", "cpu"},
		Priority: fleet.PriorityBulk, Jitter: 3 * time.Second, Overlap: fleet.OverlapSkip, Misfire: fleet.MisfireOnce, Enabled: true,
	}
}

func TestSchedulesAreStoredAsTheyAre(t *testing.T) {
	t.Parallel()
	s := storetest.New(t)
	at := time.Now().Add(time.Hour).Truncate(time.Microsecond)
	want := aSchedule("nightly")
	want.NextAt, want.EndsAt = &at, new(at.Add(time.Hour))
	want.Blackouts = []fleet.Blackout{{Days: []string{"sat"}, From: "22:00", To: "06:00"}, {StartsAt: &at, EndsAt: want.EndsAt}}
	stored, err := s.AddSchedule(t.Context(), want)
	if err != nil || stored.Version != 1 || stored.Jitter != want.Jitter || stored.Timezone != want.Timezone || !stored.NextAt.Equal(at) ||
		!stored.EndsAt.Equal(*want.EndsAt) || len(stored.Blackouts) != 2 || stored.Blackouts[0].From != "22:00" || !stored.Blackouts[1].StartsAt.Equal(at) {
		t.Fatalf("AddSchedule = %+v, %v", stored, err)
	}
	again := aSchedule("nightly")
	if err := s.InTx(t.Context(), func(tx *store.Store) error { _, err := tx.AddSchedule(t.Context(), again); return err }); fleet.KindOf(err) != fleet.Conflict || fleet.CodeOf(err) != "name_taken" {
		t.Errorf("a second schedule of the name = %v", err)
	}
	stored.Selector, stored.Enabled = "site=eu", false
	changed, err := s.UpdateSchedule(t.Context(), stored)
	if err != nil || changed.Version != 2 || changed.Selector != "site=eu" || changed.Enabled {
		t.Errorf("UpdateSchedule = %+v, %v", changed, err)
	}
	if _, err := s.UpdateSchedule(t.Context(), stored); fleet.KindOf(err) != fleet.Precondition {
		t.Errorf("UpdateSchedule over another version = %v", err)
	}
	if locked, err := s.LockSchedule(t.Context(), want.ID); err != nil || locked.Version != changed.Version {
		t.Errorf("LockSchedule = %+v, %v", locked, err)
	}
	if err := s.AdvanceSchedules(t.Context(), []store.Advance{{ID: want.ID}}); err != nil {
		t.Fatal(err)
	}
	if read, err := s.Schedule(t.Context(), fleet.Everything(), want.ID); err != nil || read.NextAt != nil || read.Version != 2 {
		t.Errorf("Schedule = %+v, %v", read, err)
	}
	if err := s.RemoveSchedule(t.Context(), want.ID); err != nil {
		t.Fatal(err)
	}
	if err := s.RemoveSchedule(t.Context(), want.ID); fleet.KindOf(err) != fleet.NotFound {
		t.Errorf("removing it again = %v", err)
	}
	if _, err := s.Schedule(t.Context(), fleet.Everything(), want.ID); fleet.KindOf(err) != fleet.NotFound {
		t.Errorf("reading it then = %v", err)
	}
}

func TestADueScheduleIsTakenByOneReplica(t *testing.T) {
	t.Parallel()
	s, _ := storetest.Pool(t)
	past, future := time.Now().Add(-time.Minute), time.Now().Add(time.Hour)
	for name, change := range map[string]func(*fleet.Schedule){
		"first":    func(sch *fleet.Schedule) { sch.NextAt = new(past.Add(-time.Minute)) },
		"second":   func(sch *fleet.Schedule) { sch.NextAt = &past },
		"not yet":  func(sch *fleet.Schedule) { sch.NextAt = &future },
		"never":    func(sch *fleet.Schedule) { sch.NextAt = nil },
		"disabled": func(sch *fleet.Schedule) { sch.NextAt, sch.Enabled = &past, false },
		"later":    func(sch *fleet.Schedule) { sch.NextAt = &past },
	} {
		sch := aSchedule(name)
		change(&sch)
		if _, err := s.AddSchedule(t.Context(), sch); err != nil {
			t.Fatal(err)
		}
		if name == "later" { // it is held back
			if err := s.AdvanceSchedules(t.Context(), []store.Advance{{ID: sch.ID, NextAt: &past, RetryAt: &future, Failures: 3}}); err != nil {
				t.Fatal(err)
			}
		}
	}
	take := func(tx *store.Store, limit int, want ...string) []fleet.Schedule {
		t.Helper()
		found, err := tx.TakeDueSchedules(t.Context(), nil, limit)
		if err != nil {
			t.Fatal(err)
		}
		var names []string
		for _, sch := range found {
			names = append(names, sch.Name)
		}
		if !slices.Equal(names, want) {
			t.Fatalf("took %v, want %v", names, want)
		}
		return found
	}
	err := s.InTx(t.Context(), func(one *store.Store) error {
		sch := take(one, 1, "first")[0]
		return s.InTx(t.Context(), func(two *store.Store) error { // another connection
			if found, err := two.TakeDueSchedules(t.Context(), &sch.ID, 1); err != nil || len(found) != 0 {
				t.Errorf("took what is taken: %v, %v", found, err)
			}
			take(two, 5, "second")
			if err := s.InTx(t.Context(), func(three *store.Store) error { take(three, 5); return nil }); err != nil {
				return err
			}
			return one.AdvanceSchedules(t.Context(), []store.Advance{{ID: sch.ID, NextAt: &future}})
		})
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.InTx(t.Context(), func(tx *store.Store) error { take(tx, 5, "second"); return nil }); err != nil {
		t.Fatal(err)
	}
}

func TestAFrozenReplicaLosesWhatItHasTaken(t *testing.T) {
	t.Parallel()
	s, _ := storetest.Pool(t)
	sch := aSchedule("nightly")
	sch.NextAt = new(time.Now().Add(-time.Minute))
	if _, err := s.AddSchedule(t.Context(), sch); err != nil {
		t.Fatal(err)
	}
	err := s.InTx(t.Context(), func(frozen *store.Store) error {
		if err := frozen.LimitIdle(t.Context(), 300*time.Millisecond); err != nil {
			return err
		}
		if found, err := frozen.TakeDueSchedules(t.Context(), nil, 1); err != nil || len(found) != 1 {
			t.Errorf("took %v, %v", found, err)
		}
		for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); {
			found, err := s.TakeDueSchedules(t.Context(), nil, 1) // of another one
			if err != nil {
				return err
			}
			if len(found) == 1 {
				return frozen.Ping(t.Context())
			}
		}
		t.Error("it keeps what it has taken")
		return nil
	})
	if fleet.KindOf(err) != fleet.Unavailable {
		t.Errorf("the frozen one goes on: %v", err)
	}
}

func TestWhatIsKnownOfAMoment(t *testing.T) {
	t.Parallel()
	s := storetest.New(t)
	at := time.Now().Truncate(time.Microsecond)
	due := fleet.Due{ScheduleID: fleet.NewID(), At: at}
	collection := fleet.NewID()
	for _, step := range []struct {
		record  fleet.Firing
		outcome fleet.Outcome // that is known then
		settled bool
	}{
		{fleet.Firing{Outcome: fleet.OutcomeFailed, Reason: "failed: x", Missed: 2}, fleet.OutcomeFailed, false},
		{fleet.Firing{Outcome: fleet.OutcomeWaiting, Reason: "waiting: x"}, fleet.OutcomeWaiting, false},
		{fleet.Firing{Outcome: fleet.OutcomeCollected, CollectionID: &collection}, fleet.OutcomeCollected, true},
		{fleet.Firing{Outcome: fleet.OutcomeMisfire, Reason: "misfire: x"}, fleet.OutcomeCollected, true},
	} {
		step.record.ScheduleID, step.record.DueAt = due.ScheduleID, due.At
		now, err := s.RecordFirings(t.Context(), []fleet.Firing{step.record})
		if err != nil || time.Since(now).Abs() > time.Minute {
			t.Fatalf("RecordFirings = %s, %v", now, err)
		}
		found, _, err := s.Firings(t.Context(), due.ScheduleID, fleet.Page{})
		if err != nil || len(found) != 1 || found[0].Outcome != step.outcome || found[0].Missed != 2 {
			t.Errorf("after %s: %+v, %v; want %s, and still two that were missed", step.record.Outcome, found, err, step.outcome)
		}
		settled, err := s.SettledMoments(t.Context(), []fleet.Due{{ScheduleID: due.ScheduleID, At: at.Add(time.Second)}, due})
		if err != nil || settled[due] != step.settled || len(settled) > 1 {
			t.Errorf("after %s: settled %v, %v; want %v", step.record.Outcome, settled, err, step.settled)
		}
	}
}

func TestAFormerReleasesFiringsAreRead(t *testing.T) {
	t.Parallel()
	s, pool := storetest.Pool(t)
	schedule, collection := fleet.NewID(), fleet.NewID()
	_, err := pool.Exec(t.Context(), `insert into firings (schedule_id, due_at, fired_at, collection_id, reason) values
		($1, now(), now(), null, 'overlap: the last collection has not ended'), ($1, now() - interval '1 s', now(), $2, null)`, schedule, collection)
	if err != nil {
		t.Fatal(err)
	}
	found, _, err := s.Firings(t.Context(), schedule, fleet.Page{})
	if err != nil || len(found) != 2 || found[0].Outcome != fleet.OutcomeOverlap || found[1].Outcome != fleet.OutcomeCollected {
		t.Errorf("firings = %+v, %v", found, err)
	}
}

func TestAScheduleIsOpenWhileWhatItFiredIs(t *testing.T) {
	t.Parallel()
	s := storetest.New(t)
	addHost(t, s, "web-1")
	at := time.Now().Truncate(time.Microsecond)
	sch := aSchedule("nightly")
	sch.Overlap = fleet.OverlapQueue
	if _, err := s.AddSchedule(t.Context(), sch); err != nil {
		t.Fatal(err)
	}
	if err := s.AdvanceSchedules(t.Context(), []store.Advance{{ID: sch.ID, WaitingAt: &at, WaitMissed: 1}}); err != nil {
		t.Fatal(err)
	}
	state := func(when string, open bool) {
		t.Helper()
		found, err := s.OpenSchedules(t.Context(), []uuid.UUID{sch.ID, fleet.NewID()})
		if err != nil || found[sch.ID] != open || len(found) > 1 {
			t.Errorf("%s: open %v, %v; want %v", when, found, err, open)
		}
		waiting, err := s.TakeWaitingSchedules(t.Context(), nil, 5)
		if err != nil || (len(waiting) == 0) != open {
			t.Errorf("%s: what may be fired that waited is %+v, %v", when, waiting, err)
		}
		states, err := s.ScheduleStates(t.Context(), []uuid.UUID{sch.ID})
		if err != nil || states[sch.ID].Open != open {
			t.Errorf("%s: the state is %+v, %v", when, states, err)
		}
	}
	byHand := aCollection()
	byHand.Schedule = &fleet.Due{ScheduleID: sch.ID}
	byHand, err := s.AddCollection(t.Context(), fleet.Everything(), byHand, selector(t, "*"))
	if err != nil {
		t.Fatal(err)
	}
	if read, err := s.Collection(t.Context(), fleet.Everything(), byHand.ID); err != nil || read.Schedule == nil || read.Schedule.ScheduleID != sch.ID || !read.Schedule.At.IsZero() {
		t.Errorf("what was run by hand = %+v, %v", read, err)
	}
	state("while what was run by hand is", false)
	c := aCollection()
	c.Schedule = &fleet.Due{ScheduleID: sch.ID, At: at}
	if c, err = s.AddCollection(t.Context(), fleet.Everything(), c, selector(t, "*")); err != nil {
		t.Fatal(err)
	}
	state("while it runs", true)
	if _, err := s.RequestCancel(t.Context(), c.ID); err != nil {
		t.Fatal(err)
	}
	state("when its tasks have ended and nobody has summed them up", false)

	firings := []fleet.Firing{
		{ScheduleID: sch.ID, DueAt: at, Outcome: fleet.OutcomeCollected, CollectionID: &c.ID},
		{ScheduleID: sch.ID, DueAt: at.Add(time.Second), Outcome: fleet.OutcomeOverlap, Reason: "overlap: x", Missed: 4},
	}
	if _, err := s.RecordFirings(t.Context(), firings); err != nil {
		t.Fatal(err)
	}
	states, err := s.ScheduleStates(t.Context(), []uuid.UUID{fleet.NewID(), sch.ID})
	got := states[sch.ID]
	if err != nil || got.Last == nil || got.Last.Outcome != fleet.OutcomeOverlap || got.Last.Missed != 4 || got.LastCollection == nil || *got.LastCollection != c.ID {
		t.Errorf("states = %+v, %v", states, err)
	}
}

func TestJitterIsAHostsOwn(t *testing.T) {
	t.Parallel()
	s, pool := storetest.Pool(t)
	for i := range 300 {
		addHost(t, s, fmt.Sprintf("web-%d", i))
	}
	schedule := fleet.NewID()
	places := func(schedule uuid.UUID, at time.Time) (map[uuid.UUID]time.Duration, time.Time) {
		t.Helper()
		c := aCollection()
		c.Schedule, c.Jitter = &fleet.Due{ScheduleID: schedule, At: at}, 10*time.Minute
		c.ExpiresAt = fleet.TimeOf(c.ID).Add(time.Hour + c.Jitter)
		c, err := s.AddCollection(t.Context(), fleet.Everything(), c, selector(t, "*"))
		if err != nil {
			t.Fatal(err)
		}
		if read, err := s.Collection(t.Context(), fleet.Everything(), c.ID); err != nil || read.Jitter != c.Jitter {
			t.Errorf("the collection = %+v, %v", read, err)
		}
		rows, err := pool.Query(t.Context(), "select host_id, not_before, expires_at from tasks where collection_id = $1", c.ID)
		if err != nil {
			t.Fatal(err)
		}
		from := at
		if c.CreatedAt.Sub(at) > time.Minute {
			from = c.CreatedAt
		}
		found := map[uuid.UUID]time.Duration{}
		var host uuid.UUID
		var notBefore, expires time.Time
		_, err = pgx.ForEachRow(rows, []any{&host, &notBefore, &expires}, func() error {
			found[host] = notBefore.Sub(from)
			if waits := expires.Sub(c.CreatedAt); waits != time.Hour+found[host] {
				t.Errorf("a task that begins %s late expires after %s", found[host], waits)
			}
			return nil
		})
		if err != nil || len(found) != 300 {
			t.Fatalf("%d tasks, %v", len(found), err)
		}
		return found, from
	}
	now := time.Now().Truncate(time.Second)
	first, _ := places(schedule, now)
	counts := make([]int, 10)
	for host, place := range first {
		if place < 0 || place >= 10*time.Minute {
			t.Fatalf("a place is %s", place)
		}
		counts[place/time.Minute]++
		_ = host
	}
	if slices.Min(counts) < 10 || slices.Max(counts) > 60 { // 30 each
		t.Errorf("of 300 hosts so many begin in each of ten minutes: %v", counts)
	}
	again, _ := places(schedule, now.Add(5*time.Second))
	if diff := cmp.Diff(first, again); diff != "" {
		t.Errorf("at another moment places are others (-first +again)\n%s", diff)
	}
	late, from := places(schedule, now.Add(-time.Hour))
	if !from.After(now.Add(-time.Minute)) || !maps.Equal(late, first) {
		t.Errorf("an hour late, places are counted from %s", from)
	}
	if others, _ := places(fleet.NewID(), now); maps.Equal(others, first) {
		t.Error("another schedule has the same places")
	}
}

// TestDueSchedulesAreFoundByIndex holds that looking for what is due costs what is due, however many schedules there are.
func TestDueSchedulesAreFoundByIndex(t *testing.T) {
	t.Parallel()
	_, pool := storetest.Pool(t)
	exec(t, pool, `
		insert into schedules (id, name, cron, selector, report_types, next_at, retry_at)
		select gen_random_uuid(), 's-' || i, '@daily', '*', '{os}', now() + (i - 30) * interval '1 minute', case when i % 10 = 0 then now() + interval '1 hour' end
		from generate_series(1, 100000) i`)
	exec(t, pool, "vacuum analyze schedules")
	tx, err := pool.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = tx.Rollback(context.WithoutCancel(t.Context())) })
	c := costOf(t, tx, store.TakeDueSchedules, 20)
	if pages := c.Plan.Hit + c.Plan.Read; pages > 200 {
		t.Errorf("looking for 20 due schedules reads %.0f pages", pages)
	}
	page := costOf(t, tx, "select * from schedules s where s.name > 's-5' order by s.name limit 101")
	if pages := page.Plan.Hit + page.Plan.Read; pages > 400 {
		t.Errorf("a page of schedules reads %.0f pages", pages)
	}
}
