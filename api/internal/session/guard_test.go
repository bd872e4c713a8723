package session_test

import (
	"context"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/rollcallhq/rollcall/api/internal/session"
	"github.com/rollcallhq/rollcall/pkg/account"
	"github.com/rollcallhq/rollcall/pkg/fleet"
)

func TestMiddlewareFindsOutWhoIsAsking(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	bearer := "Authorization: Bearer " + b.login(t).Access
	cookie := b.cookie(t)
	ann := answer{Actor: "user:ann", Address: "192.0.2.1"}
	nobody := func(reason string) answer { return answer{Reason: reason} }
	tests := []struct {
		name    string
		method  string
		headers []string
		want    answer
	}{
		{"nobody", "GET", nil, nobody("unauthenticated")},
		{"an access token", "GET", []string{bearer}, ann},
		{"an access token, the scheme in lower case", "GET", []string{strings.Replace(bearer, "Bearer", "bearer", 1)}, ann},
		{"an access token that writes", "DELETE", []string{bearer}, ann},
		{"a cookie", "GET", []string{cookie}, ann},
		{"a cookie that writes from a program", "POST", []string{cookie}, ann},
		{"a forged token", "GET", []string{bearer + "x"}, nobody("token_invalid")},
		{"no token", "GET", []string{"Authorization: Bearer "}, nobody("token_invalid")},
		{"two tokens", "GET", []string{bearer, bearer}, nobody("token_invalid")},
		{"another scheme", "GET", []string{"Authorization: Basic YW5uOnB3"}, nobody("token_invalid")},
		{"a cookie that is none", "GET", []string{"Cookie: rollcall_session=x"}, nobody("token_invalid")},
		{"a cookie of a session that has ended", "GET", []string{"Cookie: rollcall_session=rcs_" + strings.Repeat("A", 43)}, nobody("session_ended")},
		{"a bad token beside a good cookie", "GET", []string{bearer + "x", cookie}, nobody("token_invalid")},
		{"the password of a proxy beside a good cookie", "GET", []string{"Authorization: Basic YW5uOnB3", cookie}, ann},

		{"a cookie that writes from our page", "POST", []string{cookie, "Sec-Fetch-Site: same-origin"}, ann},
		{"a cookie that writes from our page, in an old browser", "POST", []string{cookie, "Origin: http://example.com"}, ann},
		{"a cookie that writes from another site", "POST", []string{cookie, "Sec-Fetch-Site: cross-site"}, answer{Failed: "cross_origin"}},
		{"a cookie that writes from a neighbour", "DELETE", []string{cookie, "Sec-Fetch-Site: same-site"}, answer{Failed: "cross_origin"}},
		{"a cookie that writes from another site, in an old browser", "PATCH", []string{cookie, "Origin: http://evil.example"}, answer{Failed: "cross_origin"}},
		{"a cookie that reads from another site", "GET", []string{cookie, "Sec-Fetch-Site: cross-site"}, ann},
		{"a sign-in that another site makes", "POST", []string{"Sec-Fetch-Site: cross-site"}, answer{Failed: "cross_origin"}},
		{"an access token that writes from another site", "POST", []string{bearer, "Sec-Fetch-Site: cross-site"}, ann},
		{"the password of a proxy from another site", "POST", []string{"Authorization: Basic YW5uOnB3", cookie, "Sec-Fetch-Site: cross-site"}, answer{Failed: "cross_origin"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			got := b.ask(t, "", request(test.method, "/", test.headers...))
			if diff := cmp.Diff(test.want, got, cmpopts.IgnoreUnexported(answer{})); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
			cleared := strings.Contains(got.header.Get("Set-Cookie"), "Max-Age=0")
			useless := strings.HasPrefix(test.name, "a cookie that is none") || strings.HasPrefix(test.name, "a cookie of a session")
			if cleared != useless {
				t.Errorf("cookie taken away: %v, want %v", cleared, useless)
			}
		})
	}
}

