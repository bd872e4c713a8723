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
	Enabled       bool       `json:"enabled"`
	OwnerID       *uuid.UUID `json:"owner_id" nullable:"true" format:"uuid" doc:"the user whose scope bounds what is collected"`
	NextAt        *time.Time `json:"next_at" doc:"when it is due next; null means never again"`
	Version       int64      `json:"version" doc:"one more with each change; the ETag"`
	CreatedAt     time.Time  `json:"created_at"`
	UpdatedAt     time.Time  `json:"updated_at"`
}

// A ScheduleInput is a schedule as it is added.
type ScheduleInput struct {
	Name          string   `json:"name" example:"nightly"`
	Cron          string   `json:"cron" example:"0 3 * * *" doc:"five fields, six with seconds first, or @every 1h, @daily …"`
	Timezone      *string  `json:"timezone,omitempty" nullable:"true" default:"UTC" doc:"IANA name"`
	Selector      string   `json:"selector" example:"env=prod"`
	ReportTypes   []string `json:"report_types,omitempty" nullable:"true" maxItems:"100" doc:"none means all"`
	Priority      *string  `json:"priority,omitempty" nullable:"true" default:"bulk" enum:"interactive,normal,bulk"`
	JitterSeconds *int     `json:"jitter_seconds,omitempty" nullable:"true" default:"0" doc:"not supported yet"`
	Overlap       *string  `json:"overlap,omitempty" nullable:"true" default:"skip" enum:"skip,queue,allow" doc:"queue is not supported yet"`
	Misfire       *string  `json:"misfire,omitempty" nullable:"true" default:"once" enum:"skip,once"`
	Enabled       *bool    `json:"enabled,omitempty" nullable:"true" default:"true"`
}

// A SchedulePatch changes a schedule (RFC 7396).
type SchedulePatch struct {
	Name          *string  `json:"name,omitempty"`
	Cron          *string  `json:"cron,omitempty"`
	Timezone      *string  `json:"timezone,omitempty" nullable:"true"`
	Selector      *string  `json:"selector,omitempty"`
	ReportTypes   []string `json:"report_types,omitempty" nullable:"true" maxItems:"100"`
	Priority      *string  `json:"priority,omitempty" nullable:"true" enum:"interactive,normal,bulk"`
	JitterSeconds *int     `json:"jitter_seconds,omitempty" nullable:"true" doc:"not supported yet"`
	Overlap       *string  `json:"overlap,omitempty" nullable:"true" enum:"skip,queue,allow" doc:"queue is not supported yet"`
	Misfire       *string  `json:"misfire,omitempty" nullable:"true" enum:"skip,once"`
	Enabled       *bool    `json:"enabled,omitempty" nullable:"true"`
}

// A Firing is one moment of a schedule and what came of it.
type Firing struct {
	DueAt        time.Time  `json:"due_at"`
	FiredAt      time.Time  `json:"fired_at"`
	CollectionID *uuid.UUID `json:"collection_id" nullable:"true" format:"uuid"`
	Reason       *string    `json:"reason" doc:"why there is no collection"`
}

// ScheduleView returns s as the API shows it.
func ScheduleView(s fleet.Schedule) Schedule {
	return Schedule{
		ID: s.ID, Name: s.Name, Cron: s.Cron, Timezone: s.Timezone, Selector: s.Selector, ReportTypes: orNone(s.ReportTypes),
		Priority: string(s.Priority), JitterSeconds: seconds(s.Jitter), Overlap: string(s.Overlap), Misfire: string(s.Misfire),
		Enabled: s.Enabled, OwnerID: s.OwnerID, NextAt: utcOrNull(s.NextAt), Version: s.Version, CreatedAt: utc(s.CreatedAt), UpdatedAt: utc(s.UpdatedAt),
	}
}

// ScheduleInputOf returns what s looks like as it was set, for a merge patch to be applied to.
func ScheduleInputOf(s fleet.Schedule) ScheduleInput {
	view := ScheduleView(s)
	return ScheduleInput{
		Name: view.Name, Cron: view.Cron, Timezone: &view.Timezone, Selector: view.Selector, ReportTypes: view.ReportTypes,
		Priority: &view.Priority, JitterSeconds: &view.JitterSeconds, Overlap: &view.Overlap, Misfire: &view.Misfire, Enabled: &view.Enabled,
	}
}

// Schedule returns the schedule that in describes. Fields that in leaves out are zero; it is enabled unless in says
// otherwise.
func (in ScheduleInput) Schedule() fleet.Schedule {
	return fleet.Schedule{
		Name: in.Name, Cron: in.Cron, Timezone: orZero(in.Timezone), Selector: in.Selector, ReportTypes: in.ReportTypes,
		Priority: fleet.Priority(orZero(in.Priority)), Jitter: time.Duration(orZero(in.JitterSeconds)) * time.Second,
		Overlap: fleet.Overlap(orZero(in.Overlap)), Misfire: fleet.Misfire(orZero(in.Misfire)), Enabled: in.Enabled == nil || *in.Enabled,
	}
}

// FiringView returns f as the API shows it.
func FiringView(f fleet.Firing) Firing {
	return Firing{DueAt: utc(f.DueAt), FiredAt: utc(f.FiredAt), CollectionID: f.CollectionID, Reason: orNull(f.Reason)}
}

// A Moment is when a schedule will be due.
type Moment struct {
	DueAt time.Time `json:"due_at"`
}
