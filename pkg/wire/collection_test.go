package wire_test

import (
	"strings"
	"testing"

	"github.com/rollcallhq/rollcall/pkg/fleet"
	"github.com/rollcallhq/rollcall/pkg/wire"
)

// TestTerminationIsNullWhereNothingWasEnded tells what ended by itself from what was ended.
func TestTerminationIsNullWhereNothingWasEnded(t *testing.T) {
	t.Parallel()
	for termination, want := range map[fleet.Termination]string{
		"":                           `"termination":null`,
		fleet.TerminationConfirmed:   `"termination":"confirmed"`,
		fleet.TerminationUnconfirmed: `"termination":"unconfirmed"`,
	} {
		if text := encoded(t, wire.TaskView(fleet.Task{Termination: termination})); !strings.Contains(text, want) {
			t.Errorf("task = %s, want %s", text, want)
		}
	}
}
