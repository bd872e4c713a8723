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

// Diff returns what differs between two reports of one type, of one host or of two; uuid.Nil as to is the newest report
// of the host and type of from.
func (c *Client) Diff(ctx context.Context, from, to uuid.UUID) (wire.Diff, error) {
	query := url.Values{}
	if to != uuid.Nil {
		query.Set("to", to.String())
	}
	var diff wire.Diff
	return diff, c.get(ctx, "/reports/"+from.String()+"/diff", query, &diff)
}

// A HistoryQuery says which fact's history to read.
type HistoryQuery struct {
	Type  string    // of the reports
	Path  string    // of the fact, as changes name it
	Since time.Time // inclusive; zero: from the beginning
	Until time.Time // exclusive; zero: until now
}

// History returns the values that one fact of a host has had and when, newest first, fetched page by page. An error
// ends them.
func (c *Client) History(ctx context.Context, host uuid.UUID, q HistoryQuery, options ...CallOption) iter.Seq2[wire.PathPeriod, error] {
	query := url.Values{}
	set(query, "type", q.Type)
	set(query, "path", q.Path)
	setTime(query, "since", q.Since)
	setTime(query, "until", q.Until)
	return pages[wire.PathPeriod](ctx, c, "/hosts/"+host.String()+"/history", query, options)
}

// A MetricQuery says which metrics to read, and how closely.
type MetricQuery struct {
	Type  string        // of the reports
	Path  string        // a pattern, such as filesystems.*.used_bytes: a series for each metric that matches
	Since time.Time     // inclusive; zero: 24 hours before Until
	Until time.Time     // exclusive; zero: now
	Step  time.Duration // whole seconds; 0: what makes about 240 points
}

// Metrics returns metrics of a host over time, thinned out to one point per step.
func (c *Client) Metrics(ctx context.Context, host uuid.UUID, q MetricQuery) (wire.HostMetrics, error) {
	query := url.Values{}
	set(query, "type", q.Type)
	set(query, "path", q.Path)
	setTime(query, "since", q.Since)
	setTime(query, "until", q.Until)
	if q.Step > 0 {
		query.Set("step", strconv.FormatInt(int64(q.Step/time.Second), 10))
	}
	var metrics wire.HostMetrics
	return metrics, c.get(ctx, "/hosts/"+host.String()+"/metrics", query, &metrics)
}
