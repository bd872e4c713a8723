package ui_test

import (
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rollcallhq/rollcall/pkg/account"
	"github.com/rollcallhq/rollcall/pkg/fleet"
	"github.com/rollcallhq/rollcall/pkg/store"
)

func TestAUserIsAddedAndGetsALink(t *testing.T) {
	t.Parallel()
	s := newSiteOfPeople(t)
	s.see("/users/new", http.StatusOK, `name="username"`, "viewer: reads")
	body := s.answers("/users", map[string]string{"username": "eve", "role": "operator", "selector": "env = staging"}, http.StatusOK, "", "shown this once", "eve is signed in nowhere")
	link := s.secretOf(body)
	secret, ok := strings.CutPrefix(link, "http://example.com/reset#")
	if !ok {
		t.Fatalf("the link is %q", link)
	}
	if err := s.accounts.ResetPassword(t.Context(), secret, right, account.Client{Address: "192.0.2.9"}); err != nil {
		t.Errorf("the link: %v", err)
	}
	if _, err := s.accounts.Login(t.Context(), "eve", right, account.Client{Address: "192.0.2.9", UserAgent: "curl/8.5.0"}); err != nil {
		t.Fatal(err)
	}
	eve, err := s.store.UserByName(t.Context(), "eve")
	if err != nil || eve.Role != fleet.Operator || eve.Selector != "env=staging" {
		t.Fatalf("made %+v, %v", eve, err)
	}
	page := "/users/" + eve.ID.String()
	s.see("/users", http.StatusOK, `href="`+page+`"`, "operator", "env=staging", "just now", "active", ">you<")
	again := s.see(page, http.StatusOK, "eve", "curl/8.5.0", "/audit?actor=user%3Aeve")
	s.lacks(again, secret, "shown this once")
}

func TestTheLinkIsAtTheAddressThatTheBrowserKnows(t *testing.T) {
	t.Parallel()
	s := newSiteOfPeople(t)
	eve := s.person("eve", fleet.Viewer, "", "x")
	tests := []struct{ name, origin, site, want string }{
		{"behind a proxy with TLS", "https://example.com", "", "https://example.com/reset#rcp_"},
		{"behind a proxy that says another host", "https://fleet.example.net", "same-origin", "https://fleet.example.net/reset#rcp_"},
		{"from a program", "", "", "http://example.com/reset#rcp_"},
		{"from a page of nobody", "null", "", "http://example.com/reset#rcp_"},
		{"from who makes another origin up", "https://evil.example", "", "http://example.com/reset#rcp_"},
		{"from an origin that is none", "javascript://example.com", "", "http://example.com/reset#rcp_"},
	}
	for _, tt := range tests {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/users/"+eve.ID.String()+"/reset", http.NoBody)
		r.Header.Set("Origin", tt.origin)
		r.Header.Set("Sec-Fetch-Site", tt.site)
		if _, body, _ := s.do(r); !strings.HasPrefix(s.secretOf(body), tt.want) {
			t.Errorf("%s: the link is %s", tt.name, s.secretOf(body))
		}
	}
}

func TestWhatIsWrongWithAUserStandsBesideTheField(t *testing.T) {
	t.Parallel()
	s := newSiteOfPeople(t)
	tests := []struct {
		name, username, role, selector string
		status                         int
		field, says                    string
	}{
		{"a name in capitals", "Eve", "viewer", "", 422, "username", "lower-case"},
		{"a name that is taken", "admin", "viewer", "", 409, "username", "exists already"},
		{"no role", "eve", "", "", 422, "role", "viewer, operator and admin"},
		{"a selector that cannot be read", "eve", "viewer", "env=(", 422, "selector", "Position 5"},
		{"a name that is HTML", "<script>", "viewer", "", 422, "username", "lower-case"},
	}
	for _, tt := range tests {
		body := s.answers("/users", map[string]string{"username": tt.username, "role": tt.role, "selector": tt.selector}, tt.status, "")
		if got := wrong(body); len(got) != 1 || !strings.Contains(got[tt.field], tt.says) {
			t.Errorf("%s: beside the fields stands %q", tt.name, got)
		}
		kept := strings.ReplaceAll(strings.ReplaceAll(tt.username, "<", "&lt;"), ">", "&gt;")
		if !strings.Contains(body, `value="`+kept+`"`) || !strings.Contains(body, `value="`+tt.selector+`"`) || strings.Contains(body, "<script>") {
			t.Errorf("%s: what was filled in is not kept: %s", tt.name, body)
		}
	}
}

