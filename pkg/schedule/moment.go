package schedule

import (
	"time"

	"github.com/google/uuid"

	"github.com/rollcallhq/rollcall/pkg/fleet"
	"github.com/rollcallhq/rollcall/pkg/store"
)

// Why a moment of a schedule made no collection.
const (
	reasonOwner   = "whoever defined the schedule may no longer collect"
	reasonNoOwner = "there is no such user any more"
)

// said is a reason as it is stored: its outcome and what there is to say.
func said(o fleet.Outcome, text string) string { return string(o) + ": " + text }

func tryAgain(at time.Time) string {
	return " It is tried again at " + at.Truncate(time.Second).Format(time.RFC3339) + "."
}

// A moment is when a schedule is due, and what is to be done about it.
type moment struct {
	fleet.Schedule
	due    time.Time
	missed int // earlier moments that it stands for
	waited bool
	next   *time.Time // the moment after it

	outcome    fleet.Outcome // empty: to be collected
	reason     string
	collection *uuid.UUID
	also       []fleet.Firing // what came of earlier moments
	to         store.Advance
}

// ends decides that the moment makes no collection.
func (m *moment) ends(o fleet.Outcome, text string) { m.outcome, m.reason = o, said(o, text) }

// due plans a schedule's moment that is due.
func (b *batch) due(s fleet.Schedule) *moment {
	m := &moment{Schedule: s, due: *s.NextAt, to: store.Advance{ID: s.ID}}
	table, windows, err := b.read(s)
	if err != nil { // it was checked when it was stored; a release that reads it no more stops it, and says so
		m.ends(fleet.OutcomeRefused, "this release cannot read the schedule, which is stopped: "+fleet.MessageOf(err))
		return m
	}
	until := b.now
	if s.EndsAt != nil && s.EndsAt.Before(until) {
		until = *s.EndsAt
	}
	gap := table.Missed(m.due, until)
	m.due, m.missed = gap.Last, gap.N-1
	m.next = nextOf(table, gap.Last, s.EndsAt)
	m.to.NextAt, m.to.WaitingAt, m.to.WaitMissed = m.next, s.WaitingAt, s.WaitMissed
	if s.RetryAt != nil && gap.N > 1 { // what was tried in vain has a row of its own, and is not counted again
		m.also = append(m.also, replaced(s.ID, *s.NextAt, 0, "a later moment has taken its place"))
		m.missed--
	}
	late := b.now.Sub(m.due) > misfireGrace
	if s.Misfire == fleet.MisfireSkip && !late && m.missed > 0 {
		m.also = append(m.also, fleet.Firing{
			ScheduleID: s.ID, DueAt: gap.Before, Missed: m.missed - 1, Outcome: fleet.OutcomeMisfire, Reason: said(fleet.OutcomeMisfire, "nothing could fire it in time"),
		})
		m.missed = 0
	}
	switch {
	case s.EndsAt != nil && b.now.Sub(*s.EndsAt) > misfireGrace:
		m.ends(fleet.OutcomeEnded, "the schedule had ended before it could be fired")
	case s.Misfire == fleet.MisfireSkip && late:
		m.ends(fleet.OutcomeMisfire, "nothing could fire it in time")
	default:
		m.blackOut(windows, table, b.now, late)
	}
	return m
}

// waiting plans a moment that has waited for the end of a collection.
func (b *batch) waiting(s fleet.Schedule) *moment {
	m := &moment{
		Schedule: s, due: *s.WaitingAt, missed: s.WaitMissed, waited: true, next: s.NextAt,
		to: store.Advance{ID: s.ID, NextAt: s.NextAt, RetryAt: s.RetryAt, Failures: s.Failures},
	}
	table, windows, err := b.read(s)
	switch {
	case err != nil:
		m.ends(fleet.OutcomeRefused, fleet.MessageOf(err))
	case s.EndsAt != nil && b.now.Sub(*s.EndsAt) > misfireGrace:
		m.ends(fleet.OutcomeEnded, "the schedule had ended before it could be fired")
	default:
		m.blackOut(windows, table, b.now, true)
	}
	return m
}

// blackOut decides that a moment is skipped that is due in a blackout, or, being late, could only be fired in one.
func (m *moment) blackOut(windows []window, table Timetable, now time.Time, late bool) {
	for _, w := range windows {
		if w.covers(m.due.In(table.location)) || late && w.covers(now.In(table.location)) {
			m.ends(fleet.OutcomeBlackout, w.String()+" ("+m.Timezone+") nothing is collected")
			return
		}
	}
}

// replaced is what became of a moment that was waiting or to be tried again.
func replaced(schedule uuid.UUID, due time.Time, missed int, why string) fleet.Firing {
	return fleet.Firing{ScheduleID: schedule, DueAt: due, Missed: missed, Outcome: fleet.OutcomeReplaced, Reason: said(fleet.OutcomeReplaced, why)}
}

// overlap decides what becomes of a moment that finds a collection open or not. One that waited makes room for it.
func (m *moment) overlap(open bool) {
	if m.waited {
		if open { // it was ended when it was looked for, and can only be reopened by hand
			m.ends(fleet.OutcomeWaiting, "it waits until the last collection has ended")
			m.to.WaitingAt, m.to.WaitMissed = &m.due, m.missed
		}
		return
	}
	if open && m.Overlap == fleet.OverlapSkip {
		m.ends(fleet.OutcomeOverlap, "the last collection has not ended")
		return
	}
	if m.WaitingAt != nil {
		m.also = append(m.also, replaced(m.ID, *m.WaitingAt, m.WaitMissed, "a later moment has taken its place"))
		m.to.WaitingAt, m.to.WaitMissed = nil, 0
	}
	if open && m.Overlap == fleet.OverlapQueue {
		m.ends(fleet.OutcomeWaiting, "it waits until the last collection has ended")
		m.to.WaitingAt, m.to.WaitMissed = &m.due, m.missed
	}
}

// full decides what becomes of a moment that found too much waiting: with misfire once it is made up for as soon as it
// can be, unless the next moment comes first; with misfire skip it is left out.
func (m *moment) full(text string, now time.Time) {
	again := now.Add(comeBack).UTC().Truncate(time.Second)
	m.ends(fleet.OutcomeFull, text)
	if m.Misfire == fleet.MisfireSkip || m.waited && m.RetryAt != nil || m.next != nil && !again.Before(*m.next) {
		return
	}
	m.reason += tryAgain(again)
	m.to.NextAt, m.to.RetryAt = &m.due, &again
}

// nextOf returns the moment after due; nil means never.
func nextOf(table Timetable, due time.Time, ends *time.Time) *time.Time {
	at := table.Next(due)
	if at.IsZero() || ends != nil && at.After(*ends) {
		return nil
	}
	return &at
}

// read returns what the schedule says of when it is due.
func (svc *Service) read(s fleet.Schedule) (Timetable, []window, error) {
	location, err := svc.zone(s.Timezone)
	if err != nil {
		return Timetable{}, nil, err
	}
	table, err := parseTimetable(s.Cron, location)
	if err != nil {
		return Timetable{}, nil, err
	}
	windows, _, err := readBlackouts(s.Blackouts)
	return table, windows, err
}

// zone is zone, remembered: reading one takes longer than anything else about a schedule.
func (svc *Service) zone(name string) (*time.Location, error) {
	if known, ok := svc.zones.Load(name); ok {
		if location, ok := known.(*time.Location); ok {
			return location, nil
		}
	}
	location, err := zone(name)
	if err == nil {
		svc.zones.Store(name, location)
	}
	return location, err
}
