package account_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/rollcallhq/rollcall/pkg/account"
	"github.com/rollcallhq/rollcall/pkg/ephemeral"
	"github.com/rollcallhq/rollcall/pkg/fleet"
	"github.com/rollcallhq/rollcall/pkg/store"
	"github.com/rollcallhq/rollcall/pkg/token"
)

//nolint:paralleltest,tparallel // one life, in order
func TestAPITokensLiveAndDie(t *testing.T) {
	t.Parallel()
	b := newBench(t, account.Options{})
	ann := b.addUser(t, "ann", fleet.Operator, "site=eu")
	b.addUser(t, "bob", fleet.Admin, "")
	_, annActor := b.login(t, "ann")
	_, bobActor := b.login(t, "bob")

	soon := b.now().Add(time.Hour)
	made, plain, err := b.CreateToken(t.Context(), annActor, "ci", &soon)
	if err != nil || made.Hash != nil || made.Name != "ci" || made.ExpiresAt == nil {
		t.Fatalf("got %+v, %v", made, err)
	}
	actor, err := b.Authenticate(t.Context(), plain)
	if err != nil {
		t.Fatal(err)
	}
	if actor.Kind != fleet.ActorToken || actor.ID != made.ID || *actor.UserID != ann.ID || actor.SessionID != nil ||
		actor.String() != "token:ci" || actor.Role != fleet.Operator || actor.Selector.String() != "site=eu" {
		t.Errorf("got actor %+v", actor)
	}
	me, err := b.Me(t.Context(), actor)
	if err != nil || me.Username != "ann" || me.ExpiresAt == nil || !me.ExpiresAt.Equal(soon.Truncate(time.Microsecond)) {
		t.Errorf("the token's identity: %+v, %v", me, err)
	}

	t.Run("a token makes no other token", func(t *testing.T) {
		_, _, err := b.CreateToken(t.Context(), actor, "more", nil)
		wantError(t, err, fleet.Forbidden, "forbidden")
	})
	t.Run("nobody makes no token", func(t *testing.T) {
		_, _, err := b.CreateToken(t.Context(), fleet.Actor{}, "more", nil)
		wantError(t, err, fleet.Unauthenticated, "unauthenticated")
		_, _, err = b.CreateToken(t.Context(), fleet.System(), "more", nil)
		wantError(t, err, fleet.Forbidden, "forbidden")
	})
	t.Run("a user sees the own tokens only", func(t *testing.T) {
		for _, test := range []struct {
			actor fleet.Actor
			want  int
		}{{annActor, 1}, {actor, 1}, {bobActor, 0}, {fleet.System(), 0}} {
			if got, err := b.Tokens(t.Context(), test.actor); err != nil || len(got) != test.want {
				t.Errorf("%s sees %d tokens (%v), want %d", test.actor, len(got), err, test.want)
			}
		}
		_, err := b.Tokens(t.Context(), fleet.Actor{})
		wantError(t, err, fleet.Unauthenticated, "unauthenticated")
	})
	t.Run("another's token cannot be revoked, not even by an admin here", func(t *testing.T) {
		wantError(t, b.RevokeToken(t.Context(), bobActor, made.ID), fleet.NotFound, "not_found")
		wantError(t, b.RevokeToken(t.Context(), fleet.System(), made.ID), fleet.NotFound, "not_found")
	})
	t.Run("a token cannot revoke its neighbour", func(t *testing.T) {
		neighbour, _, err := b.CreateToken(t.Context(), annActor, "neighbour", nil)
		if err != nil {
			t.Fatal(err)
		}
		wantError(t, b.RevokeToken(t.Context(), actor, neighbour.ID), fleet.Forbidden, "forbidden")
		if err := b.RevokeToken(t.Context(), annActor, neighbour.ID); err != nil {
			t.Errorf("and its owner cannot: %v", err)
		}
		wantError(t, b.RevokeToken(t.Context(), annActor, neighbour.ID), fleet.NotFound, "not_found")
	})
	t.Run("a token ends itself", func(t *testing.T) {
		if err := b.RevokeToken(t.Context(), actor, made.ID); err != nil {
			t.Fatal(err)
		}
		_, err := b.Authenticate(t.Context(), plain)
		wantError(t, err, fleet.Unauthenticated, token.CodeTokenInvalid)
	})
	login := func(name string) entry {
		return entry{Actor: "user:" + name, Action: "auth.login", Outcome: "ok", Address: "192.0.2.7", HasUser: true}
	}
	create := entry{Actor: "user:ann", Action: "token.create", Outcome: "ok", HasUser: true}
	wantAudited(t, b, login("ann"), login("bob"), create, create,
		entry{Actor: "user:ann", Action: "token.revoke", Outcome: "ok", HasUser: true},
		entry{Actor: "token:ci", Action: "token.revoke", Outcome: "ok", HasUser: true})
}

