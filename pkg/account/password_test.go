package account_test

import (
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/rollcallhq/rollcall/pkg/account"
	"github.com/rollcallhq/rollcall/pkg/ephemeral"
	"github.com/rollcallhq/rollcall/pkg/fleet"
	"github.com/rollcallhq/rollcall/pkg/token"
)

const another = "another horse battery"

func TestAPasswordChangeEndsAllSessionsButOne(t *testing.T) {
	t.Parallel()
	b := newBench(t, account.Options{})
	other := b.replica(t, account.Options{})
	b.addUser(t, "ann", fleet.Viewer, "")
	mine, actor := b.login(t, "ann")
	theirs, _ := b.login(t, "ann")
	cookie, err := b.LoginCookie(t.Context(), "ann", password, home())
	if err != nil {
		t.Fatal(err)
	}
	b.lives(t, other, "at first", theirs) // and now it is in the cache of both
	bad := []struct{ name, current, password, field, code string }{
		{"a wrong current password", "not the password", another, "current_password", account.CodeWrongPassword},
		{"a short new one", password, "short", "new_password", "invalid"},
		{"a long new one", password, strings.Repeat("x", 1025), "new_password", "invalid"},
		{"the current one", password, password, "new_password", "invalid"},
	}
	for _, test := range bad {
		err := b.ChangePassword(t.Context(), actor, test.current, test.password)
		wantError(t, err, fleet.Invalid, test.code)
		if fields := fleet.FieldsOf(err); len(fields) != 1 || fields[0].Field != test.field {
			t.Errorf("%s: about %+v", test.name, fields)
		}
	}
	b.lives(t, other, "after refusals", theirs)
	if err := b.ChangePassword(t.Context(), actor, password, another); err != nil {
		t.Fatal(err)
	}
	b.ended(t, other, "after the change", theirs)
	if _, err := other.AuthenticateCookie(t.Context(), cookie.Secret); fleet.CodeOf(err) != ephemeral.CodeSessionEnded {
		t.Errorf("the cookie is answered %v", err)
	}
	b.lives(t, other, "who has changed it", mine)
	if _, err := other.Refresh(t.Context(), mine.Refresh, home()); err != nil {
		t.Errorf("refreshing who has changed it: %v", err)
	}
	_, err = b.Login(t.Context(), "ann", password, home())
	wantError(t, err, fleet.Unauthenticated, account.CodeInvalidCredentials)
	if _, err := b.Login(t.Context(), "ann", another, home()); err != nil {
		t.Error(err)
	}
	byToken := actor
	byToken.Kind, byToken.SessionID = fleet.ActorToken, nil
	wantError(t, b.ChangePassword(t.Context(), byToken, another, password), fleet.Forbidden, "forbidden")
	wantError(t, b.ChangePassword(t.Context(), fleet.Actor{}, another, password), fleet.Unauthenticated, "unauthenticated")
}

func TestGuessingTheCurrentPasswordIsLimited(t *testing.T) {
	t.Parallel()
	b := newBench(t, account.Options{})
	b.addUser(t, "ann", fleet.Viewer, "")
	_, actor := b.login(t, "ann")
	var err error
	for range 20 {
		if err = b.ChangePassword(t.Context(), actor, "not the password", another); fleet.KindOf(err) == fleet.Exhausted {
			return
		}
	}
	t.Errorf("twenty guesses were answered, the last with %v", err)
}

func TestSessionsOfAnEarlierPasswordAreDeadEvenIfRedisWasNotTold(t *testing.T) {
	t.Parallel()
	b := newBench(t, account.Options{})
	other := b.replica(t, account.Options{})
	ann := b.addUser(t, "ann", fleet.Viewer, "")
	tokens, _ := b.login(t, "ann")
	if _, err := b.store.EndSessions(t.Context(), ann.ID); err != nil { // and nothing happens to the session
		t.Fatal(err)
	}
	b.forward(2 * time.Second)
	b.ended(t, other, "an earlier epoch", tokens)
	if sessions, err := b.Sessions(t.Context(), fleet.Actor{Kind: fleet.ActorUser, ID: ann.ID, UserID: &ann.ID, SessionID: &ann.ID, Role: fleet.Viewer}); err != nil || len(sessions) != 0 {
		t.Errorf("it is listed: %+v, %v", sessions, err)
	}
}

