package account_test

import (
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/rollcallhq/rollcall/pkg/account"
	"github.com/rollcallhq/rollcall/pkg/ephemeral"
	"github.com/rollcallhq/rollcall/pkg/fleet"
	"github.com/rollcallhq/rollcall/pkg/token"
)

// ended fails the test unless the access token's session is dead at both services.
func (b bench) ended(t *testing.T, other *account.Service, what string, tokens ...account.Tokens) {
	t.Helper()
	for _, each := range tokens {
		for _, s := range []*account.Service{b.Service, other} {
			if _, err := s.Authenticate(t.Context(), each.Access); fleet.CodeOf(err) != ephemeral.CodeSessionEnded {
				t.Errorf("%s: the access token is answered %v", what, err)
			}
			if _, err := s.Refresh(t.Context(), each.Refresh, home()); fleet.CodeOf(err) != ephemeral.CodeSessionEnded {
				t.Errorf("%s: the refresh token is answered %v", what, err)
			}
		}
	}
}

// lives fails the test unless the access token is good at both services.
func (b bench) lives(t *testing.T, other *account.Service, what string, tokens account.Tokens) {
	t.Helper()
	for _, s := range []*account.Service{b.Service, other} {
		if _, err := s.Authenticate(t.Context(), tokens.Access); err != nil {
			t.Errorf("%s: %v", what, err)
		}
	}
}

func TestUsersAreManagedByAdminsWhoSeeAllHosts(t *testing.T) {
	t.Parallel()
	b := newBench(t, account.Options{})
	b.addUser(t, "root", fleet.Admin, "")
	victim := b.addUser(t, "victim", fleet.Viewer, "")
	b.addUser(t, "scoped", fleet.Admin, "site=eu")
	b.addUser(t, "operator", fleet.Operator, "")
	b.addUser(t, "viewer", fleet.Viewer, "")
	_, root := b.login(t, "root")
	narrow := root
	narrow.Kind, narrow.Role = fleet.ActorToken, fleet.Operator
	actors := map[string]fleet.Actor{"nobody": {}, "a narrower token of an admin": narrow}
	for _, name := range []string{"scoped", "operator", "viewer"} {
		_, actors[name] = b.login(t, name)
	}
	calls := map[string]func(fleet.Actor) error{
		"Users": func(a fleet.Actor) error { _, _, err := b.Users(t.Context(), a, fleet.Page{}); return err },
		"User":  func(a fleet.Actor) error { _, err := b.User(t.Context(), a, victim.ID); return err },
		"CreateUser": func(a fleet.Actor) error {
			_, _, err := b.CreateUser(t.Context(), a, account.NewUser{Username: "new", Role: fleet.Admin})
			return err
		},
		"ChangeUser": func(a fleet.Actor) error {
			_, err := b.ChangeUser(t.Context(), a, victim.ID, 0, account.UserChange{Role: new(fleet.Admin)})
			return err
		},
		"DeleteUser":         func(a fleet.Actor) error { return b.DeleteUser(t.Context(), a, victim.ID, 0) },
		"ResetLink":          func(a fleet.Actor) error { _, err := b.ResetLink(t.Context(), a, victim.ID); return err },
		"UserSessions":       func(a fleet.Actor) error { _, err := b.UserSessions(t.Context(), a, victim.ID); return err },
		"RevokeUserSessions": func(a fleet.Actor) error { return b.RevokeUserSessions(t.Context(), a, victim.ID) },
		"RevokeUserSession": func(a fleet.Actor) error {
			return b.RevokeUserSession(t.Context(), a, victim.ID, fleet.NewID())
		},
		"UserTokens":      func(a fleet.Actor) error { _, err := b.UserTokens(t.Context(), a, victim.ID); return err },
		"RevokeUserToken": func(a fleet.Actor) error { return b.RevokeUserToken(t.Context(), a, victim.ID, fleet.NewID()) },
	}
	for name, call := range calls {
		for who, actor := range actors {
			want := fleet.Forbidden
			if who == "nobody" {
				want = fleet.Unauthenticated
			}
			if err := call(actor); fleet.KindOf(err) != want {
				t.Errorf("%s by %s: %v", name, who, err)
			}
		}
	}
	users, next, err := b.Users(t.Context(), root, fleet.Page{})
	var names []string // those made within one millisecond are in no order
	for _, u := range users {
		names = append(names, u.Username)
	}
	slices.Sort(names)
	if err != nil || next != "" || !slices.Equal(names, []string{"operator", "root", "scoped", "victim", "viewer"}) {
		t.Errorf("Users = %+v, %q, %v", users, next, err)
	}
	for _, u := range users {
		if u.PasswordHash != "" || u.Version != 1 {
			t.Errorf("after refusals only: %+v", u)
		}
	}
	b.exec(t, "update users set role = 'viewer' where username = 'root'") // while the request of root is under way
	for _, name := range []string{"CreateUser", "ChangeUser", "DeleteUser", "ResetLink", "RevokeUserSessions", "RevokeUserSession", "RevokeUserToken"} {
		if err := calls[name](root); fleet.KindOf(err) != fleet.Forbidden {
			t.Errorf("%s by an admin of a moment ago: %v", name, err)
		}
	}
}

