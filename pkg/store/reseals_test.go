package store_test

import (
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/rollcallhq/rollcall/pkg/fleet"
	"github.com/rollcallhq/rollcall/pkg/store"
	"github.com/rollcallhq/rollcall/pkg/storetest"
)

// sealed stores a credential that is sealed to those keys, site and key by turns.
func sealed(t *testing.T, s *store.Store, name string, keys ...string) uuid.UUID {
	t.Helper()
	c := fleet.Credential{ID: fleet.NewID(), Name: name, Kind: fleet.CredentialPassword, Username: "x"}
	var seals []fleet.Seal
	for i := 0; i < len(keys); i += 2 {
		seals = append(seals, fleet.Seal{Site: keys[i], KeyID: keys[i+1], Sealed: []byte(name + " " + keys[i+1])})
	}
	if err := s.AddCredential(t.Context(), c, seals); err != nil {
		t.Fatal(err)
	}
	return c.ID
}

func reseal(t *testing.T, s *store.Store, current map[string]string) fleet.Collection {
	t.Helper()
	c := aCollection()
	c.Kind, c.Selector, c.ReportTypes = fleet.KindReseal, "", nil
	c, err := s.AddReseal(t.Context(), c, current)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// resealer stores the heartbeat of a worker of eu with the keys, its current one first.
func resealer(t *testing.T, s *store.Store, keys ...string) fleet.Worker {
	t.Helper()
	w := fleet.Worker{ID: fleet.NewID(), Host: "w", Version: "test", Sites: []string{"eu"}, Slots: 1}
	for i, key := range keys {
		w.OpenKeys = append(w.OpenKeys, "eu/"+key)
		if i == 0 {
			w.CurrentKeys = w.OpenKeys[:1]
		}
	}
	if _, _, err := s.Heartbeat(t.Context(), w); err != nil {
		t.Fatal(err)
	}
	return w
}

func outdated(t *testing.T, s *store.Store, w fleet.Worker) []store.OutdatedSeal {
	t.Helper()
	seals, err := s.TakeReseals(t.Context(), w, 10)
	if err != nil {
		t.Fatal(err)
	}
	return seals
}

func settle(t *testing.T, s *store.Store, patience time.Duration) int {
	t.Helper()
	n, err := s.SettleReseals(t.Context(), time.Minute, patience)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func TestAResealTakesWhatIsOutdated(t *testing.T) {
	t.Parallel()
	s, pool := storetest.Pool(t)
	both := sealed(t, s, "both", "eu", "old", "us", "old")
	sealed(t, s, "fresh", "eu", "new", "us", "old")
	c := reseal(t, s, map[string]string{"eu": "new"})
	if c.Counts.Total != 1 || c.State != fleet.CollectionPending {
		t.Fatalf("AddReseal = %+v", c)
	}
	for _, w := range []fleet.Worker{resealer(t, s, "new"), resealer(t, s, "old", "new"), resealer(t, s, "other", "old")} {
		if seals := outdated(t, s, w); len(seals) > 0 {
			t.Errorf("a worker with the keys %v takes %+v", w.OpenKeys, seals)
		}
	}
	able := resealer(t, s, "new", "old")
	seals := outdated(t, s, able)
	want := []store.OutdatedSeal{{CollectionID: c.ID, CredentialID: both, WantedKey: "new", Seal: fleet.Seal{Site: "eu", KeyID: "old", Sealed: []byte("both old")}}}
	if diff := cmp.Diff(want, seals); diff != "" {
		t.Fatalf("TakeReseals (-want +got)\n%s", diff)
	}
	if n := settle(t, s, 0); n != 0 {
		t.Errorf("%d settled while a worker can", n)
	}
	anew := fleet.Seal{Site: "eu", KeyID: "new", Sealed: []byte("both new")}
	for _, first := range []bool{true, false} {
		if replaced, err := s.ReplaceSeal(t.Context(), both, seals[0].Seal, anew); err != nil || replaced != first {
			t.Errorf("ReplaceSeal = %v, %v; want %v", replaced, err, first)
		}
	}
	ended := fleet.Reseal{CollectionID: c.ID, CredentialID: both, Site: "eu", State: fleet.TaskSucceeded}
	if err := s.EndReseals(t.Context(), able.ID, []fleet.Reseal{ended}); err != nil {
		t.Fatal(err)
	}
	if open, err := s.Collection(t.Context(), fleet.Everything(), c.ID); err != nil || open.Counts.Succeeded != 1 || open.State != fleet.CollectionSucceeded {
		t.Errorf("before it is frozen it is %+v, %v", open, err)
	}
	if done, err := s.FinishCollections(t.Context(), &c.ID, 1); err != nil || len(done) != 1 {
		t.Fatalf("FinishCollections = %v, %v", done, err)
	}
	if frozen, err := s.Collection(t.Context(), fleet.Everything(), c.ID); err != nil || frozen.State != fleet.CollectionSucceeded || frozen.Counts.Succeeded != 1 || frozen.Kind != fleet.KindReseal {
		t.Errorf("it ended as %+v, %v", frozen, err)
	}
	counts, err := s.SealCounts(t.Context(), time.Minute)
	if want := []fleet.SealCount{{Site: "eu", KeyID: "new", Seals: 2, Workers: 3}, {Site: "us", KeyID: "old", Seals: 2}}; err != nil || !cmp.Equal(counts, want) {
		t.Errorf("SealCounts = %+v, %v; want %+v", counts, err, want)
	}
	parts, _, err := s.Reseals(t.Context(), c.ID, "", fleet.Page{})
	if err != nil || len(parts) != 1 || parts[0].Credential != "both" || parts[0].FromKey != "old" || *parts[0].WorkerID != able.ID {
		t.Errorf("Reseals = %+v, %v", parts, err)
	}
	if again := reseal(t, s, map[string]string{"eu": "new"}); again.Counts.Total != 0 || again.State != fleet.CollectionSucceeded {
		t.Errorf("asked again, it is %+v", again)
	}
	if n, err := s.ForgetReseals(t.Context(), time.Hour, 10); err != nil || n != 0 {
		t.Errorf("ForgetReseals = %d, %v; want what is young kept", n, err)
	}
	exec(t, pool, "update reseals set finished_at = now() - interval '2 hours'")
	if n, err := s.ForgetReseals(t.Context(), time.Hour, 10); err != nil || n != 1 {
		t.Errorf("ForgetReseals = %d, %v", n, err)
	}
}

func TestWhatEndsAResealWithoutAWorker(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name    string
		happens func(t *testing.T, s *store.Store, pool *pgxpool.Pool, c fleet.Collection, credential uuid.UUID)
		state   fleet.CollectionState
		code    fleet.Code
	}{
		{"nothing while the site has no worker", func(*testing.T, *store.Store, *pgxpool.Pool, fleet.Collection, uuid.UUID) {}, fleet.CollectionPending, ""},
		{"workers that have other keys", func(t *testing.T, s *store.Store, _ *pgxpool.Pool, _ fleet.Collection, _ uuid.UUID) {
			t.Helper()
			resealer(t, s, "new")
			resealer(t, s, "old", "new")
		}, fleet.CollectionFailed, fleet.CodeNoOpenKey},
		{"a worker of the release before, which has no keys to name", func(t *testing.T, s *store.Store, pool *pgxpool.Pool, _ fleet.Collection, _ uuid.UUID) {
			t.Helper()
			resealer(t, s, "new", "old")
			exec(t, pool, "update workers set open_keys = null, current_keys = null")
		}, fleet.CollectionFailed, fleet.CodeNoOpenKey},
		{"nothing while one worker of several can", func(t *testing.T, s *store.Store, _ *pgxpool.Pool, _ fleet.Collection, _ uuid.UUID) {
			t.Helper()
			resealer(t, s, "old")
			resealer(t, s, "new", "old")
		}, fleet.CollectionPending, ""},
		{"a credential that is deleted", func(t *testing.T, s *store.Store, _ *pgxpool.Pool, _ fleet.Collection, id uuid.UUID) {
			t.Helper()
			if err := s.RemoveCredential(t.Context(), id); err != nil {
				t.Fatal(err)
			}
		}, fleet.CollectionSucceeded, ""},
		{"a secret that is given anew", func(t *testing.T, s *store.Store, pool *pgxpool.Pool, _ fleet.Collection, _ uuid.UUID) {
			t.Helper()
			exec(t, pool, "update credential_seals set key_id = 'new'")
		}, fleet.CollectionSucceeded, ""},
		{"being cancelled", func(t *testing.T, s *store.Store, _ *pgxpool.Pool, c fleet.Collection, _ uuid.UUID) {
			t.Helper()
			if n, err := s.RequestCancel(t.Context(), c.ID); err != nil || n != 1 {
				t.Fatalf("RequestCancel = %d, %v", n, err)
			}
		}, fleet.CollectionCancelled, fleet.CodeCancelled},
		{"having waited too long", func(t *testing.T, _ *store.Store, pool *pgxpool.Pool, _ fleet.Collection, _ uuid.UUID) {
			t.Helper()
			exec(t, pool, "update collections set expires_at = now() - interval '1 second'")
		}, fleet.CollectionFailed, fleet.CodeExpired},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s, pool := storetest.Pool(t)
			credential := sealed(t, s, "c", "eu", "old")
			c := reseal(t, s, map[string]string{"eu": "new"})
			tt.happens(t, s, pool, c, credential)
			settle(t, s, 0)
			if _, err := s.FinishCollections(t.Context(), nil, 10); err != nil {
				t.Fatal(err)
			}
			got, err := s.Collection(t.Context(), fleet.Everything(), c.ID)
			if err != nil || got.State != tt.state || tt.code != "" && got.Errors[tt.code] != 1 {
				t.Errorf("it is %s with %v, %v; want %s with %s", got.State, got.Errors, err, tt.state, tt.code)
			}
		})
	}
}