func TestAPITokensThatAreRefused(t *testing.T) { //nolint:tparallel // the user is disabled after the cases
	t.Parallel()
	b := newBench(t, account.Options{})
	b.addUser(t, "ann", fleet.Viewer, "")
	_, actor := b.login(t, "ann")
	soon := b.now().Add(time.Minute)
	_, short, err := b.CreateToken(t.Context(), actor, "short", &soon)
	if err != nil {
		t.Fatal(err)
	}
	_, long, err := b.CreateToken(t.Context(), actor, "long", nil)
	if err != nil {
		t.Fatal(err)
	}
	stranger, _ := token.NewAPIToken()
	b.forward(time.Minute)
	tests := []struct{ name, bearer, code string }{
		{"an expired one", short, token.CodeTokenExpired},
		{"one that nobody has", stranger, token.CodeTokenInvalid},
		{"a mistyped one", long[:len(long)-1] + "~", token.CodeTokenInvalid},
		{"a prefix", token.APITokenPrefix, token.CodeTokenInvalid},
		{"a megabyte", token.APITokenPrefix + strings.Repeat("x", 1<<20), token.CodeTokenInvalid},
	}
	for _, test := range tests { //nolint:paralleltest // as above
		t.Run(test.name, func(t *testing.T) {
			_, err := b.Authenticate(t.Context(), test.bearer)
			wantError(t, err, fleet.Unauthenticated, test.code)
		})
	}
	if _, err := b.Authenticate(t.Context(), long); err != nil {
		t.Errorf("the one that does not expire: %v", err)
	}
	b.exec(t, "update users set disabled_at = now()")
	_, err = b.Authenticate(t.Context(), long)
	wantError(t, err, fleet.Unauthenticated, token.CodeTokenInvalid)
}

func TestNamesAndTimesOfAPITokens(t *testing.T) {
	t.Parallel()
	b := newBench(t, account.Options{})
	b.addUser(t, "ann", fleet.Viewer, "")
	_, actor := b.login(t, "ann")
	past, far := b.now().Add(-time.Second), time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC)
	tests := []struct {
		name      string
		tokenName string
		expires   *time.Time
		field     string // empty: accepted
	}{
		{"64 characters", strings.Repeat("ä", 64), nil, ""},
		{"65 characters", strings.Repeat("ä", 65), nil, "name"},
		{"no name", "", nil, "name"},
		{"a line break", "a\nb", nil, "name"},
		{"a zero byte", "a\x00", nil, "name"},
		{"no UTF-8", "a\xff", nil, "name"},
		{"space at the end", "ci ", nil, "name"},
		{"a time that has passed", "ci", &past, "expires_at"},
		{"a year that RFC 3339 does not have", "ci", &far, "expires_at"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			_, _, err := b.CreateToken(t.Context(), actor, test.tokenName, test.expires)
			if test.field == "" {
				if err != nil {
					t.Fatal(err)
				}
				return
			}
			wantError(t, err, fleet.Invalid, "invalid")
			if fields := fleet.FieldsOf(err); len(fields) != 1 || fields[0].Field != test.field {
				t.Errorf("the error names %v, want %s", fields, test.field)
			}
		})
	}
}