func TestAUserIsChangedShutOutAndDeleted(t *testing.T) {
	t.Parallel()
	s := newSiteOfPeople(t)
	eve := s.person("eve", fleet.Operator, "env=staging", "x")
	page := "/users/" + eve.ID.String()
	form := func(role, selector string, version int64) map[string]string {
		return map[string]string{"role": role, "selector": selector, "version": strconv.FormatInt(version, 10)}
	}
	s.answers(page, form("viewer", "site=eu", eve.Version), http.StatusSeeOther, page)
	if now := s.stored(eve.ID); now.Role != fleet.Viewer || now.Selector != "site=eu" {
		t.Fatalf("changed to %+v", now)
	}
	body := s.answers(page, form("admin", "", eve.Version), http.StatusConflict, "", "changed this user meanwhile", "site=eu")
	if now := s.stored(eve.ID); now.Role != fleet.Viewer || !strings.Contains(body, `<option value="admin" selected>`) || !strings.Contains(body, `name="version" value="`+strconv.FormatInt(now.Version, 10)+`"`) {
		t.Errorf("over a change of meanwhile: %+v, %s", now, body)
	}
	if got := wrong(s.answers(page, form("viewer", "env==", eve.Version+1), http.StatusUnprocessableEntity, "")); got["selector"] == "" {
		t.Errorf("a bad selector: %q", got)
	}
	for _, version := range []string{"", "0", "x"} { // 0 is for programs that do not care
		s.answers(page, map[string]string{"role": "admin", "version": version}, http.StatusUnprocessableEntity, "", "could not be read")
	}

	s.signsIn(eve, "curl/8")
	s.see(page, http.StatusOK, "curl/8", "End all sessions")
	s.answers(page+"/disable", nil, http.StatusSeeOther, page)
	if s.stored(eve.ID).DisabledAt == nil || s.living(eve) != 0 {
		t.Error("it is not disabled, or still signed in")
	}
	body = s.see(page, http.StatusOK, "disabled", "Enable", "signed in nowhere")
	s.lacks(body, "Make a password link", "/disable")
	s.answers(page+"/reset", nil, http.StatusConflict, "", "eve is disabled")
	s.answers(page+"/enable", nil, http.StatusSeeOther, page)
	s.answers(page+"/delete", nil, http.StatusUnprocessableEntity, "", "Tick the box")
	if s.stored(eve.ID).DeletedAt != nil {
		t.Fatal("deleted by whoever is not sure")
	}
	s.answers(page+"/delete", map[string]string{"sure": "yes"}, http.StatusSeeOther, "/users")
	s.see(page, http.StatusNotFound, "no such user")
	s.lacks(s.see("/users", http.StatusOK), "eve")
}

