package account_test

import (
	"encoding/base64"
	"errors"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/argon2"

	"github.com/rollcallhq/rollcall/pkg/account"
	"github.com/rollcallhq/rollcall/pkg/ephemeral"
	"github.com/rollcallhq/rollcall/pkg/fleet"
	"github.com/rollcallhq/rollcall/pkg/store"
	"github.com/rollcallhq/rollcall/pkg/token"
)

func TestLoginRefusesEveryoneTheSameWay(t *testing.T) { //nolint:tparallel // its cases read one audit log, one after the other
	t.Parallel()
	b := newBench(t, account.Options{Lockout: lenient()})
	b.addUser(t, "ann", fleet.Viewer, "")
	b.addUser(t, "gone", fleet.Admin, "")
	b.exec(t, "update users set disabled_at = now() where username = 'gone'")
	tests := []struct {
		name               string
		username, password string
		actor, reason      string
		hasUser            bool
	}{
		{"a wrong password", "ann", "incorrect horse battery", "user:ann", "wrong_password", true},
		{"an empty password", "ann", "", "user:ann", "wrong_password", true},
		{"a password of a megabyte", "ann", strings.Repeat("x", 1<<20), "user:ann", "wrong_password", true},
		{"a user who does not exist", "bob", password, "user:bob", "unknown_user", false},
		{"a disabled user with the right password", "gone", password, "user:gone", "disabled", true},
		{"a disabled user with a wrong password", "gone", "wrong", "user:gone", "wrong_password", true},
		{"no name", "", password, "user:", "unknown_user", false},
		{"a name that cannot be one", "a\x00\n\xff'--", password, "user:a\uFFFD\uFFFD\uFFFD'--", "unknown_user", false},
		{"a very long name", strings.Repeat("ä", 5000), password, "user:" + strings.Repeat("ä", 64), "unknown_user", false},
	}
	var want []entry
	for _, test := range tests { //nolint:paralleltest // as above
		t.Run(test.name, func(t *testing.T) {
			from := account.Client{Address: "2001:db8::1%eth0", UserAgent: "\xff"}
			_, err := b.Login(t.Context(), test.username, test.password, from)
			wantError(t, err, fleet.Unauthenticated, account.CodeInvalidCredentials)
			if got := fleet.MessageOf(err); got != "user name or password is wrong" {
				t.Errorf("the message %q differs from the others", got)
			}
			_, err = b.LoginCookie(t.Context(), test.username, test.password, from)
			wantError(t, err, fleet.Unauthenticated, account.CodeInvalidCredentials)
			denied := entry{
				Actor: test.actor, Action: "auth.login", Outcome: "denied", Reason: test.reason, Address: "2001:db8::1", HasUser: test.hasUser,
			}
			want = append(want, denied, denied)
			wantAudited(t, b, want...)
		})
	}
	if keys := b.redis.Keys(); len(keys) > 0 && strings.Contains(strings.Join(keys, " "), "session") {
		t.Errorf("a refused sign-in left %v behind", keys)
	}
}

// A password is waited for and worked on whoever is named, so that the time tells nothing.
func TestLoginTakesTheSameRoadForUnknownUsers(t *testing.T) {
	t.Parallel()
	b := newBench(t, account.Options{PasswordWait: time.Nanosecond})
	b.addUser(t, "ann", fleet.Viewer, "")
	for _, name := range []string{"ann", "nobody", "not a name", ""} {
		_, err := b.Login(t.Context(), name, password, home())
		wantError(t, err, fleet.Unavailable, token.CodePasswordsBusy)
	}
	wantAudited(t, b)
}

func TestLoginNamesAreReadAsPeopleTypeThem(t *testing.T) {
	t.Parallel()
	b := newBench(t, account.Options{})
	u := b.addUser(t, "ann", fleet.Operator, "env=prod")
	tokens, err := b.Login(t.Context(), " Ann ", password, home())
	if err != nil {
		t.Fatal(err)
	}
	if tokens.ExpiresIn != token.AccessLifetime || tokens.Refresh == "" {
		t.Errorf("got %+v", tokens)
	}
	actor, err := b.Authenticate(t.Context(), tokens.Access)
	if err != nil {
		t.Fatal(err)
	}
	if actor.Kind != fleet.ActorUser || actor.ID != u.ID || *actor.UserID != u.ID || actor.SessionID == nil ||
		actor.Name != "ann" || actor.Role != fleet.Operator || actor.Selector.String() != "env=prod" {
		t.Errorf("got actor %+v", actor)
	}
}