func TestWhatIsWrongWithANewUserIsNamed(t *testing.T) {
	t.Parallel()
	b := newBench(t, account.Options{})
	b.addUser(t, "root", fleet.Admin, "")
	_, root := b.login(t, "root")
	tests := []struct {
		name  string
		in    account.NewUser
		field string
	}{
		{"no name", account.NewUser{Role: fleet.Viewer}, "username"},
		{"a name in capitals", account.NewUser{Username: "Ann", Role: fleet.Viewer}, "username"},
		{"a name that begins with a dot", account.NewUser{Username: ".ann", Role: fleet.Viewer}, "username"},
		{"a long name", account.NewUser{Username: strings.Repeat("a", 64), Role: fleet.Viewer}, "username"},
		{"a name with a quote", account.NewUser{Username: "a';--", Role: fleet.Viewer}, "username"},
		{"a taken name", account.NewUser{Username: "root", Role: fleet.Viewer}, "username"},
		{"no role", account.NewUser{Username: "ann"}, "role"},
		{"an unknown role", account.NewUser{Username: "ann", Role: "owner"}, "role"},
		{"a bad selector", account.NewUser{Username: "ann", Role: fleet.Viewer, Selector: "site=("}, "selector"},
		{"a password of 11 characters", account.NewUser{Username: "ann", Role: fleet.Viewer, Password: "12345678901"}, "password"},
		{"a password of 1,025 bytes", account.NewUser{Username: "ann", Role: fleet.Viewer, Password: strings.Repeat("x", 1025)}, "password"},
	}
	for _, test := range tests {
		_, _, err := b.CreateUser(t.Context(), root, test.in)
		if fields := fleet.FieldsOf(err); len(fields) != 1 || fields[0].Field != test.field {
			t.Errorf("%s: %v about %+v, want it about %s", test.name, err, fields, test.field)
		}
	}
	for i, selector := range []string{"", "*", " * "} {
		u, link, err := b.CreateUser(t.Context(), root, account.NewUser{
			Username: "user" + string(rune('0'+i)), Role: fleet.Viewer, Selector: selector, Password: password,
		})
		if err != nil || u.Selector != "" || link != nil || u.PasswordHash != "" {
			t.Errorf("selector %q: %+v, %v, %v", selector, u, link, err)
		}
	}
}

