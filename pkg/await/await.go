// Package await lets tests wait for what comes true by itself, without sleeping.
package await

import (
	"testing"
	"time"
)

// patience bounds every wait; none takes that long unless something is wrong, or the machine is very busy.
const patience = 30 * time.Second

// Until polls until ok holds, and ends the test if it does not within half a minute. what says what is waited for.
func Until(tb testing.TB, what string, ok func() bool) {
	tb.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(patience)
	for !ok() {
		select {
		case <-tick.C:
		case <-deadline:
			tb.Fatalf("waited in vain: %s", what)
		}
	}
}
