package ui_test

import (
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2/server"

	"github.com/rollcallhq/rollcall/pkg/account"
	"github.com/rollcallhq/rollcall/pkg/fleet"
)

func TestEverybodySeesTheOwnAccount(t *testing.T) {
	t.Parallel()
	s := newSiteOfPeople(t)
	s.see("/me", http.StatusOK, "admin of all hosts", "Firefox on Linux", "this one", "You have none", `<option value="admin">`)
	s.actor = s.signsIn(s.person("eve", fleet.Operator, "env=staging", "x"), "")
	body := s.see("/me", http.StatusOK, "operator of", "env=staging", "unknown", `<option value="operator">`)
	s.lacks(body, `<option value="admin">`, "End all others", "Firefox")
	s.actor = fleet.Actor{}
	if code, _, header := s.get("/me"); code != http.StatusSeeOther || header.Get("Location") != "/login?next=%2Fme" {
		t.Errorf("nobody's account = %d to %s", code, header.Get("Location"))
	}
}

func TestAPasswordIsChanged(t *testing.T) {
	t.Parallel()
	const next = "another horse battery"
	s := newSiteOfPeople(t)
	me := s.stored(*s.actor.UserID)
	s.signsIn(me, "curl/8")
	form := func(current, password, again string) map[string]string {
		return map[string]string{"current_password": current, "new_password": password, "again": again}
	}
	tests := []struct {
		name        string
		form        map[string]string
		field, says string
	}{
		{"a wrong one", form("not this horse", next, next), "current_password", "This is not your password."},
		{"a short one", form(right, "short", "short"), "new_password", "at least 12"},
		{"the same again", form(right, right, right), "new_password", "Is the current password."},
		{"two different ones", form(right, next, next+"!"), "again", "not the same"},
	}
	for _, tt := range tests {
		body := s.answers("/me/password", tt.form, http.StatusUnprocessableEntity, "")
		if got := wrong(body); len(got) != 1 || !strings.Contains(got[tt.field], tt.says) {
			t.Errorf("%s: beside the fields stands %q", tt.name, got)
		}
		for _, typed := range tt.form {
			if strings.Contains(body, `"`+typed) || strings.Contains(body, typed+"<") {
				t.Errorf("%s: what was typed is in the page", tt.name)
			}
		}
	}
	if n := s.living(me); n != 2 {
		t.Fatalf("%d sessions after refusals, want 2", n)
	}
	body := s.answers("/me/password", form(right, next, next), http.StatusOK, "", "Your password is changed", "other sessions have ended", "this one")
	s.lacks(body, "curl/8", next)
	if n := s.living(me); n != 1 {
		t.Errorf("%d sessions go on, want 1", n)
	}
	if _, err := s.accounts.Login(t.Context(), "admin", next, account.Client{}); err != nil {
		t.Errorf("the new password: %v", err)
	}
}

func TestAPasswordThatIsChangedWithoutRedisIsSaidToBe(t *testing.T) {
	t.Parallel()
	s := newSiteOfPeople(t)
	before := s.stored(*s.actor.UserID)
	// The guesses are counted before the change, the sessions end after it: Redis goes away in between.
	down := false
	s.redis.Server().SetPreHook(func(peer *server.Peer, command string, args ...string) bool {
		keeps := strings.HasPrefix(strings.ToUpper(command), "EVAL") && slices.ContainsFunc(args, func(arg string) bool { return strings.HasSuffix(arg, s.actor.SessionID.String()) })
		if down = down || keeps; down {
			peer.WriteError("LOADING")
		}
		return down
	})
	s.answers("/me/password", map[string]string{"current_password": right, "new_password": "another horse battery", "again": "another horse battery"},
		http.StatusOK, "", "Your password is changed", "sign in again with the new password", "cannot be shown")
	if s.stored(before.ID).PasswordHash == before.PasswordHash {
		t.Error("it is not changed")
	}
}