func TestTheSessionsAndTokensOfAUserAreEnded(t *testing.T) {
	t.Parallel()
	s := newSiteOfPeople(t)
	eve := s.person("eve", fleet.Operator, "", "x")
	page := "/users/" + eve.ID.String()
	first := s.signsIn(eve, "curl/8")
	s.signsIn(eve, "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36")
	made, plain, err := s.accounts.CreateToken(t.Context(), first, "<deploy>", nil)
	if err != nil {
		t.Fatal(err)
	}
	past := store.APIToken{ID: fleet.NewID(), UserID: eve.ID, Name: "old", Hash: []byte("x"), Role: fleet.Viewer, CreatedAt: time.Now().Add(-time.Hour), ExpiresAt: new(time.Now().Add(-time.Minute))}
	if err := s.store.AddAPIToken(t.Context(), past); err != nil {
		t.Fatal(err)
	}
	s.see(page, http.StatusOK, `<span class="state failed">expired</span>`)
	s.answers(page+"/tokens/"+past.ID.String()+"/revoke", nil, http.StatusSeeOther, page)
	s.lacks(s.see(page, http.StatusOK, "curl/8", "Chrome on Windows", "&lt;deploy&gt;", "as its user", "never"), plain)

	revoke := page + "/sessions/" + first.SessionID.String() + "/revoke"
	s.answers(revoke, nil, http.StatusSeeOther, page)
	if n := s.living(eve); n != 1 {
		t.Errorf("%d sessions are left, want 1", n)
	}
	s.answers(revoke, nil, http.StatusSeeOther, page) // twice pressed
	s.answers(page+"/sessions/"+s.actor.SessionID.String()+"/revoke", nil, http.StatusSeeOther, page)
	s.answers(page+"/sessions/nonsense/revoke", nil, http.StatusNotFound, "")
	s.answers(page+"/sessions/revoke", nil, http.StatusSeeOther, page)
	if s.living(eve) != 0 || s.living(s.stored(*s.actor.UserID)) != 1 {
		t.Error("not all sessions have ended, or another's has")
	}
	s.answers(page+"/tokens/"+made.ID.String()+"/revoke", nil, http.StatusSeeOther, page)
	s.lacks(s.see(page, http.StatusOK, "eve has none"), "deploy")
	if _, err := s.accounts.Authenticate(t.Context(), plain); err == nil {
		t.Error("the API token is still good")
	}
}

func TestNobodyIsOfferedToChangeTheOwnAccount(t *testing.T) {
	t.Parallel()
	s := newSiteOfPeople(t)
	page := "/users/" + s.actor.UserID.String()
	body := s.see(page, http.StatusOK, "This is you", `href="/me"`, "Firefox on Linux", `action="/me/sessions/`)
	s.lacks(body, `action="`+page, "Disable<", "Delete", "Make a password link")
	for path, form := range map[string]map[string]string{"": {"role": "viewer", "version": "1"}, "/disable": nil, "/delete": {"sure": "yes"}, "/reset": nil} {
		s.answers(page+path, form, http.StatusConflict, "", "own account")
	}
}

func TestUsersAreForAdminsOfAllHosts(t *testing.T) {
	t.Parallel()
	s := newSiteOfPeople(t)
	s.see("/", http.StatusOK, `<a href="/users"`)
	page := "/users/" + s.actor.UserID.String()
	for _, u := range []fleet.User{s.person("viewer", fleet.Viewer, "", "x"), s.person("operator", fleet.Operator, "", "x"), s.person("scoped", fleet.Admin, "env=prod", "x")} {
		s.actor = s.signsIn(u, "")
		s.lacks(s.see("/", http.StatusOK, `<a href="/me"`), `<a href="/users"`)
		for _, path := range []string{"/users", "/users/new", page} {
			s.see(path, http.StatusForbidden)
		}
		for _, path := range []string{"/users", page, page + "/disable", page + "/enable", page + "/delete", page + "/reset", page + "/sessions/revoke", page + "/sessions/" + fleet.NewID().String() + "/revoke", page + "/tokens/" + fleet.NewID().String() + "/revoke"} {
			s.answers(path, map[string]string{"username": "more", "role": "admin", "version": "1"}, http.StatusForbidden, "")
		}
	}
}

func TestWhatIsDoneWhileRedisIsDownIsSaidToBeDone(t *testing.T) {
	t.Parallel()
	s := newSiteOfPeople(t)
	eve := s.person("eve", fleet.Operator, "", "x")
	s.redis.SetError("LOADING")
	s.answers("/users/"+eve.ID.String()+"/disable", nil, http.StatusServiceUnavailable, "", "Done, but not everywhere yet", "it is done", "nothing to do again")
	if s.stored(eve.ID).DisabledAt == nil {
		t.Error("it is not done")
	}
	s.answers("/users/"+eve.ID.String()+"/reset", nil, http.StatusServiceUnavailable, "", "Not available right now")
}
