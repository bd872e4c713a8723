package client_test

import (
	"context"
	"errors"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/rollcallhq/rollcall/pkg/client"
	"github.com/rollcallhq/rollcall/pkg/wire"
)

func comeAgain(w http.ResponseWriter, when string) {
	w.Header().Set("Retry-After", when)
	problem(w, http.StatusServiceUnavailable, "starting")
}

func TestRetries(t *testing.T) {
	t.Parallel()
	get := func(ctx context.Context, c *client.Client) error { _, err := c.Me(ctx); return err }
	post := func(ctx context.Context, c *client.Client) error {
		_, err := c.AddHost(ctx, wire.HostInput{Name: "web-1"})
		return err
	}
	lost := func(w http.ResponseWriter, _ int) { hangUp(w) }
	busy := func(w http.ResponseWriter, _ int) { comeAgain(w, "0") }
	for _, test := range []struct {
		name  string
		call  func(context.Context, *client.Client) error
		bad   func(w http.ResponseWriter, n int) // answers the first two requests
		tries int
		fails bool
	}{
		{"a read whose connection is lost is sent again", get, lost, 3, false},
		{"a read of a busy server is sent again", get, busy, 3, false},
		{"a POST with a key whose connection is lost is sent again", post, lost, 3, false},
		{"a POST with a key of a busy server is sent again", post, busy, 3, false},
		{"our own first try that is still under way is waited for", post, func(w http.ResponseWriter, n int) {
			if n == 0 {
				hangUp(w)
			} else {
				problem(w, http.StatusConflict, "idempotency_in_progress")
			}
		}, 3, false},
		{"somebody else's key that is under way is not", post, func(w http.ResponseWriter, _ int) {
			problem(w, http.StatusConflict, "idempotency_in_progress")
		}, 1, true},
		{"a 503 that does not ask to come again is final", get, func(w http.ResponseWriter, _ int) {
			problem(w, http.StatusServiceUnavailable, "unavailable")
		}, 1, true},
		{"a 503 that asks for an hour is final", get, func(w http.ResponseWriter, _ int) { comeAgain(w, "3600") }, 1, true},
		{"any other refusal is final", get, func(w http.ResponseWriter, _ int) { problem(w, http.StatusInternalServerError, "internal") }, 1, true},
		{"a change is sent once", func(ctx context.Context, c *client.Client) error {
			_, err := c.UpdateHost(ctx, uuid.New(), wire.HostPatch{})
			return err
		}, lost, 1, true},
		{"a removal is sent once", func(ctx context.Context, c *client.Client) error { return c.RetireHost(ctx, uuid.New()) }, lost, 1, true},
		{"a sign-in is sent once", func(ctx context.Context, c *client.Client) error { _, err := c.Login(ctx, "u", "p"); return err }, lost, 1, true},
		{"a refresh token is sent once", func(ctx context.Context, c *client.Client) error { _, err := c.Refresh(ctx, "r"); return err }, lost, 1, true},
		{"a credential is sent once", func(ctx context.Context, c *client.Client) error {
			_, err := c.AddCredential(ctx, wire.CredentialInput{})
			return err
		}, lost, 1, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			f := newFake(t, func(w http.ResponseWriter, _ *http.Request, n int) {
				if n < 2 {
					test.bad(w, n)
					return
				}
				sendJSON(w, http.StatusOK, map[string]any{})
			})
			err := test.call(t.Context(), f.client(t))
			if (err != nil) != test.fails {
				t.Errorf("got %v; want an error: %v", err, test.fails)
			}
			seen := f.requests()
			if len(seen) != test.tries {
				t.Fatalf("it was sent %d times; want %d", len(seen), test.tries)
			}
			for _, r := range seen {
				if r.key != seen[0].key || r.body != seen[0].body {
					t.Errorf("sent %+v after %+v; want the same again", r, seen[0])
				}
			}
		})
	}
}

