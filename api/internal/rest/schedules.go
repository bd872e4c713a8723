package rest

import (
	"context"
	"net/http"

	"github.com/rollcallhq/rollcall/api/internal/session"
	"github.com/rollcallhq/rollcall/pkg/fleet"
	"github.com/rollcallhq/rollcall/pkg/schedule"
	"github.com/rollcallhq/rollcall/pkg/store"
	"github.com/rollcallhq/rollcall/pkg/wire"
)

const schedulesPath = "/schedules"

func (s *server) registerSchedules() {
	register(s, operation{
		id: "listSchedules", method: http.MethodGet, path: schedulesPath, tag: "schedules", summary: "List schedules, by name", role: fleet.Viewer,
	}, s.listSchedules)
	register(s, operation{
		id: "createSchedule", method: http.MethodPost, path: schedulesPath, tag: "schedules", summary: "Add a schedule", role: fleet.Admin,
		status: http.StatusCreated, description: "It collects within the current scope of whoever adds it, and is effective within seconds. Each of its moments is recorded: see its firings.",
	}, s.createSchedule)
	register(s, operation{
		id: "getSchedule", method: http.MethodGet, path: schedulesPath + "/{id}", tag: "schedules", summary: "One schedule", role: fleet.Viewer,
	}, s.getSchedule)
	register(s, operation{
		id: "updateSchedule", method: http.MethodPatch, path: schedulesPath + "/{id}", tag: "schedules", summary: "Change a schedule", role: fleet.Admin,
		description: "If the change is about when it is due, or it was paused, it begins anew from now: moments that passed are not made up for.",
	}, s.updateSchedule)
	register(s, operation{
		id: "deleteSchedule", method: http.MethodDelete, path: schedulesPath + "/{id}", tag: "schedules", summary: "Delete a schedule", role: fleet.Admin,
	}, s.deleteSchedule)
	register(s, operation{
		id: "runSchedule", method: http.MethodPost, path: schedulesPath + "/{id}/run", tag: "schedules", summary: "Collect at once what a schedule would",
		role: fleet.Operator, status: http.StatusAccepted, description: "On behalf of the caller, without jitter, and whatever overlap and blackouts say. No firing is recorded.",
	}, s.runSchedule)
	register(s, operation{
		id: "nextFirings", method: http.MethodGet, path: schedulesPath + "/{id}/next", tag: "schedules", summary: "When a schedule is due next", role: fleet.Viewer,
		description: "Up to its end. Moments within a blackout are marked: they will be skipped.",
	}, s.nextFirings)
	register(s, operation{
		id: "listFirings", method: http.MethodGet, path: schedulesPath + "/{id}/firings", tag: "schedules", role: fleet.Viewer,
		summary:     "What came of a schedule's moments, newest first",
		description: "Each moment has exactly one, or is counted as missed by the one that stands for it.",
	}, s.listFirings)
}

type schedulesInput struct {
	Paged
	Name    string `query:"name" maxLength:"128" doc:"only the one of that name"`
	Enabled string `query:"enabled" enum:"true,false" doc:"only those, or only paused ones"`
}

func (s *server) listSchedules(ctx context.Context, in *schedulesInput) (*body[wire.List[wire.Schedule]], error) {
	filter := store.ScheduleFilter{Name: in.Name}
	if in.Enabled != "" {
		filter.Enabled = new(in.Enabled == "true")
	}
	found, next, err := s.Store.Schedules(ctx, session.Actor(ctx).Scope(), filter, in.page())
	if err != nil {
		return nil, err
	}
	return answer(wire.ListOf(found, next, wire.ScheduleView)), nil
}

type createScheduleInput struct{ Body wire.ScheduleInput }

func (s *server) createSchedule(ctx context.Context, in *createScheduleInput) (*made[wire.Schedule], error) {
	sch, err := s.Schedules.Add(ctx, session.Actor(ctx), in.Body.Schedule())
	if err != nil {
		return nil, err
	}
	return &made[wire.Schedule]{
		Location: prefix + schedulesPath + "/" + sch.ID.String(), ETag: etagOf(sch.Version), Body: wire.ScheduleView(sch),
	}, nil
}

func (s *server) getSchedule(ctx context.Context, in *ByID) (*versioned[wire.Schedule], error) {
	sch, err := s.Store.Schedule(ctx, session.Actor(ctx).Scope(), in.ID)
	return scheduleBody(sch, err)
}

func scheduleBody(sch fleet.Schedule, err error) (*versioned[wire.Schedule], error) {
	if err != nil {
		return nil, err
	}
	return &versioned[wire.Schedule]{ETag: etagOf(sch.Version), Body: wire.ScheduleView(sch)}, nil
}

type updateScheduleInput struct {
	ByID
	IfMatch
	Body    wire.SchedulePatch
	RawBody []byte `contentType:"application/merge-patch+json"`
}

func (s *server) updateSchedule(ctx context.Context, in *updateScheduleInput) (*versioned[wire.Schedule], error) {
	version, err := in.version()
	if err != nil {
		return nil, err
	}
	before, err := s.Store.Schedule(ctx, session.Actor(ctx).Scope(), in.ID)
	if err != nil {
		return nil, err
	}
	if version == 0 {
		version = before.Version
	}
	changed, err := patched(wire.ScheduleInputOf(before), in.RawBody)
	if err != nil {
		return nil, err
	}
	after := changed.Schedule()
	after.ID, after.Version = before.ID, version
	sch, err := s.Schedules.Update(ctx, session.Actor(ctx), after)
	return scheduleBody(sch, err)
}

func (s *server) deleteSchedule(ctx context.Context, in *ByID) (*none, error) {
	return &none{}, s.Schedules.Remove(ctx, session.Actor(ctx), in.ID)
}

func (s *server) runSchedule(ctx context.Context, in *ByID) (*retried, error) {
	c, err := s.Schedules.RunNow(ctx, session.Actor(ctx), in.ID)
	if err != nil {
		return nil, err
	}
	return &retried{Location: locationOf(c), Body: wire.CollectionView(c)}, nil
}

type nextInput struct {
	ByID
	N int `query:"n" minimum:"1" maximum:"100" default:"10" doc:"how many"`
}

func (s *server) nextFirings(ctx context.Context, in *nextInput) (*body[wire.List[wire.Moment]], error) {
	moments, err := s.Schedules.Next(ctx, session.Actor(ctx).Scope(), in.ID, in.N)
	if err != nil {
		return nil, err
	}
	return answer(wire.ListOf(moments, "", func(u schedule.Upcoming) wire.Moment { return wire.MomentView(u.At, u.Blackout) })), nil
}

type firingsInput struct {
	ByID
	Paged
}

func (s *server) listFirings(ctx context.Context, in *firingsInput) (*body[wire.List[wire.Firing]], error) {
	if _, err := s.Store.Schedule(ctx, session.Actor(ctx).Scope(), in.ID); err != nil {
		return nil, err
	}
	firings, next, err := s.Store.Firings(ctx, in.ID, in.page())
	if err != nil {
		return nil, err
	}
	return answer(wire.ListOf(firings, next, wire.FiringView)), nil
}
