package fleet_test

import (
	"testing"

	"github.com/rollcallhq/rollcall/pkg/fleet"
)

// FuzzParseBlackout reads what somebody types as a window.
func FuzzParseBlackout(f *testing.F) {
	for _, text := range []string{"sat,sun 22:00-06:00", "12:00-13:00", "2027-01-01T00:00:00Z/2027-01-02T00:00:00Z", "-", "/", ""} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		b, err := fleet.ParseBlackout(text)
		if err != nil && fleet.KindOf(err) != fleet.Invalid {
			t.Errorf("%q: %v", text, err)
		}
		if err == nil && (b.StartsAt == nil) != (b.EndsAt == nil) {
			t.Errorf("%q is half a window: %+v", text, b)
		}
	})
}
