package rest

import (
	"context"
	"encoding/json"
	"slices"

	"github.com/danielgtaylor/huma/v2"

	"github.com/rollcallhq/rollcall/api/internal/session"
	"github.com/rollcallhq/rollcall/pkg/fleet"
	"github.com/rollcallhq/rollcall/pkg/store"
	"github.com/rollcallhq/rollcall/pkg/wire"
)

// changesAtOnce is how many changes a stream reads in one look. If there are more it looks again at once.
const changesAtOnce = 200

type streamChangesInput struct {
	WhichChanges
	Cursor      string `query:"cursor" maxLength:"1024" doc:"position or next_cursor of a page of /changes, to begin after it"`
	LastEventID string `header:"Last-Event-ID" maxLength:"1024" doc:"of an earlier stream, to go on after it; it wins over cursor"`
}

// begin returns the place in the feed at which the stream begins.
func (in *streamChangesInput) begin() string {
	switch {
	case in.LastEventID != "":
		return in.LastEventID
	case in.Cursor != "" || !in.Since.IsZero():
		return in.Cursor
	}
	return store.FeedEnd
}

func (s *server) streamChanges(ctx context.Context, in *streamChangesInput) (*huma.StreamResponse, error) {
	filter, err := s.changeFilter(ctx, in.WhichChanges)
	if err != nil {
		return nil, err
	}
	scope := session.Actor(ctx).Scope()
	out, err := s.stream(ctx, &watchedChanges{at: in.begin(), read: func(ctx context.Context, page fleet.Page) (store.ChangePage, error) {
		return s.Store.Changes(ctx, scope, filter, page)
	}})
	if in.LastEventID != "" && isAbout(err, "cursor") {
		return nil, fleet.InvalidField("Last-Event-ID", "no event of this feed has such an ID")
	}
	return out, err
}

// isAbout reports whether err names field as a bad one.
func isAbout(err error, field string) bool {
	return slices.ContainsFunc(fleet.FieldsOf(err), func(f fleet.FieldError) bool { return f.Field == field })
}

// watchedChanges shows the feed of changes from a place on.
type watchedChanges struct {
	read  func(context.Context, fleet.Page) (store.ChangePage, error)
	at    string // what was looked at so far
	found []fleet.Change
	more  bool
}

func (c *watchedChanges) look(ctx context.Context) error {
	c.more = false // if it fails, the next one has its time
	page, err := c.read(ctx, fleet.Page{Limit: changesAtOnce, After: c.at})
	if err == nil {
		c.at, c.found, c.more = page.Position, page.Items, page.More
	}
	return err
}

func (c *watchedChanges) show() ([]event, next, error) {
	events, then := make([]event, 0, len(c.found)), nextWait
	for _, change := range c.found {
		data, err := json.Marshal(wire.ChangeView(change))
		if err != nil {
			return nil, nextEnd, err
		}
		events = append(events, event{id: change.Cursor, name: "change", data: data})
	}
	if c.more {
		then = nextLook
	}
	c.found = nil
	return events, then, nil
}

func (c *watchedChanges) position() string { return c.at }