func TestRetriesAreBounded(t *testing.T) {
	t.Parallel()
	f := newFake(t, func(w http.ResponseWriter, _ *http.Request, _ int) { hangUp(w) })
	_, err := f.client(t).Me(t.Context())
	if _, ok := errors.AsType[*client.TransportError](err); !ok {
		t.Errorf("got %v; want a *TransportError", err)
	}
	if n := len(f.requests()); n != 4 {
		t.Errorf("it was sent %d times; want 4", n)
	}
}

func TestAGivenKeyIsSent(t *testing.T) {
	t.Parallel()
	f := newFake(t, func(w http.ResponseWriter, _ *http.Request, _ int) {
		sendJSON(w, http.StatusAccepted, wire.Collection{})
	})
	if _, err := f.client(t).Collect(t.Context(), wire.CollectionInput{}, client.IdempotencyKey("mine")); err != nil {
		t.Fatal(err)
	}
	if key := f.requests()[0].key; key != "mine" {
		t.Errorf("the key is %q; want mine", key)
	}
}

// sources counts how often it is asked, and knows a better token than the first.
type source struct{ tokens map[string]string }

func (s source) Token(_ context.Context, stale string) (string, error) { return s.tokens[stale], nil }

func TestARefusedTokenIsReplaced(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name   string
		tokens map[string]string // by the stale one
		want   []string
		fails  bool
	}{
		{"by a better one, and the call is sent again", map[string]string{"": "old", "old": "new"}, []string{"Bearer old", "Bearer new"}, false},
		{"and the refusal stands if there is none", map[string]string{"": "old", "old": "old"}, []string{"Bearer old"}, true},
		{"once, and no more if that is refused as well", map[string]string{"": "old", "old": "older", "older": "new"}, []string{"Bearer old", "Bearer older"}, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			f := newFake(t, func(w http.ResponseWriter, r *http.Request, _ int) {
				if r.Header.Get("Authorization") != "Bearer new" {
					problem(w, http.StatusUnauthorized, "token_expired")
					return
				}
				w.WriteHeader(http.StatusNoContent)
			})
			err := f.client(t, client.WithTokenSource(source{test.tokens})).RetireHost(t.Context(), uuid.New())
			if (err != nil) != test.fails {
				t.Errorf("got %v; want an error: %v", err, test.fails)
			}
			seen := f.requests()
			if len(seen) != len(test.want) {
				t.Fatalf("got %v; want the tokens %v", seen, test.want)
			}
			for i, r := range seen {
				if r.auth != test.want[i] {
					t.Errorf("request %d says %q; want %q", i, r.auth, test.want[i])
				}
			}
		})
	}
}

func TestSignInStaysSignedIn(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	refreshes := 0
	f := newFake(t, func(w http.ResponseWriter, r *http.Request, _ int) {
		mu.Lock()
		defer mu.Unlock()
		switch r.URL.Path {
		case "/api/v1/auth/login":
			sendJSON(w, http.StatusOK, wire.Tokens{AccessToken: "a0", RefreshToken: "r0", ExpiresIn: 1})
		case "/api/v1/auth/refresh":
			refreshes++
			sendJSON(w, http.StatusOK, wire.Tokens{AccessToken: "a1", RefreshToken: "r1", ExpiresIn: 900})
		default:
			if r.Header.Get("Authorization") != "Bearer a1" {
				problem(w, http.StatusUnauthorized, "token_expired")
				return
			}
			sendJSON(w, http.StatusOK, wire.Actor{Name: "admin"})
		}
	})
	c, err := client.SignIn(t.Context(), f.URL, "admin", "password", client.WithRetries(0, time.Millisecond))
	if err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	for range 10 {
		all.Go(func() {
			if me, err := c.Me(t.Context()); err != nil || me.Name != "admin" {
				t.Errorf("got %v, %v; want admin", me, err)
			}
		})
	}
	all.Wait()
	if refreshes != 1 {
		t.Errorf("refreshed %d times; want once: a refresh token that is used twice ends the session", refreshes)
	}
}
