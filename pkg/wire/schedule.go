package wire

import (
	"time"

	"github.com/google/uuid"

	"github.com/rollcallhq/rollcall/pkg/fleet"
)

// A Schedule says when to collect what from which hosts.
type Schedule struct {
	ID            uuid.UUID  `json:"id" format:"uuid"`
	Name          string     `json:"name"`
	Cron          string     `json:"cron"`
	Timezone      string     `json:"timezone"`
	Selector      string     `json:"selector"`
	ReportTypes   []string   `json:"report_types" nullable:"false"`
	Priority      string     `json:"priority" enum:"interactive,normal,bulk"`
	JitterSeconds int        `json:"jitter_seconds"`
	Overlap       string     `json:"overlap" enum:"skip,queue,allow"`
	Misfire       string     `json:"misfire" enum:"skip,once"`
	Blackouts     []Blackout `json:"blackouts" nullable:"false"`
	Enabled       bool       `json:"enabled"`
	EndsAt        *time.Time `json:"ends_at" doc:"nothing is fired after it; null means no end"`
	OwnerID       *uuid.UUID `json:"owner_id" nullable:"true" format:"uuid" doc:"the user whose scope bounds what is collected"`
	NextAt        *time.Time `json:"next_at" doc:"when it is due next; null means never again"`
	RetryAt       *time.Time `json:"retry_at" doc:"next_at has been tried in vain and is tried again then"`
	WaitingAt     *time.Time `json:"waiting_at" doc:"the moment that waits until the last collection has ended (overlap queue)"`
	Version       int64      `json:"version" doc:"one more with each change; the ETag"`
	CreatedAt     time.Time  `json:"created_at"`
	UpdatedAt     time.Time  `json:"updated_at"`
}

// A Blackout is a window in which nothing is collected: a weekly one with days, from and to, or one that happens once, with
// starts_at and ends_at.
type Blackout struct {
	Days     []string   `json:"days,omitempty" nullable:"true" maxItems:"7" enum:"mon,tue,wed,thu,fri,sat,sun" doc:"on which the window begins; none means every day"`
	From     *string    `json:"from,omitempty" nullable:"true" maxLength:"5" example:"22:00" doc:"by the clock of the schedule's time zone"`
	To       *string    `json:"to,omitempty" nullable:"true" maxLength:"5" example:"06:00" doc:"exclusive, up to 24:00; before from it is on the next day"`
	StartsAt *time.Time `json:"starts_at,omitempty" nullable:"true"`
	EndsAt   *time.Time `json:"ends_at,omitempty" nullable:"true" doc:"exclusive"`
}

// A ScheduleInput is a schedule as it is added.
type ScheduleInput struct {
	Name          string     `json:"name" example:"nightly"`
	Cron          string     `json:"cron" example:"0 3 * * *" doc:"five fields, six with seconds first, or @every 1h, @daily … Where clocks are set: if hour or minute begins with a star it goes by whatever the clock shows; else a time that the clock skips is due at the first instant after the gap, and one that it shows twice only the first time; @every counts elapsed time"`
	Timezone      *string    `json:"timezone,omitempty" nullable:"true" default:"UTC" doc:"IANA name"`
	Selector      string     `json:"selector" example:"env=prod"`
	ReportTypes   []string   `json:"report_types,omitempty" nullable:"true" maxItems:"100" doc:"none means all"`
	Priority      *string    `json:"priority,omitempty" nullable:"true" default:"bulk" enum:"interactive,normal,bulk"`
	JitterSeconds *int       `json:"jitter_seconds,omitempty" nullable:"true" default:"0" minimum:"0" maximum:"86400" doc:"each host is collected so much later at most, always at the same place; less than the shortest time between two moments"`
	Overlap       *string    `json:"overlap,omitempty" nullable:"true" default:"skip" enum:"skip,queue,allow" doc:"what becomes of a moment while the last collection is open; queue: one moment waits, a later one takes its place"`
	Misfire       *string    `json:"misfire,omitempty" nullable:"true" default:"once" enum:"skip,once" doc:"what becomes of moments that passed while nothing could fire them: one collection for all of them, or none"`
	Blackouts     []Blackout `json:"blackouts,omitempty" nullable:"true" maxItems:"50" doc:"moments within one are skipped and recorded"`
	Enabled       *bool      `json:"enabled,omitempty" nullable:"true" default:"true" doc:"false is a pause: what would be due meanwhile is not made up for"`
	EndsAt        *time.Time `json:"ends_at,omitempty" nullable:"true" doc:"nothing is fired after it"`
}

// A SchedulePatch changes a schedule (RFC 7396).
type SchedulePatch struct {
	Name          *string    `json:"name,omitempty"`
	Cron          *string    `json:"cron,omitempty"`
	Timezone      *string    `json:"timezone,omitempty" nullable:"true"`
	Selector      *string    `json:"selector,omitempty"`
	ReportTypes   []string   `json:"report_types,omitempty" nullable:"true" maxItems:"100"`
	Priority      *string    `json:"priority,omitempty" nullable:"true" enum:"interactive,normal,bulk"`
	JitterSeconds *int       `json:"jitter_seconds,omitempty" nullable:"true" minimum:"0" maximum:"86400"`
	Overlap       *string    `json:"overlap,omitempty" nullable:"true" enum:"skip,queue,allow" doc:"what becomes of a moment while the last collection is open; queue: one moment waits, a later one takes its place"`
	Misfire       *string    `json:"misfire,omitempty" nullable:"true" enum:"skip,once"`
	Blackouts     []Blackout `json:"blackouts,omitempty" nullable:"true" maxItems:"50"`
	Enabled       *bool      `json:"enabled,omitempty" nullable:"true"`
	EndsAt        *time.Time `json:"ends_at,omitempty" nullable:"true"`
}

