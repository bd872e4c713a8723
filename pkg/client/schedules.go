package client

import (
	"context"
	"iter"
	"net/url"
	"strconv"
	"time"

	"github.com/google/uuid"

	"github.com/rollcallhq/rollcall/pkg/wire"
)

// Schedules returns schedules by name, fetched page by page. An error ends them.
func (c *Client) Schedules(ctx context.Context, options ...CallOption) iter.Seq2[wire.Schedule, error] {
	return pages[wire.Schedule](ctx, c, "/schedules", nil, options)
}

// Schedule returns one schedule.
func (c *Client) Schedule(ctx context.Context, id uuid.UUID) (wire.Schedule, error) {
	var schedule wire.Schedule
	return schedule, c.get(ctx, schedulePath(id), nil, &schedule)
}

func schedulePath(id uuid.UUID) string { return "/schedules/" + id.String() }

// AddSchedule adds a schedule. It collects within the current scope of the caller.
func (c *Client) AddSchedule(ctx context.Context, in wire.ScheduleInput, options ...CallOption) (wire.Schedule, error) {
	var schedule wire.Schedule
	return schedule, c.post(ctx, "/schedules", in, &schedule, options)
}

// UpdateSchedule changes what patch says of a schedule.
func (c *Client) UpdateSchedule(ctx context.Context, id uuid.UUID, patch wire.SchedulePatch, options ...CallOption) (wire.Schedule, error) {
	var schedule wire.Schedule
	return schedule, c.patch(ctx, schedulePath(id), patch, &schedule, options)
}

// RemoveSchedule deletes a schedule. What it has collected stays.
func (c *Client) RemoveSchedule(ctx context.Context, id uuid.UUID) error {
	return c.remove(ctx, schedulePath(id), nil)
}

// RunSchedule collects at once what the schedule would.
func (c *Client) RunSchedule(ctx context.Context, id uuid.UUID, options ...CallOption) (wire.Collection, error) {
	var collection wire.Collection
	return collection, c.post(ctx, schedulePath(id)+"/run", nil, &collection, options)
}

// NextFirings returns the next n moments of a schedule, 1 to 100.
func (c *Client) NextFirings(ctx context.Context, id uuid.UUID, n int) ([]time.Time, error) {
	moments, err := listed[wire.Moment](ctx, c, schedulePath(id)+"/next", url.Values{"n": {strconv.Itoa(n)}})
	if err != nil {
		return nil, err
	}
	times := make([]time.Time, 0, len(moments))
	for _, m := range moments {
		times = append(times, m.DueAt)
	}
	return times, nil
}

// Firings returns what came of a schedule's moments, newest first, fetched page by page. An error ends them.
func (c *Client) Firings(ctx context.Context, id uuid.UUID, options ...CallOption) iter.Seq2[wire.Firing, error] {
	return pages[wire.Firing](ctx, c, schedulePath(id)+"/firings", nil, options)
}