func TestWithoutTheMiddlewareNobodyIsAsking(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	if actor := session.Actor(ctx); actor.Kind != "" || !actor.Scope().SeesNothing() {
		t.Errorf("got %+v", actor)
	}
	if _, err := session.From(ctx); fleet.KindOf(err) != fleet.Unauthenticated {
		t.Errorf("got %v", err)
	}
}

func TestRequireRole(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	bearer := "Authorization: Bearer " + b.login(t).Access
	cookie, page := b.cookie(t), "Accept: text/html,application/xhtml+xml"
	tests := []struct {
		name    string
		role    fleet.Role
		method  string
		headers []string
		status  int
		code    string
	}{
		{"a program with the role", fleet.Viewer, "GET", []string{bearer}, http.StatusOK, ""},
		{"a person with the role", fleet.Viewer, "GET", []string{cookie, page}, http.StatusOK, ""},
		{"a program without the role", fleet.Admin, "GET", []string{bearer}, http.StatusForbidden, "forbidden"},
		{"a person without the role", fleet.Admin, "GET", []string{cookie, page}, http.StatusForbidden, "forbidden"},
		{"a role that is none", "root", "GET", []string{bearer}, http.StatusForbidden, "forbidden"},
		{"a program that nobody knows", fleet.Viewer, "GET", nil, http.StatusUnauthorized, "unauthenticated"},
		{"a program with a bad token", fleet.Viewer, "GET", []string{bearer + "x", page}, http.StatusUnauthorized, "token_invalid"},
		{"a person whom nobody knows", fleet.Viewer, "GET", []string{page}, http.StatusSeeOther, ""},
		{"a person whose session has ended", fleet.Viewer, "GET", []string{page, "Cookie: rollcall_session=x"}, http.StatusSeeOther, ""},
		{"a form that nobody knows", fleet.Viewer, "POST", []string{page}, http.StatusUnauthorized, "unauthenticated"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			got := b.ask(t, test.role, request(test.method, "/queues/default?page=2", test.headers...))
			if got.status != test.status || got.Failed != test.code {
				t.Errorf("got %d %s, want %d %s", got.status, got.Failed, test.status, test.code)
			}
			if challenged := got.header.Get("WWW-Authenticate") != ""; challenged != (test.status == http.StatusUnauthorized) {
				t.Errorf("WWW-Authenticate: %v with status %d", challenged, got.status)
			}
			if to := got.header.Get("Location"); test.status == http.StatusSeeOther && to != "/login?next=%2Fqueues%2Fdefault%3Fpage%3D2" {
				t.Errorf("sent to %s", to)
			}
		})
	}
}

func TestWithoutRedisWhoCannotBeJudgedIsRefusedAtOnce(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.limit(t, session.NewLimiter(b.shared, session.Rates{Account: 1000}, nil))
	tokens, cookie := b.login(t), b.cookie(t)
	actor, err := b.accounts.Authenticate(t.Context(), tokens.Access)
	if err != nil {
		t.Fatal(err)
	}
	_, plain, err := b.accounts.CreateToken(t.Context(), actor, "ci", nil)
	if err != nil {
		t.Fatal(err)
	}
	b.redis.Close()
	for _, header := range []string{"Authorization: Bearer " + tokens.Access, cookie} {
		got := b.ask(t, "", request("GET", "/", header))
		if got.status != http.StatusServiceUnavailable || got.Failed != "session_store_unavailable" || got.header.Get("Set-Cookie") != "" {
			t.Errorf("got %d %s %v", got.status, got.Failed, got.header)
		}
	}
	if got := b.ask(t, fleet.Viewer, request("GET", "/", "Authorization: Bearer "+plain)); got.Actor != "token:ci" {
		t.Errorf("API token: %+v", got)
	}
	if got := b.ask(t, "", request("GET", "/login")); got.Reason != "unauthenticated" {
		t.Errorf("nobody: %+v", got)
	}
}

