package rpc

import (
	"encoding/hex"
	"fmt"
	"math"
	"time"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/types/known/structpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/rollcallhq/rollcall/pkg/fleet"
	"github.com/rollcallhq/rollcall/pkg/telemetry"
	rollcallv1 "github.com/rollcallhq/rollcall/proto/rollcall/v1"
)

func viewReport(r fleet.Report) (*rollcallv1.Report, error) {
	facts, err := viewObject(r.Facts)
	if err != nil {
		return nil, fmt.Errorf("reading the facts of report %s: %w", r.ID, err)
	}
	metrics, err := viewObject(r.Metrics)
	if err != nil {
		return nil, fmt.Errorf("reading the metrics of report %s: %w", r.ID, err)
	}
	v := &rollcallv1.Report{
		Id: r.ID.String(), HostId: r.HostID.String(), Host: r.Host, Type: r.Type,
		Status: viewReportStatus(r.Status), CreatedAt: timestamppb.New(r.CreatedAt), SchemaVersion: viewCount(r.SchemaVersion),
		Facts: facts, Metrics: metrics, FactsJson: string(r.Facts), MetricsJson: string(r.Metrics),
		Unavailable: r.Unavailable, ContentHash: hex.EncodeToString(r.ContentHash), ConfirmedAt: viewTime(r.ConfirmedAt),
	}
	if r.CollectionID != nil {
		v.CollectionId = r.CollectionID.String()
	}
	return v, nil
}

// viewObject reads a JSON object; nothing is nil.
func viewObject(object []byte) (*structpb.Struct, error) {
	if len(object) == 0 {
		return nil, nil //nolint:nilnil // an unset field
	}
	v := &structpb.Struct{}
	return v, protojson.Unmarshal(object, v)
}

func viewReportStatus(s fleet.ReportStatus) rollcallv1.ReportStatus {
	switch s {
	case fleet.ReportOK:
		return rollcallv1.ReportStatus_REPORT_STATUS_OK
	case fleet.ReportPartial:
		return rollcallv1.ReportStatus_REPORT_STATUS_PARTIAL
	}
	return rollcallv1.ReportStatus_REPORT_STATUS_UNSPECIFIED
}

func viewCollection(c fleet.Collection) *rollcallv1.Collection {
	v := &rollcallv1.Collection{
		Id: c.ID.String(), State: viewCollectionState(c.State), ReportTypes: c.ReportTypes,
		Counts: &rollcallv1.TaskCounts{
			Total: viewCount(c.Counts.Total), Queued: viewCount(c.Counts.Queued), Running: viewCount(c.Counts.Running),
			Succeeded: viewCount(c.Counts.Succeeded), Partial: viewCount(c.Counts.Partial),
			Failed: viewCount(c.Counts.Failed), Cancelled: viewCount(c.Counts.Cancelled),
		},
		CreatedAt: timestamppb.New(c.CreatedAt), StartedAt: viewTime(c.StartedAt), FinishedAt: viewTime(c.FinishedAt),
	}
	if len(c.Errors) > 0 {
		v.Errors = make(map[string]int32, len(c.Errors))
		for code, n := range c.Errors {
			v.Errors[string(code)] = viewCount(n)
		}
	}
	return v
}

func viewCollectionState(s fleet.CollectionState) rollcallv1.CollectionState {
	switch s {
	case fleet.CollectionPending:
		return rollcallv1.CollectionState_COLLECTION_STATE_PENDING
	case fleet.CollectionRunning:
		return rollcallv1.CollectionState_COLLECTION_STATE_RUNNING
	case fleet.CollectionSucceeded:
		return rollcallv1.CollectionState_COLLECTION_STATE_SUCCEEDED
	case fleet.CollectionPartial:
		return rollcallv1.CollectionState_COLLECTION_STATE_PARTIAL
	case fleet.CollectionFailed:
		return rollcallv1.CollectionState_COLLECTION_STATE_FAILED
	case fleet.CollectionCancelled:
		return rollcallv1.CollectionState_COLLECTION_STATE_CANCELLED
	}
	return rollcallv1.CollectionState_COLLECTION_STATE_UNSPECIFIED
}

func viewHealth(r telemetry.Report) *rollcallv1.HealthCheckResponse {
	v := &rollcallv1.HealthCheckResponse{
		Status: viewHealthStatus(r.Status), Timestamp: timestamppb.New(r.Timestamp),
		Checks: make(map[string]*rollcallv1.HealthCheckResult, len(r.Checks)),
	}
	for name, c := range r.Checks {
		v.Checks[name] = &rollcallv1.HealthCheckResult{Status: viewHealthStatus(c.Status), LatencyMs: c.LatencyMS, Reason: c.Reason}
	}
	return v
}

func viewHealthStatus(s telemetry.Status) rollcallv1.HealthStatus {
	switch s {
	case telemetry.StatusOK:
		return rollcallv1.HealthStatus_HEALTH_STATUS_OK
	case telemetry.StatusDegraded:
		return rollcallv1.HealthStatus_HEALTH_STATUS_DEGRADED
	case telemetry.StatusDown:
		return rollcallv1.HealthStatus_HEALTH_STATUS_DOWN
	}
	return rollcallv1.HealthStatus_HEALTH_STATUS_UNSPECIFIED
}

// viewTime leaves an unknown time unset.
func viewTime(t *time.Time) *timestamppb.Timestamp {
	if t == nil {
		return nil
	}
	return timestamppb.New(*t)
}

// viewCount bounds a number of hosts or tasks, which is far below what fits.
func viewCount(n int) int32 {
	return int32(max(0, min(n, math.MaxInt32)))
}
