package fleet

import (
	"time"

	"github.com/google/uuid"
)

// A Priority is the lane a collection travels in.
type Priority string

// The priorities. Interactive tasks have slots reserved in every worker.
const (
	PriorityInteractive Priority = "interactive"
	PriorityNormal      Priority = "normal"
	PriorityBulk        Priority = "bulk"
)

// Priorities returns all priorities, most urgent first.
func Priorities() []Priority { return []Priority{PriorityInteractive, PriorityNormal, PriorityBulk} }

// Bounds of a collection.
const (
	DefaultDeadline     = 120 * time.Second
	MinDeadline         = 2 * time.Second
	MaxDeadline         = time.Hour
	DefaultExpiry       = 24 * time.Hour
	MaxExpiry           = 31 * 24 * time.Hour
	MaxInteractiveHosts = 50
)

// A CollectionKind says what a collection's tasks do.
type CollectionKind string

// The kinds of collections.
const (
	KindCollect CollectionKind = "collect"
	KindCheck   CollectionKind = "check"
	KindTry     CollectionKind = "try"
	KindReseal  CollectionKind = "reseal"
)

// A CollectionState is how far a collection is.
type CollectionState string

// The states of a collection; the last four are final.
const (
	CollectionPending   CollectionState = "pending"
	CollectionRunning   CollectionState = "running"
	CollectionSucceeded CollectionState = "succeeded"
	CollectionPartial   CollectionState = "partial"
	CollectionFailed    CollectionState = "failed"
	CollectionCancelled CollectionState = "cancelled"
)

// Ended reports whether s is final.
func (s CollectionState) Ended() bool {
	return s != CollectionPending && s != CollectionRunning
}

// Counts are the tasks of a collection by state.
type Counts struct {
	Total, Queued, Running, Succeeded, Partial, Failed, Cancelled int
}

// Add counts n more tasks in the state.
func (c *Counts) Add(state TaskState, n int) {
	c.Total += n
	switch state {
	case TaskQueued:
		c.Queued += n
	case TaskRunning:
		c.Running += n
	case TaskSucceeded:
		c.Succeeded += n
	case TaskPartial:
		c.Partial += n
	case TaskFailed:
		c.Failed += n
	case TaskCancelled:
		c.Cancelled += n
	}
}

// Outcome returns the final state of a collection with these counts, none of them open.
func (c Counts) Outcome() CollectionState {
	switch {
	case c.Succeeded == c.Total:
		return CollectionSucceeded
	case c.Succeeded+c.Partial > 0:
		return CollectionPartial
	case c.Failed > 0:
		return CollectionFailed
	default:
		return CollectionCancelled
	}
}

// A Skipped host was selected but not asked.
type Skipped struct {
	HostID uuid.UUID
	Host   string
	Reason Code
}

// A Collection is one request to collect some report types from some hosts.
type Collection struct {
	ID          uuid.UUID
	Kind        CollectionKind
	Actor       string     // who asked, as written into the audit log
	RequestedBy *uuid.UUID // the user, if a user asked
	Selector    string
	HostIDs     []uuid.UUID
	ReportTypes []string
	Priority    Priority
	State       CollectionState
	Skipped     []Skipped
	Deadline    time.Duration // per host, from the first claim, over all attempts
	MaxParallel int           // 0 means no limit of its own
	ExpiresAt   time.Time
	Schedule    *Due
	Jitter      time.Duration // its tasks are spread over it, each host's at a place of its own
	Trace       string        // the W3C traceparent that it was asked for with; only told to what stores it
	CreatedAt   time.Time
	StartedAt   *time.Time
	FinishedAt  *time.Time
	CancelledAt *time.Time // when cancelling was asked for
	Counts      Counts
	Errors      map[Code]int // failed and partial tasks by code
}

// A Due is the moment of a schedule that a collection was made for. At is zero if somebody ran the schedule by hand.
type Due struct {
	ScheduleID uuid.UUID
	At         time.Time
}

// A TaskState is how far a task is.
type TaskState string

// The states of a task; the last four are final.
const (
	TaskQueued    TaskState = "queued"
	TaskRunning   TaskState = "running"
	TaskSucceeded TaskState = "succeeded"
	TaskPartial   TaskState = "partial"
	TaskFailed    TaskState = "failed"
	TaskCancelled TaskState = "cancelled"
)

// TaskStates returns all states.
func TaskStates() []TaskState {
	return []TaskState{TaskQueued, TaskRunning, TaskSucceeded, TaskPartial, TaskFailed, TaskCancelled}
}

// A Termination says whether what a task ran on its host is known to have ended. It is empty where nothing ran there
// or where it ended by itself.
type Termination string

// What is known of a command that was not let run to its end.
const (
	TerminationConfirmed   Termination = "confirmed"   // nothing of it is left: the host was asked and said so
	TerminationUnconfirmed Termination = "unconfirmed" // it may still be running; what runs there must end by itself
)

// A Task is one host's part of a collection.
type Task struct {
	ID           uuid.UUID
	CollectionID uuid.UUID
	HostID       uuid.UUID
	Host         string // its name
	Site         string
	State        TaskState
	Epoch        int // fencing: one more whenever the task is queued again
	Attempts     int
	WorkerID     *uuid.UUID
	Code         Code
	Details      map[string]string
	ReportErrors map[string]Code // by report type
	Termination  Termination     // of the last attempt
	CreatedAt    time.Time
	StartedAt    *time.Time
	FinishedAt   *time.Time
}

// A Reseal is the part of a collection of kind reseal that is about one seal: a credential at a site.
type Reseal struct {
	CollectionID uuid.UUID
	CredentialID uuid.UUID
	Credential   string // its name; empty if it has been deleted
	Site         string
	FromKey      string    // the ID of the key that it was sealed to when this was asked for
	KeyID        string    // the ID of the key that the api seals to
	State        TaskState // queued, succeeded, failed or cancelled
	Code         Code      // of a failed or cancelled one
	WorkerID     *uuid.UUID
	FinishedAt   *time.Time
}

// A SealCount is how many credentials are sealed to a key of a site.
type SealCount struct {
	Site    string
	KeyID   string
	Current bool // whether it is the key that the api seals to
	Seals   int
	Workers int // that serve the site, are alive and hold the key
}

// A Message is what lies on the queue: a task's ID and epoch and where it is to be delivered. Losing or
// repeating one is harmless.
type Message struct {
	TaskID   uuid.UUID
	Epoch    int
	Site     string
	Priority Priority

	Trace  string // where in which trace it was asked for, a W3C traceparent; empty: in none
	Linked bool   // its work is a trace of its own with a link to that one
}

// A Worker is a worker process, as its heartbeat describes it.
type Worker struct {
	ID        uuid.UUID
	Host      string
	Version   string
	Sites     []string
	Slots     int
	StartedAt time.Time
	SeenAt    time.Time

	// The IDs of its keys, site/id each: all that open, and of each of its sites the one that it seals anew to.
	OpenKeys    []string
	CurrentKeys []string
}
