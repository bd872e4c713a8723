package fleet

import (
	"time"

	"github.com/google/uuid"
)

// A Change is one fact path of one host that differs between two consecutive reports.
type Change struct {
	ID             uuid.UUID
	HostID         uuid.UUID
	Host           string // its name
	Type           string // of the reports
	Path           string // canonical, as package facts writes it
	Before         []byte // JSON; nil: there was nothing
	After          []byte // JSON; nil: there is nothing any more
	SeenAt         time.Time
	BeforeSince    *time.Time // since when the former value held; nil if nobody knows
	BeforeReportID *uuid.UUID // the last report with the former value
	AfterReportID  uuid.UUID  // the first report with the new one
	Cursor         string     // its place in the feed
}

// The kinds of changes.
const (
	Added   = "added"
	Removed = "removed"
	Changed = "changed"
)

// Kind returns Added, Removed or Changed.
func (c Change) Kind() string { return kindOf(c.Before, c.After) }

func kindOf(before, after []byte) string {
	switch {
	case before == nil:
		return Added
	case after == nil:
		return Removed
	}
	return Changed
}

// A ChangeGroup is the same change on any number of hosts.
type ChangeGroup struct {
	Type      string
	Path      string
	Before    []byte // as in Change
	After     []byte
	Hosts     int       // how many, each counted once
	Sample    []HostRef // the first few by name
	FirstSeen time.Time
	LastSeen  time.Time
}

// Kind returns Added, Removed or Changed.
func (g ChangeGroup) Kind() string { return kindOf(g.Before, g.After) }

// A HostRef names a host.
type HostRef struct {
	ID   uuid.UUID
	Name string
}

// A PathPeriod is a time in which one path of a host's facts had one value.
type PathPeriod struct {
	Value       []byte // JSON; nil: there was nothing
	From        time.Time
	To          *time.Time // nil: it holds
	ConfirmedAt time.Time  // when the value was last seen
	ReportID    uuid.UUID  // the report that saw it first
}

// A MetricSeries is the course of one metric of a host.
type MetricSeries struct {
	Path   string
	Points []MetricPoint // by time; steps without a report have none
}

// A MetricPoint sums up what a metric was within one step.
type MetricPoint struct {
	At                  time.Time // when the step begins
	Min, Max, Avg, Last float64
	Count               int // reports
}
