package rest

import (
	"context"
	"slices"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/rollcallhq/rollcall/pkg/fleet"
	"github.com/rollcallhq/rollcall/pkg/store"
)

// feedAtOnce is how much of a feed a stream reads in one look. If there is more it looks again at once.
const feedAtOnce = 200

// A feedPage is a page of a feed as events.
type feedPage struct {
	events   []event
	position string // after everything that was looked at
	more     bool
}

// streamFeed answers with a stream of a feed: after the last event that the client has seen, else after the cursor, else
// from since on, else from now on.
func (s *server) streamFeed(ctx context.Context, lastEventID, cursor string, since time.Time,
	read func(context.Context, fleet.Page) (feedPage, error),
) (*huma.StreamResponse, error) {
	feed := &watchedFeed{read: read, at: store.FeedEnd}
	switch {
	case lastEventID != "":
		feed.at = lastEventID
	case cursor != "" || !since.IsZero():
		feed.at = cursor
	}
	out, err := s.stream(ctx, feed)
	if lastEventID != "" && isAbout(err, "cursor") {
		return nil, fleet.InvalidField("Last-Event-ID", "no event of this feed has such an ID")
	}
	return out, err
}

// isAbout reports whether err names field as a bad one.
func isAbout(err error, field string) bool {
	return slices.ContainsFunc(fleet.FieldsOf(err), func(f fleet.FieldError) bool { return f.Field == field })
}

// watchedFeed shows a feed from a place on.
type watchedFeed struct {
	read func(context.Context, fleet.Page) (feedPage, error)
	at   string // what was looked at so far
	now  feedPage
}

func (f *watchedFeed) look(ctx context.Context) error {
	f.now.more = false // if it fails, the next one has its time
	page, err := f.read(ctx, fleet.Page{Limit: feedAtOnce, After: f.at})
	if err == nil {
		f.at, f.now = page.position, page
	}
	return err
}

func (f *watchedFeed) show() ([]event, next, error) {
	events, then := f.now.events, nextWait
	if f.now.more {
		then = nextLook
	}
	f.now.events = nil
	return events, then, nil
}

func (f *watchedFeed) position() string { return f.at }