func TestOneTimeLinks(t *testing.T) {
	t.Parallel()
	b := newBench(t, account.Options{})
	other := b.replica(t, account.Options{})
	b.addUser(t, "root", fleet.Admin, "")
	ann := b.addUser(t, "ann", fleet.Viewer, "")
	_, root := b.login(t, "root")
	tokens, _ := b.login(t, "ann")
	link := func() account.ResetLink {
		t.Helper()
		l, err := b.ResetLink(t.Context(), root, ann.ID)
		if err != nil || !strings.HasPrefix(l.Path(), "/reset#"+token.ResetTokenPrefix) {
			t.Fatalf("ResetLink = %+v, %v", l, err)
		}
		return l
	}
	dead := func(what, plain string) {
		t.Helper()
		err := b.ResetPassword(t.Context(), plain, another, home())
		if fleet.KindOf(err) != fleet.Unauthenticated || fleet.CodeOf(err) != account.CodeResetLinkInvalid || fleet.MessageOf(err) != fleet.MessageOf(b.ResetPassword(t.Context(), "nonsense", another, home())) {
			t.Errorf("%s is answered %v", what, err)
		}
	}
	unknown, _ := token.NewResetToken()
	dead("an unknown link", unknown)
	first := link()
	second := link()
	dead("a link that was replaced", first.Token)
	b.lives(t, other, "a link alone changes nothing", tokens)
	wantError(t, b.ResetPassword(t.Context(), second.Token, "short", home()), fleet.Invalid, "invalid")
	var good atomic.Int32
	var all sync.WaitGroup
	for _, s := range []*account.Service{b.Service, other, b.Service, other} {
		all.Go(func() {
			if err := s.ResetPassword(t.Context(), second.Token, another, home()); err == nil {
				good.Add(1)
			} else if fleet.CodeOf(err) != account.CodeResetLinkInvalid {
				t.Errorf("at once with others: %v", err)
			}
		})
	}
	all.Wait()
	if good.Load() != 1 {
		t.Errorf("of four at once %d have used the link", good.Load())
	}
	b.ended(t, other, "after the link was used", tokens)
	dead("a used link", second.Token)
	if _, err := b.Login(t.Context(), "ann", another, home()); err != nil {
		t.Error(err)
	}

	expired := link()
	b.forward(account.ResetLifetime)
	dead("an expired link", expired.Token)
	b.forward(-account.ResetLifetime)
	of := link()
	if _, err := b.ChangeUser(t.Context(), root, ann.ID, 0, account.UserChange{Disabled: new(true)}); err != nil {
		t.Fatal(err)
	}
	dead("the link of a disabled user", of.Token)
	if _, err := b.ChangeUser(t.Context(), root, ann.ID, 0, account.UserChange{Disabled: new(false)}); err != nil {
		t.Fatal(err)
	}
	dead("the link of a user that was disabled", of.Token)
	changed := link()
	sessions, err := b.Login(t.Context(), "ann", another, home())
	if err != nil {
		t.Fatal(err)
	}
	actor, err := b.Authenticate(t.Context(), sessions.Access)
	if err != nil {
		t.Fatal(err)
	}
	if err := b.ChangePassword(t.Context(), actor, another, password); err != nil {
		t.Fatal(err)
	}
	dead("the link of before the user changed the password", changed.Token)
}

func TestLinksAreLimitedByAddress(t *testing.T) {
	t.Parallel()
	b := newBench(t, account.Options{Refreshes: ephemeral.PerMinute(2)})
	for range 2 {
		wantError(t, b.ResetPassword(t.Context(), "nonsense", another, home()), fleet.Unauthenticated, account.CodeResetLinkInvalid)
	}
	wantError(t, b.ResetPassword(t.Context(), "nonsense", another, home()), fleet.Exhausted, "rate_limited")
	b.redis.SetError("LOADING")
	wantError(t, b.ResetPassword(t.Context(), "nonsense", another, home()), fleet.Unavailable, ephemeral.CodeSessionStoreUnavailable)
}

func TestSessionsAreListedAndRevoked(t *testing.T) {
	t.Parallel()
	b := newBench(t, account.Options{})
	other := b.replica(t, account.Options{})
	ann := b.addUser(t, "ann", fleet.Viewer, "")
	b.addUser(t, "root", fleet.Admin, "")
	kept, actor := b.login(t, "ann")
	one, first := b.login(t, "ann")
	two, _ := b.login(t, "ann")
	roots, root := b.login(t, "root")
	sessions, err := b.Sessions(t.Context(), actor)
	if err != nil || len(sessions) != 3 || sessions[0].Address != "192.0.2.7" || sessions[0].UserAgent != "test/1" {
		t.Fatalf("Sessions = %+v, %v", sessions, err)
	}
	wantError(t, b.RevokeSession(t.Context(), actor, *root.SessionID), fleet.NotFound, "not_found")
	if err := b.RevokeSession(t.Context(), actor, *first.SessionID); err != nil {
		t.Fatal(err)
	}
	b.ended(t, other, "revoked", one)
	wantError(t, b.RevokeSession(t.Context(), actor, *first.SessionID), fleet.NotFound, "not_found")
	b.lives(t, other, "another", two)
	if err := b.RevokeSessions(t.Context(), actor, true); err != nil {
		t.Fatal(err)
	}
	b.ended(t, other, "all others revoked", two)
	b.lives(t, other, "the current one", kept)
	if sessions, err := b.UserSessions(t.Context(), root, ann.ID); err != nil || len(sessions) != 1 || sessions[0].ID != *actor.SessionID {
		t.Errorf("UserSessions = %+v, %v", sessions, err)
	}
	wantError(t, b.RevokeUserSession(t.Context(), root, ann.ID, *root.SessionID), fleet.NotFound, "not_found")
	wantError(t, b.RevokeUserSession(t.Context(), root, ann.ID, *first.SessionID), fleet.NotFound, "not_found")
	single, singles := b.login(t, "ann")
	if err := b.RevokeUserSession(t.Context(), root, ann.ID, *singles.SessionID); err != nil {
		t.Fatal(err)
	}
	b.ended(t, other, "one revoked by an admin", single)
	b.lives(t, other, "the one beside it", kept)
	if err := b.RevokeUserSessions(t.Context(), root, ann.ID); err != nil {
		t.Fatal(err)
	}
	b.ended(t, other, "revoked by an admin", kept)
	_, actor = b.login(t, "ann")
	last, _ := b.login(t, "ann")
	if err := b.RevokeSessions(t.Context(), actor, false); err != nil {
		t.Fatal(err)
	}
	b.ended(t, other, "all revoked", last)
	b.lives(t, other, "somebody else's", roots)
	byToken := root
	byToken.Kind, byToken.SessionID = fleet.ActorToken, nil
	_, err = b.Sessions(t.Context(), byToken)
	wantError(t, err, fleet.Forbidden, "forbidden")
	wantError(t, b.RevokeSession(t.Context(), byToken, *root.SessionID), fleet.Forbidden, "forbidden")
	wantError(t, b.RevokeSessions(t.Context(), byToken, false), fleet.Forbidden, "forbidden")
}
