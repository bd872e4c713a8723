package store_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/rollcallhq/rollcall/pkg/fleet"
	"github.com/rollcallhq/rollcall/pkg/store"
	"github.com/rollcallhq/rollcall/pkg/storetest"
)

func aCollector(name string, version int) fleet.Collector {
	return fleet.Collector{
		Name: name, Version: version, Actor: "user admin",
		Definition: fmt.Appendf(nil, `{"name":%q,"description":"version %d","os":{"linux":"true","debian":"true"},"parser":{"format":"text"}}`, name, version+1),
	}
}

// inTx runs f in a savepoint, so that an error of the database costs only f.
func inTx(t *testing.T, s *store.Store, f func(tx *store.Store) error) error {
	t.Helper()
	return s.InTx(t.Context(), f)
}

func TestEveryVersionOfACollectorIsKept(t *testing.T) {
	t.Parallel()
	s := storetest.New(t)
	ctx := t.Context()
	added, err := s.AddCollector(ctx, aCollector("certs", 0))
	if err != nil || added.Version != 1 || added.Newest != 1 || added.Description != "version 1" || !slices.Equal(added.Systems, []string{"debian", "linux"}) {
		t.Fatalf("AddCollector = %+v, %v", added, err)
	}
	for _, name := range []string{"certs", "packages"} {
		if err := inTx(t, s, func(tx *store.Store) error { _, err := tx.AddCollector(ctx, aCollector(name, 0)); return err }); fleet.KindOf(err) != fleet.Conflict || fleet.CodeOf(err) != "name_taken" {
			t.Errorf("adding %s = %v", name, err)
		}
	}
	changed, err := s.UpdateCollector(ctx, aCollector("certs", 1))
	if err != nil || changed.Version != 2 || changed.Description != "version 2" {
		t.Errorf("UpdateCollector = %+v, %v", changed, err)
	}
	if _, err := s.UpdateCollector(ctx, aCollector("certs", 1)); fleet.KindOf(err) != fleet.Precondition {
		t.Errorf("over a version that is not the newest = %v", err)
	}
	first, err := s.Collector(ctx, "certs", 1)
	if err != nil || first.Version != 1 || first.Newest != 2 || !strings.Contains(string(first.Definition), "version 1") {
		t.Errorf("Collector = %+v, %v", first, err)
	}
	if _, err := s.Collector(ctx, "certs", 3); fleet.KindOf(err) != fleet.NotFound {
		t.Errorf("a version that there is not = %v", err)
	}
	listed, err := s.Collectors(ctx)
	if err != nil || len(listed) != 1 || listed[0].Version != 2 || listed[0].Definition != nil {
		t.Errorf("Collectors = %+v, %v", listed, err)
	}
	if versions, err := s.CollectorVersions(ctx, []string{"os", "certs"}); err != nil || len(versions) != 1 || versions["certs"] != 2 {
		t.Errorf("CollectorVersions = %v, %v", versions, err)
	}
}

func TestACollectorThatIsRemovedKeepsItsNumberAndComesBackAsANewVersion(t *testing.T) {
	t.Parallel()
	s := storetest.New(t)
	ctx := t.Context()
	number := func(name string) (n int16) {
		t.Helper()
		if err := store.DBOf(s).QueryRow(ctx, "select id from report_types where name = $1", name).Scan(&n); err != nil {
			t.Fatal(err)
		}
		return n
	}
	for _, name := range []string{"first", "second"} {
		if _, err := s.AddCollector(ctx, aCollector(name, 0)); err != nil {
			t.Fatal(err)
		}
	}
	if number("first") != 1000 || number("second") != 1001 {
		t.Errorf("numbers %d and %d", number("first"), number("second"))
	}
	if err := s.RemoveCollector(ctx, "second"); err != nil {
		t.Fatal(err)
	}
	if err := s.RemoveCollector(ctx, "second"); fleet.KindOf(err) != fleet.NotFound {
		t.Errorf("removing it again = %v", err)
	}
	if _, err := s.UpdateCollector(ctx, aCollector("second", 1)); fleet.KindOf(err) != fleet.Precondition {
		t.Errorf("changing it then = %v", err)
	}
	if c, err := s.Collector(ctx, "second", 0); err != nil || c.RemovedAt == nil {
		t.Errorf("its definition then = %+v, %v", c, err)
	}
	if listed, err := s.Collectors(ctx); err != nil || len(listed) != 1 {
		t.Errorf("the list then = %+v, %v", listed, err)
	}
	if _, err := s.AddCollector(ctx, aCollector("third", 0)); err != nil || number("third") != 1002 {
		t.Errorf("the next one has %d, %v", number("third"), err)
	}
	again, err := s.AddCollector(ctx, aCollector("second", 1))
	if err != nil || again.Version != 2 || again.RemovedAt != nil || number("second") != 1001 {
		t.Errorf("it comes back as %+v with %d, %v", again, number("second"), err)
	}
}

