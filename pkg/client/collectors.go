package client

import (
	"context"
	"net/http"
	"net/url"

	"github.com/google/uuid"

	"github.com/rollcallhq/rollcall/pkg/wire"
)

func collectorPath(name string) string { return "/collectors/" + url.PathEscape(name) }

// Collector returns a collector, a custom one with its newest definition.
func (c *Client) Collector(ctx context.Context, name string) (wire.Collector, error) {
	var collector wire.Collector
	return collector, c.get(ctx, collectorPath(name), nil, &collector)
}

// AddCollector adds a custom collector.
func (c *Client) AddCollector(ctx context.Context, in wire.CollectorDefinition, options ...CallOption) (wire.Collector, error) {
	var collector wire.Collector
	return collector, c.post(ctx, "/collectors", in, &collector, options)
}

// ReplaceCollector gives a custom collector a new definition, which is a new version. It is sent once.
func (c *Client) ReplaceCollector(ctx context.Context, in wire.CollectorDefinition, options ...CallOption) (wire.Collector, error) {
	var collector wire.Collector
	r := c.newCall(http.MethodPut, collectorPath(in.Name), options)
	if err := r.withBody(jsonType, in); err != nil {
		return collector, err
	}
	return collector, c.do(ctx, r, &collector)
}

// RemoveCollector removes a custom collector. Its reports stay.
func (c *Client) RemoveCollector(ctx context.Context, name string) error {
	return c.remove(ctx, collectorPath(name), nil)
}

// TryCollector runs a custom collector on one host; Watch follows the collection, and Trial returns what it told.
func (c *Client) TryCollector(ctx context.Context, name string, in wire.TryInput, options ...CallOption) (wire.Collection, error) {
	var collection wire.Collection
	return collection, c.post(ctx, collectorPath(name)+"/try", in, &collection, options)
}

// Trial returns what came of trying a collector, for a day.
func (c *Client) Trial(ctx context.Context, collection uuid.UUID) (wire.Trial, error) {
	var trial wire.Trial
	return trial, c.get(ctx, "/collections/"+collection.String()+"/trial", nil, &trial)
}
