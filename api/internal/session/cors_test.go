package session_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/rollcallhq/rollcall/api/internal/session"
)

func TestOnlyListedOriginsMayAsk(t *testing.T) {
	t.Parallel()
	const listed = "https://wall.example.com"
	tests := []struct {
		name, method string
		headers      []string
		allowed      bool
		status       int
		cookie       bool // whether the handler sees it
	}{
		{"a page of a listed origin", "GET", []string{"Origin: " + listed}, true, http.StatusTeapot, false},
		{"its cookie is taken away", "GET", []string{"Origin: " + listed, "Cookie: rollcall_session=x"}, true, http.StatusTeapot, false},
		{"what it asks before it asks", "OPTIONS", []string{"Origin: " + listed, "Access-Control-Request-Method: PATCH"}, true, http.StatusNoContent, false},
		{"another origin", "GET", []string{"Origin: https://evil.example", "Cookie: rollcall_session=x"}, false, http.StatusTeapot, true},
		{"another origin before it asks", "OPTIONS", []string{"Origin: https://evil.example", "Access-Control-Request-Method: PATCH"}, false, http.StatusTeapot, false},
		{"the listed origin without its S", "GET", []string{"Origin: http://wall.example.com"}, false, http.StatusTeapot, false},
		{"a name that ends like it", "GET", []string{"Origin: https://evil.wall.example.com"}, false, http.StatusTeapot, false},
		{"a name that begins like it", "GET", []string{"Origin: https://wall.example.com.evil.example"}, false, http.StatusTeapot, false},
		{"no origin to speak of", "GET", []string{"Origin: null"}, false, http.StatusTeapot, false},
		{"a program", "GET", []string{"Cookie: rollcall_session=x"}, false, http.StatusTeapot, true},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if seen := r.Header.Get("Cookie") != ""; seen != test.cookie {
					t.Errorf("the handler sees a cookie: %v", seen)
				}
				w.WriteHeader(http.StatusTeapot)
			})
			w := httptest.NewRecorder()
			session.CORS([]string{listed})(handler).ServeHTTP(w, request(test.method, "/", test.headers...))
			h := w.Header()
			if w.Code != test.status || (h.Get("Access-Control-Allow-Origin") == listed) != test.allowed || h.Get("Access-Control-Allow-Credentials") != "" {
				t.Errorf("got %d %v", w.Code, h)
			}
			if !test.allowed && h.Get("Access-Control-Allow-Origin") != "" || !strings.Contains(h.Get("Vary"), "Origin") {
				t.Errorf("got %v", h)
			}
		})
	}
	w := httptest.NewRecorder()
	session.CORS(nil)(http.NotFoundHandler()).ServeHTTP(w, request("GET", "/", "Origin: "+listed))
	if w.Header().Get("Access-Control-Allow-Origin") != "" || w.Header().Get("Vary") != "" {
		t.Errorf("without origins: %v", w.Header())
	}
}

func TestCheckOrigin(t *testing.T) {
	t.Parallel()
	for origin, ok := range map[string]bool{
		"https://wall.example.com": true, "http://127.0.0.1:3000": true, "*": false, "https://*.example.com": false, "https://wall.example.com/": false,
		"https://Wall.example.com": false, "wall.example.com": false, "null": false, "https://u@wall.example.com": false, "https://": false, "": false,
	} {
		if err := session.CheckOrigin(origin); (err == nil) != ok {
			t.Errorf("CheckOrigin(%q) = %v", origin, err)
		}
	}
}

func TestTransportIsForThoseWhoCameOverTLS(t *testing.T) {
	t.Parallel()
	b := newBench(t, "192.0.2.1/32")
	for from, want := range map[string]string{"192.0.2.1:1": "max-age=31536000", "198.51.100.1:1": ""} {
		r := request("GET", "/")
		r.RemoteAddr = from
		r.Header.Set("X-Forwarded-Proto", "https")
		w := httptest.NewRecorder()
		b.guard.Transport(http.NotFoundHandler()).ServeHTTP(w, r)
		if got := w.Header().Get("Strict-Transport-Security"); got != want {
			t.Errorf("from %s: %q, want %q", from, got, want)
		}
	}
}
