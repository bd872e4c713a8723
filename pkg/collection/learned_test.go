package collection

import (
	"context"
	"fmt"
	"testing"

	"github.com/rollcallhq/rollcall/pkg/collector"
	"github.com/rollcallhq/rollcall/pkg/fleet"
)

// TestWhatAStopTakesBack holds which attempts a stopping worker puts back: those that the stop cut off, and not those
// that had their answer, such as a refused password, which must not be offered again.
func TestWhatAStopTakesBack(t *testing.T) {
	t.Parallel()
	for what, tt := range map[string]struct {
		l    learned
		want bool
	}{
		"it was cut off":                        {learned{failure: fleet.Fail(fleet.CodeCancelled, errStopping)}, true},
		"it was cut off while it asked us":      {learned{failure: fleet.Fail(fleet.CodeInternal, fmt.Errorf("reading: %w", context.Canceled))}, true},
		"our database did not answer":           {learned{failure: fleet.Fail(fleet.CodeInternal, nil), blocked: true}, true},
		"the host refused the password":         {learned{failure: fleet.Fail(fleet.CodeAuthFailed, nil)}, false},
		"the host did not answer":               {learned{failure: fleet.Fail(fleet.CodeTCPTimeout, nil)}, false},
		"everything was told":                   {learned{reports: []collector.Report{{}}}, false},
		"a section could not be read":           {learned{reports: []collector.Report{{}}, partial: true}, false},
		"a part was told before it was cut off": {learned{reports: []collector.Report{{}}, failure: fleet.Fail(fleet.CodeCancelled, errStopping)}, true},
	} {
		if got := tt.l.interrupted(); got != tt.want {
			t.Errorf("%s: interrupted %v, want %v", what, got, tt.want)
		}
	}
}
