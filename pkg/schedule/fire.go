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
	// misfireGrace is how late a moment may be fired before it counts as missed.
	misfireGrace = time.Minute
	// comeBack is after how long a moment is made up for that met a full queue.
	comeBack = time.Minute
	// maxBackOff bounds how long a moment is left alone that meets errors.
	maxBackOff = 5 * time.Minute
	// batchTime is how long a transaction goes on firing; what it has taken and not fired by then is left to the next.
	batchTime = 500 * time.Millisecond
	// idleLimit is after how long a replica that is frozen or cut off loses what it has taken.
	idleLimit = 3 * time.Second
)

// A batch is schedules that one transaction fires.
type batch struct {
	*Service
	tx     *store.Store
	now    time.Time
	owners map[uuid.UUID]owner
	firing []fleet.Firing  // what came of moments
	to     []store.Advance // where their schedules go on
	apart  []uuid.UUID     // schedules that met an error and are fired on their own
	taken  []uuid.UUID
	names  map[uuid.UUID]string
	waited map[uuid.UUID]bool
}

// FireDue fires schedules that are due and that no other replica has taken, at most limit of them: their collections,
// what came of their moments, and their next moments are stored in one transaction. One that meets an error holds up no
// other: it is tried on its own and then left alone for a while. It returns how many were taken.
func (svc *Service) FireDue(ctx context.Context, limit int) (int, error) {
	return svc.fireBatch(ctx, way{take: (*store.Store).TakeDueSchedules, plan: (*batch).due}, limit)
}

// FireWaiting fires moments that waited for the end of a collection which has ended, as FireDue does.
func (svc *Service) FireWaiting(ctx context.Context, limit int) (int, error) {
	return svc.fireBatch(ctx, way{take: (*store.Store).TakeWaitingSchedules, plan: (*batch).waiting, waited: true}, limit)
}

// A way of firing is which schedules are taken, or which one, and what is to be done about each.
type way struct {
	take func(s *store.Store, ctx context.Context, only *uuid.UUID, limit int) ([]fleet.Schedule, error)
	plan func(b *batch, s fleet.Schedule) *moment
	// waited says that it is about the moments that wait, and not about those that are due.
	waited bool
}

func (svc *Service) fireBatch(ctx context.Context, w way, limit int) (int, error) {
	b, err := svc.transact(ctx, w, nil, limit)
	apart := b.apart
	switch {
	case err == nil:
		b.report(ctx)
	case ctx.Err() != nil || len(b.taken) == 0:
		return 0, err
	default: // one of them may be to blame: each gets a transaction of its own
		apart = b.taken
	}
	for _, id := range apart {
		if err := svc.fireApart(ctx, w, id); err != nil {
			return len(b.taken), err
		}
	}
	return len(b.taken), nil
}

// fireApart fires one schedule in a transaction of its own, and leaves it alone for a while if that fails.
func (svc *Service) fireApart(ctx context.Context, w way, id uuid.UUID) error {
	b, err := svc.transact(ctx, w, &id, 1)
	if err == nil {
		b.report(ctx)
		return nil
	}
	if ctx.Err() != nil {
		return err
	}
	return svc.backOff(ctx, w, id, err)
}

// transact fires what it takes in one transaction. The batch that it returns is that of the last attempt.
func (svc *Service) transact(ctx context.Context, w way, only *uuid.UUID, limit int) (*batch, error) {
	b := &batch{}
	err := svc.Store.InTx(ctx, func(tx *store.Store) error {
		*b = batch{Service: svc, tx: tx, owners: map[uuid.UUID]owner{}, names: map[uuid.UUID]string{}, waited: map[uuid.UUID]bool{}}
		if err := tx.LimitIdle(ctx, idleLimit); err != nil {
			return err
		}
		schedules, err := w.take(tx, ctx, only, limit)
		if err != nil || len(schedules) == 0 {
			return err
		}
		if b.now, err = tx.Now(ctx); err != nil {
			return err
		}
		return b.fire(ctx, schedules, w, only != nil)
	})
	return b, err
}

func (b *batch) fire(ctx context.Context, schedules []fleet.Schedule, w way, alone bool) error {
	moments := make([]*moment, 0, len(schedules))
	ids, due := make([]uuid.UUID, 0, len(schedules)), make([]fleet.Due, 0, len(schedules))
	for _, s := range schedules {
		m := w.plan(b, s)
		moments = append(moments, m)
		ids, due = append(ids, s.ID), append(due, fleet.Due{ScheduleID: s.ID, At: m.due})
		b.names[s.ID], b.waited[s.ID] = s.Name, m.waited
	}
	b.taken = ids
	settled, err := b.tx.SettledMoments(ctx, due)
	if err != nil {
		return err
	}
	open, err := b.tx.OpenSchedules(ctx, ids)
	if err != nil {
		return err
	}
	began := time.Now()
	for i, m := range moments {
		if i > 0 && time.Since(began) > batchTime {
			break
		}
		if m.outcome == "" && !settled[due[i]] {
			m.overlap(open[m.ID])
		}
		if m.outcome == "" && !settled[due[i]] {
			if err := b.collect(ctx, m); err != nil && alone {
				return err
			} else if err != nil {
				b.apart = append(b.apart, m.ID)
				continue
			}
		}
		b.note(m, settled[due[i]])
	}
	if len(b.firing) > 0 {
		if b.now, err = b.tx.RecordFirings(ctx, b.firing); err != nil {
			return err
		}
	}
	return b.tx.AdvanceSchedules(ctx, b.to)
}