func TestAUserFromItsMakingToItsEnd(t *testing.T) {
	t.Parallel()
	b := newBench(t, account.Options{})
	other := b.replica(t, account.Options{})
	b.addUser(t, "root", fleet.Admin, "")
	_, root := b.login(t, "root")
	ann, link, err := b.CreateUser(t.Context(), root, account.NewUser{Username: "ann", Role: fleet.Operator, Selector: "site = eu"})
	if err != nil || link == nil || ann.Selector != "site=eu" {
		t.Fatalf("CreateUser = %+v, %v, %v", ann, link, err)
	}
	if err := other.ResetPassword(t.Context(), link.Token, password, home()); err != nil {
		t.Fatal(err)
	}
	tokens, actor := b.login(t, "ann")
	b.lives(t, other, "at first", tokens)
	_, api, err := b.CreateToken(t.Context(), actor, "ci", nil)
	if err != nil {
		t.Fatal(err)
	}
	_, err = b.ChangeUser(t.Context(), root, ann.ID, ann.Version, account.UserChange{Role: new(fleet.Viewer)})
	wantError(t, err, fleet.Precondition, "precondition_failed") // setting the password was a change
	changed, err := b.ChangeUser(t.Context(), root, ann.ID, 0, account.UserChange{Role: new(fleet.Viewer), Selector: new("*")})
	if err != nil || changed.Role != fleet.Viewer || changed.Selector != "" {
		t.Fatalf("ChangeUser = %+v, %v", changed, err)
	}
	if actor, err := b.Authenticate(t.Context(), tokens.Access); err != nil || actor.Role != fleet.Viewer || actor.Selector != nil {
		t.Errorf("after the change the actor is %+v, %v", actor, err)
	}
	same, err := b.ChangeUser(t.Context(), root, ann.ID, changed.Version, account.UserChange{Role: new(fleet.Viewer)})
	if err != nil || same.Version != changed.Version {
		t.Errorf("a change of nothing: %+v, %v", same, err)
	}

	if _, err := b.ChangeUser(t.Context(), root, ann.ID, same.Version, account.UserChange{Disabled: new(true)}); err != nil {
		t.Fatal(err)
	}
	b.ended(t, other, "disabled", tokens)
	_, err = other.Authenticate(t.Context(), api)
	wantError(t, err, fleet.Unauthenticated, token.CodeTokenInvalid)
	_, err = b.Login(t.Context(), "ann", password, home())
	wantError(t, err, fleet.Unauthenticated, account.CodeInvalidCredentials)
	_, err = b.ResetLink(t.Context(), root, ann.ID)
	wantError(t, err, fleet.Conflict, "user_disabled")

	if u, err := b.ChangeUser(t.Context(), root, ann.ID, 0, account.UserChange{Disabled: new(false)}); err != nil || u.DisabledAt != nil {
		t.Fatalf("enabling: %+v, %v", u, err)
	}
	b.ended(t, other, "enabled again", tokens)
	if _, err := other.Authenticate(t.Context(), api); err != nil {
		t.Errorf("enabled again, the API token is answered %v", err)
	}
	tokens, _ = b.login(t, "ann")
	if err := b.DeleteUser(t.Context(), root, ann.ID, 0); err != nil {
		t.Fatal(err)
	}
	b.ended(t, other, "deleted", tokens)
	_, err = other.Authenticate(t.Context(), api)
	wantError(t, err, fleet.Unauthenticated, token.CodeTokenInvalid)
	_, err = b.Login(t.Context(), "ann", password, home())
	wantError(t, err, fleet.Unauthenticated, account.CodeInvalidCredentials)
	for what, err := range map[string]error{
		"deleting again": b.DeleteUser(t.Context(), root, ann.ID, 0),
		"changing":       func() error { _, err := b.ChangeUser(t.Context(), root, ann.ID, 0, account.UserChange{}); return err }(),
		"reading":        func() error { _, err := b.User(t.Context(), root, ann.ID); return err }(),
		"a link":         func() error { _, err := b.ResetLink(t.Context(), root, ann.ID); return err }(),
	} {
		if fleet.KindOf(err) != fleet.NotFound {
			t.Errorf("%s: %v", what, err)
		}
	}
	_, _, err = b.CreateUser(t.Context(), root, account.NewUser{Username: "ann", Role: fleet.Viewer})
	wantError(t, err, fleet.Conflict, "name_taken")
	var actions []string
	for _, e := range b.audited(t) {
		if e.Actor == "user:root" && e.Action != "auth.login" || e.Action == "auth.password" {
			actions = append(actions, e.Actor+" "+e.Action+" "+e.Outcome)
		}
	}
	want := "user:root user.create ok|user:ann auth.password ok|user:root user.update ok|user:root user.update ok|user:root user.update ok|user:root user.delete ok"
	if got := strings.Join(actions, "|"); got != want {
		t.Errorf("audited %s, want %s", got, want)
	}
}

