// Package schedule is when to collect: schedules, what they mean, and firing them. Any number of processes may fire;
// none is special.
package schedule

import (
	"context"
	"log/slog"
	"regexp"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/rollcallhq/rollcall/pkg/fleet"
	"github.com/rollcallhq/rollcall/pkg/store"
)

// A Trigger makes a schedule's collection; the wiring passes the collection service in. due is zero if somebody runs the
// schedule by hand, which is not spread by its jitter.
type Trigger func(ctx context.Context, tx *store.Store, actor fleet.Actor, s fleet.Schedule, due time.Time) (fleet.Collection, error)

// Config is what a Service needs.
type Config struct {
	Store   *store.Store
	Trigger Trigger
	// CheckTypes returns the report types to collect, all of them for none, or says which is unknown.
	CheckTypes func(context.Context, []string) ([]string, error)
	Log        *slog.Logger
	Metrics    prometheus.Registerer // where firings are measured; nil: nowhere
}

// A Service keeps schedules and fires them. It is safe for concurrent use.
type Service struct {
	Config
	metrics metrics
	zones   sync.Map // the time zones that have been read, by name
}

// New returns a Service.
func New(c Config) *Service { return &Service{Config: c, metrics: newMetrics(c.Metrics)} }

var namePattern = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9 ._:-]{0,127}$`)

// check returns s with its defaults filled in, and its timetable, or what is wrong with it.
func (svc *Service) check(ctx context.Context, s fleet.Schedule) (fleet.Schedule, Timetable, error) {
	none := Timetable{}
	if s.Timezone == "" {
		s.Timezone = "UTC"
	}
	if s.Priority == "" {
		s.Priority = fleet.PriorityBulk
	}
	if s.Overlap == "" {
		s.Overlap = fleet.OverlapSkip
	}
	if s.Misfire == "" {
		s.Misfire = fleet.MisfireOnce
	}
	if !namePattern.MatchString(s.Name) {
		return s, none, fleet.InvalidField("name", "1 to 128 letters, digits, spaces and ._:-")
	}
	if s.Overlap != fleet.OverlapSkip && s.Overlap != fleet.OverlapQueue && s.Overlap != fleet.OverlapAllow {
		return s, none, fleet.InvalidField("overlap", "must be skip, queue or allow")
	}
	if s.Misfire != fleet.MisfireOnce && s.Misfire != fleet.MisfireSkip {
		return s, none, fleet.InvalidField("misfire", "must be skip or once")
	}
	selector, err := fleet.ParseSelector(s.Selector)
	if err != nil {
		return s, none, err
	}
	s.Selector = selector.String()
	if s.ReportTypes, err = svc.CheckTypes(ctx, s.ReportTypes); err != nil {
		return s, none, err
	}
	if _, s.Blackouts, err = readBlackouts(s.Blackouts); err != nil {
		return s, none, err
	}
	table, _, err := svc.read(s)
	if err != nil {
		return s, none, err
	}
	return s, table, checkJitter(s.Jitter, table)
}

// checkJitter refuses a jitter that would let the tasks of two moments run into each other.
func checkJitter(jitter time.Duration, table Timetable) error {
	switch {
	case jitter < 0 || jitter > fleet.MaxJitter || jitter%time.Second != 0:
		return fleet.InvalidField("jitter_seconds", "must be between 0 and %d", fleet.MaxJitter/time.Second)
	case jitter == 0:
		return nil
	}
	if shortest := table.shortest(); jitter >= shortest {
		return fleet.InvalidField("jitter_seconds", "must be less than the shortest time between two moments of the schedule, which is %s", shortest)
	}
	return nil
}

// Add stores a schedule on behalf of actor, an admin, who becomes its owner: it acts with the owner's current scope.
func (svc *Service) Add(ctx context.Context, actor fleet.Actor, s fleet.Schedule) (fleet.Schedule, error) {
	if err := actor.Require(fleet.Admin); err != nil {
		return s, err
	}
	s, table, err := svc.check(ctx, s)
	if err != nil {
		return s, err
	}
	s.ID, s.OwnerID = fleet.NewID(), actor.UserID
	err = svc.Store.InTx(ctx, func(tx *store.Store) error {
		if err := mayOwn(ctx, tx, actor); err != nil {
			return err
		}
		if err := setNext(ctx, tx, &s, table); err != nil {
			return err
		}
		if s, err = tx.AddSchedule(ctx, s); err != nil {
			return err
		}
		return audit(ctx, tx, actor, "schedule.create", s)
	})
	return s, err
}

// Update stores a changed schedule over the version it was read at. If the change is about when it is due, or it was
// paused, its next moment is computed anew from now: moments that passed meanwhile are not made up for.
func (svc *Service) Update(ctx context.Context, actor fleet.Actor, s fleet.Schedule) (fleet.Schedule, error) {
	if err := actor.Require(fleet.Admin); err != nil {
		return s, err
	}
	s, table, err := svc.check(ctx, s)
	if err != nil {
		return s, err
	}
	s.OwnerID = actor.UserID
	err = svc.Store.InTx(ctx, func(tx *store.Store) error {
		before, err := tx.LockSchedule(ctx, s.ID)
		if err != nil {
			return err
		}
		if err := mayTouch(ctx, tx, actor, before); err != nil {
			return err
		}
		if err := mayOwn(ctx, tx, actor); err != nil {
			return err
		}
		if sameMoments(before, s) {
			s.NextAt, s.RetryAt, s.Failures, s.WaitingAt, s.WaitMissed = before.NextAt, before.RetryAt, before.Failures, before.WaitingAt, before.WaitMissed
		} else if err := anew(ctx, tx, before, &s, table); err != nil {
			return err
		}
		if s, err = tx.UpdateSchedule(ctx, s); err != nil {
			return err
		}
		return audit(ctx, tx, actor, "schedule.update", s)
	})
	return s, err
}

// sameMoments reports whether a change leaves alone when the schedule is due and what becomes of a moment that waits.
func sameMoments(before, after fleet.Schedule) bool {
	sameEnd := before.EndsAt == nil && after.EndsAt == nil || before.EndsAt != nil && after.EndsAt != nil && before.EndsAt.Equal(*after.EndsAt)
	return before.Enabled && after.Enabled && before.Cron == after.Cron && before.Timezone == after.Timezone && sameEnd && before.Overlap == after.Overlap
}

// anew lets a schedule begin anew from now on, as after a pause: moments that passed are nobody's, and one that waited for
// the end of a collection waits no more.
func anew(ctx context.Context, tx *store.Store, before fleet.Schedule, s *fleet.Schedule, table Timetable) error {
	s.RetryAt, s.Failures, s.WaitingAt, s.WaitMissed = nil, 0, nil, 0
	var over []fleet.Firing
	if before.WaitingAt != nil {
		over = append(over, replaced(s.ID, *before.WaitingAt, before.WaitMissed, "the schedule was paused or changed while it waited"))
	}
	if before.RetryAt != nil && before.NextAt != nil {
		over = append(over, replaced(s.ID, *before.NextAt, 0, "the schedule was paused or changed before it was tried again"))
	}
	if len(over) > 0 {
		if _, err := tx.RecordFirings(ctx, over); err != nil {
			return err
		}
	}
	return setNext(ctx, tx, s, table)
}

// setNext sets when the schedule is due next, by the database's clock.
func setNext(ctx context.Context, tx *store.Store, s *fleet.Schedule, table Timetable) error {
	now, err := tx.Now(ctx)
	if err == nil {
		s.NextAt = nextOf(table, now, s.EndsAt)
	}
	return err
}

// Remove deletes a schedule.
func (svc *Service) Remove(ctx context.Context, actor fleet.Actor, id uuid.UUID) error {
	if err := actor.Require(fleet.Admin); err != nil {
		return err
	}
	return svc.Store.InTx(ctx, func(tx *store.Store) error {
		s, err := tx.LockSchedule(ctx, id)
		if err != nil {
			return err
		}
		if err := mayTouch(ctx, tx, actor, s); err != nil {
			return err
		}
		if err := tx.RemoveSchedule(ctx, id); err != nil {
			return err
		}
		return audit(ctx, tx, actor, "schedule.delete", s)
	})
}

// RunNow collects what the schedule would, at once, on behalf of actor.
func (svc *Service) RunNow(ctx context.Context, actor fleet.Actor, id uuid.UUID) (fleet.Collection, error) {
	if err := actor.Require(fleet.Operator); err != nil {
		return fleet.Collection{}, err
	}
	var c fleet.Collection
	err := svc.Store.InTx(ctx, func(tx *store.Store) error {
		s, err := tx.Schedule(ctx, fleet.Everything(), id)
		if err != nil {
			return err
		}
		if err := mayTouch(ctx, tx, actor, s); err != nil {
			return err
		}
		if c, err = svc.Trigger(ctx, tx, actor, s, time.Time{}); err != nil {
			return err
		}
		return audit(ctx, tx, actor, "schedule.run", s)
	})
	return c, err
}

// maxPreview bounds how many moments are previewed.
const maxPreview = 100

// An Upcoming moment is one at which a schedule will be due.
type Upcoming struct {
	At       time.Time
	Blackout string // the window that it lies in, in words; it will be skipped. Empty: none
}

// Next returns the next n moments of the schedule, at most 100, up to its end. The first of an enabled schedule is the one
// that it waits for, from which the moments of an @every are counted.
func (svc *Service) Next(ctx context.Context, scope fleet.Scope, id uuid.UUID, n int) ([]Upcoming, error) {
	s, err := svc.Store.Schedule(ctx, scope, id)
	if err != nil {
		return nil, err
	}
	at, err := svc.Store.Now(ctx)
	if err != nil {
		return nil, err
	}
	return svc.upcoming(s, at, n)
}

// Preview returns the next n moments, at most 100, of a schedule that is not stored. What is wrong with the fields that
// say when it is due is an Invalid error; the others may be anything.
func (svc *Service) Preview(ctx context.Context, s fleet.Schedule, n int) ([]Upcoming, error) {
	at, err := svc.Store.Now(ctx)
	if err != nil {
		return nil, err
	}
	s.NextAt = nil
	return svc.upcoming(s, at, n)
}

func (svc *Service) upcoming(s fleet.Schedule, after time.Time, n int) ([]Upcoming, error) {
	table, windows, err := svc.read(s)
	if err != nil {
		return nil, err
	}
	found := []Upcoming{}
	next := nextOf(table, after, s.EndsAt)
	if s.Enabled && s.NextAt != nil && s.NextAt.After(after) {
		next = new(s.NextAt.UTC())
	}
	for ; len(found) < min(n, maxPreview) && next != nil; next = nextOf(table, *next, s.EndsAt) {
		moment := Upcoming{At: *next}
		for _, w := range windows {
			if w.covers(next.In(table.location)) {
				moment.Blackout = w.String()
				break
			}
		}
		found = append(found, moment)
	}
	return found, nil
}

func audit(ctx context.Context, tx *store.Store, actor fleet.Actor, action string, s fleet.Schedule) error {
	return tx.Audit(ctx, actor, fleet.AuditEntry{
		Action: action, ResourceType: "schedule", ResourceID: s.ID.String(),
		Details: map[string]any{"name": s.Name, "cron": s.Cron, "timezone": s.Timezone, "selector": s.Selector, "enabled": s.Enabled},
	})
}
