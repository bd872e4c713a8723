package remote_test

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/pem"
	"errors"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/crypto/ssh"

	"github.com/rollcallhq/rollcall/pkg/fleet"
	"github.com/rollcallhq/rollcall/pkg/remote"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m)
}

// patience bounds every wait of a test; no test takes that long unless something is wrong.
const patience = 20 * time.Second

// within returns a context that ends the test's waits in time.
func within(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	return ctx
}

// failureOf returns the failure in err and checks its code.
func failureOf(t *testing.T, err error, want fleet.Code) *fleet.Failure {
	t.Helper()
	failure, ok := errors.AsType[*fleet.Failure](err)
	if !ok {
		t.Fatalf("error = %v (%T), want a failure with code %s", err, err, want)
	}
	if failure.Code != want {
		t.Fatalf("code = %s (%v, details %v), want %s", failure.Code, failure, failure.Details, want)
	}
	return failure
}

// wantCode checks that err is a failure with the code.
func wantCode(t *testing.T, err error, want fleet.Code) {
	t.Helper()
	_ = failureOf(t, err, want)
}

// A pair is a key pair of a test, in the forms that are needed of it.
type pair struct {
	signer ssh.Signer
	pem    []byte
}

func (p pair) credential(user string) remote.Credential {
	return remote.Credential{Kind: remote.KindPrivateKey, Username: user, PrivateKey: p.pem}
}

func newPair(t *testing.T, key crypto.Signer) pair {
	t.Helper()
	signer, err := ssh.NewSignerFromSigner(key)
	if err != nil {
		t.Fatal(err)
	}
	block, err := ssh.MarshalPrivateKey(key, "")
	if err != nil {
		t.Fatal(err)
	}
	return pair{signer: signer, pem: pem.EncodeToMemory(block)}
}

func newEd25519(t *testing.T) ed25519.PrivateKey {
	t.Helper()
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func newECDSA(t *testing.T) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// rsaKey makes one RSA key for all tests: that takes a noticeable part of a second.
var rsaKey = sync.OnceValues(func() (*rsa.PrivateKey, error) { return rsa.GenerateKey(rand.Reader, 2048) })

func newRSA(t *testing.T) *rsa.PrivateKey {
	t.Helper()
	key, err := rsaKey()
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// trustAny is a Verify that lets every key pass, for tests about something else.
func trustAny(context.Context, remote.Key) error { return nil }
