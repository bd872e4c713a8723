package rest_test

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/rollcallhq/rollcall/pkg/wire"
)

// signIn returns an Authorization header for the user.
func (b *bench) signIn(t *testing.T, name, with string) string {
	t.Helper()
	text, err := json.Marshal(map[string]string{"username": name, "password": with})
	if err != nil {
		t.Fatal(err)
	}
	return "Bearer " + get[wire.Tokens](t, b.do(t, call{method: http.MethodPost, path: "/api/v1/auth/login", body: string(text)}), http.StatusOK).AccessToken
}

func TestAUserOverREST(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	post := call{
		method: http.MethodPost, path: "/api/v1/users", as: "admin", body: `{"username":"ann","role":"operator","selector":"env = test"}`,
		header: http.Header{"Idempotency-Key": {"k"}},
	}
	r := b.do(t, post)
	ann := get[wire.NewUser](t, r, http.StatusCreated)
	path := "/api/v1/users/" + ann.ID.String()
	if ann.Reset == nil || ann.Reset.Path != "/reset#"+ann.Reset.Token || ann.Selector == nil || *ann.Selector != "env=test" || r.header.Get("Location") != path || r.header.Get("ETag") != `"1"` {
		t.Fatalf("made %s at %s, %s", r.body, r.header.Get("Location"), r.header.Get("ETag"))
	}
	if again := b.do(t, post); again.status != http.StatusConflict || again.problem.Code != "idempotency_answer_not_kept" || strings.Contains(again.body, ann.Reset.Token) {
		t.Errorf("a second time = %d %s", again.status, again.body)
	}
	renewed := get[wire.ResetLink](t, b.do(t, call{method: http.MethodPost, path: path + "/reset", as: "admin"}), http.StatusOK)
	reset := func(token string) result {
		return b.do(t, call{method: http.MethodPost, path: "/api/v1/auth/reset", body: `{"token":"` + token + `","password":"` + password + `"}`})
	}
	if r := reset(ann.Reset.Token); r.status != http.StatusUnauthorized || r.problem.Code != "reset_link_invalid" {
		t.Errorf("a link that was replaced = %d %s", r.status, r.body)
	}
	if r := reset(renewed.Token); r.status != http.StatusNoContent {
		t.Fatalf("the link = %d %s", r.status, r.body)
	}
	as := b.signIn(t, "ann", password)
	other := b.signIn(t, "ann", password)
	if r := b.do(t, call{method: http.MethodPost, path: "/api/v1/auth/password", as: as, body: `{"current_password":"wrong","new_password":"another horse battery"}`}); r.status != http.StatusUnprocessableEntity ||
		r.problem.Code != "wrong_password" || len(r.problem.Errors) != 1 || r.problem.Errors[0].Field != "current_password" {
		t.Errorf("a wrong current password = %d %s", r.status, r.body)
	}
	sessions := get[wire.List[wire.Session]](t, b.do(t, call{path: "/api/v1/auth/sessions", as: as}), http.StatusOK)
	if len(sessions.Items) != 2 || sessions.Items[0].Current == sessions.Items[1].Current {
		t.Errorf("sessions = %+v", sessions)
	}
	if r := b.do(t, call{method: http.MethodPost, path: "/api/v1/auth/password", as: as, body: `{"current_password":"` + password + `","new_password":"another horse battery"}`}); r.status != http.StatusNoContent {
		t.Fatalf("changing the password = %d %s", r.status, r.body)
	}
	if r := b.do(t, call{path: "/api/v1/auth/me", as: other}); r.problem.Code != "session_ended" {
		t.Errorf("the other session = %d %s", r.status, r.body)
	}
	if own := get[wire.List[wire.Session]](t, b.do(t, call{path: "/api/v1/auth/sessions", as: as}), http.StatusOK); len(own.Items) != 1 || !own.Items[0].Current {
		t.Errorf("sessions then = %+v", own)
	}
	seen := get[wire.User](t, b.do(t, call{path: path, as: "admin"}), http.StatusOK)
	changed := b.do(t, call{
		method: http.MethodPatch, path: path, as: "admin", body: `{"selector":null,"role":"viewer"}`, media: "application/merge-patch+json",
		header: http.Header{"If-Match": {b.do(t, call{path: path, as: "admin"}).header.Get("ETag")}},
	})
	if u := get[wire.User](t, changed, http.StatusOK); u.Selector != nil || u.Role != "viewer" || u.Version != seen.Version+1 {
		t.Errorf("changed = %s", changed.body)
	}
	list := get[wire.List[wire.User]](t, b.do(t, call{path: "/api/v1/users?limit=1", as: "admin"}), http.StatusOK)
	if len(list.Items) != 1 || list.Items[0].Username != "ann" || list.NextCursor == nil {
		t.Errorf("the newest user = %+v", list)
	}
	b.revokesOf(t, path, as)
	if r := b.do(t, call{method: http.MethodDelete, path: path, as: "admin"}); r.status != http.StatusNoContent {
		t.Errorf("deleting = %d %s", r.status, r.body)
	}
	if r := b.do(t, call{path: "/api/v1/auth/me", as: as}); r.problem.Code != "session_ended" {
		t.Errorf("a deleted user = %d %s", r.status, r.body)
	}
	for who, code := range map[string]string{"admin": "own_account", "viewer": "forbidden", "scoped": "forbidden"} {
		r := b.do(t, call{method: http.MethodDelete, path: "/api/v1/users/" + b.users["admin"].ID.String(), as: who})
		if r.problem.Code != code {
			t.Errorf("%s deletes the admin: %d %s, want %s", who, r.status, r.body, code)
		}
	}
}

