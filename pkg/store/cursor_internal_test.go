package store

import (
	"testing"

	"github.com/rollcallhq/rollcall/pkg/fleet"
)

// FuzzCursors reads what comes back as the cursor of a list. What is read comes back as it is, and the rest is the caller's fault.
func FuzzCursors(f *testing.F) {
	f.Add(cursorOf("web-1"))
	f.Add("%%%")
	f.Add("AA")
	f.Fuzz(func(t *testing.T, cursor string) {
		key, err := keyOf(cursor)
		if err != nil && fleet.KindOf(err) != fleet.Invalid {
			t.Errorf("%q: %v", cursor, err)
		}
		if again, err2 := keyOf(cursorOf(key)); err == nil && (err2 != nil || again != key) {
			t.Errorf("%q is the key %q, which comes back as %q: %v", cursor, key, again, err2)
		}
		if _, err := idCursor(cursor); err != nil && fleet.KindOf(err) != fleet.Invalid {
			t.Errorf("%q: %v", cursor, err)
		}
	})
}
