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
	OverlapQueue Overlap = "queue"
	OverlapAllow Overlap = "allow"
)

// Misfire says what a schedule does about moments that passed while nothing could fire it.
type Misfire string

// The misfire policies.
const (
	MisfireSkip Misfire = "skip"
	MisfireOnce Misfire = "once" // one collection for the whole gap
)

// A Schedule says when to collect what from which hosts.
type Schedule struct {
	ID          uuid.UUID
	Name        string
	Cron        string // five fields, six with seconds, @every, @daily …
	Timezone    string // IANA name
	Selector    string
	ReportTypes []string
	Priority    Priority
	Jitter      time.Duration
	Overlap     Overlap
	Misfire     Misfire
	Enabled     bool
	OwnerID     *uuid.UUID
	NextAt      *time.Time
	Version     int64
	CreatedAt   time.Time
	UpdatedAt   time.Time
}

// A Firing is one moment of a schedule and what came of it.
type Firing struct {
	ScheduleID   uuid.UUID
	DueAt        time.Time
	FiredAt      time.Time
	CollectionID *uuid.UUID
	Reason       string // why there is no collection
}
