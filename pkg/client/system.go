package client

import (
	"context"
	"net/http"
	"net/url"

	"github.com/rollcallhq/rollcall/pkg/wire"
)

// Storage returns what the server's database holds and how it grows. It is refused to those who may see only some hosts.
func (c *Client) Storage(ctx context.Context) (wire.Storage, error) {
	var s wire.Storage
	return s, c.get(ctx, "/system/storage", nil, &s)
}

func retentionPath(reportType string) string {
	return "/system/retention/" + url.PathEscape(reportType)
}

// Retention returns the types of report that are kept shorter than the others, by name.
func (c *Client) Retention(ctx context.Context) ([]wire.TypeRetention, error) {
	return listed[wire.TypeRetention](ctx, c, "/system/retention", nil)
}

// SetRetention keeps a type of report for so many days only. What is older is removed, and does not come back.
func (c *Client) SetRetention(ctx context.Context, reportType string, days int, options ...CallOption) (wire.TypeRetention, error) {
	var set wire.TypeRetention
	r := c.newCall(http.MethodPut, retentionPath(reportType), options)
	if err := r.withBody(jsonType, wire.TypeRetentionInput{Days: days}); err != nil {
		return set, err
	}
	return set, c.do(ctx, r, &set)
}

// UnsetRetention keeps a type of report as long as the others again.
func (c *Client) UnsetRetention(ctx context.Context, reportType string) error {
	return c.remove(ctx, retentionPath(reportType), nil)
}
