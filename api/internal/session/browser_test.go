package session_test

import (
	"crypto/tls"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/rollcallhq/rollcall/api/internal/session"
	"github.com/rollcallhq/rollcall/pkg/account"
)

func TestCookiesAreForTheBrowserAlone(t *testing.T) {
	t.Parallel()
	b := newBench(t, "192.0.2.1/32")
	tests := []struct {
		name   string
		from   string
		tls    bool
		proto  string
		secure bool
	}{
		{"over plain HTTP", "198.51.100.1:1", false, "", false},
		{"over TLS", "198.51.100.1:1", true, "", true},
		{"over the TLS of a trusted proxy", "192.0.2.1:1", false, "https", true},
		{"over the TLS of a chain of proxies", "192.0.2.1:1", false, "HTTPS, http", true},
		{"over plain HTTP to a trusted proxy", "192.0.2.1:1", false, "http", false},
		{"over what a stranger calls TLS", "198.51.100.1:1", false, "https", false},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			r := request("POST", "/login")
			r.RemoteAddr = test.from
			if test.tls {
				r.TLS = &tls.ConnectionState{}
			}
			if test.proto != "" {
				r.Header.Set("X-Forwarded-Proto", test.proto)
			}
			w := httptest.NewRecorder()
			w.Header().Add("Set-Cookie", "other=1")
			b.guard.ClearCookie(w, r) // as the Middleware does for a session that has ended
			b.guard.SetCookie(w, r, account.Cookie{Secret: "s3cret", ExpiresAt: time.Now().Add(time.Hour)})
			cookies := w.Result().Cookies()
			if len(cookies) != 2 || cookies[0].Name != "other" {
				t.Fatalf("got cookies %v", cookies)
			}
			c := cookies[1]
			if c.Name != session.CookieName || c.Value != "s3cret" || c.Path != "/" || c.Domain != "" || !c.HttpOnly ||
				c.SameSite != http.SameSiteStrictMode || c.MaxAge < 3590 || c.MaxAge > 3600 {
				t.Errorf("got cookie %s", c)
			}
			if c.Secure != test.secure {
				t.Errorf("secure: %v, want %v", c.Secure, test.secure)
			}
			if w.Header().Get("Cache-Control") != "no-store" {
				t.Error("an answer with a cookie may be kept")
			}
		})
	}
}

func TestClientAddress(t *testing.T) {
	t.Parallel()
	b := newBench(t, "10.0.0.0/8", "2001:db8::/32")
	tests := []struct {
		name      string
		remote    string
		forwarded []string
		want      string
	}{
		{"nobody between", "192.0.2.7:1234", nil, "192.0.2.7"},
		{"IPv6 with a zone", "[fe80::1%eth0]:1234", nil, "fe80::1"},
		{"IPv4 in the clothes of IPv6", "[::ffff:192.0.2.7]:1234", nil, "192.0.2.7"},
		{"no address", "@", nil, ""},
		{"no address, and a header", "@", []string{"192.0.2.9"}, ""},
		{"a header of a stranger", "192.0.2.7:1", []string{"198.51.100.1"}, "192.0.2.7"},
		{"a trusted proxy", "10.0.0.1:1", []string{"198.51.100.1"}, "198.51.100.1"},
		{"a trusted proxy in the clothes of IPv6", "[::ffff:10.0.0.1]:1", []string{"198.51.100.1"}, "198.51.100.1"},
		{"a trusted proxy that says nothing", "10.0.0.1:1", nil, "10.0.0.1"},
		{"what a stranger told the trusted proxy", "10.0.0.1:1", []string{"203.0.113.66, 198.51.100.1"}, "198.51.100.1"},
		{"two trusted proxies", "10.0.0.1:1", []string{"203.0.113.66", "198.51.100.1,10.0.0.2"}, "198.51.100.1"},
		{"trusted addresses only", "10.0.0.1:1", []string{"10.0.0.3, 10.0.0.2"}, "10.0.0.3"},
		{"IPv6 with a port", "10.0.0.1:1", []string{"[2001:db9::1]:99"}, "2001:db9::1"},
		{"IPv6 in brackets", "[2001:db8::1]:1", []string{"[2001:db9::1]"}, "2001:db9::1"},
		{"garbage behind a trusted proxy", "10.0.0.1:1", []string{"198.51.100.1, unknown"}, "10.0.0.1"},
		{"an empty header", "10.0.0.1:1", []string{""}, "10.0.0.1"},
		{"commas", "10.0.0.1:1", []string{strings.Repeat(",", 100_000)}, "10.0.0.1"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			r := request("GET", "/")
			r.RemoteAddr = test.remote
			for _, f := range test.forwarded {
				r.Header.Add("X-Forwarded-For", f)
			}
			r.Header.Set("User-Agent", "test/1")
			if got := b.guard.Client(r); got.Address != test.want || got.UserAgent != "test/1" {
				t.Errorf("got %+v, want %q", got, test.want)
			}
		})
	}
}

func TestHeadersKeepPagesToThemselves(t *testing.T) {
	t.Parallel()
	handler := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) })
	serve := func(h http.Handler) http.Header {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, request("GET", "/"))
		return w.Header()
	}
	page := serve(session.Headers(session.PagePolicy)(handler))
	for name, want := range map[string]string{
		"Content-Security-Policy": session.PagePolicy, "X-Content-Type-Options": "nosniff", "X-Frame-Options": "DENY",
		"Referrer-Policy": "same-origin", "Cross-Origin-Opener-Policy": "same-origin", "Cross-Origin-Resource-Policy": "same-origin",
	} {
		if got := page.Get(name); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	for policy, inline := range map[string]bool{session.PagePolicy: false, session.InlinePolicy: true} {
		if strings.Contains(policy, "'unsafe-inline'") != inline || strings.Contains(policy, "unsafe-eval") ||
			strings.Contains(policy, "http") || !strings.Contains(policy, "default-src 'self'") ||
			!strings.Contains(policy, "frame-ancestors 'none'") {
			t.Errorf("the policy is %s", policy)
		}
	}
	queues := serve(session.Headers(session.PagePolicy)(session.Headers(session.InlinePolicy)(handler)))
	if got := queues.Values("Content-Security-Policy"); len(got) != 1 || got[0] != session.InlinePolicy {
		t.Errorf("the inner policy does not decide: %v", got)
	}
}
