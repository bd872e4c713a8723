package account_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/rollcallhq/rollcall/pkg/account"
	"github.com/rollcallhq/rollcall/pkg/ephemeral"
	"github.com/rollcallhq/rollcall/pkg/fleet"
	"github.com/rollcallhq/rollcall/pkg/token"
)

func TestAuthenticateAccessTokens(t *testing.T) {
	t.Parallel()
	b := newBench(t, account.Options{})
	ann := b.addUser(t, "ann", fleet.Viewer, "")
	bob := b.addUser(t, "bob", fleet.Admin, "")
	_, actor := b.login(t, "ann")
	issue := func(signingKey string, user, session uuid.UUID, age time.Duration) string {
		signer, err := token.NewSigner([]byte(signingKey))
		if err != nil {
			t.Fatal(err)
		}
		signed, err := signer.Issue(token.Access{UserID: user, SessionID: session}, time.Now().Add(-age))
		if err != nil {
			t.Fatal(err)
		}
		return signed
	}
	session := *actor.SessionID
	good := issue(key, ann.ID, session, 0)
	tests := []struct{ name, bearer, code string }{
		{"a good token", good, "ok"},
		{"a token of yesterday", issue(key, ann.ID, session, 24*time.Hour), token.CodeTokenExpired},
		{"a token of another installation", issue(strings.Repeat("x", 32), ann.ID, session, 0), token.CodeTokenInvalid},
		{"a good token with another signature", good[:len(good)-8] + "AAAAAAAA", token.CodeTokenInvalid},
		{"a token that claims another's session", issue(key, bob.ID, session, 0), token.CodeTokenInvalid},
		{"a session that never was", issue(key, ann.ID, fleet.NewID(), 0), ephemeral.CodeSessionEnded},
		{"nothing", "", token.CodeTokenInvalid},
		{"garbage", "\x00\xff", token.CodeTokenInvalid},
		{"a megabyte", strings.Repeat("x", 1<<20), token.CodeTokenInvalid},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			got, err := b.Authenticate(t.Context(), test.bearer)
			if test.code == "ok" {
				if err != nil || got.ID != ann.ID {
					t.Fatalf("got %+v, %v", got, err)
				}
				return
			}
			wantError(t, err, fleet.Unauthenticated, test.code)
			if got.Kind != "" || got.Role != "" {
				t.Errorf("refused, and yet the actor is %+v", got)
			}
		})
	}
}

func TestAChangeOfTheUserShowsWithinTwoSeconds(t *testing.T) {
	t.Parallel()
	b := newBench(t, account.Options{})
	b.addUser(t, "ann", fleet.Admin, "")
	tokens, _ := b.login(t, "ann")

	b.exec(t, "update users set role = 'viewer', selector = 'site=eu' where username = 'ann'")
	b.forward(2 * time.Second)
	actor, err := b.Authenticate(t.Context(), tokens.Access)
	if err != nil || actor.Role != fleet.Viewer || actor.Selector == nil || actor.Selector.String() != "site=eu" {
		t.Errorf("after the change of role and selector: %+v, %v", actor, err)
	}

	b.exec(t, "update users set selector = '((' where username = 'ann'")
	b.forward(2 * time.Second)
	actor, err = b.Authenticate(t.Context(), tokens.Access)
	wantError(t, err, fleet.Internal, "internal")
	if !actor.Scope().SeesNothing() {
		t.Error("who is bounded by something that cannot be read sees everything")
	}

	b.exec(t, "update users set selector = null, disabled_at = now() where username = 'ann'")
	b.forward(2 * time.Second)
	_, err = b.Authenticate(t.Context(), tokens.Access)
	wantError(t, err, fleet.Unauthenticated, ephemeral.CodeSessionEnded)
	_, err = b.Refresh(t.Context(), tokens.Refresh, home())
	wantError(t, err, fleet.Unauthenticated, ephemeral.CodeSessionEnded)

	b.exec(t, "delete from users where username = 'ann'")
	b.forward(2 * time.Second)
	_, err = b.Authenticate(t.Context(), tokens.Access)
	wantError(t, err, fleet.Unauthenticated, ephemeral.CodeSessionEnded)
}