func TestAUserHasABoundedNumberOfAPITokens(t *testing.T) {
	t.Parallel()
	b := newBench(t, account.Options{})
	ann := b.addUser(t, "ann", fleet.Viewer, "")
	_, actor := b.login(t, "ann")
	b.exec(t, `insert into api_tokens (id, user_id, name, hash)
		select gen_random_uuid(), $1, 'n' || i, sha256(i::text::bytea) from generate_series(1, $2) i`, ann.ID, store.MaxAPITokens-1)
	last, _, err := b.CreateToken(t.Context(), actor, "last", nil)
	if err != nil {
		t.Fatal(err)
	}
	_, _, err = b.CreateToken(t.Context(), actor, "one too many", nil)
	wantError(t, err, fleet.Conflict, "too_many_tokens")
	if err := b.RevokeToken(t.Context(), actor, last.ID); err != nil {
		t.Fatal(err)
	}
	if _, _, err := b.CreateToken(t.Context(), actor, "its successor", nil); err != nil {
		t.Errorf("after one was revoked: %v", err)
	}
}

// Tokens with a role and selector of their own are made by a later release; what they mean is kept already.
func TestAnAPITokenNeverMayMoreThanItsOwner(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name                           string
		ownerRole, tokenRole, wantRole fleet.Role
		ownerSelector, tokenSelector   string
		wantSelector                   string
	}{
		{"nothing of its own", fleet.Operator, "", fleet.Operator, "env=prod", "", "env=prod"},
		{"a lower role", fleet.Admin, fleet.Viewer, fleet.Viewer, "", "", ""},
		{"a role that its owner has lost", fleet.Viewer, fleet.Admin, fleet.Viewer, "", "", ""},
		{"a selector", fleet.Admin, "", fleet.Admin, "", "site=eu", "site=eu"},
		{"a selector inside its owner's", fleet.Admin, "", fleet.Admin, "env=prod or env=dev", "site=eu or site=us", "(env=prod or env=dev) and (site=eu or site=us)"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, account.Options{})
			ann := b.addUser(t, "ann", test.ownerRole, test.ownerSelector)
			plain, hash := token.NewAPIToken()
			err := b.store.AddAPIToken(t.Context(), store.APIToken{
				ID: fleet.NewID(), UserID: ann.ID, Name: "ci", Hash: hash, Role: test.tokenRole, Selector: test.tokenSelector, CreatedAt: b.now(),
			})
			if err != nil {
				t.Fatal(err)
			}
			actor, err := b.Authenticate(t.Context(), plain)
			if err != nil {
				t.Fatal(err)
			}
			got := ""
			if actor.Selector != nil {
				got = actor.Selector.String()
			}
			if actor.Role != test.wantRole || got != test.wantSelector {
				t.Errorf("got role %s and selector %q, want %s and %q", actor.Role, got, test.wantRole, test.wantSelector)
			}
		})
	}
}

func TestTheUseOfAnAPITokenIsNotedOnceAMinute(t *testing.T) {
	t.Parallel()
	b := newBench(t, account.Options{})
	b.addUser(t, "ann", fleet.Viewer, "")
	_, actor := b.login(t, "ann")
	_, plain, err := b.CreateToken(t.Context(), actor, "ci", nil)
	if err != nil {
		t.Fatal(err)
	}
	use := func() time.Time {
		t.Helper()
		if _, err := b.Authenticate(t.Context(), plain); err != nil {
			t.Fatal(err)
		}
		tokens, err := b.Tokens(t.Context(), actor)
		if err != nil || len(tokens) != 1 || tokens[0].LastUsedAt == nil {
			t.Fatalf("got %+v, %v", tokens, err)
		}
		return *tokens[0].LastUsedAt
	}
	first := use()
	b.forward(30 * time.Second)
	if second := use(); !second.Equal(first) {
		t.Errorf("noted again after %s", second.Sub(first))
	}
	b.forward(31 * time.Second)
	if third := use(); third.Sub(first) < time.Minute {
		t.Errorf("not noted again after a minute: %s", third.Sub(first))
	}
}

