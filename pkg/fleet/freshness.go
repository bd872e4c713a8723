package fleet

import (
	"time"

	"github.com/google/uuid"
)

// A Freshness says how far what is known of a host may be relied on.
type Freshness string

// The freshness of hosts. Hosts that are disabled are apart: nobody expects anything of them.
const (
	HostFresh    Freshness = "fresh"    // its last task brought a report, and no longer ago than is allowed
	HostStale    Freshness = "stale"    // the last report is older than is allowed
	HostFailing  Freshness = "failing"  // its last task failed
	HostNever    Freshness = "never"    // no task has brought a report yet, and none has failed
	HostDisabled Freshness = "disabled" // it is not collected from
)

// Freshnesses returns all of them, the best first.
func Freshnesses() []Freshness {
	return []Freshness{HostFresh, HostStale, HostFailing, HostNever, HostDisabled}
}

// DefaultAllowedAge is how old the last report of a host may be that no schedule covers.
const DefaultAllowedAge = 24 * time.Hour

// leastGrace is what a schedule is given at least to come, wait for its turn and be collected.
const leastGrace = 5 * time.Minute

// AllowedAge returns how old the last report may be of a host that is collected once per period and spread over jitter:
// half a period beyond that, and at least five minutes, may pass before somebody has to look. It is in whole seconds.
func AllowedAge(period, jitter time.Duration) time.Duration {
	allowed := period + jitter + max(period/2, leastGrace)
	return allowed.Truncate(time.Second)
}

// FreshnessOf returns how fresh a host is. last is the zero value for a host that no task of has ended; allowed is how
// old its last report may be.
func FreshnessOf(enabled bool, last HostStatus, allowed time.Duration, now time.Time) Freshness {
	switch {
	case !enabled:
		return HostDisabled
	case last.State == TaskFailed:
		return HostFailing
	case last.SucceededAt == nil:
		return HostNever
	case last.SucceededAt.Add(allowed).Before(now):
		return HostStale
	}
	return HostFresh
}

// A FreshnessCount is how many hosts of a site are how fresh.
type FreshnessCount struct {
	Site   string
	Status Freshness
	Hosts  int
}

// A FreshnessChange is a host that became more or less fresh, or that began to fail for another reason.
type FreshnessChange struct {
	ID     uuid.UUID
	HostID uuid.UUID
	Host   string
	Before Freshness
	After  Freshness
	Code   Code // why it fails; empty unless After is HostFailing
	SeenAt time.Time
	Cursor string // its place in the feed
}

// A Coverage is which schedule covers a host, and how old the host's last report may be because of it.
type Coverage struct {
	HostID     uuid.UUID
	ScheduleID *uuid.UUID // nil: none does
	Allowed    time.Duration
}
