package account

import (
	"testing"

	"github.com/google/uuid"
)

// FuzzCookieSecret reads what a browser sends. Two secrets never are of one session, in whatever way they are written.
func FuzzCookieSecret(f *testing.F) {
	good := cookiePrefix + "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
	one, _ := parseCookieSecret(good)
	f.Add(good)
	f.Add(good[:len(good)-1] + "B") // the same bytes, in another spelling
	f.Add("rcs_")
	f.Add("")
	f.Fuzz(func(t *testing.T, text string) {
		id, ok := parseCookieSecret(text)
		if ok != (id != uuid.Nil) {
			t.Errorf("%q is of session %s, %v", text, id, ok)
		}
		if text != good && id == one {
			t.Errorf("%q is of the same session as another secret", text)
		}
		if ok && id.Version() != 8 {
			t.Errorf("%q has a session of version %d", text, id.Version())
		}
	})
}
