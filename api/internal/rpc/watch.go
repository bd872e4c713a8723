package rpc

import (
	"context"
	"time"

	"github.com/google/uuid"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"

	"github.com/rollcallhq/rollcall/pkg/fleet"
	rollcallv1 "github.com/rollcallhq/rollcall/proto/rollcall/v1"
)

// A watchKey is what those who watch the same collection through the same scope have in common.
type watchKey struct {
	collection uuid.UUID
	scope      scopeKey
}

// WatchCollection sends a collection whenever it has changed, until it has ended.
func (s *server) WatchCollection(r *rollcallv1.WatchCollectionRequest, out grpc.ServerStreamingServer[rollcallv1.WatchCollectionResponse]) error {
	ctx := out.Context()
	if r.GetCollectionId() == "" {
		return fleet.InvalidField("collection_id", "say which collection")
	}
	id, err := idOf("collection_id", r.GetCollectionId())
	if err != nil {
		return err
	}
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	var sent *rollcallv1.Collection
	for {
		c, err := s.watched(ctx, id)
		if err != nil {
			return err
		}
		if v := viewCollection(c); !proto.Equal(sent, v) {
			if err := out.Send(&rollcallv1.WatchCollectionResponse{Collection: v}); err != nil {
				return err
			}
			sent = v
		}
		if c.State.Ended() {
			return nil
		}
		select {
		case <-tick.C:
		case <-s.Stopping:
			return errStopping()
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// watched returns the collection as the caller may see it now.
func (s *server) watched(ctx context.Context, id uuid.UUID) (fleet.Collection, error) {
	actor, err := s.renewed(ctx)
	if err != nil {
		return fleet.Collection{}, err
	}
	scope := actor.Scope()
	return s.watches.get(ctx, watchKey{collection: id, scope: keyOf(scope)}, func(ctx context.Context) (fleet.Collection, error) {
		return s.Store.Collection(ctx, scope, id)
	})
}
