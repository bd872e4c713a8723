package client

import (
	"context"

	"github.com/rollcallhq/rollcall/pkg/wire"
)

// Sites returns the sites, by name: the hosts in them as far as the caller may see them, the workers that serve them, and
// what waits.
func (c *Client) Sites(ctx context.Context) ([]wire.Site, error) {
	return listed[wire.Site](ctx, c, "/sites", nil)
}

// Workers returns the workers that are alive, the newest first.
func (c *Client) Workers(ctx context.Context) ([]wire.Worker, error) {
	return listed[wire.Worker](ctx, c, "/workers", nil)
}
