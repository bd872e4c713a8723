package rest

import (
	"context"
	"net/http"

	"github.com/rollcallhq/rollcall/api/internal/session"
	"github.com/rollcallhq/rollcall/pkg/fleet"
	"github.com/rollcallhq/rollcall/pkg/wire"
)

const (
	storagePath   = "/system/storage"
	retentionPath = "/system/retention"
)

func (s *server) registerSystem() {
	const tag = "system"
	register(s, operation{
		id: "getStorage", method: http.MethodGet, path: storagePath, tag: tag, summary: "What the database holds, how it grows, and how the housekeeping went", role: fleet.Viewer,
		description: "Rows are estimates: only the catalogue, the statistics and hourly samples are read. A forecast is what is there and still kept then, " +
			"and what comes until then: bytes of a new row times rows a day times days kept. It is about all hosts, and nobody who may see only some is told.",
	}, s.getStorage)
	register(s, operation{
		id: "listRetention", method: http.MethodGet, path: retentionPath, tag: tag, summary: "Types of report that are kept shorter than the others, by name", role: fleet.Viewer,
	}, s.listRetention)
	register(s, operation{
		id: "setRetention", method: http.MethodPut, path: retentionPath + "/{type}", tag: tag, summary: "Keep a type of report for so many days only", role: fleet.Admin,
		description: "Its older reports, metrics, changes and former facts are removed in small batches, beginning within the hour; the newest report of each host stays. " +
			"What has been removed does not come back.",
	}, s.setRetention)
	register(s, operation{
		id: "unsetRetention", method: http.MethodDelete, path: retentionPath + "/{type}", tag: tag, summary: "Keep a type of report as long as the others again", role: fleet.Admin,
	}, s.unsetRetention)
}

func (s *server) getStorage(ctx context.Context, _ *struct{}) (*body[wire.Storage], error) {
	if session.Actor(ctx).Selector != nil {
		return nil, fleet.Errorf(fleet.Forbidden, "the storage is about every host, and you may see only some").WithCode("outside_scope")
	}
	storage, err := s.Housekeeping.Storage(ctx)
	if err != nil {
		return nil, err
	}
	return answer(wire.StorageView(storage)), nil
}

func (s *server) listRetention(ctx context.Context, _ *struct{}) (*body[wire.List[wire.TypeRetention]], error) {
	types, err := s.Housekeeping.Types(ctx)
	if err != nil {
		return nil, err
	}
	return answer(wire.ListOf(types, "", wire.TypeRetentionView)), nil
}

// ByType is the path of what belongs to a type of report. Embedded, it has to be exported for huma to see it.
type ByType struct {
	Type string `path:"type" maxLength:"63" example:"packages"`
}

type setRetentionInput struct {
	ByType
	Body wire.TypeRetentionInput
}

func (s *server) setRetention(ctx context.Context, in *setRetentionInput) (*body[wire.TypeRetention], error) {
	set, err := s.Housekeeping.SetType(ctx, session.Actor(ctx), in.Type, in.Body.Days)
	if err != nil {
		return nil, err
	}
	return answer(wire.TypeRetentionView(set)), nil
}

func (s *server) unsetRetention(ctx context.Context, in *ByType) (*none, error) {
	return &none{}, s.Housekeeping.UnsetType(ctx, session.Actor(ctx), in.Type)
}
