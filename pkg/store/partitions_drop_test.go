package store_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rollcallhq/rollcall/pkg/await"
	"github.com/rollcallhq/rollcall/pkg/fleet"
	"github.com/rollcallhq/rollcall/pkg/store"
	"github.com/rollcallhq/rollcall/pkg/storetest"
)

// relation returns what the catalogue says of one relation.
func relation(t *testing.T, s *store.Store, name string) store.Relation {
	t.Helper()
	relations, err := s.Relations(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	i := slices.IndexFunc(relations, func(r store.Relation) bool { return r.Name == name })
	if i < 0 {
		t.Fatalf("there is no %s", name)
	}
	return relations[i]
}

func TestTheApplicationsRoleDetachesWithoutMakingOthersWait(t *testing.T) {
	t.Parallel()
	dsn := storetest.Database(t)
	owner := openPool(t, dsn)
	name, asRole := role(t, dsn)
	if err := store.Migrate(t.Context(), dsn, name); err != nil {
		t.Fatal(err)
	}
	app := store.New(openPool(t, asRole))
	if owns, err := app.OwnsPartitions(t.Context()); err != nil || owns {
		t.Errorf("the application's role owns the partitions: %v, %v", owns, err)
	}
	if owns, err := store.New(owner).OwnsPartitions(t.Context()); err != nil || !owns {
		t.Errorf("the owner does not own the partitions: %v, %v", owns, err)
	}
	old := time.Date(2020, 1, 15, 0, 0, 0, 0, time.UTC)
	if err := app.MakePartition(t.Context(), "report_rows", old); err != nil {
		t.Fatal(err)
	}
	reader, err := owner.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := reader.Exec(t.Context(), "select from report_rows limit 1"); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	if _, err := app.DetachPartition(t.Context(), "report_rows_2020_01"); !errors.Is(err, store.ErrPartitionBusy) {
		t.Errorf("detaching while somebody reads = %v", err)
	}
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("it took %s to give up", took)
	}
	_ = reader.Rollback(t.Context())
	for _, want := range []bool{true, false} {
		if detached, err := app.DetachPartition(t.Context(), "report_rows_2020_01"); err != nil || detached != want {
			t.Errorf("DetachPartition = %v, %v; want %v", detached, err, want)
		}
	}
	if r := relation(t, app, "report_rows_2020_01"); !r.Detached || r.Pending || r.Table != "report_rows" || !r.End().Equal(time.Date(2020, 2, 1, 0, 0, 0, 0, time.UTC)) {
		t.Errorf("the detached partition = %+v", r)
	}
	for _, want := range []bool{true, false} {
		if dropped, err := app.DropPartition(t.Context(), "report_rows_2020_01"); err != nil || dropped != want {
			t.Errorf("DropPartition = %v, %v; want %v", dropped, err, want)
		}
	}

	now := time.Now().UTC()
	young := now.AddDate(0, -12, 0)
	if err := app.MakePartition(t.Context(), "audit_logs", young); err != nil {
		t.Fatal(err)
	}
	for child, what := range map[string]string{
		"report_rows_" + now.Format("2006_01"):                   "not old enough",
		"report_rows_" + now.AddDate(0, 0, 40).Format("2006_01"): "not old enough",
		"audit_logs_" + young.Format("2006_01"):                  "not old enough",
		"hosts":                                                  "not a partition by month",
		"report_rows":                                            "not a partition by month",
	} {
		if _, err := app.DetachPartition(t.Context(), child); err == nil || !strings.Contains(err.Error(), what) {
			t.Errorf("detaching %s = %v, want it refused", child, err)
		}
	}
}

func TestADetachmentThatWasInterruptedIsEnded(t *testing.T) {
	t.Parallel()
	s, pool := storetest.Pool(t)
	if err := s.MakePartition(t.Context(), "changes", time.Date(2020, 3, 1, 0, 0, 0, 0, time.UTC)); err != nil {
		t.Fatal(err)
	}
	reader, err := pool.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := reader.Exec(t.Context(), "select from changes limit 1"); err != nil {
		t.Fatal(err)
	}
	ctx, kill := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	before := relation(t, s, "changes_2020_03")
	go func() { ended <- s.DetachConcurrently(ctx, before) }()
	await.Until(t, "the detachment waits for the reader", func() bool { return relation(t, s, "changes_2020_03").Pending })
	// While it waits nobody else does: reports are stored and months made.
	if err := s.MakePartition(t.Context(), "changes", time.Date(2020, 4, 1, 0, 0, 0, 0, time.UTC)); err != nil {
		t.Error(err)
	}
	exec(t, pool, `insert into changes (id, seen_at, host_id, report_type, path, report_id)
		values (gen_random_uuid(), now(), gen_random_uuid(), 1, 'x', gen_random_uuid())`)
	kill()
	if err := <-ended; err == nil {
		t.Error("the interrupted detachment succeeded")
	}
	await.Until(t, "the server has noticed", func() bool {
		return ask[int](t, pool, "select count(*) from pg_stat_activity where datname = current_database() and state = 'active' and query like 'alter table%detach%'") == 0
	})
	_ = reader.Rollback(t.Context())
	pending := relation(t, s, "changes_2020_03")
	if !pending.Pending || !pending.Detached {
		t.Fatalf("after the interruption = %+v", pending)
	}
	if _, err := s.DropPartition(t.Context(), pending.Name); err == nil || !strings.Contains(err.Error(), "still attached") {
		t.Errorf("dropping a pending partition = %v", err)
	}
	if err := s.DetachConcurrently(t.Context(), pending); err != nil {
		t.Errorf("ending it = %v", err)
	}
	if dropped, err := s.DropPartition(t.Context(), pending.Name); err != nil || !dropped {
		t.Errorf("DropPartition = %v, %v", dropped, err)
	}
	if err := s.DetachConcurrently(t.Context(), pending); fleet.KindOf(err) != fleet.Internal {
		t.Errorf("detaching what is not there = %v", err)
	}
}
