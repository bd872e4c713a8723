package session

import (
	"net/http"
	"strings"
)

// Content security policies.
const (
	// PagePolicy is for our own pages: everything comes from here, and nothing is inline.
	PagePolicy = "default-src 'self'; img-src 'self' data:; object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"

	// NothingPolicy is for what is no page: nothing is loaded or run.
	NothingPolicy = "default-src 'none'; frame-ancestors 'none'"

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
			h.Set("Permissions-Policy", permissions())
			next.ServeHTTP(w, r)
		})
	}
}

// permissions returns the policy that denies pages what a browser could offer them and ours do not ask for.
func permissions() string {
	denied := []string{"accelerometer", "bluetooth", "camera", "display-capture", "geolocation", "gyroscope", "hid", "magnetometer", "microphone", "midi", "payment", "serial", "usb"}
	return strings.Join(denied, "=(), ") + "=()"
}

// transportSecurity is for a year, and for this name alone: others below it may be somebody else's.
const transportSecurity = "max-age=31536000"

// Transport tells browsers that came over TLS, here or at a trusted proxy, to come over TLS from now on.
func (g *Guard) Transport(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if g.secure(r) {
			w.Header().Set("Strict-Transport-Security", transportSecurity)
		}
		next.ServeHTTP(w, r)
	})
}