// A Firing is one moment of a schedule and what came of it.
type Firing struct {
	DueAt        time.Time  `json:"due_at"`
	FiredAt      time.Time  `json:"fired_at" doc:"when that was decided"`
	LatenessMS   int64      `json:"lateness_ms" doc:"from due_at to fired_at"`
	Outcome      string     `json:"outcome" enum:"collected,waiting,replaced,overlap,misfire,blackout,ended,owner,refused,queue_full,failed" doc:"waiting, queue_full and failed may still become another"`
	CollectionID *uuid.UUID `json:"collection_id" nullable:"true" format:"uuid"`
	Reason       *string    `json:"reason" doc:"why there is no collection"`
	Missed       int        `json:"missed" doc:"how many earlier moments passed unfired that this one stands for as well, counted up to 9,999"`
}

// ScheduleView returns s as the API shows it.
func ScheduleView(s fleet.Schedule) Schedule {
	return Schedule{
		ID: s.ID, Name: s.Name, Cron: s.Cron, Timezone: s.Timezone, Selector: s.Selector, ReportTypes: orNone(s.ReportTypes),
		Priority: string(s.Priority), JitterSeconds: seconds(s.Jitter), Overlap: string(s.Overlap), Misfire: string(s.Misfire),
		Blackouts: blackoutViews(s.Blackouts), Enabled: s.Enabled, EndsAt: utcOrNull(s.EndsAt), OwnerID: s.OwnerID,
		NextAt: utcOrNull(s.NextAt), RetryAt: utcOrNull(s.RetryAt), WaitingAt: utcOrNull(s.WaitingAt), Version: s.Version, CreatedAt: utc(s.CreatedAt), UpdatedAt: utc(s.UpdatedAt),
	}
}

// ScheduleInputOf returns what s looks like as it was set, for a merge patch to be applied to.
func ScheduleInputOf(s fleet.Schedule) ScheduleInput {
	view := ScheduleView(s)
	return ScheduleInput{
		Name: view.Name, Cron: view.Cron, Timezone: &view.Timezone, Selector: view.Selector, ReportTypes: view.ReportTypes,
		Priority: &view.Priority, JitterSeconds: &view.JitterSeconds, Overlap: &view.Overlap, Misfire: &view.Misfire, Blackouts: view.Blackouts, Enabled: &view.Enabled, EndsAt: view.EndsAt,
	}
}

// BlackoutView returns b as the API shows it.
func BlackoutView(b fleet.Blackout) Blackout {
	return Blackout{Days: b.Days, From: orNull(b.From), To: orNull(b.To), StartsAt: utcOrNull(b.StartsAt), EndsAt: utcOrNull(b.EndsAt)}
}

// Blackout returns the window that was shown.
func (b Blackout) Blackout() fleet.Blackout {
	return fleet.Blackout{Days: b.Days, From: orZero(b.From), To: orZero(b.To), StartsAt: b.StartsAt, EndsAt: b.EndsAt}
}

func blackoutViews(blackouts []fleet.Blackout) []Blackout {
	views := make([]Blackout, 0, len(blackouts))
	for _, b := range blackouts {
		views = append(views, BlackoutView(b))
	}
	return views
}

func blackoutsOf(views []Blackout) []fleet.Blackout {
	var blackouts []fleet.Blackout
	for _, b := range views {
		blackouts = append(blackouts, b.Blackout())
	}
	return blackouts
}

// Schedule returns the schedule that in describes. Fields that in leaves out are zero; it is enabled unless in says
// otherwise.
func (in ScheduleInput) Schedule() fleet.Schedule {
	return fleet.Schedule{
		Name: in.Name, Cron: in.Cron, Timezone: orZero(in.Timezone), Selector: in.Selector, ReportTypes: in.ReportTypes,
		Priority: fleet.Priority(orZero(in.Priority)), Jitter: time.Duration(orZero(in.JitterSeconds)) * time.Second,
		Overlap: fleet.Overlap(orZero(in.Overlap)), Misfire: fleet.Misfire(orZero(in.Misfire)),
		Blackouts: blackoutsOf(in.Blackouts), Enabled: in.Enabled == nil || *in.Enabled, EndsAt: in.EndsAt,
	}
}

// FiringView returns f as the API shows it.
func FiringView(f fleet.Firing) Firing {
	return Firing{
		DueAt: utc(f.DueAt), FiredAt: utc(f.FiredAt), LatenessMS: f.FiredAt.Sub(f.DueAt).Milliseconds(), Outcome: string(f.Outcome),
		CollectionID: f.CollectionID, Reason: orNull(f.Reason), Missed: f.Missed,
	}
}

// A Moment is when a schedule will be due.
type Moment struct {
	DueAt    time.Time `json:"due_at"`
	Blackout *string   `json:"blackout" doc:"the window that it lies in, in words: it will be skipped; null outside of them"`
}

// MomentView returns a moment as the API shows it; blackout is the window that it lies in, empty for none.
func MomentView(at time.Time, blackout string) Moment {
	return Moment{DueAt: utc(at), Blackout: orNull(blackout)}
}
