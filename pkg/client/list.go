package client

import (
	"context"
	"errors"
	"iter"
	"maps"
	"net/http"
	"net/url"
	"time"

	"github.com/rollcallhq/rollcall/pkg/wire"
)

// maxPage is how many items the server puts on a page at most.
const maxPage = 1000

// pages returns the items of a list, fetched page by page as they are asked for. An error is the last pair.
func pages[T any](ctx context.Context, c *Client, path string, query url.Values, options []CallOption) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		var none T
		r := c.newCall(http.MethodGet, path, options)
		maps.Copy(r.query, query)
		for {
			var page wire.List[T]
			if err := c.do(ctx, r, &page); err != nil {
				yield(none, err)
				return
			}
			for _, item := range page.Items {
				if !yield(item, nil) {
					return
				}
			}
			if page.NextCursor == nil {
				return
			}
			if *page.NextCursor == r.query.Get("cursor") {
				yield(none, errors.New("the server answers with the same page again and again"))
				return
			}
			r.query.Set("cursor", *page.NextCursor)
		}
	}
}

// listed returns the items of a list that has one page.
func listed[T any](ctx context.Context, c *Client, path string, query url.Values) ([]T, error) {
	var list wire.List[T]
	if err := c.get(ctx, path, query, &list); err != nil {
		return nil, err
	}
	return list.Items, nil
}

// set sets a parameter of a query unless its value is empty.
func set(query url.Values, name, value string) {
	if value != "" {
		query.Set(name, value)
	}
}

// setTime sets a parameter of a query unless the time is zero.
func setTime(query url.Values, name string, t time.Time) {
	if !t.IsZero() {
		query.Set(name, t.UTC().Format(time.RFC3339Nano))
	}
}

// inPath returns a name as a part of a path.
func inPath(name string) string { return url.PathEscape(name) }
