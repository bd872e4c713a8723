package session

import (
	"net/http"
	"strings"
	"time"

	"github.com/rollcallhq/rollcall/pkg/account"
)

// CookieName is the name of the cookie that keeps a person signed in. Its value is a secret of
// account.Service.LoginCookie and means nothing to anybody else.
const CookieName = "rollcall_session"

// SetCookie begins a browser's session. The cookie is Secure where the browser came over TLS, so that a first look at
// the product over plain HTTP works too.
func (g *Guard) SetCookie(w http.ResponseWriter, r *http.Request, c account.Cookie) {
	g.put(w, r, c.Secret, max(1, int(time.Until(c.ExpiresAt).Seconds())))
}

// ClearCookie takes the cookie away from a browser. The session behind it is for account.Service.Logout to end.
func (g *Guard) ClearCookie(w http.ResponseWriter, r *http.Request) {
	g.put(w, r, "", -1)
}

// put sets the cookie for maxAge seconds, in place of one that was set before: a sign-in that came with a session that
// has ended must not be answered with two.
func (g *Guard) put(w http.ResponseWriter, r *http.Request, value string, maxAge int) {
	h := w.Header()
	others := h.Values("Set-Cookie")
	h.Del("Set-Cookie")
	for _, other := range others {
		if !strings.HasPrefix(other, CookieName+"=") {
			h.Add("Set-Cookie", other)
		}
	}
	http.SetCookie(w, &http.Cookie{ //nolint:gosec // Secure is for TLS only, as SetCookie says
		Name: CookieName, Value: value, MaxAge: maxAge, Path: "/",
		HttpOnly: true, SameSite: http.SameSiteStrictMode, Secure: g.secure(r),
	})
	h.Set("Cache-Control", "no-store")
}

// cookieSecret returns what the cookie holds, or nothing.
func cookieSecret(r *http.Request) string {
	cookie, err := r.Cookie(CookieName)
	if err != nil {
		return ""
	}
	return cookie.Value
}

// secure reports whether the browser came over TLS.
func (g *Guard) secure(r *http.Request) bool {
	if r.TLS != nil {
		return true
	}
	// A chain of proxies may have written a list, of which the first is the browser's side. Who makes it up gets a
	// cookie that is of less use to himself, and that is all.
	protos := strings.Split(strings.Join(r.Header.Values("X-Forwarded-Proto"), ","), ",")
	return g.trusted(r.RemoteAddr) && strings.EqualFold(strings.TrimSpace(protos[0]), "https")
}