func TestRefreshRotates(t *testing.T) {
	t.Parallel()
	b := newBench(t, account.Options{})
	b.addUser(t, "ann", fleet.Viewer, "")
	first, _ := b.login(t, "ann")

	b.forward(token.AccessLifetime + time.Minute)
	_, err := b.Authenticate(t.Context(), first.Access)
	wantError(t, err, fleet.Unauthenticated, token.CodeTokenExpired)
	second, err := b.Refresh(t.Context(), first.Refresh, home())
	if err != nil {
		t.Fatal(err)
	}
	if second.Refresh == first.Refresh || second.Access == first.Access || second.ExpiresIn != token.AccessLifetime {
		t.Errorf("the tokens were not rotated: %+v", second)
	}
	actor, err := b.Authenticate(t.Context(), second.Access)
	if err != nil {
		t.Fatal(err)
	}

	forged, _ := token.NewRefreshToken(*actor.SessionID)
	_, err = b.Refresh(t.Context(), forged, home())
	wantError(t, err, fleet.Unauthenticated, ephemeral.CodeSessionEnded)
	if _, err := b.Authenticate(t.Context(), second.Access); err != nil {
		t.Fatalf("a forged refresh token has ended the session: %v", err)
	}

	thief := account.Client{Address: "198.51.100.9"}
	_, err = b.Refresh(t.Context(), first.Refresh, thief)
	wantError(t, err, fleet.Unauthenticated, ephemeral.CodeRefreshReused)
	_, err = b.Authenticate(t.Context(), second.Access)
	wantError(t, err, fleet.Unauthenticated, ephemeral.CodeSessionEnded)
	for _, refresh := range []string{first.Refresh, second.Refresh} {
		_, err = b.Refresh(t.Context(), refresh, thief)
		wantError(t, err, fleet.Unauthenticated, ephemeral.CodeSessionEnded)
	}
	wantAudited(t, b,
		entry{Actor: "user:ann", Action: "auth.login", Outcome: "ok", Address: "192.0.2.7", HasUser: true},
		entry{
			Actor: "user:ann", Action: "auth.refresh", Outcome: "denied", Reason: "refresh_token_reused",
			Address: "198.51.100.9", HasUser: true,
		})
}

func TestRefreshRefusesWhatIsNoToken(t *testing.T) {
	t.Parallel()
	b := newBench(t, account.Options{Refreshes: ephemeral.PerMinute(4)})
	b.addUser(t, "ann", fleet.Viewer, "")
	tokens, _ := b.login(t, "ann")
	for _, bad := range []string{"", "rcr_", tokens.Access, strings.Repeat("x", 1<<20)} {
		_, err := b.Refresh(t.Context(), bad, home())
		wantError(t, err, fleet.Unauthenticated, token.CodeTokenInvalid)
	}
	_, err := b.Refresh(t.Context(), tokens.Refresh, home())
	wantError(t, err, fleet.Exhausted, "rate_limited")
	if _, err := b.Refresh(t.Context(), tokens.Refresh, account.Client{Address: "192.0.2.8"}); err != nil {
		t.Errorf("refused for what another address did: %v", err)
	}
}

func TestLogoutEndsTheSessionAtOnce(t *testing.T) {
	t.Parallel()
	b := newBench(t, account.Options{})
	b.addUser(t, "ann", fleet.Viewer, "")
	tokens, actor := b.login(t, "ann")
	_, other := b.login(t, "ann")
	actor.Address = "192.0.2.7"

	if err := b.Logout(t.Context(), actor); err != nil {
		t.Fatal(err)
	}
	_, err := b.Authenticate(t.Context(), tokens.Access)
	wantError(t, err, fleet.Unauthenticated, ephemeral.CodeSessionEnded)
	_, err = b.Refresh(t.Context(), tokens.Refresh, home())
	wantError(t, err, fleet.Unauthenticated, ephemeral.CodeSessionEnded)
	if _, err := b.Me(t.Context(), other); err != nil {
		t.Errorf("the user's other session has ended too: %v", err)
	}
	wantError(t, b.Logout(t.Context(), fleet.Actor{}), fleet.Unauthenticated, "unauthenticated")
	wantError(t, b.Logout(t.Context(), fleet.Actor{Kind: fleet.ActorToken, Name: "ci", Role: fleet.Viewer}), fleet.Invalid, "no_session")
	login := entry{Actor: "user:ann", Action: "auth.login", Outcome: "ok", Address: "192.0.2.7", HasUser: true}
	wantAudited(t, b, login, login,
		entry{Actor: "user:ann", Action: "auth.logout", Outcome: "ok", Address: "192.0.2.7", HasUser: true})
}

func TestMeTellsTheActorAboutItself(t *testing.T) {
	t.Parallel()
	b := newBench(t, account.Options{RefreshLifetime: time.Hour})
	b.addUser(t, "ann", fleet.Operator, "")
	_, actor := b.login(t, "ann")
	me, err := b.Me(t.Context(), actor)
	if err != nil || me.Username != "ann" || me.Actor.Role != fleet.Operator || me.ExpiresAt == nil {
		t.Fatalf("got %+v, %v", me, err)
	}
	if left := time.Until(*me.ExpiresAt); left > time.Hour || left < 55*time.Minute {
		t.Errorf("the session lives for %s, want an hour", left)
	}
	_, err = b.Me(t.Context(), fleet.Actor{})
	wantError(t, err, fleet.Unauthenticated, "unauthenticated")
}
