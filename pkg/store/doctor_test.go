package store_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rollcallhq/rollcall/pkg/fleet"
	"github.com/rollcallhq/rollcall/pkg/store"
	"github.com/rollcallhq/rollcall/pkg/storetest"
)

func TestWhatTheDoctorIsToldOfTheServer(t *testing.T) {
	t.Parallel()
	s, pool := storetest.Pool(t)
	state, err := s.ServerState(t.Context())
	if err != nil || !strings.HasPrefix(ask[string](t, pool, "show server_version"), state.Version) || state.Number < 130000 || state.ReadOnly || !state.OwnsAudit {
		t.Errorf("ServerState = %+v, %v", state, err)
	}
	if fsync := ask[string](t, pool, "show fsync") == "on"; state.Fsync != fsync {
		t.Errorf("fsync = %v, want %v", state.Fsync, fsync)
	}
	have, want, err := s.Migrations(t.Context())
	if err != nil || have != want || want == 0 {
		t.Errorf("Migrations = %d of %d, %v", have, want, err)
	}
	empty, err := store.OpenPool(t.Context(), storetest.Empty(t), store.Options{Name: "rollcall-test"})
	if err != nil {
		t.Fatal(err)
	}
	defer empty.Close()
	if have, _, err := store.New(empty).Migrations(t.Context()); err != nil || have != 0 {
		t.Errorf("of an empty database: %d, %v; want none", have, err)
	}
	connections, err := store.New(empty).ConnectionState(t.Context())
	if err == nil || connections.Used != 0 { // it has no table of workers
		t.Errorf("ConnectionState of an empty database = %+v, %v", connections, err)
	}
	connections, err = s.ConnectionState(t.Context())
	if err != nil || connections.Used < 1 || connections.Max < connections.Used || connections.Ours > connections.Used {
		t.Errorf("ConnectionState = %+v, %v", connections, err)
	}
}

func TestWhatTheDoctorIsToldOfTheTasks(t *testing.T) {
	t.Parallel()
	s := storetest.New(t)
	db := store.DBOf(s)
	for _, name := range []string{"a", "b", "c", "d"} {
		addHost(t, s, name)
	}
	_, messages := collect(t, s)
	waiting, err := s.WaitingState(t.Context(), 100)
	if err != nil || len(waiting) != 1 || waiting[0].Tasks != 4 || waiting[0].Site != fleet.DefaultSite || waiting[0].Priority != string(fleet.PriorityNormal) {
		t.Fatalf("WaitingState = %+v, %v", waiting, err)
	}
	if some, err := s.WaitingState(t.Context(), 3); err != nil || len(some) != 1 || some[0].Tasks != 3 {
		t.Errorf("looking at three: %+v, %v", some, err)
	}
	worker := aWorker(t, s)
	for _, m := range messages[:2] {
		claim(t, s, m, worker.ID)
	}
	if state, err := s.StuckState(t.Context(), time.Minute); err != nil || state != (store.StuckState{Running: 2}) {
		t.Errorf("when all is well: %+v, %v", state, err)
	}
	exec(t, db, "update workers set seen_at = now() - interval '1 hour'")
	exec(t, db, "update tasks set deadline_at = now() - interval '1 hour' where id = $1", messages[0].TaskID)
	exec(t, db, "update tasks set created_at = now() - interval '1 hour' where id = $1", messages[2].TaskID)
	exec(t, db, "update tasks set dispatched_at = null where state = 'queued'")
	state, err := s.StuckState(t.Context(), time.Minute)
	if want := (store.StuckState{Orphaned: 2, Overdue: 1, Unrung: 1, Running: 2}); err != nil || state != want {
		t.Errorf("StuckState = %+v, %v; want %+v", state, err, want)
	}
	waiting, err = s.WaitingState(t.Context(), 100)
	old := slices.ContainsFunc(waiting, func(w store.WaitingState) bool { return w.Tasks == 2 && w.Oldest >= time.Hour })
	if err != nil || !old {
		t.Errorf("WaitingState = %+v, %v; want two, of which one waits for an hour", waiting, err)
	}
}
