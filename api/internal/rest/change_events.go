package rest

import (
	"context"
	"encoding/json"

	"github.com/danielgtaylor/huma/v2"

	"github.com/rollcallhq/rollcall/api/internal/session"
	"github.com/rollcallhq/rollcall/pkg/fleet"
	"github.com/rollcallhq/rollcall/pkg/wire"
)

type streamChangesInput struct {
	WhichChanges
	Cursor      string `query:"cursor" maxLength:"1024" doc:"position or next_cursor of a page of /changes, to begin after it"`
	LastEventID string `header:"Last-Event-ID" maxLength:"1024" doc:"of an earlier stream, to go on after it; it wins over cursor"`
}

func (s *server) streamChanges(ctx context.Context, in *streamChangesInput) (*huma.StreamResponse, error) {
	filter, err := s.changeFilter(ctx, in.WhichChanges)
	if err != nil {
		return nil, err
	}
	scope := session.Actor(ctx).Scope()
	return s.streamFeed(ctx, in.LastEventID, in.Cursor, in.Since, func(ctx context.Context, page fleet.Page) (feedPage, error) {
		found, err := s.Store.Changes(ctx, scope, filter, page)
		if err != nil {
			return feedPage{}, err
		}
		out := feedPage{position: found.Position, more: found.More}
		for _, change := range found.Items {
			data, err := json.Marshal(wire.ChangeView(change))
			if err != nil {
				return out, err
			}
			out.events = append(out.events, event{id: change.Cursor, name: "change", data: data})
		}
		return out, nil
	})
}
