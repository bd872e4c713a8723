package session

import "net/http"

// Content security policies.
const (
	// PagePolicy is for our own pages: everything comes from here, and nothing is inline.
	PagePolicy = "default-src 'self'; img-src 'self' data:; object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"

	// InlinePolicy is for pages that others wrote and that bring inline scripts and styles, such as Asynqmon's and
	// those of the API's documentation. Nothing comes from elsewhere, fonts neither.
	InlinePolicy = "default-src 'self'; script-src 'self' 'unsafe-inline'; style-src 'self' 'unsafe-inline'; " +
		"img-src 'self' data:; font-src 'self' data:; object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)

// Headers sets the headers that keep browsers from doing more with an answer than was meant. Of two around one
// handler the inner one decides the policy.
func Headers(policy string) func(http.Handler) http.Handler {
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			h := w.Header()
			h.Set("Content-Security-Policy", policy)
			h.Set("X-Content-Type-Options", "nosniff")
			h.Set("X-Frame-Options", "DENY") // for browsers that do not know frame-ancestors
			// Not no-referrer, under which a form sends "Origin: null" and is refused as another site's.
			h.Set("Referrer-Policy", "same-origin")
			h.Set("Cross-Origin-Opener-Policy", "same-origin")
			h.Set("Cross-Origin-Resource-Policy", "same-origin")
			next.ServeHTTP(w, r)
		})
	}
}
