package secret_test

import (
	"bytes"
	"testing"

	"github.com/google/uuid"

	"github.com/rollcallhq/rollcall/pkg/secret"
)

// FuzzOpen opens what a database that others can write to may hold. Nothing opens but what was sealed.
func FuzzOpen(f *testing.F) {
	p := newPair(f, "eu")
	owner := uuid.UUID{15: 1}
	keyID, good, err := sealKeys(f, p.seal).Seal("eu", owner, []byte("open sesame"))
	if err != nil {
		f.Fatal(err)
	}
	keys := openKeys(f, p.open)
	f.Add(good)
	f.Add([]byte{1})
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, sealed []byte) {
		if plain, err := keys.Open("eu", keyID, owner, sealed); err == nil && !bytes.Equal(sealed, good) {
			t.Errorf("%x opens to %q", sealed, plain)
		}
		_, _, _ = keys.Reseal("eu", keyID, owner, sealed)
	})
}

// FuzzDecodeCredential reads what a seal may hold.
func FuzzDecodeCredential(f *testing.F) {
	f.Add(secret.Credential{Password: []byte("p")}.Encode())
	f.Add([]byte(`{"password":"!"}`))
	f.Fuzz(func(t *testing.T, plaintext []byte) {
		c, err := secret.DecodeCredential(plaintext)
		if err != nil {
			return
		}
		again, err := secret.DecodeCredential(c.Encode())
		if err != nil || !bytes.Equal(again.Password, c.Password) || !bytes.Equal(again.PrivateKey, c.PrivateKey) {
			t.Errorf("%q does not survive being written: %v", plaintext, err)
		}
	})
}
