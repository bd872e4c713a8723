package ui

import (
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/rollcallhq/rollcall/pkg/fleet"
)

// A scheduleForm is the definition of a schedule as its form shows it and as it was filled in.
type scheduleForm struct {
	Action    string // where it is sent
	Name      string
	Cron      string
	Timezone  string
	Selector  string
	Types     string // by commas; none means all
	Priority  string
	Jitter    string // as a duration: 10m
	Overlap   string
	Misfire   string
	Blackouts string // one per line
	EndsAt    string // as a field of a form has it, UTC
	Version   string // that it was read at
}

// formOf returns the form of a schedule that is stored.
func formOf(s fleet.Schedule) scheduleForm {
	f := scheduleForm{
		Action: "/schedules/" + s.ID.String(), Name: s.Name, Cron: s.Cron, Timezone: s.Timezone, Selector: s.Selector,
		Types: strings.Join(s.ReportTypes, ","), Priority: string(s.Priority), Jitter: durationText(s.Jitter), Overlap: string(s.Overlap),
		Misfire: string(s.Misfire), Version: strconv.FormatInt(s.Version, 10),
	}
	var lines []string
	for _, b := range s.Blackouts {
		lines = append(lines, b.String())
	}
	f.Blackouts = strings.Join(lines, "\n")
	if s.EndsAt != nil {
		f.EndsAt = s.EndsAt.UTC().Format(fieldTime)
	}
	return f
}

// durationText returns d without the parts that are zero: 10m and not 10m0s.
func durationText(d time.Duration) string {
	text := d.String()
	if strings.HasSuffix(text, "m0s") {
		text = strings.TrimSuffix(text, "0s")
	}
	if strings.HasSuffix(text, "h0m") {
		text = strings.TrimSuffix(text, "0m")
	}
	return text
}

// readScheduleForm returns the form as it was filled in.
func readScheduleForm(w http.ResponseWriter, r *http.Request) (scheduleForm, error) {
	r.Body = http.MaxBytesReader(w, r.Body, maxForm)
	if err := r.ParseForm(); err != nil {
		return scheduleForm{}, fleet.Wrap(err, fleet.Invalid, "The form could not be read.")
	}
	return scheduleFormOf(r.PostForm), nil
}

func scheduleFormOf(q url.Values) scheduleForm {
	text := func(name string) string { return strings.TrimSpace(q.Get(name)) }
	return scheduleForm{
		Name: text("name"), Cron: text("cron"), Timezone: text("timezone"), Selector: text("selector"), Types: text("types"),
		Priority: text("priority"), Jitter: text("jitter"), Overlap: text("overlap"), Misfire: text("misfire"),
		Blackouts: strings.ReplaceAll(text("blackouts"), "\r\n", "\n"), EndsAt: text("ends_at"), Version: text("version"),
	}
}

// Schedule returns the schedule that the form defines. What is filled in wrongly is an Invalid error that names the field.
func (f scheduleForm) Schedule() (fleet.Schedule, error) {
	s := fleet.Schedule{
		Name: f.Name, Cron: f.Cron, Timezone: f.Timezone, Selector: f.Selector, Priority: fleet.Priority(f.Priority),
		Overlap: fleet.Overlap(f.Overlap), Misfire: fleet.Misfire(f.Misfire), Enabled: true,
	}
	s.ReportTypes = strings.FieldsFunc(f.Types, func(r rune) bool { return r == ',' || r == ' ' })
	var err error
	if f.Jitter != "" && f.Jitter != "0" {
		if s.Jitter, err = time.ParseDuration(f.Jitter); err != nil {
			return s, fleet.InvalidField("jitter", "%q is not a length of time such as 90s, 10m or 2h", f.Jitter)
		}
	}
	for line := range strings.Lines(f.Blackouts) {
		if line = strings.TrimSpace(line); line == "" {
			continue
		}
		b, err := fleet.ParseBlackout(line)
		if err != nil {
			return s, err
		}
		s.Blackouts = append(s.Blackouts, b)
	}
	ends, err := readTime("ends_at", f.EndsAt)
	if err != nil {
		return s, err
	}
	if !ends.IsZero() {
		s.EndsAt = &ends
	}
	if f.Version != "" {
		if s.Version, err = strconv.ParseInt(f.Version, 10, 64); err != nil {
			return s, fleet.InvalidField("version", "this is not a number")
		}
	}
	return s, nil
}

// problemOf returns what is wrong with a form: its fields by name, or the message.
func problemOf(err error) string {
	var lines []string
	for _, f := range fleet.FieldsOf(err) {
		lines = append(lines, fmt.Sprintf("%s: %s", f.Field, f.Message))
	}
	if len(lines) == 0 {
		return fleet.MessageOf(err)
	}
	return strings.Join(lines, "; ")
}