func TestNarrowTokens(t *testing.T) {
	t.Parallel()
	b := newBench(t, account.Options{})
	b.addUser(t, "ann", fleet.Operator, "env=prod")
	_, actor := b.login(t, "ann")
	for _, test := range []struct {
		name, field string
		in          account.NewToken
	}{
		{"more than one's own role", "role", account.NewToken{Name: "a", Role: fleet.Admin}},
		{"no role", "role", account.NewToken{Name: "a", Role: "root"}},
		{"no selector", "selector", account.NewToken{Name: "a", Selector: "site=="}},
	} {
		_, _, err := b.CreateNarrowToken(t.Context(), actor, test.in)
		if fields := fleet.FieldsOf(err); fleet.KindOf(err) != fleet.Invalid || test.field == "role" && (len(fields) != 1 || fields[0].Field != "role") {
			t.Errorf("%s: %v naming %v", test.name, err, fields)
		}
	}
	made, plain, err := b.CreateNarrowToken(t.Context(), actor, account.NewToken{Name: "ci", Role: fleet.Viewer, Selector: "site = eu"})
	if err != nil || made.Role != fleet.Viewer || made.Selector != "site=eu" {
		t.Fatalf("got %+v, %v", made, err)
	}
	use := func() (fleet.Actor, error) { return b.Authenticate(t.Context(), plain) }
	if got, err := use(); err != nil || got.Role != fleet.Viewer || got.Selector.String() != "env=prod and site=eu" || got.Require(fleet.Operator) == nil {
		t.Errorf("the token is %+v (%s), %v", got, got.Selector, err)
	}
	for _, h := range []struct {
		site, env string
		sees      bool
	}{{"eu", "prod", true}, {"eu", "test", false}, {"us", "prod", false}} {
		got, err := use()
		if err != nil || got.Scope().Sees(fleet.Host{Name: "h", Site: h.site, Labels: map[string]string{"env": h.env}}) != h.sees {
			t.Errorf("a host %+v: want seen %t, %v", h, h.sees, err)
		}
	}
	b.exec(t, "update users set selector = 'env=test'") // what the owner loses the token loses at once
	if got, err := use(); err != nil || got.Selector.String() != "env=test and site=eu" {
		t.Errorf("after its owner was bound elsewhere it sees %s, %v", got.Selector, err)
	}
	b.exec(t, "update users set disabled_at = now()")
	_, err = use()
	wantError(t, err, fleet.Unauthenticated, token.CodeTokenInvalid)
}