func TestOnesSessionsAreEnded(t *testing.T) {
	t.Parallel()
	s := newSiteOfPeople(t)
	me := s.stored(*s.actor.UserID)
	other := s.signsIn(me, "curl/8")
	s.signsIn(me, "Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.0 Mobile/15E148 Safari/604.1")
	strangers := s.signsIn(s.person("eve", fleet.Viewer, "", "x"), "")
	s.see("/me", http.StatusOK, "curl/8", "Safari on iPhone", "End all others")
	s.answers("/me/sessions/"+other.SessionID.String()+"/revoke", nil, http.StatusSeeOther, "/me")
	s.answers("/me/sessions/"+strangers.SessionID.String()+"/revoke", nil, http.StatusSeeOther, "/me")
	if mine, hers := s.living(me), s.living(s.stored(*strangers.UserID)); mine != 2 || hers != 1 {
		t.Errorf("%d and %d sessions, want 2 and 1", mine, hers)
	}
	s.answers("/me/sessions/revoke", nil, http.StatusSeeOther, "/me")
	if n := s.living(me); n != 1 {
		t.Errorf("%d sessions go on, want 1", n)
	}
	s.answers("/me/sessions/"+s.actor.SessionID.String()+"/revoke", nil, http.StatusSeeOther, "/login")
	if s.living(me) != 0 {
		t.Error("the own session goes on")
	}
}

func TestAnAPITokenIsMadeAndRevoked(t *testing.T) {
	t.Parallel()
	s := newSiteOfPeople(t)
	tomorrow := time.Now().UTC().Add(24 * time.Hour).Format("2006-01-02T15:04:05")
	body := s.answers("/me/tokens", map[string]string{"name": "ci", "role": "viewer", "selector": "env=prod", "expires_at": tomorrow}, http.StatusOK, "", "shown this once", "ROLLCALL_TOKEN", "Copy", "viewer of")
	plain := s.secretOf(body)
	actor, err := s.accounts.Authenticate(t.Context(), plain)
	if err != nil || actor.Role != fleet.Viewer || actor.Selector.String() != "env=prod" {
		t.Fatalf("the API token is for %+v, %v", actor, err)
	}
	page := s.see("/me", http.StatusOK, "ci", "in 23 h", "env=prod")
	s.lacks(page, plain, "shown this once")
	revoke := "/me/tokens/" + actor.ID.String() + "/revoke"
	s.answers(revoke, nil, http.StatusSeeOther, "/me")
	s.answers(revoke, nil, http.StatusSeeOther, "/me") // twice pressed
	if _, err := s.accounts.Authenticate(t.Context(), plain); err == nil {
		t.Error("it is still good")
	}
	s.see("/me", http.StatusOK, "You have none")
}

func TestWhatIsWrongWithAnAPITokenStandsBesideTheField(t *testing.T) {
	t.Parallel()
	s := newSiteOfPeople(t)
	s.actor = s.signsIn(s.person("eve", fleet.Operator, "env=staging", "x"), "")
	tests := []struct{ name, token, role, selector, expires, field, says string }{
		{"no name", "", "", "", "", "name", "Needs 1 to 64 characters."},
		{"a role above the own", "ci", "admin", "", "", "role", "at most operator"},
		{"a selector that cannot be read", "ci", "", "env=(", "", "selector", "Position 5"},
		{"a time that has passed", "ci", "", "", "2020-01-01T00:00:00", "expires_at", "Has passed already."},
		{"a time that is none", "ci", "", "", "soon", "expires_at", ""},
	}
	for _, tt := range tests {
		body := s.answers("/me/tokens", map[string]string{"name": tt.token, "role": tt.role, "selector": tt.selector, "expires_at": tt.expires}, http.StatusUnprocessableEntity, "")
		if got := wrong(body); len(got) != 1 || !strings.Contains(got[tt.field], tt.says) || got[tt.field] == "" {
			t.Errorf("%s: beside the fields stands %q", tt.name, got)
		}
		for _, kept := range []string{tt.token, tt.selector, tt.expires} {
			if !strings.Contains(body, `value="`+kept+`"`) {
				t.Errorf("%s: %q is not kept", tt.name, kept)
			}
		}
	}
	s.see("/me", http.StatusOK, "You have none")
}

func TestAnAPITokenDoesNotSignIn(t *testing.T) {
	t.Parallel()
	s := newSiteOfPeople(t)
	s.actor.Kind, s.actor.SessionID = fleet.ActorToken, nil
	s.see("/me", http.StatusForbidden, "sign in with a password")
	s.answers("/me/tokens", map[string]string{"name": "more"}, http.StatusForbidden, "")
	s.answers("/me/password", map[string]string{"new_password": "another horse battery", "again": "another horse battery"}, http.StatusForbidden, "")
}