func TestWhoNeedsACollectorIsFound(t *testing.T) {
	t.Parallel()
	s := storetest.New(t)
	ctx := t.Context()
	sch := aSchedule("nightly")
	sch.ReportTypes = []string{"os", "certs"}
	if _, err := s.AddSchedule(ctx, sch); err != nil {
		t.Fatal(err)
	}
	if names, err := s.SchedulesNaming(ctx, "certs"); err != nil || !slices.Equal(names, []string{"nightly"}) {
		t.Errorf("SchedulesNaming = %v, %v", names, err)
	}
	for name, local := range map[string]bool{"far": false, "near": true} {
		h := addHost(t, s, name, func(h *fleet.Host) {
			if local {
				h.Connection = fleet.ConnectionLocal
			}
		})
		c := aCollection()
		c.HostIDs, c.Selector = []uuid.UUID{h.ID}, ""
		if _, err := s.AddCollection(ctx, fleet.Everything(), c, nil); err != nil {
			t.Fatal(err)
		}
		if asks, err := s.AsksLocalHosts(ctx, c.ID); err != nil || asks != local {
			t.Errorf("AsksLocalHosts of %s = %v, %v", name, asks, err)
		}
	}
}

func TestATrialIsKeptByWhoHoldsItsTaskAndOnlyForAWhile(t *testing.T) {
	t.Parallel()
	s := storetest.New(t)
	ctx := t.Context()
	addHost(t, s, "web-1")
	c, messages := collect(t, s)
	worker := aWorker(t, s)
	claimed := claim(t, s, messages[0], worker.ID)
	trial := fleet.Trial{CollectionID: c.ID, Name: "certs", Version: 3, Definition: []byte(`{}`), ExpiresAt: time.Now().Add(time.Hour)}
	if err := s.AddTrial(ctx, trial); err != nil {
		t.Fatal(err)
	}
	stranger := store.LeaseOf(claimed.Task)
	stranger.Epoch++
	if err := s.KeepTrial(ctx, stranger, []byte(`{"by":"stranger"}`)); err != nil {
		t.Fatal(err)
	}
	if got, err := s.Trial(ctx, fleet.Everything(), c.ID); err != nil || got.Result != nil || got.Version != 3 {
		t.Errorf("before its result: %+v, %v", got, err)
	}
	if err := s.KeepTrial(ctx, store.LeaseOf(claimed.Task), []byte(`{"by":"owner"}`)); err != nil {
		t.Fatal(err)
	}
	end(t, s, ending(claimed, fleet.TaskSucceeded))
	if got, err := s.Trial(ctx, fleet.Everything(), c.ID); err != nil || !strings.Contains(string(got.Result), "owner") {
		t.Errorf("after its end: %+v, %v", got, err)
	}
	exec(t, store.DBOf(s), "update trials set expires_at = now() - interval '1 second'")
	if _, err := s.Trial(ctx, fleet.Everything(), c.ID); fleet.KindOf(err) != fleet.NotFound {
		t.Errorf("after it has expired: %v", err)
	}
	other := trial
	other.CollectionID = fleet.NewID()
	if err := s.AddTrial(ctx, other); err != nil {
		t.Fatal(err)
	}
	var left int
	if err := store.DBOf(s).QueryRow(ctx, "select count(*) from trials").Scan(&left); err != nil || left != 1 {
		t.Errorf("%d trials are left, %v", left, err)
	}
}
