package account_test

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"

	"github.com/rollcallhq/rollcall/pkg/account"
	"github.com/rollcallhq/rollcall/pkg/ephemeral"
	"github.com/rollcallhq/rollcall/pkg/fleet"
	"github.com/rollcallhq/rollcall/pkg/store"
	"github.com/rollcallhq/rollcall/pkg/storetest"
	"github.com/rollcallhq/rollcall/pkg/token"
)

const (
	password = "correct horse battery"
	key      = "0123456789abcdef0123456789abcdef"
)

func home() account.Client { return account.Client{Address: "192.0.2.7", UserAgent: "test/1"} }

// passwordHash is the hash of password, made once because it is slow on purpose.
var passwordHash = sync.OnceValues(func() (string, error) {
	return token.NewPasswords(0).Hash(context.Background(), password)
})

// A bench is a Service on a database and a Redis of the test's own, with a clock that can be set forward.
type bench struct {
	*account.Service
	store *store.Store
	pool  *pgxpool.Pool
	redis *miniredis.Miniredis
	ahead *atomic.Int64 // nanoseconds that the service's clock is ahead
}

func newBench(t *testing.T, o account.Options) bench {
	t.Helper()
	b := bench{redis: miniredis.RunT(t), ahead: new(atomic.Int64)}
	b.store, b.pool = storetest.Pool(t)
	b.Service = b.replica(t, o)
	return b
}

// replica returns another Service on the same database, Redis and clock.
func (b bench) replica(t *testing.T, o account.Options) *account.Service {
	t.Helper()
	client := redis.NewClient(&redis.Options{
		Addr: b.redis.Addr(), MaxRetries: -1, DialerRetries: 1, DialTimeout: time.Second,
		MaintNotificationsConfig: &maintnotifications.Config{Mode: maintnotifications.ModeDisabled},
	})
	t.Cleanup(func() { _ = client.Close() })
	signer, err := token.NewSigner([]byte(key))
	if err != nil {
		t.Fatal(err)
	}
	s, err := account.New(account.Config{
		Store: b.store, Sessions: ephemeral.New(client), Signer: signer, Passwords: token.NewPasswords(0), Options: o,
		Now: b.now,
	})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func (b bench) now() time.Time { return time.Now().Add(time.Duration(b.ahead.Load())) }

func (b bench) forward(d time.Duration) { b.ahead.Add(int64(d)) }

// addUser stores a user whose password is password.
func (b bench) addUser(t *testing.T, name string, role fleet.Role, selector string) fleet.User {
	t.Helper()
	hash, err := passwordHash()
	if err != nil {
		t.Fatal(err)
	}
	u := fleet.User{ID: fleet.NewID(), Username: name, PasswordHash: hash, Role: role, Selector: selector}
	if err := b.store.AddUser(t.Context(), u); err != nil {
		t.Fatal(err)
	}
	return u
}

func (b bench) exec(t *testing.T, sql string, args ...any) {
	t.Helper()
	if _, err := b.pool.Exec(t.Context(), sql, args...); err != nil {
		t.Fatal(err)
	}
}

// login signs a user in and returns the tokens and the actor.
func (b bench) login(t *testing.T, name string) (account.Tokens, fleet.Actor) {
	t.Helper()
	tokens, err := b.Login(t.Context(), name, password, home())
	if err != nil {
		t.Fatalf("signing in as %s: %v", name, err)
	}
	actor, err := b.Authenticate(t.Context(), tokens.Access)
	if err != nil {
		t.Fatalf("authenticating as %s: %v", name, err)
	}
	return tokens, actor
}

// An entry is what the tests look at of an audit entry.
type entry struct {
	Actor, Action, Outcome, Reason, Address string
	HasUser                                 bool
}

func (b bench) audited(t *testing.T) []entry {
	t.Helper()
	rows, _ := b.pool.Query(t.Context(), `
		select actor, action, outcome, coalesce(details->>'reason', '') as reason, coalesce(host(ip_address), '') as address,
			user_id is not null as has_user
		from audit_logs order by id`)
	entries, err := pgx.CollectRows(rows, pgx.RowToStructByPos[entry])
	if err != nil {
		t.Fatal(err)
	}
	return entries
}

func wantAudited(t *testing.T, b bench, want ...entry) {
	t.Helper()
	sorted := func(entries []entry) map[entry]int { // the order within a millisecond is not defined
		counts := map[entry]int{}
		for _, e := range entries {
			counts[e]++
		}
		return counts
	}
	if diff := cmp.Diff(sorted(want), sorted(b.audited(t))); diff != "" {
		t.Errorf("audit log (-want +got):\n%s", diff)
	}
}

func wantError(t *testing.T, err error, kind fleet.Kind, code string) {
	t.Helper()
	if fleet.KindOf(err) != kind || fleet.CodeOf(err) != code {
		t.Fatalf("error %v of kind %d and code %s, want kind %d and code %s", err, fleet.KindOf(err), fleet.CodeOf(err), kind, code)
	}
}
