package wire

import (
	"encoding/json"
	"time"

	"github.com/google/uuid"

	"github.com/rollcallhq/rollcall/pkg/fleet"
)

// A PathPeriod is a time in which one fact of one host stayed the same.
type PathPeriod struct {
	Value       json.RawMessage `json:"value" doc:"of any JSON type; null also where there was nothing"`
	Present     bool            `json:"present" doc:"whether there was something at the path; it tells nothing from null"`
	From        time.Time       `json:"from"`
	To          *time.Time      `json:"to" doc:"when another value took its place; null while it holds"`
	ConfirmedAt time.Time       `json:"confirmed_at" doc:"when it was last seen to hold; between then and to nobody looked"`
	ReportID    uuid.UUID       `json:"report_id" format:"uuid" doc:"the report that showed it first"`
}

// A HostMetrics are series of what always changes on a host, thinned out to one point per step.
type HostMetrics struct {
	HostID      uuid.UUID      `json:"host_id" format:"uuid"`
	Type        string         `json:"type" example:"memory"`
	Path        string         `json:"path" doc:"as it was asked for" example:"available"`
	Since       time.Time      `json:"since"`
	Until       time.Time      `json:"until"`
	StepSeconds int            `json:"step_seconds"`
	Series      []MetricSeries `json:"series" nullable:"false" doc:"one for each path that matches and has points, by path"`
}

// A MetricSeries is one metric over time.
type MetricSeries struct {
	Path   string        `json:"path"`
	Points []MetricPoint `json:"points" nullable:"false" doc:"oldest first; a step without reports has none"`
}

// A MetricPoint is a metric in one step of time.
type MetricPoint struct {
	At    time.Time `json:"at" doc:"the beginning of the step"`
	Min   float64   `json:"min"`
	Max   float64   `json:"max"`
	Avg   float64   `json:"avg"`
	Last  float64   `json:"last"`
	Count int       `json:"count" doc:"how many reports the step has"`
}

// PathPeriodView returns p as the API shows it.
func PathPeriodView(p fleet.PathPeriod) PathPeriod {
	return PathPeriod{
		Value: rawJSON(p.Value), Present: p.Value != nil, From: utc(p.From), To: utcOrNull(p.To), ConfirmedAt: utc(p.ConfirmedAt), ReportID: p.ReportID,
	}
}

// MetricSeriesView returns m as the API shows it.
func MetricSeriesView(m fleet.MetricSeries) MetricSeries {
	view := MetricSeries{Path: m.Path, Points: make([]MetricPoint, 0, len(m.Points))}
	for _, p := range m.Points {
		view.Points = append(view.Points, MetricPoint{At: utc(p.At), Min: p.Min, Max: p.Max, Avg: p.Avg, Last: p.Last, Count: p.Count})
	}
	return view
}