func TestLoginIsLimited(t *testing.T) {
	t.Parallel()
	address := func(a string) account.Client { return account.Client{Address: a} }
	tests := []struct {
		name     string
		limits   account.Options
		attempts []account.Client // the last one is looked at
		username string           // of the attempts before the last one
		limited  bool
	}{
		{
			"one attempt too many on an account, though the password is right",
			account.Options{Lockout: account.Lockout{Pair: after(1)}},
			[]account.Client{address("192.0.2.1"), address("192.0.2.1"), address("192.0.2.1")},
			"ann", true,
		},
		{
			"attempts on an account from elsewhere",
			account.Options{Lockout: account.Lockout{Pair: after(1)}},
			[]account.Client{address("192.0.2.1"), address("192.0.2.1"), address("192.0.2.2")},
			"ann", false,
		},
		{
			"attempts on another account from here",
			account.Options{Lockout: account.Lockout{Pair: after(1)}},
			[]account.Client{address("192.0.2.1"), address("192.0.2.1"), address("192.0.2.1")},
			"bob", false,
		},
		{
			"one attempt too many from an address",
			account.Options{PerAddress: ephemeral.PerMinute(2)},
			[]account.Client{address("192.0.2.1"), address("192.0.2.1"), address("192.0.2.1")},
			"bob", true,
		},
		{
			"an IPv4 address in the clothes of IPv6",
			account.Options{PerAddress: ephemeral.PerMinute(1)},
			[]account.Client{address("192.0.2.1"), address("::ffff:192.0.2.1")},
			"bob", true,
		},
		{
			"other addresses of one IPv6 network",
			account.Options{PerAddress: ephemeral.PerMinute(2)},
			[]account.Client{address("2001:db8::1"), address("2001:db8::2"), address("2001:db8::ffff:3")},
			"bob", true,
		},
		{
			"another IPv6 network",
			account.Options{PerAddress: ephemeral.PerMinute(2)},
			[]account.Client{address("2001:db8::1"), address("2001:db8::2"), address("2001:db8:0:1::3")},
			"bob", false,
		},
		{
			"addresses that are none count as one",
			account.Options{PerAddress: ephemeral.PerMinute(1)},
			[]account.Client{address(""), address("@")},
			"bob", true,
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, test.limits)
			b.addUser(t, "ann", fleet.Viewer, "")
			last := len(test.attempts) - 1
			for _, from := range test.attempts[:last] {
				_, err := b.Login(t.Context(), test.username, "wrong", from)
				wantError(t, err, fleet.Unauthenticated, account.CodeInvalidCredentials)
			}
			_, err := b.Login(t.Context(), "ann", password, test.attempts[last])
			if !test.limited {
				if err != nil {
					t.Fatalf("refused: %v", err)
				}
				return
			}
			wantError(t, err, fleet.Exhausted, "rate_limited")
			limit, ok := errors.AsType[*account.LimitError](err)
			if !ok || limit.Allowance.Limit < 1 || limit.Allowance.Remaining != 0 {
				t.Errorf("the error says nothing about the limit: %#v", limit)
			}
			if e, ok := errors.AsType[*fleet.Error](err); !ok || e.RetryAfter < time.Second || e.RetryAfter > time.Minute+time.Second {
				t.Errorf("the error does not say when to come back: %+v", e)
			}
		})
	}
}

func TestCookiesStandForASession(t *testing.T) {
	t.Parallel()
	b := newBench(t, account.Options{CookieLifetime: time.Hour})
	b.addUser(t, "ann", fleet.Viewer, "")
	before := time.Now()
	cookie, err := b.LoginCookie(t.Context(), "ann", password, home())
	if err != nil {
		t.Fatal(err)
	}
	if left := cookie.ExpiresAt.Sub(before); left < time.Hour || left > time.Hour+time.Minute {
		t.Errorf("the cookie lives for %s, want an hour", left)
	}
	actor, err := b.AuthenticateCookie(t.Context(), cookie.Secret)
	if err != nil || actor.Name != "ann" || actor.SessionID == nil {
		t.Fatalf("got %+v, %v", actor, err)
	}
	if strings.Contains(strings.Join(b.redis.Keys(), " ")+b.redis.Dump(), strings.TrimPrefix(cookie.Secret, "rcs_")) {
		t.Error("the secret itself is in Redis")
	}
	tokens, _ := b.login(t, "ann")
	for name, secret := range map[string]string{
		"empty": "", "garbage": "rcs_!", "a session's ID": actor.SessionID.String(), "an access token": tokens.Access,
		"a refresh token": tokens.Refresh, "cut short": cookie.Secret[:len(cookie.Secret)-1], "a megabyte": strings.Repeat("x", 1<<20),
	} {
		_, err := b.AuthenticateCookie(t.Context(), secret)
		if fleet.CodeOf(err) != token.CodeTokenInvalid {
			t.Errorf("%s: %v, want it to be invalid", name, err)
		}
	}
	_, err = b.AuthenticateCookie(t.Context(), "rcs_"+strings.Repeat("A", 43)) // well-formed, but nobody's
	wantError(t, err, fleet.Unauthenticated, ephemeral.CodeSessionEnded)

	if err := b.Logout(t.Context(), actor); err != nil {
		t.Fatal(err)
	}
	_, err = b.AuthenticateCookie(t.Context(), cookie.Secret)
	wantError(t, err, fleet.Unauthenticated, ephemeral.CodeSessionEnded)
	if _, err := b.Authenticate(t.Context(), tokens.Access); err != nil {
		t.Errorf("the user's other session has ended too: %v", err)
	}
}

