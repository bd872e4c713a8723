package client

import (
	"context"
	"iter"
	"net/url"

	"github.com/google/uuid"

	"github.com/rollcallhq/rollcall/pkg/wire"
)

// Collect asks for reports and returns as soon as the collection is stored; Watch follows it. Whatever in says of
// DryRun, it is done: Preview is for that.
func (c *Client) Collect(ctx context.Context, in wire.CollectionInput, options ...CallOption) (wire.Collection, error) {
	in.DryRun = nil
	var collection wire.Collection
	return collection, c.post(ctx, "/collections", in, &collection, options)
}

// Preview returns what Collect would do.
func (c *Client) Preview(ctx context.Context, in wire.CollectionInput) (wire.Preview, error) {
	in.DryRun = new(true)
	var preview wire.Preview
	return preview, c.post(ctx, "/collections", in, &preview, nil)
}

// Collections returns collections, newest first, fetched page by page. An error ends them.
func (c *Client) Collections(ctx context.Context, options ...CallOption) iter.Seq2[wire.Collection, error] {
	return pages[wire.Collection](ctx, c, "/collections", nil, options)
}

// Collection returns one collection and how far it is.
func (c *Client) Collection(ctx context.Context, id uuid.UUID) (wire.Collection, error) {
	var collection wire.Collection
	return collection, c.get(ctx, "/collections/"+id.String(), nil, &collection)
}

// A TaskQuery picks tasks of a collection; the zero value picks all.
type TaskQuery struct {
	State string // queued, running, succeeded, partial, failed or cancelled
	Code  string // why they failed, such as tcp_refused
}

// Tasks returns how a collection went per host, fetched page by page. An error ends them.
func (c *Client) Tasks(ctx context.Context, collection uuid.UUID, q TaskQuery, options ...CallOption) iter.Seq2[wire.Task, error] {
	query := url.Values{}
	set(query, "state", q.State)
	set(query, "code", q.Code)
	return pages[wire.Task](ctx, c, "/collections/"+collection.String()+"/tasks", query, options)
}

// Cancel cancels a collection: hosts that wait are not asked any more, those being asked are left within seconds.
func (c *Client) Cancel(ctx context.Context, id uuid.UUID, options ...CallOption) (wire.Collection, error) {
	var collection wire.Collection
	return collection, c.post(ctx, "/collections/"+id.String()+"/cancel", nil, &collection, options)
}

// Retry makes a new collection of the hosts of another one whose tasks ended as in says; by default those that are
// failed or partial.
func (c *Client) Retry(ctx context.Context, id uuid.UUID, in wire.RetryInput, options ...CallOption) (wire.Collection, error) {
	var collection wire.Collection
	return collection, c.post(ctx, "/collections/"+id.String()+"/retry", in, &collection, options)
}

// Collectors returns what can be collected.
func (c *Client) Collectors(ctx context.Context) ([]wire.Collector, error) {
	return listed[wire.Collector](ctx, c, "/collectors", nil)
}
