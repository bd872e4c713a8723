package client

import (
	"context"
	"encoding/json"
	"fmt"
	"iter"
	"net/url"
	"strconv"

	"github.com/google/uuid"

	"github.com/rollcallhq/rollcall/pkg/wire"
)

// A ScheduleQuery says which schedules are meant. Its zero value means all.
type ScheduleQuery struct {
	Name    string // the one of that name
	Enabled *bool  // only those, or only paused ones
}

// Schedules returns schedules by name, fetched page by page. An error ends them.
func (c *Client) Schedules(ctx context.Context, q ScheduleQuery, options ...CallOption) iter.Seq2[wire.Schedule, error] {
	query := url.Values{}
	if q.Name != "" {
		query.Set("name", q.Name)
	}
	if q.Enabled != nil {
		query.Set("enabled", strconv.FormatBool(*q.Enabled))
	}
	return pages[wire.Schedule](ctx, c, "/schedules", query, options)
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

// UpdateSchedule changes what patch says of a schedule, and clears the fields that are named, such as ends_at.
func (c *Client) UpdateSchedule(ctx context.Context, id uuid.UUID, patch wire.SchedulePatch, clears []string, options ...CallOption) (wire.Schedule, error) {
	var schedule wire.Schedule
	if len(clears) == 0 {
		return schedule, c.patch(ctx, schedulePath(id), patch, &schedule, options)
	}
	text, err := json.Marshal(patch)
	if err != nil {
		return schedule, fmt.Errorf("encoding a patch: %w", err)
	}
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(text, &fields); err != nil {
		return schedule, fmt.Errorf("encoding a patch: %w", err)
	}
	for _, field := range clears {
		fields[field] = json.RawMessage("null")
	}
	return schedule, c.patch(ctx, schedulePath(id), fields, &schedule, options)
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
func (c *Client) NextFirings(ctx context.Context, id uuid.UUID, n int) ([]wire.Moment, error) {
	return listed[wire.Moment](ctx, c, schedulePath(id)+"/next", url.Values{"n": {strconv.Itoa(n)}})
}

// Firings returns what came of a schedule's moments, newest first, fetched page by page. An error ends them.
func (c *Client) Firings(ctx context.Context, id uuid.UUID, options ...CallOption) iter.Seq2[wire.Firing, error] {
	return pages[wire.Firing](ctx, c, schedulePath(id)+"/firings", nil, options)
}
