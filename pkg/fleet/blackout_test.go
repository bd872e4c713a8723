package fleet_test

import (
	"testing"

	"github.com/rollcallhq/rollcall/pkg/fleet"
)

func TestBlackoutsAreReadAsTheyAreWritten(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"sat,sun 22:00-06:00", "12:00-13:00", "2027-01-01T00:00:00Z/2027-01-02T00:00:00Z"} {
		b, err := fleet.ParseBlackout(" " + text + " ")
		if err != nil || b.String() != text {
			t.Errorf("ParseBlackout(%q) = %q, %v", text, b, err)
		}
	}
	for _, text := range []string{"", "at night", "sat", "sat sun 22:00-06:00", "/", "2027-01-01/2027-01-02", "tomorrow/2027-01-02T00:00:00Z"} {
		if b, err := fleet.ParseBlackout(text); fleet.KindOf(err) != fleet.Invalid {
			t.Errorf("ParseBlackout(%q) = %q, %v; want Invalid", text, b, err)
		}
	}
}
