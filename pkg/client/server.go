package client

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"time"

	"github.com/rollcallhq/rollcall/pkg/wire"
)

// Health asks a server how well it is. One that says that it is down is no error.
func (c *Client) Health(ctx context.Context) (wire.Health, error) {
	r := c.newCall(http.MethodGet, "", nil)
	r.path, r.open, r.again = "/health", true, false
	a, err := c.exchange(ctx, r)
	if err != nil {
		return wire.Health{}, err
	}
	var h wire.Health
	isHealth := isMedia(a.header, jsonType) && json.Unmarshal(a.content, &h) == nil && h.Status != ""
	if !isHealth || a.status != http.StatusOK && a.status != http.StatusServiceUnavailable {
		return wire.Health{}, errorOf(r, a)
	}
	return h, nil
}

// A ServerInfo is what a server says of itself.
type ServerInfo struct {
	Version string
	// Skew is how far the server's clock is ahead of ours, right to a second and half the time that the answer took;
	// 0 if the server did not say the time.
	Skew time.Duration
	Took time.Duration
}

// Server asks a server for its version and compares the clocks.
func (c *Client) Server(ctx context.Context) (ServerInfo, error) {
	r := c.newCall(http.MethodGet, "", nil)
	r.path, r.open = "/openapi.json", true
	began := time.Now()
	a, err := c.exchange(ctx, r)
	if err != nil {
		return ServerInfo{}, err
	}
	took := time.Since(began)
	if a.status != http.StatusOK || !isMedia(a.header, jsonType) {
		return ServerInfo{}, errorOf(r, a)
	}
	var document struct {
		Info struct {
			Version string `json:"version"`
		} `json:"info"`
	}
	if err := json.Unmarshal(a.content, &document); err != nil {
		return ServerInfo{}, fmt.Errorf("reading the OpenAPI document: %w", err)
	}
	info := ServerInfo{Version: document.Info.Version, Took: took}
	if at, err := http.ParseTime(a.header.Get("Date")); err == nil {
		info.Skew = at.Add(time.Second / 2).Sub(began.Add(took / 2)) // Date has whole seconds, cut off
	}
	return info, nil
}
