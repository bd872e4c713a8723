package wire

import (
	"time"

	"github.com/google/uuid"

	"github.com/rollcallhq/rollcall/pkg/fleet"
)

// A CollectionInput asks for reports: of the hosts that the selector picks or that are named.
type CollectionInput struct {
	Selector        *string     `json:"selector,omitempty" nullable:"true" example:"env=prod" doc:"either this or host_ids"`
	HostIDs         []uuid.UUID `json:"host_ids,omitempty" nullable:"true" format:"uuid" maxItems:"10000"`
	ReportTypes     []string    `json:"report_types,omitempty" nullable:"true" maxItems:"100" doc:"none means all"`
	Priority        *string     `json:"priority,omitempty" nullable:"true" default:"normal" enum:"interactive,normal,bulk" doc:"interactive is for at most 50 hosts"`
	DeadlineSeconds *int        `json:"deadline_seconds,omitempty" nullable:"true" default:"120" minimum:"2" maximum:"3600" doc:"per host, from the first attempt, over all attempts"`
	ExpiresSeconds  *int        `json:"expires_seconds,omitempty" nullable:"true" default:"86400" minimum:"1" maximum:"2678400" doc:"how long a host may wait for its turn"`
	MaxParallel     *int        `json:"max_parallel,omitempty" nullable:"true" minimum:"0" maximum:"100000" doc:"at most so many of its hosts are asked at once; 0 means as many as there are slots for"`
	DryRun          *bool       `json:"dry_run,omitempty" nullable:"true" default:"false" doc:"only say what would be done"`
}

// A Collection is one request for reports and how far it is.
type Collection struct {
	ID              uuid.UUID      `json:"id" format:"uuid"`
	Kind            string         `json:"kind" enum:"collect,check,try,reseal"`
	State           string         `json:"state" enum:"pending,running,succeeded,partial,failed,cancelled"`
	Counts          Counts         `json:"counts"`
	Errors          map[string]int `json:"errors" doc:"failed and partial tasks by code"`
	Actor           string         `json:"actor" example:"user:admin" doc:"who asked"`
	Selector        *string        `json:"selector"`
	HostIDs         []uuid.UUID    `json:"host_ids" nullable:"false" format:"uuid"`
	ReportTypes     []string       `json:"report_types" nullable:"false"`
	Priority        string         `json:"priority" enum:"interactive,normal,bulk"`
	DeadlineSeconds int            `json:"deadline_seconds"`
	MaxParallel     *int           `json:"max_parallel" doc:"at most so many of its hosts are asked at once; null without a bound"`
	ExpiresAt       time.Time      `json:"expires_at"`
	Skipped         []Skipped      `json:"skipped" nullable:"false" doc:"selected and not asked; the first 1,000"`
	ScheduleID      *uuid.UUID     `json:"schedule_id" nullable:"true" format:"uuid"`
	DueAt           *time.Time     `json:"due_at" doc:"the moment of the schedule; null if somebody ran it by hand"`
	JitterSeconds   int            `json:"jitter_seconds" doc:"its tasks are spread over so long from due_at on, each host's at a place of its own"`
	Unserved        []SiteWait     `json:"unserved,omitempty" doc:"tasks that wait for a site which no worker serves, by site; absent where there are none, and in lists"`
	Delayed         bool           `json:"delayed,omitempty" doc:"accepted, but the queue did not answer: it begins when the queue is back"`
	CreatedAt       time.Time      `json:"created_at"`
	StartedAt       *time.Time     `json:"started_at"`
	FinishedAt      *time.Time     `json:"finished_at"`
	CancelledAt     *time.Time     `json:"cancelled_at" doc:"when cancelling was asked for"`
}

// Counts are the tasks of a collection by state.
type Counts struct {
	Total     int `json:"total"`
	Queued    int `json:"queued"`
	Running   int `json:"running"`
	Succeeded int `json:"succeeded"`
	Partial   int `json:"partial"`
	Failed    int `json:"failed"`
	Cancelled int `json:"cancelled"`
}

// A Skipped host was selected but not asked.
type Skipped struct {
	HostID uuid.UUID `json:"host_id" format:"uuid"`
	Host   string    `json:"host"`
	Reason string    `json:"reason" example:"host_disabled"`
}

// A Preview is what a collection would do.
type Preview struct {
	DryRun      bool          `json:"dry_run" enum:"true"`
	Total       int           `json:"total" doc:"hosts that would be asked"`
	Hosts       []PreviewHost `json:"hosts" nullable:"false" doc:"the first 1,000 of them, by name"`
	Skipped     []Skipped     `json:"skipped" nullable:"false"`
	ReportTypes []string      `json:"report_types" nullable:"false"`
	Script      string        `json:"script" doc:"exactly what would run on each host, but for a random number"`
}

