package client

import (
	"context"
	"iter"
	"maps"
	"net/http"
	"net/url"
	"time"

	"github.com/google/uuid"

	"github.com/rollcallhq/rollcall/pkg/wire"
)

// A FreshnessQuery picks what became of hosts; the zero value picks all that the caller may see.
type FreshnessQuery struct {
	HostID   uuid.UUID // uuid.Nil: of any host
	Selector string    // such as env=prod; empty: of all hosts
	Status   string    // what became so: fresh, stale, failing, never or disabled; empty: anything
	Since    time.Time // inclusive; zero: from the beginning
}

func (q FreshnessQuery) values() url.Values {
	query := url.Values{}
	if q.HostID != uuid.Nil {
		query.Set("host_id", q.HostID.String())
	}
	set(query, "selector", q.Selector)
	set(query, "status", q.Status)
	setTime(query, "since", q.Since)
	return query
}

// Freshness returns what became of hosts, oldest first, fetched page by page, until there is no more for now. An error
// ends it. It begins at *at, a place in the feed, and moves it on as Changes does: empty is the beginning, Now the end.
func (c *Client) Freshness(ctx context.Context, q FreshnessQuery, at *string, options ...CallOption) iter.Seq2[wire.FreshnessChange, error] {
	return func(yield func(wire.FreshnessChange, error) bool) {
		r := c.newCall(http.MethodGet, "/freshness", options)
		maps.Copy(r.query, q.values())
		for {
			set(r.query, "cursor", *at)
			var page wire.FreshnessList
			if err := c.do(ctx, r, &page); err != nil {
				yield(wire.FreshnessChange{}, err)
				return
			}
			for _, change := range page.Items {
				if !yield(change, nil) {
					return
				}
			}
			*at = page.Position
			if len(page.Items) == 0 {
				return
			}
		}
	}
}
