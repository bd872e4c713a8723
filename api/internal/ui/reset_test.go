package ui_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/rollcallhq/rollcall/pkg/fleet"
)

func TestSettingAPasswordWithALink(t *testing.T) {
	t.Parallel()
	const long = "correct horse battery"
	tests := []struct {
		name                   string
		accounts               accounts
		token, password, again string
		status                 int
		words                  string
		kept                   bool // the link stays in the form for another try
	}{
		{"a good link and a good password", accounts{}, "good", long, long, http.StatusOK, "The password is set", false},
		{"a link that was used", accounts{}, "used", long, long, http.StatusUnauthorized, "Ask an admin for another", false},
		{"no link", accounts{}, "", long, long, http.StatusUnauthorized, "Ask an admin for another", false},
		{"a short password", accounts{}, "good", "short", "short", http.StatusUnprocessableEntity, "The password needs at least 12 characters.", true},
		{"two passwords", accounts{}, "good", long, long + "!", http.StatusUnprocessableEntity, "are not the same", true},
		{"too many attempts", accounts{fleet.Errorf(fleet.Exhausted, "too many attempts")}, "good", long, long, http.StatusTooManyRequests, "Wait a minute", false},
		{"a link that is HTML", accounts{}, `"><script>alert(1)</script>`, "x", "y", http.StatusUnprocessableEntity, "&lt;script&gt;", false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := newSite(t, tt.accounts)
			s.actor = fleet.Actor{}
			code, body, _ := s.post("/reset", url.Values{"token": {tt.token}, "password": {tt.password}, "again": {tt.again}})
			if code != tt.status || !strings.Contains(body, tt.words) || strings.Contains(body, `value="good"`) != tt.kept {
				t.Errorf("setting a password = %d: %s, want %d and %q", code, body, tt.status, tt.words)
			}
			if tt.password != "" && strings.Contains(body, `"`+tt.password+`"`) {
				t.Error("the password is in the answer")
			}
		})
	}
	s := newSite(t, accounts{})
	s.actor = fleet.Actor{}
	if code, body, _ := s.get("/reset"); code != http.StatusOK || !strings.Contains(body, "data-from-address") || strings.Contains(body, "alert") {
		t.Errorf("the page of a link = %d: %s", code, body)
	}
}