// TestAScopeSeesNoReseals holds that who may see some hosts only sees nothing of the seals, which are of no host.
func TestAScopeSeesNoReseals(t *testing.T) {
	t.Parallel()
	s, _ := storetest.Pool(t)
	sealed(t, s, "c", "eu", "old")
	c := reseal(t, s, map[string]string{"eu": "new"})
	some := fleet.Actor{Kind: fleet.ActorUser, Role: fleet.Admin, Selector: selector(t, "env=prod")}.Scope()
	if _, err := s.Collection(t.Context(), some, c.ID); fleet.KindOf(err) != fleet.NotFound {
		t.Errorf("Collection = %v, want not found", err)
	}
	list, _, err := s.Collections(t.Context(), some, fleet.Page{})
	if err != nil || len(list) != 0 {
		t.Errorf("Collections = %+v, %v", list, err)
	}
	all, _, err := s.Collections(t.Context(), fleet.Everything(), fleet.Page{})
	if err != nil || len(all) != 1 || all[0].Counts.Queued != 1 {
		t.Errorf("Collections of everything = %+v, %v", all, err)
	}
}

func TestResealsArePaged(t *testing.T) {
	t.Parallel()
	s, _ := storetest.Pool(t)
	var want []string
	for _, name := range []string{"a", "b", "c"} {
		id := sealed(t, s, name, "eu", "old", "us", "old")
		want = append(want, id.String()+" eu", id.String()+" us")
	}
	slices.Sort(want)
	c := reseal(t, s, map[string]string{"eu": "new", "us": "new"})
	var got []string
	page := fleet.Page{Limit: 4}
	for {
		found, next, err := s.Reseals(t.Context(), c.ID, fleet.TaskQueued, page)
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range found {
			got = append(got, r.CredentialID.String()+" "+r.Site)
		}
		if page.After = next; next == "" {
			break
		}
	}
	if !slices.Equal(got, want) {
		t.Errorf("the pages hold %v, want %v", got, want)
	}
}
