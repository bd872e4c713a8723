package schedule

import (
	"context"
	"log/slog"
	"regexp"
	"time"

	"github.com/google/uuid"

	"github.com/rollcallhq/rollcall/pkg/fleet"
	"github.com/rollcallhq/rollcall/pkg/store"
)

// A Trigger makes a schedule's collection; the wiring passes the collection service in.
type Trigger func(ctx context.Context, tx *store.Store, actor fleet.Actor, s fleet.Schedule, due time.Time) (fleet.Collection, error)

// Config is what a Service needs.
type Config struct {
	Store   *store.Store
	Trigger Trigger
	// CheckTypes returns the report types to collect, all of them for none, or says which is unknown.
	CheckTypes func(context.Context, []string) ([]string, error)
	Log        *slog.Logger
}

// A Service keeps schedules and fires them.
type Service struct {
	Config
}

// New returns a Service.
func New(c Config) *Service { return &Service{Config: c} }

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
	if s.Jitter != 0 {
		return s, none, fleet.NotSupportedYet("jitter_seconds")
	}
	switch s.Overlap {
	case fleet.OverlapSkip, fleet.OverlapAllow:
	case fleet.OverlapQueue:
		return s, none, fleet.NotSupportedYet("overlap")
	default:
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
	table, err := ParseTimetable(s.Cron, s.Timezone)
	return s, table, err
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

// Update stores a changed schedule over the version it was read at. Its next moment is computed anew.
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
		if err := setNext(ctx, tx, &s, table); err != nil {
			return err
		}
		if s, err = tx.UpdateSchedule(ctx, s); err != nil {
			return err
		}
		return audit(ctx, tx, actor, "schedule.update", s)
	})
	return s, err
}

// setNext sets when the schedule is due next, by the database's clock.
func setNext(ctx context.Context, tx *store.Store, s *fleet.Schedule, table Timetable) error {
	now, err := tx.Now(ctx)
	if err != nil {
		return err
	}
	s.NextAt = nil
	if next := table.Next(now); !next.IsZero() {
		s.NextAt = &next
	}
	return nil
}

// Remove deletes a schedule.
func (svc *Service) Remove(ctx context.Context, actor fleet.Actor, id uuid.UUID) error {
	if err := actor.Require(fleet.Admin); err != nil {
		return err
	}
	return svc.Store.InTx(ctx, func(tx *store.Store) error {
		s, err := tx.Schedule(ctx, id)
		if err != nil {
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
		s, err := tx.Schedule(ctx, id)
		if err != nil {
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

// Next returns the next n moments of the schedule, at most 100. The first of an enabled schedule is the one that it
// waits for, from which the moments of an @every are counted.
func (svc *Service) Next(ctx context.Context, id uuid.UUID, n int) ([]time.Time, error) {
	s, err := svc.Store.Schedule(ctx, id)
	if err != nil {
		return nil, err
	}
	table, err := ParseTimetable(s.Cron, s.Timezone)
	if err != nil {
		return nil, err
	}
	at, err := svc.Store.Now(ctx)
	if err != nil {
		return nil, err
	}
	moments := []time.Time{}
	next := table.Next(at)
	if s.Enabled && s.NextAt != nil && s.NextAt.After(at) {
		next = s.NextAt.UTC()
	}
	for ; len(moments) < min(n, maxPreview) && !next.IsZero(); next = table.Next(next) {
		moments = append(moments, next)
	}
	return moments, nil
}

func audit(ctx context.Context, tx *store.Store, actor fleet.Actor, action string, s fleet.Schedule) error {
	return tx.Audit(ctx, actor, fleet.AuditEntry{
		Action: action, ResourceType: "schedule", ResourceID: s.ID.String(),
		Details: map[string]any{"name": s.Name, "cron": s.Cron, "timezone": s.Timezone, "selector": s.Selector, "enabled": s.Enabled},
	})
}
