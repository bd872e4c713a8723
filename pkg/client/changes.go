package client

import (
	"context"
	"encoding/json"
	"errors"
	"iter"
	"maps"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/google/uuid"

	"github.com/rollcallhq/rollcall/pkg/wire"
)

// Now is the end of the feed of changes: reading on from there yields what changes from now on.
const Now = "now"

const changesPath = "/changes"

// A ChangeQuery picks changes; the zero value picks all that the caller may see.
type ChangeQuery struct {
	HostID   uuid.UUID // uuid.Nil: of any host
	Selector string    // such as env=prod; empty: of all hosts
	Type     string    // of the reports
	Path     string    // a pattern, such as packages.*.version; what lies below a path that matches is picked, too
	Since    time.Time // inclusive; zero: from the beginning
	Until    time.Time // exclusive; zero: without an end
}

func (q ChangeQuery) values() url.Values {
	query := url.Values{}
	if q.HostID != uuid.Nil {
		query.Set("host_id", q.HostID.String())
	}
	set(query, "selector", q.Selector)
	set(query, "type", q.Type)
	set(query, "path", q.Path)
	setTime(query, "since", q.Since)
	setTime(query, "until", q.Until)
	return query
}

// Changes returns changes, oldest first, fetched page by page, until there are no more for now. An error ends them.
//
// It begins at *at, a place in the feed: empty is its beginning, Now its end. As changes are handed out it moves *at
// on, so that afterwards, and in another process, reading goes on there: nothing is missed and nothing comes twice.
// Who leaves the loop early reads the page that he was on again. While the loop runs, *at is the loop's.
func (c *Client) Changes(ctx context.Context, q ChangeQuery, at *string, options ...CallOption) iter.Seq2[wire.Change, error] {
	return func(yield func(wire.Change, error) bool) {
		_, err := c.readChanges(ctx, q, at, options, yield)
		if err != nil {
			yield(wire.Change{}, err)
		}
	}
}

// readChanges passes on the changes from *at until there are none for now or nobody wants more, which it reports.
func (c *Client) readChanges(ctx context.Context, q ChangeQuery, at *string, options []CallOption, yield func(wire.Change, error) bool) (over bool, err error) {
	r := c.newCall(http.MethodGet, changesPath, options)
	maps.Copy(r.query, q.values())
	for {
		set(r.query, "cursor", *at)
		var page wire.ChangeList
		if err := c.do(ctx, r, &page); err != nil {
			return false, err
		}
		if page.Position == "" || len(page.Items) > 0 && page.Position == *at {
			return false, errors.New("the server does not say where its page of changes ends")
		}
		for i, change := range page.Items {
			if i == len(page.Items)-1 {
				*at = page.Position
			}
			if !yield(change, nil) {
				return true, nil
			}
		}
		*at = page.Position
		if len(page.Items) == 0 {
			return false, nil
		}
	}
}

// FollowChanges returns changes, oldest first: those from *at on, as Changes does, and then those to come, until the loop
// is left or ctx ends.
//
// It follows the server's events, comes again when they break off, as when the server is restarted, and reads page by
// page where they cannot be had; in any case nothing is missed and nothing comes twice. A server that is away is waited
// for without an end; lost, unless nil, is called each time that takes long enough for somebody to want to know. An
// error ends the changes: one of the first answer, or one that stays.
func (c *Client) FollowChanges(ctx context.Context, q ChangeQuery, at *string, lost func(error)) iter.Seq2[wire.Change, error] {
	return func(yield func(wire.Change, error) bool) {
		f := &follower{client: c, doing: "following the changes", lost: lost}
		f.events = func() call {
			r := c.newCall(http.MethodGet, changesPath+"/events", nil)
			maps.Copy(r.query, q.values())
			set(r.query, "cursor", *at)
			return r
		}
		f.poll = func(ctx context.Context) error {
			before := *at
			var err error
			f.over, err = c.readChanges(ctx, q, at, []CallOption{PageSize(maxPage)}, yield)
			f.met = f.met || *at != before
			return err
		}
		f.take = func(e event) error {
			change, err := changeOf(e)
			if err != nil {
				return err
			}
			if e.id != "" {
				*at = e.id
			}
			f.over = change != nil && !yield(*change, nil)
			return nil
		}
		// The pages tell where the feed is: a stream that breaks off before its first event could not say where to go on.
		err := f.poll(ctx)
		if err == nil || f.met {
			f.met = true
			err = f.run(ctx)
		}
		if err != nil {
			yield(wire.Change{}, err)
		}
	}
}

// changeOf returns the change that an event tells of; nil if it tells of none.
func changeOf(e event) (*wire.Change, error) {
	if e.name != "change" {
		return nil, nil //nolint:nilnil // an event of a later release, or one that only says how far the stream is
	}
	var change wire.Change
	if err := json.Unmarshal([]byte(e.data), &change); err != nil || e.id == "" {
		return nil, errNoStream
	}
	return &change, nil
}

// LastChanges returns changes, newest first, fetched page by page. An error ends them.
func (c *Client) LastChanges(ctx context.Context, q ChangeQuery, options ...CallOption) iter.Seq2[wire.Change, error] {
	query := q.values()
	query.Set("order", "newest")
	return pages[wire.Change](ctx, c, changesPath, query, options)
}

// ChangeGroups returns changes that hosts have in common, the one seen last first, fetched page by page; without
// q.Since those of the last seven days. An error ends them.
func (c *Client) ChangeGroups(ctx context.Context, q ChangeQuery, options ...CallOption) iter.Seq2[wire.ChangeGroup, error] {
	query := q.values()
	query.Set("group", strconv.FormatBool(true))
	return pages[wire.ChangeGroup](ctx, c, changesPath, query, options)
}
