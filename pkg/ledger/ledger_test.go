package ledger_test

import (
	"encoding/hex"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/rollcallhq/rollcall/pkg/fleet"
	"github.com/rollcallhq/rollcall/pkg/ledger"
)

func TestRootsAreThoseOfRFC6962(t *testing.T) {
	t.Parallel()
	// The inputs and roots with which implementations of Certificate Transparency are tested.
	inputs := []string{"", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f"}
	want := map[int]string{
		0: "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
		1: "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
		2: "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
		3: "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
		7: "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
		8: "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
	}
	var leaves []ledger.Hash
	for _, input := range inputs {
		data, err := hex.DecodeString(input)
		if err != nil {
			t.Fatal(err)
		}
		leaves = append(leaves, ledger.LeafOfBytes(data))
	}
	for n, root := range want {
		if got := ledger.RootOf(leaves[:n]); hex.EncodeToString(got[:]) != root {
			t.Errorf("the root of %d leaves is %x, want %s", n, got, root)
		}
	}
}

func entryOf(n int) fleet.AuditRecord {
	user := uuid.UUID{1}
	return fleet.AuditRecord{
		AuditPosition: fleet.AuditPosition{Tx: int64(100 + n), ID: uuid.UUID{byte(n)}}, CreatedAt: time.UnixMicro(1_767_225_600_000_001).UTC(), UserID: &user,
		Actor: "user:ann", Action: "host.update", Outcome: "ok", ResourceType: "host", ResourceID: "h", Details: []byte(`{"a":1}`), Address: "192.0.2.1",
	}
}

func TestEveryColumnIsInTheLeaf(t *testing.T) {
	t.Parallel()
	changes := map[string]func(*fleet.AuditRecord){
		"life": func(e *fleet.AuditRecord) { e.Life++ }, "tx": func(e *fleet.AuditRecord) { e.Tx++ }, "id": func(e *fleet.AuditRecord) { e.ID[15]++ },
		"a microsecond": func(e *fleet.AuditRecord) { e.CreatedAt = e.CreatedAt.Add(time.Microsecond) },
		"user":          func(e *fleet.AuditRecord) { e.UserID = nil }, "actor": func(e *fleet.AuditRecord) { e.Actor += "x" },
		"action": func(e *fleet.AuditRecord) { e.Action += "x" }, "outcome": func(e *fleet.AuditRecord) { e.Outcome = "denied" },
		"type": func(e *fleet.AuditRecord) { e.ResourceType += "x" }, "resource": func(e *fleet.AuditRecord) { e.ResourceID += "x" },
		"details": func(e *fleet.AuditRecord) { e.Details = []byte(`{"a":1,"b":2}`) }, "address": func(e *fleet.AuditRecord) { e.Address = "" },
		"a text that moved":   func(e *fleet.AuditRecord) { e.ResourceType, e.ResourceID = "hos", "th" },
		"a number's spelling": func(e *fleet.AuditRecord) { e.Details = []byte(`{"a":1.0}`) },
	}
	same, err := ledger.LeafOf(entryOf(1))
	if err != nil {
		t.Fatal(err)
	}
	if got := hex.EncodeToString(same[:]); got != pinned {
		t.Errorf("the leaf of version 1 is %s, want %s: seals that exist would not hold any more", got, pinned)
	}
	for name, change := range changes {
		e := entryOf(1)
		change(&e)
		if leaf, err := ledger.LeafOf(e); err != nil || leaf == same {
			t.Errorf("%s: the leaf is the same (%v)", name, err)
		}
	}
	alike := entryOf(1)
	alike.Details, alike.CreatedAt = []byte(` { "a" : 1 } `), alike.CreatedAt.In(time.FixedZone("x", 3600))
	if leaf, err := ledger.LeafOf(alike); err != nil || leaf != same {
		t.Errorf("spaces and zones: another leaf (%v)", err)
	}
	for _, details := range []string{"", "{", "{} {}", "nul", strings.Repeat("[", 300) + strings.Repeat("]", 300)} {
		e := entryOf(1)
		e.Details = []byte(details)
		if _, err := ledger.LeafOf(e); err == nil {
			t.Errorf("details %.20q are taken", details)
		}
	}
}

const pinned = "9def51494e4a07e4d63060f0ca35e36f0089310735147a3cf2be023d91bbabd7"

func TestVerify(t *testing.T) {
	t.Parallel()
	at := time.UnixMicro(1_767_225_700_000_000)
	first, err := ledger.Seal(fleet.AuditSeal{}, []fleet.AuditRecord{entryOf(1), entryOf(2)}, at)
	if err != nil || len(first) != 1 {
		t.Fatal(first, err)
	}
	second, err := ledger.Seal(first[0], []fleet.AuditRecord{entryOf(3)}, at)
	if err != nil {
		t.Fatal(err)
	}
	v := ledger.Verifier{}
	for _, n := range []int{4, 2, 3, 1} {
		v.Entry(entryOf(n))
	}
	v.Seal(second[0])
	v.Seal(first[0])
	f := v.Verify()
	if !f.OK() || f.Seals != 2 || f.Entries != 3 || f.Unsealed != 1 || f.Head != hex.EncodeToString(second[0].Root[:]) || !f.Oldest.Equal(entryOf(4).CreatedAt) {
		t.Errorf("%+v", f)
	}
	if !v.Holds(first[0].Root) || v.Holds(ledger.Hash{1}) {
		t.Error("which roots the chain holds is told wrongly")
	}
	if f := (&ledger.Verifier{}).Verify(); !f.OK() || f.Head != "" {
		t.Errorf("an empty log: %+v", f)
	}
}

func FuzzEncodeEntry(f *testing.F) {
	for _, seed := range []string{`{"a":1}`, `[]`, `{"b":{"a":[1e5,"\u2028",null]}}`, `{"a":1,"a":2}`, "\xff"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, details []byte) {
		e := entryOf(1)
		e.Details = details
		once, err := ledger.EncodeEntry(e)
		if err != nil {
			return
		}
		form, err := ledger.Canonical(details)
		if err != nil {
			t.Fatal(err)
		}
		e.Details = form
		if again, err := ledger.EncodeEntry(e); err != nil || string(again) != string(once) {
			t.Errorf("the canonical form of %q is not its own: %q, %v", details, form, err)
		}
	})
}
