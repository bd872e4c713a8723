package account_test

import (
	"strings"
	"testing"

	"github.com/redis/go-redis/v9"

	"github.com/rollcallhq/rollcall/pkg/account"
	"github.com/rollcallhq/rollcall/pkg/ephemeral"
	"github.com/rollcallhq/rollcall/pkg/fleet"
	"github.com/rollcallhq/rollcall/pkg/token"
)

// restarted returns a Service on the bench's database and Redis that signs with other keys.
func (b bench) restarted(t *testing.T, signingKey string, old ...string) *account.Service {
	t.Helper()
	var accepted [][]byte
	for _, k := range old {
		accepted = append(accepted, []byte(k))
	}
	signer, err := token.NewSigner([]byte(signingKey), accepted...)
	if err != nil {
		t.Fatal(err)
	}
	client := redis.NewClient(&redis.Options{Addr: b.redis.Addr()})
	t.Cleanup(func() { _ = client.Close() })
	s, err := account.New(account.Config{
		Store: b.store, Sessions: ephemeral.New(client), Signer: signer, Passwords: token.NewPasswords(0), Now: b.now,
	})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestANewSigningKeySignsNobodyOut(t *testing.T) {
	t.Parallel()
	newKey := strings.Repeat("n", token.MinKeyBytes)
	tests := []struct {
		name       string
		old        []string
		accessGood bool
	}{
		{"with the old key beside it access tokens stay good", []string{key}, true},
		{"without the old key access tokens are refused and refresh tokens are not", nil, false},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, account.Options{})
			b.addUser(t, "ann", fleet.Viewer, "")
			before, actor := b.login(t, "ann")
			cookie, err := b.LoginCookie(t.Context(), "ann", password, home())
			if err != nil {
				t.Fatal(err)
			}
			after := b.restarted(t, newKey, test.old...)

			_, err = after.Authenticate(t.Context(), before.Access)
			if test.accessGood && err != nil {
				t.Errorf("an access token of the old key: %v", err)
			}
			if !test.accessGood {
				wantError(t, err, fleet.Unauthenticated, token.CodeTokenInvalid)
			}
			if _, err := after.AuthenticateCookie(t.Context(), cookie.Secret); err != nil {
				t.Errorf("a cookie from before: %v", err)
			}
			tokens, err := after.Refresh(t.Context(), before.Refresh, home())
			if err != nil {
				t.Fatalf("refreshing what began before: %v", err)
			}
			got, err := after.Authenticate(t.Context(), tokens.Access)
			if err != nil || got.SessionID == nil || *got.SessionID != *actor.SessionID {
				t.Errorf("after refreshing: %+v, %v, want session %s", got, err, actor.SessionID)
			}
			// A replica that has not been given the new key yet cannot know the token, which is why the new key goes to all
			// as an old one first.
			_, err = b.Authenticate(t.Context(), tokens.Access)
			wantError(t, err, fleet.Unauthenticated, token.CodeTokenInvalid)
		})
	}
}

func TestSigningInNeverAdoptsASession(t *testing.T) {
	t.Parallel()
	b := newBench(t, account.Options{})
	b.addUser(t, "ann", fleet.Viewer, "")
	b.addUser(t, "eve", fleet.Viewer, "")
	planted, err := b.LoginCookie(t.Context(), "eve", password, home())
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{planted.Secret: true}
	for range 3 {
		cookie, err := b.LoginCookie(t.Context(), "ann", password, home())
		if err != nil {
			t.Fatal(err)
		}
		if seen[cookie.Secret] {
			t.Fatal("a sign-in got a secret that was there before")
		}
		seen[cookie.Secret] = true
	}
	actor, err := b.AuthenticateCookie(t.Context(), planted.Secret)
	if err != nil || actor.Name != "eve" {
		t.Errorf("the planted cookie speaks for %+v, %v, want eve as before", actor, err)
	}
}
