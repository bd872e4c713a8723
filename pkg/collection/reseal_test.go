package collection_test

import (
	"bytes"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/rollcallhq/rollcall/pkg/await"
	"github.com/rollcallhq/rollcall/pkg/collection"
	"github.com/rollcallhq/rollcall/pkg/fleet"
	"github.com/rollcallhq/rollcall/pkg/secret"
)

// A rotation is a rig with a credential or more that are sealed to a key which is no longer the current one.
type rotation struct {
	*rig
	former, current string // the lists of the pairs' open keys
	currentID       string
}

func newRotation(t *testing.T, credentials int) *rotation {
	t.Helper()
	r := &rotation{rig: newRig(t, nil)}
	seal, open, err := secret.GenerateKeyPair(fleet.DefaultSite)
	if err != nil {
		t.Fatal(err)
	}
	r.former, r.current = r.openText, open
	for range credentials {
		r.credential("root", secret.Credential{Password: []byte("open sesame")})
	}
	keys, err := secret.ParseSealKeys(seal)
	if err != nil {
		t.Fatal(err)
	}
	r.seal = keys
	r.currentID, _ = keys.CurrentKey(fleet.DefaultSite)
	return r
}

func (r *rotation) keys(entries ...string) func(*collection.WorkerConfig, *collection.Worker) {
	r.t.Helper()
	keys, err := secret.ParseOpenKeys(strings.Join(entries, ","))
	if err != nil {
		r.t.Fatal(err)
	}
	return func(c *collection.WorkerConfig, _ *collection.Worker) { c.Keys = keys }
}

func (r *rotation) reseal() uuid.UUID {
	r.t.Helper()
	id := fleet.NewID()
	c, err := r.AddReseal(r.t.Context(), fleet.Collection{
		ID: id, Kind: fleet.KindReseal, Actor: "user:ada", Priority: fleet.PriorityNormal, Deadline: time.Minute, ExpiresAt: time.Now().Add(time.Hour),
	}, map[string]string{fleet.DefaultSite: r.currentID})
	if err != nil {
		r.t.Fatal(err)
	}
	return c.ID
}

func (r *rotation) outdated() int {
	return ask[int](r.rig, "select count(*) from credential_seals where key_id <> $1", r.currentID)
}

// TestSeveralWorkersReseal has workers of all kinds at once, one of which stops in between: each seal is renewed once, and
// opens with the current key alone.
func TestSeveralWorkersReseal(t *testing.T) {
	t.Parallel()
	const credentials = 170
	r := newRotation(t, credentials)
	r.worker(r.keys(r.former))            // has not been given the new key yet
	r.worker(r.keys(r.former, r.current)) // would seal to the former one
	id := r.reseal()
	_, stop := r.worker(r.keys(r.current, r.former))
	await.Until(t, "the first renewed seal", func() bool { return r.outdated() < credentials })
	var stopping sync.WaitGroup
	stopping.Go(stop)
	r.worker(r.keys(r.current, r.former))
	r.worker(r.keys(r.current, r.former))
	await.Until(t, "the end of the collection", func() bool { return r.collection(id).State.Ended() })
	stopping.Wait()
	if c := r.collection(id); c.State != fleet.CollectionSucceeded || c.Counts.Succeeded != credentials {
		t.Errorf("it ended as %s with %+v, %v", c.State, c.Counts, c.Errors)
	}
	if n := r.outdated(); n != 0 {
		t.Errorf("%d seals are of the former key", n)
	}
	if n := ask[int](r.rig, "select count(distinct resource_id) from audit_logs where action = 'credential.reseal' and outcome = 'ok'"); n != credentials {
		t.Errorf("%d renewed seals are audited, want %d", n, credentials)
	}
	if n := ask[int](r.rig, "select count(*) from audit_logs where action = 'credential.reseal'"); n != credentials {
		t.Errorf("%d entries, want each seal renewed once", n)
	}
	only, err := secret.ParseOpenKeys(r.current)
	if err != nil {
		t.Fatal(err)
	}
	first := ask[uuid.UUID](r.rig, "select id from credentials order by id limit 1")
	_, seal, err := r.CredentialFor(t.Context(), first, fleet.DefaultSite)
	if err != nil {
		t.Fatal(err)
	}
	if plain, err := only.Open(seal.Site, seal.KeyID, first, seal.Sealed); err != nil || !bytes.Contains(plain, []byte("b3BlbiBzZXNhbWU")) {
		t.Errorf("what was renewed opens to something else than was sealed: %v", err)
	}
}

// TestWhatIsWrongWithASealIsSaid has one altered seal among good ones, which stays as it was.
func TestWhatIsWrongWithASealIsSaid(t *testing.T) {
	t.Parallel()
	r := newRotation(t, 3)
	victim := ask[uuid.UUID](r.rig, "select id from credentials order by id limit 1")
	r.exec("update credential_seals set sealed = (select sealed from credential_seals where credential_id <> $1 limit 1) where credential_id = $1", victim)
	before := ask[[]byte](r.rig, "select sealed from credential_seals where credential_id = $1", victim)
	id := r.reseal()
	r.worker(r.keys(r.current, r.former))
	await.Until(t, "the end of the collection", func() bool { return r.collection(id).State.Ended() })
	if c := r.collection(id); c.State != fleet.CollectionPartial || c.Errors[fleet.CodeSealBroken] != 1 || c.Counts.Succeeded != 2 {
		t.Errorf("it ended as %s with %+v, %v", c.State, c.Counts, c.Errors)
	}
	if after := ask[[]byte](r.rig, "select sealed from credential_seals where credential_id = $1", victim); !bytes.Equal(before, after) {
		t.Error("a seal that does not open was replaced")
	}
}

// TestASealThatIsReplacedMeanwhileStays gives a credential a new secret while a reseal of the former one is under way.
func TestASealThatIsReplacedMeanwhileStays(t *testing.T) {
	t.Parallel()
	r := newRotation(t, 1)
	credential := ask[uuid.UUID](r.rig, "select id from credentials")
	_, former, err := r.CredentialFor(t.Context(), credential, fleet.DefaultSite)
	if err != nil {
		t.Fatal(err)
	}
	keyID, given, err := r.seal.Seal(fleet.DefaultSite, credential, secret.Credential{Password: []byte("given meanwhile")}.Encode())
	if err != nil {
		t.Fatal(err)
	}
	id := r.reseal()
	r.exec("update credential_seals set key_id = $1, sealed = $2", keyID, given)
	late := fleet.Seal{Site: fleet.DefaultSite, KeyID: r.currentID, Sealed: []byte("of the former secret")}
	if replaced, err := r.ReplaceSeal(t.Context(), credential, former, late); err != nil || replaced {
		t.Errorf("ReplaceSeal = %v, %v; want what was given to stay", replaced, err)
	}
	if _, err := r.SettleReseals(t.Context(), time.Minute, time.Minute); err != nil {
		t.Fatal(err)
	}
	if c := r.collection(id); c.State != fleet.CollectionSucceeded {
		t.Errorf("it is %s", c.State)
	}
	if got := ask[[]byte](r.rig, "select sealed from credential_seals"); !bytes.Equal(got, given) {
		t.Error("the secret that was given is gone")
	}
}
