package schedule

import (
	"context"
	"errors"
	"time"

	"github.com/google/uuid"

	"github.com/rollcallhq/rollcall/pkg/fleet"
	"github.com/rollcallhq/rollcall/pkg/store"
)

const (
	fireEvery = 250 * time.Millisecond
	// misfireGrace is how late a moment may be fired before it counts as missed.
	misfireGrace = time.Minute
	// comeBack is after how long a moment is made up for that met a full queue.
	comeBack = time.Minute
)

// Why a moment of a schedule made no collection.
const (
	ReasonOverlap  = "overlap: the last collection has not ended"
	ReasonMisfire  = "misfire: nothing could fire it in time"
	ReasonOwner    = "owner: whoever defined the schedule may no longer collect"
	ReasonFull     = "queue_full: " // what follows says how much waited, and when it is tried again
	reasonRefused  = "refused: "
	reasonNotFound = "owner: there is no such user any more"
)

// errFired undoes the collection of a moment that has been fired before, say by a clock that was set back.
var errFired = fleet.Errorf(fleet.Conflict, "fired already")

// Run fires what is due until ctx ends.
func (svc *Service) Run(ctx context.Context) error {
	tick := time.NewTicker(fireEvery)
	defer tick.Stop()
	var failing bool
	for {
		fired, err := svc.FireOne(ctx)
		switch {
		case err != nil && ctx.Err() == nil && !failing:
			failing = true
			svc.Log.WarnContext(ctx, "firing failed", "error", err)
		case err == nil:
			failing = false
		}
		if fired && err == nil {
			continue
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// FireOne fires one schedule that is due, if there is one that no other replica has taken: its collection, its row
// in the firings and its next moment are stored in one transaction. It reports whether there was one.
func (svc *Service) FireOne(ctx context.Context) (bool, error) {
	fired := false
	var firing fleet.Firing
	var name string
	err := svc.Store.InTx(ctx, func(tx *store.Store) error {
		s, now, err := tx.TakeDueSchedule(ctx)
		if err != nil || s == nil {
			fired = false
			return err
		}
		fired, name = true, s.Name
		firing, err = svc.fire(ctx, tx, *s, now)
		return err
	})
	if err == nil && fired {
		svc.Log.InfoContext(ctx, "fired", "schedule", name, "due_at", firing.DueAt,
			"lateness", firing.FiredAt.Sub(firing.DueAt), "collection_id", firing.CollectionID, "reason", firing.Reason)
	}
	return fired, err
}

func (svc *Service) fire(ctx context.Context, tx *store.Store, s fleet.Schedule, now time.Time) (fleet.Firing, error) {
	table, err := ParseTimetable(s.Cron, s.Timezone)
	if err != nil { // it was checked when it was stored; a release that reads it no more stops it, and says so
		svc.Log.ErrorContext(ctx, "schedule cannot be read and is stopped", "schedule", s.Name, "error", err)
		return fleet.Firing{}, tx.SetNextAt(ctx, s.ID, nil)
	}
	due, _ := table.Missed(*s.NextAt, now)
	firing := fleet.Firing{ScheduleID: s.ID, DueAt: due, FiredAt: now}
	next := nextOf(table, due)
	err = tx.InTx(ctx, func(savepoint *store.Store) error {
		var err error
		firing.CollectionID, firing.Reason, err = svc.collect(ctx, savepoint, s, due, now)
		if fleet.KindOf(err) == fleet.Exhausted {
			firing.Reason, next = full(s, err, next, now)
			err = nil
		}
		if err != nil {
			return err
		}
		added, err := savepoint.AddFiring(ctx, firing)
		if err == nil && !added {
			return errFired
		}
		return err
	})
	if err != nil && !errors.Is(err, errFired) {
		return firing, err
	}
	return firing, tx.SetNextAt(ctx, s.ID, next)
}

// nextOf returns the moment after due; nil means never.
func nextOf(table Timetable, due time.Time) *time.Time {
	at := table.Next(due)
	if at.IsZero() {
		return nil
	}
	return &at
}

// full says what becomes of a moment that found too much waiting: with misfire once it is made up for as soon as it
// can be, unless the next moment comes first; with misfire skip it is left out.
func full(s fleet.Schedule, err error, next *time.Time, now time.Time) (string, *time.Time) {
	reason := ReasonFull + fleet.MessageOf(err)
	again := now.Add(comeBack).UTC().Truncate(time.Second)
	if s.Misfire == fleet.MisfireSkip || next != nil && !again.Before(*next) {
		return reason, next
	}
	return reason + " It is tried again at " + again.Format(time.RFC3339) + ".", &again
}

// collect makes the collection of a moment, or says why there is none.
func (svc *Service) collect(ctx context.Context, tx *store.Store, s fleet.Schedule, due, now time.Time) (id *uuid.UUID, reason string, err error) {
	if s.Misfire == fleet.MisfireSkip && now.Sub(due) > misfireGrace {
		return nil, ReasonMisfire, nil
	}
	if s.Overlap == fleet.OverlapSkip {
		open, err := tx.HasOpenCollection(ctx, s.ID)
		if err != nil {
			return nil, "", err
		}
		if open {
			return nil, ReasonOverlap, nil
		}
	}
	actor, reason, err := svc.actor(ctx, tx, s)
	if err != nil || reason != "" {
		return nil, reason, err
	}
	var c fleet.Collection
	err = tx.InTx(ctx, func(savepoint *store.Store) error {
		c, err = svc.Trigger(ctx, savepoint, actor, s, due)
		return err
	})
	switch fleet.KindOf(err) {
	case fleet.OK:
		return &c.ID, "", nil
	case fleet.Invalid, fleet.Forbidden, fleet.NotFound, fleet.Conflict:
		return nil, reasonRefused + fleet.MessageOf(err), nil
	default:
		return nil, "", err
	}
}

// actor returns the schedule as an actor with its owner's current role and scope.
func (svc *Service) actor(ctx context.Context, tx *store.Store, s fleet.Schedule) (fleet.Actor, string, error) {
	a := fleet.Actor{Kind: fleet.ActorSchedule, ID: s.ID, Name: s.Name, UserID: s.OwnerID}
	if s.OwnerID == nil {
		return a, reasonNotFound, nil
	}
	owner, err := tx.User(ctx, *s.OwnerID)
	switch {
	case fleet.KindOf(err) == fleet.NotFound:
		return a, reasonNotFound, nil
	case err != nil:
		return a, "", err
	case owner.DisabledAt != nil:
		return a, ReasonOwner, nil
	}
	a.Role = owner.Role
	if owner.Selector != "" {
		selector, err := fleet.ParseSelector(owner.Selector)
		a.Selector = &selector
		if err != nil { // nothing is nobody's to see
			return a, ReasonOwner, nil //nolint:nilerr // a firing says why there is no collection
		}
	}
	if err := a.Require(fleet.Operator); err != nil {
		return a, ReasonOwner, nil //nolint:nilerr // a firing says why there is no collection
	}
	return a, "", nil
}