func TestWithoutRedisOnlyAPITokensAreAccepted(t *testing.T) {
	t.Parallel()
	b := newBench(t, account.Options{})
	b.addUser(t, "ann", fleet.Viewer, "")
	tokens, actor := b.login(t, "ann")
	cookie, err := b.LoginCookie(t.Context(), "ann", password, home())
	if err != nil {
		t.Fatal(err)
	}
	_, plain, err := b.CreateToken(t.Context(), actor, "ci", nil)
	if err != nil {
		t.Fatal(err)
	}
	b.redis.Close()

	for name, call := range map[string]func() error{
		"login":         func() error { _, err := b.Login(t.Context(), "ann", password, home()); return err },
		"cookie login":  func() error { _, err := b.LoginCookie(t.Context(), "ann", password, home()); return err },
		"refresh":       func() error { _, err := b.Refresh(t.Context(), tokens.Refresh, home()); return err },
		"access token":  func() error { _, err := b.Authenticate(t.Context(), tokens.Access); return err },
		"cookie":        func() error { _, err := b.AuthenticateCookie(t.Context(), cookie.Secret); return err },
		"logout":        func() error { return b.Logout(t.Context(), actor) },
		"me of session": func() error { _, err := b.Me(t.Context(), actor); return err },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			wantError(t, call(), fleet.Unavailable, ephemeral.CodeSessionStoreUnavailable)
		})
	}
	script, err := b.Authenticate(t.Context(), plain)
	if err != nil || script.Name != "ci" {
		t.Errorf("API token: %+v, %v", script, err)
	}
	if me, err := b.Me(t.Context(), script); err != nil || me.Username != "ann" {
		t.Errorf("the API token's identity: %+v, %v", me, err)
	}
}

func TestWithoutPostgreSQLNobodyIsLetIn(t *testing.T) {
	t.Parallel()
	b := newBench(t, account.Options{})
	pool, err := store.OpenPool(t.Context(), "postgres://nobody@127.0.0.1:1/none?sslmode=disable", store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	b.addUser(t, "ann", fleet.Viewer, "")
	tokens, actor := b.login(t, "ann")
	_, plain, err := b.CreateToken(t.Context(), actor, "ci", nil)
	if err != nil {
		t.Fatal(err)
	}
	down := b
	down.store = store.New(pool)
	s := down.replica(t, account.Options{})
	for name, call := range map[string]func() error{
		"login":        func() error { _, err := s.Login(t.Context(), "ann", password, home()); return err },
		"access token": func() error { _, err := s.Authenticate(t.Context(), tokens.Access); return err },
		"API token":    func() error { _, err := s.Authenticate(t.Context(), plain); return err },
		"first admin":  func() error { _, _, err := s.EnsureFirstAdmin(t.Context(), ""); return err },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			wantError(t, call(), fleet.Unavailable, store.CodeDatabaseUnavailable)
		})
	}
}

// A session that could not be written to the audit log must not live.
func TestLoginWithoutAuditEntryIsNoLogin(t *testing.T) {
	t.Parallel()
	b := newBench(t, account.Options{})
	u := b.addUser(t, "ann", fleet.Viewer, "")
	b.exec(t, "alter table audit_logs add check (action <> 'auth.login')")
	_, err := b.Login(t.Context(), "ann", password, home())
	wantError(t, err, fleet.Internal, "internal")
	for _, key := range b.redis.Keys() {
		if strings.Contains(key, "session:") && !strings.Contains(key, u.ID.String()) {
			t.Errorf("the session %s lives", key)
		}
	}
}

func TestLoginRenewsAnOutdatedHash(t *testing.T) {
	t.Parallel()
	b := newBench(t, account.Options{})
	b.addUser(t, "ann", fleet.Viewer, "")
	salt := []byte("0123456789abcdef")
	encode := base64.RawStdEncoding.EncodeToString
	old := "$argon2id$v=19$m=8192,t=1,p=1$" + encode(salt) + "$" + encode(argon2.IDKey([]byte(password), salt, 1, 8192, 1, 32))
	b.exec(t, "update users set password_hash = $1", old)
	_, err := b.Login(t.Context(), "ann", "wrong", home())
	wantError(t, err, fleet.Unauthenticated, account.CodeInvalidCredentials)
	hash := func() string {
		u, err := b.store.UserByName(t.Context(), "ann")
		if err != nil {
			t.Fatal(err)
		}
		return u.PasswordHash
	}
	if hash() != old {
		t.Error("a wrong password has changed the hash")
	}
	b.login(t, "ann")
	renewed := hash()
	if renewed == old {
		t.Error("the hash was not renewed")
	}
	b.login(t, "ann")
	if hash() != renewed {
		t.Error("the hash is renewed at every sign-in")
	}
}
