package secret_test

import (
	"slices"
	"testing"

	"github.com/google/uuid"

	"github.com/rollcallhq/rollcall/pkg/fleet"
	"github.com/rollcallhq/rollcall/pkg/secret"
)

func TestResealing(t *testing.T) {
	t.Parallel()
	former, current, other := newPair(t, "eu"), newPair(t, "eu"), newPair(t, "us")
	owner := uuid.New()
	formerID, sealed, err := sealKeys(t, former.seal).Seal("eu", owner, []byte("open sesame"))
	if err != nil {
		t.Fatal(err)
	}
	keys := openKeys(t, other.open, current.open, former.open)
	want, _ := sealKeys(t, current.seal).CurrentKey("eu")

	keyID, anew, err := keys.Reseal("eu", formerID, owner, sealed)
	if err != nil || keyID != want {
		t.Fatalf("Reseal = %s, %v; want key %s", keyID, err, want)
	}
	if got, err := openKeys(t, current.open).Open("eu", keyID, owner, anew); err != nil || string(got) != "open sesame" {
		t.Errorf("the new key opens %q, %v", got, err)
	}
	if _, err := openKeys(t, former.open).Open("eu", keyID, owner, anew); err == nil {
		t.Error("the former key opens what was sealed anew")
	}
	if current, ok := keys.CurrentKey("eu"); !ok || current != want || !slices.Equal(keys.KeyIDs("eu"), []string{want, formerID}) {
		t.Errorf("the keys of eu are %v, the current one is %s", keys.KeyIDs("eu"), current)
	}
	if _, ok := keys.CurrentKey("mars"); ok || keys.KeyIDs("mars") != nil {
		t.Error("there are keys of mars")
	}

	refusals := []struct {
		name  string
		keys  *secret.OpenKeys
		site  string
		owner uuid.UUID
		code  string
	}{
		{"without the former key", openKeys(t, current.open), "eu", owner, secret.CodeNoOpenKey},
		{"of another site", keys, "us", owner, secret.CodeNoOpenKey},
		{"of another credential", keys, "eu", uuid.New(), secret.CodeSealBroken},
	}
	for _, tt := range refusals {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if _, anew, err := tt.keys.Reseal(tt.site, formerID, tt.owner, sealed); fleet.CodeOf(err) != tt.code || anew != nil {
				t.Errorf("Reseal = %d bytes, %v; want %s", len(anew), err, tt.code)
			}
		})
	}
}
