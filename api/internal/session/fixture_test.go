package session_test

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"

	"github.com/rollcallhq/rollcall/api/internal/session"
	"github.com/rollcallhq/rollcall/pkg/account"
	"github.com/rollcallhq/rollcall/pkg/ephemeral"
	"github.com/rollcallhq/rollcall/pkg/fleet"
	"github.com/rollcallhq/rollcall/pkg/store"
	"github.com/rollcallhq/rollcall/pkg/storetest"
	"github.com/rollcallhq/rollcall/pkg/token"
)

const password = "correct horse battery"

// passwordHash is the hash of password, made once because it is slow on purpose.
var passwordHash = sync.OnceValues(func() (string, error) {
	return token.NewPasswords(0).Hash(context.Background(), password)
})

// A bench is a Guard before a handler that tells who is asking, on a database and a Redis of the test's own.
type bench struct {
	guard    *session.Guard
	accounts *account.Service
	shared   *ephemeral.Store
	store    *store.Store
	pool     store.DBTX
	redis    *miniredis.Miniredis
	limiter  *session.Limiter
	viewer   fleet.User
	timeout  time.Duration    // of the next Guard
	denied   *session.Denials // of the next Guard
}

func newBench(t *testing.T, proxies ...string) *bench {
	t.Helper()
	b := &bench{redis: miniredis.RunT(t)}
	client, err := ephemeral.Open("redis://"+b.redis.Addr(), ephemeral.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = client.Close() })
	b.shared = ephemeral.New(client)
	b.store, b.pool = storetest.Pool(t)
	signer, err := token.NewSigner([]byte("0123456789abcdef0123456789abcdef"))
	if err != nil {
		t.Fatal(err)
	}
	b.accounts, err = account.New(account.Config{
		Store: b.store, Sessions: b.shared, Signer: signer, Passwords: token.NewPasswords(0),
	})
	if err != nil {
		t.Fatal(err)
	}
	b.limit(t, nil, proxies...)
	hash, err := passwordHash()
	if err != nil {
		t.Fatal(err)
	}
	b.viewer = fleet.User{ID: fleet.NewID(), Username: "ann", PasswordHash: hash, Role: fleet.Viewer}
	if err := b.store.AddUser(t.Context(), b.viewer); err != nil {
		t.Fatal(err)
	}
	return b
}

// limit gives the bench another Guard, with that limiter.
func (b *bench) limit(t *testing.T, limiter *session.Limiter, proxies ...string) {
	t.Helper()
	config := session.Config{Accounts: b.accounts, Fail: fail, Limiter: limiter, Timeout: b.timeout, Denied: b.denied}
	for _, proxy := range proxies {
		config.TrustedProxies = append(config.TrustedProxies, netip.MustParsePrefix(proxy))
	}
	guard, err := session.New(config)
	if err != nil {
		t.Fatal(err)
	}
	b.guard, b.limiter = guard, limiter
}

// An answer is what the handler saw, or why it saw nothing.
type answer struct {
	Actor, Address, Reason string // of a request that came through
	Failed                 string // code of one that did not
	status                 int
	header                 http.Header
}

func fail(w http.ResponseWriter, r *http.Request, err error) {
	session.Refused(r.Context(), err)
	status := map[fleet.Kind]int{
		fleet.Unauthenticated: http.StatusUnauthorized, fleet.Forbidden: http.StatusForbidden,
		fleet.Exhausted: http.StatusTooManyRequests, fleet.Unavailable: http.StatusServiceUnavailable,
	}[fleet.KindOf(err)]
	w.WriteHeader(max(status, http.StatusUnauthorized))
	_ = json.NewEncoder(w).Encode(answer{Failed: fleet.CodeOf(err)})
}

func tell(w http.ResponseWriter, r *http.Request) {
	var a answer
	if actor, err := session.From(r.Context()); err != nil {
		a.Reason = fleet.CodeOf(err)
	} else {
		a.Actor, a.Address = actor.String(), actor.Address
	}
	_ = json.NewEncoder(w).Encode(a)
}

// ask sends a request through the Middleware, and through RequireRole if role is one.
func (b *bench) ask(t *testing.T, role fleet.Role, r *http.Request) answer {
	t.Helper()
	handler := http.Handler(http.HandlerFunc(tell))
	if role != "" {
		handler = b.guard.RequireRole(role)(handler)
	}
	w := httptest.NewRecorder()
	b.guard.Middleware(handler).ServeHTTP(w, r)
	a := answer{status: w.Code, header: w.Header()}
	if w.Code != http.StatusSeeOther {
		if err := json.NewDecoder(w.Body).Decode(&a); err != nil {
			t.Fatalf("decoding the answer of status %d: %v", w.Code, err)
		}
	}
	return a
}

// request returns a request from 192.0.2.1 with headers, each "Name: value".
func request(method, target string, headers ...string) *http.Request {
	r := httptest.NewRequest(method, target, nil)
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ": ")
		r.Header.Add(name, value)
	}
	return r
}

func (b *bench) login(t *testing.T) account.Tokens {
	t.Helper()
	tokens, err := b.accounts.Login(t.Context(), "ann", password, account.Client{Address: "192.0.2.1"})
	if err != nil {
		t.Fatal(err)
	}
	return tokens
}

// cookie signs in and returns the header that a browser sends from then on.
func (b *bench) cookie(t *testing.T) string {
	t.Helper()
	c, err := b.accounts.LoginCookie(t.Context(), "ann", password, account.Client{Address: "192.0.2.1"})
	if err != nil {
		t.Fatal(err)
	}
	return "Cookie: " + session.CookieName + "=" + c.Secret
}