func TestNobodyChangesTheOwnAccount(t *testing.T) {
	t.Parallel()
	b := newBench(t, account.Options{})
	root := b.addUser(t, "root", fleet.Admin, "")
	b.addUser(t, "second", fleet.Admin, "")
	_, self := b.login(t, "root")
	byToken := self
	byToken.Kind, byToken.ID, byToken.SessionID = fleet.ActorToken, fleet.NewID(), nil
	for _, actor := range []fleet.Actor{self, byToken} {
		_, err := b.ChangeUser(t.Context(), actor, root.ID, 0, account.UserChange{Role: new(fleet.Viewer)})
		wantError(t, err, fleet.Conflict, account.CodeOwnAccount)
		_, err = b.ResetLink(t.Context(), actor, root.ID)
		wantError(t, err, fleet.Conflict, account.CodeOwnAccount)
		wantError(t, b.DeleteUser(t.Context(), actor, root.ID, 0), fleet.Conflict, account.CodeOwnAccount)
	}
}

func TestAnAdminRemainsWhateverIsTriedAtOnce(t *testing.T) {
	t.Parallel()
	ways := map[string]func(b bench, actor fleet.Actor, u fleet.User) error{
		"disabling": func(b bench, actor fleet.Actor, u fleet.User) error {
			_, err := b.ChangeUser(t.Context(), actor, u.ID, 0, account.UserChange{Disabled: new(true)})
			return err
		},
		"demoting": func(b bench, actor fleet.Actor, u fleet.User) error {
			_, err := b.ChangeUser(t.Context(), actor, u.ID, 0, account.UserChange{Role: new(fleet.Operator)})
			return err
		},
		"scoping": func(b bench, actor fleet.Actor, u fleet.User) error {
			_, err := b.ChangeUser(t.Context(), actor, u.ID, 0, account.UserChange{Selector: new("site=eu")})
			return err
		},
		"deleting": func(b bench, actor fleet.Actor, u fleet.User) error { return b.DeleteUser(t.Context(), actor, u.ID, 0) },
	}
	for name, way := range ways {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, account.Options{})
			users := []fleet.User{b.addUser(t, "one", fleet.Admin, ""), b.addUser(t, "two", fleet.Admin, ""), b.addUser(t, "three", fleet.Admin, "")}
			b.addUser(t, "scoped", fleet.Admin, "site=eu")
			b.addUser(t, "gone", fleet.Admin, "")
			b.exec(t, "update users set disabled_at = now() where username = 'gone'")
			errs := make([]error, 2*len(users))
			var all sync.WaitGroup
			for i := range errs { // everybody against everybody, and against everybody by the system
				by := users[(i+1)%len(users)]
				actor := fleet.Actor{Kind: fleet.ActorUser, ID: by.ID, UserID: &by.ID, Name: by.Username, Role: fleet.Admin}
				if i >= len(users) {
					actor = fleet.System()
				}
				all.Go(func() { errs[i] = way(b, actor, users[i%len(users)]) })
			}
			all.Wait()
			refusals := 0
			for _, err := range errs {
				if err == nil {
					continue
				}
				if code := fleet.CodeOf(err); code != account.CodeLastAdmin && code != "forbidden" && code != "not_found" {
					t.Errorf("refused with %v", err)
				}
				refusals++
			}
			if other, err := b.store.OtherAdmin(t.Context(), fleet.NewID()); err != nil || !other || refusals == 0 {
				t.Errorf("an admin remains: %v, %v, after %d refusals; want one", other, err, refusals)
			}
		})
	}
}

func TestDisablingWithoutRedisDisables(t *testing.T) {
	t.Parallel()
	b := newBench(t, account.Options{})
	other := b.replica(t, account.Options{})
	b.addUser(t, "root", fleet.Admin, "")
	ann := b.addUser(t, "ann", fleet.Viewer, "")
	tokens, _ := b.login(t, "ann")
	_, root := b.login(t, "root")
	b.redis.SetError("LOADING")
	u, err := b.ChangeUser(t.Context(), root, ann.ID, 0, account.UserChange{Disabled: new(true)})
	wantError(t, err, fleet.Unavailable, ephemeral.CodeSessionStoreUnavailable)
	if u.DisabledAt == nil {
		t.Error("the error hides what was done")
	}
	_, err = b.Authenticate(t.Context(), tokens.Access)
	wantError(t, err, fleet.Unavailable, ephemeral.CodeSessionStoreUnavailable)
	b.redis.SetError("")
	b.ended(t, other, "Redis is back with the session in it", tokens)
	if _, err := b.ChangeUser(t.Context(), root, ann.ID, 0, account.UserChange{Disabled: new(false)}); err != nil {
		t.Fatal(err)
	}
	b.ended(t, other, "enabled again", tokens)
}
