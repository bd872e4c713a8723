package ui_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/rollcallhq/rollcall/pkg/fleet"
)

func TestSigningIn(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name     string
		accounts accounts
		form     url.Values
		status   int
		location string
		words    string
	}{
		{"the right password leads to where one wanted to go", accounts{}, url.Values{"username": {"admin"}, "password": {"right"}, "next": {"/hosts/1?x=2"}}, http.StatusSeeOther, "/hosts/1?x=2", ""},
		{"never to another site", accounts{}, url.Values{"username": {"admin"}, "password": {"right"}, "next": {"//evil.example"}}, http.StatusSeeOther, "/", ""},
		{"a wrong password is not told from a wrong name", accounts{}, url.Values{"username": {"admin"}, "password": {"wrong"}}, http.StatusUnauthorized, "", "Username or password is wrong"},
		{"nothing typed", accounts{}, nil, http.StatusUnauthorized, "", "Username or password is wrong"},
		{"too many attempts", accounts{fleet.Errorf(fleet.Exhausted, "too many attempts")}, nil, http.StatusTooManyRequests, "", "Wait a minute"},
		{"no session store", accounts{fleet.Errorf(fleet.Unavailable, "the session store does not answer")}, nil, http.StatusServiceUnavailable, "", "Nothing is lost"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := newSite(t, tt.accounts)
			s.actor = fleet.Actor{}
			code, body, header := s.post("/login", tt.form)
			if code != tt.status || header.Get("Location") != tt.location || !strings.Contains(body, tt.words) {
				t.Errorf("sign-in = %d to %q: %s", code, header.Get("Location"), body)
			}
			if (header.Get("Set-Cookie") != "") != (tt.location != "") {
				t.Errorf("cookie = %q", header.Get("Set-Cookie"))
			}
		})
	}
}

func TestStrangersAreSentToSignInAndBack(t *testing.T) {
	t.Parallel()
	s := newSite(t, accounts{})
	s.actor = fleet.Actor{}
	for path, want := range map[string]string{"/": "/login", "/hosts/7?a=b": "/login?next=%2Fhosts%2F7%3Fa%3Db"} {
		if code, _, header := s.get(path); code != http.StatusSeeOther || header.Get("Location") != want {
			t.Errorf("GET %s = %d to %s, want %s", path, code, header.Get("Location"), want)
		}
	}
	if code, body, _ := s.get("/login"); code != http.StatusOK || !strings.Contains(body, `name="password"`) {
		t.Errorf("the sign-in page = %d", code)
	}
	s.actor = admin()
	if code, _, header := s.get("/login?next=%2Fhosts%2F7"); code != http.StatusSeeOther || header.Get("Location") != "/hosts/7" {
		t.Errorf("signing in twice = %d to %s", code, header.Get("Location"))
	}
	if code, _, header := s.post("/logout", nil); code != http.StatusSeeOther || header.Get("Location") != "/login" {
		t.Errorf("signing out = %d to %s", code, header.Get("Location"))
	}
}
