package fleet

import (
	"time"

	"github.com/google/uuid"
)

// Overlap says what a schedule does when its last collection has not ended.
type Overlap string

// The overlap policies.
const (
	OverlapSkip  Overlap = "skip"
	OverlapQueue Overlap = "queue" // one moment waits; a later one takes its place
	OverlapAllow Overlap = "allow"
)

// Misfire says what a schedule does about moments that passed while nothing could fire it.
type Misfire string

// The misfire policies.
const (
	MisfireSkip Misfire = "skip"
	MisfireOnce Misfire = "once" // one collection for the whole gap
)

// Bounds of a schedule.
const (
	MaxJitter    = 24 * time.Hour
	MaxBlackouts = 50
)

// A Blackout is a window in which a schedule does not collect: a weekly one by the clock of the schedule's time zone,
// or, with StartsAt and EndsAt, one that happens once.
type Blackout struct {
	Days     []string // mon … sun, the days on which the window begins; none: every day
	From     string   // HH:MM
	To       string   // HH:MM up to 24:00, exclusive; before From: on the next day
	StartsAt *time.Time
	EndsAt   *time.Time // exclusive
}

// A Schedule says when to collect what from which hosts.
type Schedule struct {
	ID          uuid.UUID
	Name        string
	Cron        string // five fields, six with seconds, @every, @daily …
	Timezone    string // IANA name
	Selector    string
	ReportTypes []string
	Priority    Priority
	Jitter      time.Duration // the tasks of a firing are spread over it, each host at its own place; whole seconds
	Overlap     Overlap
	Misfire     Misfire
	Blackouts   []Blackout
	Enabled     bool
	EndsAt      *time.Time // nothing is fired after it
	OwnerID     *uuid.UUID
	NextAt      *time.Time // the moment that it waits for; nil: never again
	RetryAt     *time.Time // NextAt has been tried, and is tried again then
	Failures    int        // how often that failed
	WaitingAt   *time.Time // the moment that waits until the open collection has ended
	WaitMissed  int        // how many earlier moments that one stands for
	Version     int64
	CreatedAt   time.Time
	UpdatedAt   time.Time
}

// An Outcome says in one word what came of a moment of a schedule.
type Outcome string

// The outcomes. Waiting, full and failed ones may still become another.
const (
	OutcomeCollected Outcome = "collected"  // there is a collection
	OutcomeWaiting   Outcome = "waiting"    // for the end of the open collection
	OutcomeReplaced  Outcome = "replaced"   // it waited, and a later moment has taken its place
	OutcomeOverlap   Outcome = "overlap"    // skipped: the last collection was open
	OutcomeMisfire   Outcome = "misfire"    // skipped: nothing could fire it in time
	OutcomeBlackout  Outcome = "blackout"   // skipped: within a blackout
	OutcomeEnded     Outcome = "ended"      // skipped: the schedule had ended before it could be fired
	OutcomeOwner     Outcome = "owner"      // the schedule's owner may not collect
	OutcomeRefused   Outcome = "refused"    // as whoever asked for such a collection would have been
	OutcomeFull      Outcome = "queue_full" // too much waited
	OutcomeFailed    Outcome = "failed"     // firing it met an error
)

// Outcomes returns all outcomes.
func Outcomes() []Outcome {
	return []Outcome{
		OutcomeCollected, OutcomeWaiting, OutcomeReplaced, OutcomeOverlap, OutcomeMisfire, OutcomeBlackout, OutcomeEnded,
		OutcomeOwner, OutcomeRefused, OutcomeFull, OutcomeFailed,
	}
}

// A Firing is one moment of a schedule and what came of it.
type Firing struct {
	ScheduleID   uuid.UUID
	DueAt        time.Time
	FiredAt      time.Time // when that was decided, by the database's clock
	CollectionID *uuid.UUID
	Outcome      Outcome
	Reason       string // why there is no collection
	Missed       int    // how many earlier moments passed unfired that it stands for as well
}

// A ScheduleState is what a schedule has done lately.
type ScheduleState struct {
	Last           *Firing    // of its newest moment; nil: it has fired nothing yet
	LastCollection *uuid.UUID // of its newest moments, the last that made one
	Open           bool       // a collection that it fired has not ended
}
