package store_test

import (
	"testing"
	"time"

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
	want.NextAt = &at
	stored, err := s.AddSchedule(t.Context(), want)
	if err != nil || stored.Version != 1 || stored.Jitter != want.Jitter || stored.Timezone != want.Timezone || !stored.NextAt.Equal(at) {
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
	if err := s.SetNextAt(t.Context(), want.ID, nil); err != nil {
		t.Fatal(err)
	}
	if read, err := s.Schedule(t.Context(), want.ID); err != nil || read.NextAt != nil || read.Version != 2 {
		t.Errorf("Schedule = %+v, %v", read, err)
	}
	if err := s.RemoveSchedule(t.Context(), want.ID); err != nil {
		t.Fatal(err)
	}
	if err := s.RemoveSchedule(t.Context(), want.ID); fleet.KindOf(err) != fleet.NotFound {
		t.Errorf("removing it again = %v", err)
	}
	if _, err := s.Schedule(t.Context(), want.ID); fleet.KindOf(err) != fleet.NotFound {
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
	} {
		sch := aSchedule(name)
		change(&sch)
		if _, err := s.AddSchedule(t.Context(), sch); err != nil {
			t.Fatal(err)
		}
	}
	take := func(tx *store.Store, want string) fleet.Schedule {
		t.Helper()
		sch, now, err := tx.TakeDueSchedule(t.Context())
		switch {
		case err != nil:
			t.Fatal(err)
		case time.Since(now).Abs() > time.Minute:
			t.Errorf("the database's clock says %s", now)
		case sch == nil && want != "", sch != nil && sch.Name != want:
			t.Fatalf("took %+v, want %q", sch, want)
		case sch != nil:
			return *sch
		}
		return fleet.Schedule{}
	}
	err := s.InTx(t.Context(), func(one *store.Store) error {
		sch := take(one, "first")
		return s.InTx(t.Context(), func(two *store.Store) error { // another connection
			take(two, "second")
			if err := s.InTx(t.Context(), func(three *store.Store) error { take(three, ""); return nil }); err != nil {
				return err
			}
			return one.SetNextAt(t.Context(), sch.ID, &future)
		})
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.InTx(t.Context(), func(tx *store.Store) error { take(tx, "second"); return nil }); err != nil {
		t.Fatal(err)
	}
}

func TestAMomentIsFiredOnce(t *testing.T) {
	t.Parallel()
	s := storetest.New(t)
	addHost(t, s, "web-1")
	c := aCollection()
	due := fleet.Due{ScheduleID: fleet.NewID(), At: time.Now().Truncate(time.Microsecond)}
	c.Schedule = &due
	if open, err := s.HasOpenCollection(t.Context(), due.ScheduleID); err != nil || open {
		t.Errorf("before: open %v, %v", open, err)
	}
	c, err := s.AddCollection(t.Context(), fleet.Everything(), c, selector(t, "*"))
	if err != nil {
		t.Fatal(err)
	}
	if open, err := s.HasOpenCollection(t.Context(), due.ScheduleID); err != nil || !open {
		t.Errorf("while it runs: open %v, %v", open, err)
	}
	for round, want := range []bool{true, false} {
		fresh, err := s.AddFiring(t.Context(), fleet.Firing{ScheduleID: due.ScheduleID, DueAt: due.At, FiredAt: time.Now(), CollectionID: &c.ID})
		if err != nil || fresh != want {
			t.Errorf("round %d: fresh %v, %v", round, fresh, err)
		}
	}
	if fresh, err := s.AddFiring(t.Context(), fleet.Firing{ScheduleID: due.ScheduleID, DueAt: due.At.Add(time.Second), FiredAt: time.Now(), Reason: "overlap"}); err != nil || !fresh {
		t.Errorf("another moment: fresh %v, %v", fresh, err)
	}
	firings, _, err := s.Firings(t.Context(), due.ScheduleID, fleet.Page{})
	if err != nil || len(firings) != 2 || firings[0].Reason != "overlap" || firings[0].CollectionID != nil || *firings[1].CollectionID != c.ID {
		t.Errorf("firings = %+v, %v", firings, err)
	}
	read, err := s.Collection(t.Context(), fleet.Everything(), c.ID)
	if err != nil || read.Schedule == nil || read.Schedule.ScheduleID != due.ScheduleID || !read.Schedule.At.Equal(due.At) {
		t.Errorf("collection = %+v, %v", read, err)
	}
	if _, err := s.RequestCancel(t.Context(), c.ID); err != nil {
		t.Fatal(err)
	}
	if open, err := s.HasOpenCollection(t.Context(), due.ScheduleID); err != nil || open {
		t.Errorf("after its end: open %v, %v", open, err)
	}
}