func TestAnAdminSeesAndRevokesTheTokensOfALeaver(t *testing.T) {
	t.Parallel()
	b := newBench(t, account.Options{})
	ann := b.addUser(t, "ann", fleet.Operator, "site=eu")
	boss := b.addUser(t, "root", fleet.Admin, "")
	_, annActor := b.login(t, "ann")
	_, root := b.login(t, "root")
	tokens := map[string]store.APIToken{}
	plains := map[string]string{}
	for name, actor := range map[string]fleet.Actor{"deploy": annActor, "backup": annActor, "root's": root, "root's other": root} {
		made, plain, err := b.CreateToken(t.Context(), actor, name, nil)
		if err != nil {
			t.Fatal(err)
		}
		tokens[name], plains[name] = made, plain
	}
	if _, err := b.ChangeUser(t.Context(), root, ann.ID, 0, account.UserChange{Disabled: new(true)}); err != nil {
		t.Fatal(err)
	}
	if seen, err := b.UserTokens(t.Context(), root, ann.ID); err != nil || len(seen) != 2 || seen[0].Hash != nil || seen[0].UserID != ann.ID {
		t.Errorf("UserTokens = %+v, %v", seen, err)
	}
	if err := b.RevokeUserToken(t.Context(), root, ann.ID, tokens["deploy"].ID); err != nil {
		t.Fatal(err)
	}
	if _, err := b.ChangeUser(t.Context(), root, ann.ID, 0, account.UserChange{Disabled: new(false)}); err != nil {
		t.Fatal(err)
	}
	_, err := b.Authenticate(t.Context(), plains["deploy"])
	wantError(t, err, fleet.Unauthenticated, token.CodeTokenInvalid)
	if _, err := b.Authenticate(t.Context(), plains["backup"]); err != nil {
		t.Errorf("the one that was left: %v", err)
	}
	wantError(t, b.RevokeUserToken(t.Context(), root, ann.ID, tokens["deploy"].ID), fleet.NotFound, "not_found")
	wantError(t, b.RevokeUserToken(t.Context(), root, ann.ID, tokens["root's"].ID), fleet.NotFound, "not_found")

	byToken, err := b.Authenticate(t.Context(), plains["root's"])
	if err != nil {
		t.Fatal(err)
	}
	wantError(t, b.RevokeUserToken(t.Context(), byToken, boss.ID, tokens["root's other"].ID), fleet.Forbidden, "forbidden")
	if err := b.RevokeUserToken(t.Context(), root, boss.ID, tokens["root's other"].ID); err != nil {
		t.Errorf("one's own by the same road: %v", err)
	}
	if err := b.RevokeUserToken(t.Context(), byToken, ann.ID, tokens["backup"].ID); err != nil {
		t.Errorf("another's with an API token: %v", err)
	}
	if err := b.DeleteUser(t.Context(), root, ann.ID, 0); err != nil {
		t.Fatal(err)
	}
	_, err = b.UserTokens(t.Context(), root, ann.ID)
	wantError(t, err, fleet.NotFound, "not_found")

	var audited []string
	rows, _ := b.pool.Query(t.Context(), "select actor || ' ' || (details->>'name') || ' of ' || coalesce(details->>'username', 'the own') from audit_logs where action = 'token.revoke' order by 1")
	audited, err = pgx.CollectRows(rows, pgx.RowTo[string])
	if want := []string{"token:root's backup of ann", "user:root deploy of ann", "user:root root's other of the own"}; err != nil || !slices.Equal(audited, want) {
		t.Errorf("audited %q (%v), want %q", audited, err, want)
	}
}

func TestWhatIsStoredAndRedisWasNotToldOfIsSaidToBeDone(t *testing.T) {
	t.Parallel()
	b := newBench(t, account.Options{})
	ann := b.addUser(t, "ann", fleet.Viewer, "")
	b.addUser(t, "root", fleet.Admin, "")
	_, annActor := b.login(t, "ann")
	_, root := b.login(t, "root")
	b.redis.SetError("LOADING")
	defer b.redis.SetError("")
	for name, test := range map[string]struct {
		do   func() error
		done bool
	}{
		"ending all sessions": {func() error { return b.RevokeUserSessions(t.Context(), root, ann.ID) }, true},
		"ending the others":   {func() error { return b.RevokeSessions(t.Context(), annActor, true) }, true},
		"ending one":          {func() error { return b.RevokeSession(t.Context(), annActor, *annActor.SessionID) }, false},
		"a password, whose guesses cannot be counted": {func() error {
			return b.ChangePassword(t.Context(), annActor, password, "another horse battery")
		}, false},
	} {
		err := test.do()
		if fleet.CodeOf(err) != ephemeral.CodeSessionStoreUnavailable || fleet.KindOf(err) != fleet.Unavailable || account.Stored(err) != test.done ||
			strings.Contains(fleet.MessageOf(err), "it is done") != test.done {
			t.Errorf("%s: %v; stored %t, want %t", name, err, account.Stored(err), test.done)
		}
	}
}