// revokesOf holds that an admin sees and ends the API tokens and single sessions of the user at path, who is signed in as as.
func (b *bench) revokesOf(t *testing.T, path, as string) {
	t.Helper()
	made := get[wire.NewAPIToken](t, b.do(t, call{method: http.MethodPost, path: "/api/v1/tokens", as: as, body: `{"name":"left behind"}`}), http.StatusCreated)
	r := b.do(t, call{path: path + "/tokens", as: "admin"})
	if tokens := get[wire.List[wire.APIToken]](t, r, http.StatusOK); len(tokens.Items) != 1 || tokens.Items[0].ID != made.ID || strings.Contains(r.body, made.Token) {
		t.Fatalf("tokens = %s", r.body)
	}
	if r := b.do(t, call{method: http.MethodDelete, path: path + "/tokens/" + made.ID.String(), as: "admin"}); r.status != http.StatusNoContent {
		t.Errorf("revoking the token = %d %s", r.status, r.body)
	}
	if r := b.do(t, call{path: "/api/v1/auth/me", as: "Bearer " + made.Token}); r.problem.Code != "token_invalid" {
		t.Errorf("the token then = %d %s", r.status, r.body)
	}
	sessions := get[wire.List[wire.Session]](t, b.do(t, call{path: path + "/sessions", as: "admin"}), http.StatusOK)
	if seen := get[wire.User](t, b.do(t, call{path: path, as: "admin"}), http.StatusOK); len(sessions.Items) != 1 || seen.LastLoginAt == nil || seen.LastLoginAt.Before(seen.CreatedAt) {
		t.Fatalf("sessions = %+v of %+v", sessions, seen)
	}
	if r := b.do(t, call{method: http.MethodDelete, path: path + "/sessions/" + sessions.Items[0].ID.String(), as: "admin"}); r.status != http.StatusNoContent {
		t.Errorf("revoking the session = %d %s", r.status, r.body)
	}
	if r := b.do(t, call{path: "/api/v1/auth/me", as: as}); r.problem.Code != "session_ended" {
		t.Errorf("the session then = %d %s", r.status, r.body)
	}
}