// TestADatabaseThatDoesNotAnswerHoldsNobodyUp locks the tables, so that PostgreSQL takes the questions and is silent.
func TestADatabaseThatDoesNotAnswerHoldsNobodyUp(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	tokens, cookie := b.login(t), b.cookie(t)
	b.timeout = 200 * time.Millisecond
	b.limit(t, nil)
	tx, err := b.pool.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = tx.Rollback(context.WithoutCancel(t.Context())) }()
	if _, err := tx.Exec(t.Context(), "lock table users, api_tokens in access exclusive mode"); err != nil {
		t.Fatal(err)
	}
	for _, header := range []string{"Authorization: Bearer " + tokens.Access, cookie} {
		began := time.Now()
		got := b.ask(t, "", request("GET", "/", header))
		const lockTimeout = 10 * time.Second // which would end it otherwise
		if took := time.Since(began); got.status != http.StatusServiceUnavailable || got.header.Get("Set-Cookie") != "" || took > lockTimeout/2 {
			t.Errorf("got %d %s %v after %s", got.status, got.Failed, got.header, took)
		}
	}
}

func TestStrangersAndActorsAreLimited(t *testing.T) {
	t.Parallel()
	now := time.Now().Truncate(time.Second).Add(250 * time.Millisecond)
	b := newBench(t)
	b.redis.SetTime(now)
	b.limit(t, session.NewLimiter(b.shared, session.Rates{Account: 2}, func() time.Time { return now }))
	bearer := "Authorization: Bearer " + b.login(t).Access

	for _, test := range []struct {
		name    string
		headers []string
		status  int
		many    int
	}{
		{"a forged token", []string{"Authorization: Bearer x"}, http.StatusOK, 20},
		{"a forged token once too often", []string{"Authorization: Bearer x"}, http.StatusTooManyRequests, 1},
		{"nothing, once too often", nil, http.StatusTooManyRequests, 1},
		{"an actor from the same address", []string{bearer}, http.StatusOK, 2},
		{"the actor once too often", []string{bearer}, http.StatusTooManyRequests, 1},
	} {
		role := fleet.Role("")
		if test.headers == nil {
			role = fleet.Viewer // who shows nothing and asks for nothing that is guarded is not counted
		}
		for i := range test.many {
			got := b.ask(t, role, request("GET", "/", test.headers...))
			if got.status != test.status {
				t.Fatalf("%s, request %d: status %d, want %d", test.name, i, got.status, test.status)
			}
			limited := got.header.Get("Retry-After") == "1" && got.header.Get("Ratelimit-Limit") != "" &&
				got.header.Get("Ratelimit-Remaining") == "0" && got.header.Get("Ratelimit-Reset") == "1"
			if limited != (test.status == http.StatusTooManyRequests) {
				t.Errorf("%s: status %d with headers %v", test.name, got.status, got.header)
			}
		}
	}
	other := request("GET", "/", "Authorization: Bearer x")
	other.RemoteAddr = "192.0.2.2:1"
	if got := b.ask(t, "", other); got.Reason != "token_invalid" {
		t.Errorf("another address: %+v", got)
	}
	now = now.Add(time.Second)
	b.redis.SetTime(now)
	if got := b.ask(t, fleet.Viewer, request("GET", "/")); got.Failed != "unauthenticated" {
		t.Errorf("a second later: %+v", got)
	}
}

func TestNewRefusesWhatCannotWork(t *testing.T) {
	t.Parallel()
	for name, config := range map[string]session.Config{
		"nothing":          {},
		"no way to fail":   {Accounts: &account.Service{}},
		"an origin's path": {Accounts: &account.Service{}, Fail: fail, TrustedOrigins: []string{"https://x.example/path"}},
	} {
		if _, err := session.New(config); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}
