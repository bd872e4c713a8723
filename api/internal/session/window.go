package session

import (
	"sync"
	"time"

	"github.com/rollcallhq/rollcall/pkg/ephemeral"
)

// windowKeys is how many are told apart within a second; all others count as one.
const windowKeys = 10_000

// A window counts events within the running second, in this process alone. It is safe for concurrent use and of bounded
// size.
type window struct {
	mu     sync.Mutex
	second int64 // that counts is about, in Unix time
	counts map[string]int
}

func newWindow() *window { return &window{counts: map[string]int{}} }

// count counts one event against all limits or, if one of them has nothing left, against none. It returns the answer of
// the limit that leaves the least; the periods of the limits are taken to be a second.
func (w *window) count(now time.Time, charges []ephemeral.Charge) ephemeral.Allowance {
	w.mu.Lock()
	defer w.mu.Unlock()
	if second := now.Unix(); second != w.second {
		w.second = second
		clear(w.counts)
	}
	left := time.Unix(w.second+1, 0).Sub(now)
	var least ephemeral.Allowance
	keys := make([]string, len(charges))
	for i, c := range charges {
		keys[i] = c.Key
		if _, known := w.counts[c.Key]; !known && len(w.counts) >= windowKeys {
			keys[i] = ""
		}
		if remaining := c.Limit.Events - w.counts[keys[i]]; i == 0 || remaining < least.Remaining {
			least = ephemeral.Allowance{Limit: c.Limit.Events, Remaining: remaining, ResetAfter: left}
		}
	}
	if least.Remaining <= 0 {
		least.Remaining, least.RetryAfter = 0, left
		return least
	}
	for _, key := range keys {
		w.counts[key]++
	}
	least.Allowed, least.Remaining = true, least.Remaining-1
	return least
}