// A PreviewHost is a host that would be asked.
type PreviewHost struct {
	ID   uuid.UUID `json:"id" format:"uuid"`
	Name string    `json:"name"`
	Site string    `json:"site"`
}

// A RetryInput says which of a collection's hosts to collect from again.
type RetryInput struct {
	States []string `json:"states,omitempty" nullable:"true" enum:"succeeded,partial,failed,cancelled" doc:"the default is failed and partial" maxItems:"6"`
	Codes  []string `json:"codes,omitempty" nullable:"true" doc:"the default is any" maxItems:"50"`
}

// A Task is one host's part of a collection.
type Task struct {
	ID           uuid.UUID         `json:"id" format:"uuid"`
	CollectionID uuid.UUID         `json:"collection_id" format:"uuid"`
	HostID       uuid.UUID         `json:"host_id" format:"uuid"`
	Host         string            `json:"host"`
	Site         string            `json:"site"`
	State        string            `json:"state" enum:"queued,running,succeeded,partial,failed,cancelled"`
	Code         *string           `json:"code" doc:"why it failed, or what its last attempt met"`
	Details      map[string]string `json:"details" doc:"the code's parameters"`
	ReportErrors map[string]string `json:"report_errors" doc:"codes by report type"`
	Termination  *string           `json:"termination" enum:"confirmed,unconfirmed" doc:"whether what ran on the host is known to have ended; null where nothing ran or where it ended by itself"`
	Attempts     int               `json:"attempts"`
	WorkerID     *uuid.UUID        `json:"worker_id" nullable:"true" format:"uuid"`
	CreatedAt    time.Time         `json:"created_at"`
	StartedAt    *time.Time        `json:"started_at"`
	FinishedAt   *time.Time        `json:"finished_at"`
}

// CollectionView returns c as the API shows it.
func CollectionView(c fleet.Collection) Collection {
	view := Collection{
		ID: c.ID, Kind: string(c.Kind), State: string(c.State), Counts: Counts(c.Counts), Errors: map[string]int{}, Actor: c.Actor,
		Selector: orNull(c.Selector), HostIDs: orNone(c.HostIDs), ReportTypes: orNone(c.ReportTypes), Priority: string(c.Priority),
		DeadlineSeconds: seconds(c.Deadline), ExpiresAt: utc(c.ExpiresAt), Skipped: skippedView(c.Skipped),
		CreatedAt: utc(c.CreatedAt), StartedAt: utcOrNull(c.StartedAt), FinishedAt: utcOrNull(c.FinishedAt), CancelledAt: utcOrNull(c.CancelledAt),
	}
	if c.MaxParallel > 0 {
		view.MaxParallel = new(c.MaxParallel)
	}
	for code, n := range c.Errors {
		view.Errors[string(code)] = n
	}
	if c.Schedule != nil {
		view.ScheduleID = &c.Schedule.ScheduleID
		if !c.Schedule.At.IsZero() {
			view.DueAt = utcOrNull(&c.Schedule.At)
		}
	}
	return view
}

func skippedView(skipped []fleet.Skipped) []Skipped {
	list := make([]Skipped, 0, len(skipped))
	for _, s := range skipped {
		list = append(list, Skipped{HostID: s.HostID, Host: s.Host, Reason: string(s.Reason)})
	}
	return list
}

// PreviewView returns what a collection would do as the API shows it.
func PreviewView(hosts []fleet.Host, total int, skipped []fleet.Skipped, types []string, script string) Preview {
	view := Preview{DryRun: true, Total: total, Hosts: []PreviewHost{}, Skipped: skippedView(skipped), ReportTypes: orNone(types), Script: script}
	for _, h := range hosts {
		view.Hosts = append(view.Hosts, PreviewHost{ID: h.ID, Name: h.Name, Site: h.Site})
	}
	return view
}

// TaskView returns t as the API shows it.
func TaskView(t fleet.Task) Task {
	view := Task{
		ID: t.ID, CollectionID: t.CollectionID, HostID: t.HostID, Host: t.Host, Site: t.Site, State: string(t.State),
		Code: orNull(string(t.Code)), Details: orEmpty(t.Details), ReportErrors: map[string]string{}, Attempts: t.Attempts,
		Termination: orNull(string(t.Termination)), WorkerID: t.WorkerID, CreatedAt: utc(t.CreatedAt), StartedAt: utcOrNull(t.StartedAt), FinishedAt: utcOrNull(t.FinishedAt),
	}
	for reportType, code := range t.ReportErrors {
		view.ReportErrors[reportType] = string(code)
	}
	return view
}