// note adds what came of a moment, unless that is known from before, say because the clock was set back.
func (b *batch) note(m *moment, settled bool) {
	if !settled {
		b.firing = append(b.firing, m.also...)
		b.firing = append(b.firing, fleet.Firing{
			ScheduleID: m.ID, DueAt: m.due, CollectionID: m.collection, Outcome: m.outcome, Reason: m.reason, Missed: m.missed,
		})
	}
	b.to = append(b.to, m.to)
}

// collect makes the collection of a moment, or notes why there is none. An error is one that says nothing about the
// schedule; nothing is left then of what was tried.
func (b *batch) collect(ctx context.Context, m *moment) error {
	actor, reason, err := b.actor(ctx, m.Schedule)
	if err != nil {
		return err
	}
	if reason != "" {
		m.ends(fleet.OutcomeOwner, reason)
		return nil
	}
	var c fleet.Collection
	err = b.tx.InTx(ctx, func(savepoint *store.Store) error {
		c, err = b.Trigger(ctx, savepoint, actor, m.Schedule, m.due)
		return err
	})
	switch fleet.KindOf(err) {
	case fleet.OK:
		m.outcome, m.collection = fleet.OutcomeCollected, &c.ID
	case fleet.Invalid, fleet.Forbidden, fleet.NotFound, fleet.Conflict:
		m.ends(fleet.OutcomeRefused, fleet.MessageOf(err))
	case fleet.Exhausted:
		m.full(fleet.MessageOf(err), b.now)
	default:
		return err
	}
	return nil
}

// An owner is whoever defined schedules, with the role and scope of now; reason says why they may not collect.
type owner struct {
	user     fleet.User
	selector *fleet.Selector
	reason   string
}

// actor returns the schedule as an actor with its owner's current role and scope.
func (b *batch) actor(ctx context.Context, s fleet.Schedule) (fleet.Actor, string, error) {
	a := fleet.Actor{Kind: fleet.ActorSchedule, ID: s.ID, Name: s.Name, UserID: s.OwnerID}
	if s.OwnerID == nil {
		return a, reasonNoOwner, nil
	}
	o, known := b.owners[*s.OwnerID]
	if !known {
		err := b.tx.InTx(ctx, func(savepoint *store.Store) (err error) {
			o, err = readOwner(ctx, savepoint, *s.OwnerID)
			return err
		})
		if err != nil {
			return a, "", err
		}
		b.owners[*s.OwnerID] = o
	}
	a.Role, a.Selector = o.user.Role, o.selector
	return a, o.reason, nil
}

func readOwner(ctx context.Context, tx *store.Store, id uuid.UUID) (owner, error) {
	user, err := tx.User(ctx, id)
	if fleet.KindOf(err) == fleet.NotFound {
		return owner{reason: reasonNoOwner}, nil
	}
	if err != nil {
		return owner{}, err
	}
	mayNot := fleet.Actor{Kind: fleet.ActorUser, Role: user.Role}.Require(fleet.Operator)
	if user.DisabledAt != nil || mayNot != nil {
		return owner{reason: reasonOwner}, nil //nolint:nilerr // a firing says why there is no collection
	}
	if user.Selector == "" {
		return owner{user: user}, nil
	}
	selector, err := fleet.ParseSelector(user.Selector)
	if err != nil { // nothing is nobody's to see
		return owner{reason: reasonOwner}, nil //nolint:nilerr // a firing says why there is no collection
	}
	return owner{user: user, selector: &selector}, nil
}

// backOff leaves a schedule alone for a while whose moment met an error, the longer the more often it does. One that
// waited waits no more then: it is due again.
func (svc *Service) backOff(ctx context.Context, w way, id uuid.UUID, cause error) error {
	var s fleet.Schedule
	var again time.Time
	try := func(record bool) error {
		return svc.Store.InTx(ctx, func(tx *store.Store) error {
			var err error
			again = time.Time{}
			if s, err = tx.LockSchedule(ctx, id); err != nil {
				return err
			}
			now, err := tx.Now(ctx)
			if err != nil {
				return err
			}
			due, missed := s.NextAt, 0
			to := store.Advance{ID: id, WaitingAt: s.WaitingAt, WaitMissed: s.WaitMissed}
			if w.waited {
				if s.RetryAt != nil {
					return nil // a later one is tried again already, and takes its place
				}
				due, missed, to = s.WaitingAt, s.WaitMissed, store.Advance{ID: id}
			}
			if due == nil || due.After(now) {
				return nil
			}
			again = now.Add(min(time.Second<<min(s.Failures, 20), maxBackOff)).UTC()
			if record {
				_, err = tx.RecordFirings(ctx, []fleet.Firing{{
					ScheduleID: id, DueAt: *due, Outcome: fleet.OutcomeFailed, Missed: missed,
					Reason: said(fleet.OutcomeFailed, fleet.MessageOf(cause)+tryAgain(again)),
				}})
				if err != nil {
					return err
				}
			}
			to.NextAt, to.RetryAt, to.Failures = due, &again, s.Failures+1
			return tx.AdvanceSchedules(ctx, []store.Advance{to})
		})
	}
	err := try(true)
	if err != nil && ctx.Err() == nil { // what cannot be recorded must not be tried for ever
		err = try(false)
	}
	switch {
	case fleet.KindOf(err) == fleet.NotFound:
		return nil // it was deleted meanwhile
	case err != nil:
		return errors.Join(cause, err)
	case again.IsZero():
		return nil // another replica has fired it meanwhile
	}
	svc.metrics.firings.WithLabelValues(string(fleet.OutcomeFailed)).Inc()
	svc.Log.ErrorContext(ctx, "schedule left alone for a while", "schedule", s.Name, "failures", s.Failures+1, "until", again, "error", cause)
	return nil
}
