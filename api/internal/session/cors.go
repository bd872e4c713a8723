package session

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// What pages of other origins may send and see.
const (
	corsMethods = "GET, POST, PATCH, DELETE"
	corsHeaders = "Accept, Authorization, Content-Type, Idempotency-Key, If-Match, If-None-Match, Last-Event-ID, X-Request-Id"
	corsExposed = "ETag, Location, RateLimit-Limit, RateLimit-Remaining, RateLimit-Reset, Retry-After, X-Request-Id"
	corsMaxAge  = "600" // seconds
)

// CheckOrigin returns why text is not exactly an origin as browsers send it.
func CheckOrigin(text string) error {
	u, err := url.Parse(text)
	if err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" || u.Scheme+"://"+u.Host != text || strings.ToLower(text) != text ||
		strings.ContainsAny(text, "*@, ") {
		return fmt.Errorf("%q is not an origin; for example https://wall.example.com, in lower case and without a path", text)
	}
	return nil
}

// CORS lets pages of the origins, and of no others, ask with an Authorization header and read the answers. Cookies are
// not for them: what they send is taken away, and no answer allows it. Without origins nothing is added.
func CORS(origins []string) func(http.Handler) http.Handler {
	return func(next http.Handler) http.Handler {
		if len(origins) == 0 {
			return next
		}
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			h := w.Header()
			h.Add("Vary", "Origin") // also where there is none: a cache must not give the answer to another
			origin := r.Header.Get("Origin")
			if !slices.Contains(origins, origin) {
				next.ServeHTTP(w, r)
				return
			}
			h.Set("Access-Control-Allow-Origin", origin)
			h.Set("Access-Control-Expose-Headers", corsExposed)
			if r.Method == http.MethodOptions && r.Header.Get("Access-Control-Request-Method") != "" {
				h.Add("Vary", "Access-Control-Request-Method, Access-Control-Request-Headers")
				h.Set("Access-Control-Allow-Methods", corsMethods)
				h.Set("Access-Control-Allow-Headers", corsHeaders)
				h.Set("Access-Control-Max-Age", corsMaxAge)
				w.WriteHeader(http.StatusNoContent)
				return
			}
			r = r.Clone(r.Context())
			r.Header.Del("Cookie")
			next.ServeHTTP(w, r)
		})
	}
}
