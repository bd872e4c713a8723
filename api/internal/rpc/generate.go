package rpc

import (
	"context"
	"time"

	"github.com/google/uuid"
	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"

	"github.com/rollcallhq/rollcall/pkg/collection"
	"github.com/rollcallhq/rollcall/pkg/fleet"
	"github.com/rollcallhq/rollcall/pkg/store"
	rollcallv1 "github.com/rollcallhq/rollcall/proto/rollcall/v1"
)

const (
	pollEvery = 250 * time.Millisecond
	maxWait   = time.Hour

	// collectionHeader tells a waiting caller early what it waits for, because a deadline of its own leaves it with
	// nothing else.
	collectionHeader = "rollcall-collection-id"
)

// GenerateReport returns a report that is young enough, or has it collected.
func (s *server) GenerateReport(ctx context.Context, r *rollcallv1.GenerateReportRequest) (*rollcallv1.GenerateReportResponse, error) {
	actor := callerOf(ctx).actor
	if err := s.required(ctx, r.GetHost(), r.GetReportType()); err != nil {
		return nil, err
	}
	maxAge, err := ageOf("max_age", r.GetMaxAge())
	if err != nil {
		return nil, err
	}
	host, err := s.host(ctx, actor.Scope(), r.GetHost())
	if err != nil {
		return nil, err
	}
	want := collection.Wanted{Host: host.ID, Type: r.GetReportType(), MaxAge: maxAge}
	report, id, err := s.Collections.Freshen(ctx, actor, want)
	if err != nil {
		// Freshen asks for a collection of some hosts and types; our caller named one of each.
		return nil, renamed(err, map[string]string{"selector": "host", "host_ids": "host", "report_types": "report_type"})
	}
	if report != nil {
		v, err := viewReport(*report)
		return &rollcallv1.GenerateReportResponse{Report: v, Fresh: true}, err
	}
	_ = grpc.SendHeader(ctx, metadata.Pairs(collectionHeader, id.String())) // fails only where the caller is gone
	resp := &rollcallv1.GenerateReportResponse{CollectionId: id.String()}
	if !r.GetWait() {
		return resp, nil
	}
	report, err = s.await(ctx, waited{host: host, reportType: want.Type, collection: id})
	if err != nil || report == nil {
		return resp, err
	}
	resp.Report, err = viewReport(*report)
	return resp, err
}

// A waited report is the one of a host and type that a collection is to yield.
type waited struct {
	host       fleet.Host
	reportType string
	collection uuid.UUID
}

// A waitKey is what those who wait for the same report as seen by the same scope have in common.
type waitKey struct {
	host, collection uuid.UUID
	reportType       string
	scope            scopeKey
}

// await returns the report when it is there, or why it will not be. It is nil after maxWait.
func (s *server) await(ctx context.Context, w waited) (*fleet.Report, error) {
	end := time.NewTimer(maxWait)
	defer end.Stop()
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	for {
		actor, err := s.renewed(ctx)
		if err != nil {
			return nil, err
		}
		scope := actor.Scope()
		key := waitKey{host: w.host.ID, collection: w.collection, reportType: w.reportType, scope: keyOf(scope)}
		report, err := s.waits.get(ctx, key, func(ctx context.Context) (*fleet.Report, error) { return s.yielded(ctx, scope, w) })
		if report != nil || err != nil {
			return report, err
		}
		select {
		case <-tick.C:
		case <-end.C:
			return nil, nil //nolint:nilnil // not yet is an answer
		case <-s.Stopping:
			return nil, errStopping()
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// yielded returns the report if its task has ended, and why there is none if it ended without. It is nil while the
// task is open. The task decides and not its collection, which may have thousands of other hosts.
func (s *server) yielded(ctx context.Context, scope fleet.Scope, w waited) (*fleet.Report, error) {
	open, err := s.Store.OpenTaskFor(ctx, scope, w.host.ID, w.reportType, forever)
	if err != nil || open != nil && open.CollectionID == w.collection {
		return nil, err
	}
	reports, err := s.Store.LatestReports(ctx, scope, w.host.ID, w.reportType)
	if err != nil {
		return nil, err
	}
	if len(reports) > 0 && reports[0].CollectionID != nil && *reports[0].CollectionID == w.collection {
		return &reports[0], nil
	}
	task, err := s.task(ctx, scope, w)
	if err != nil {
		return nil, err
	}
	switch task.State {
	case fleet.TaskQueued, fleet.TaskRunning:
		return nil, nil //nolint:nilnil // it is being cancelled, or a newer task hides it
	case fleet.TaskSucceeded, fleet.TaskPartial:
		if _, without := task.ReportErrors[w.reportType]; !without && len(reports) > 0 {
			return &reports[0], nil // a later collection has been faster than we
		}
	case fleet.TaskFailed, fleet.TaskCancelled:
	}
	return nil, failed(failureOf(task, w), w.host.Name)
}

// failureOf returns why an ended task did not yield the report.
func failureOf(task fleet.Task, w waited) *fleet.Failure {
	code := task.Code
	if own, ok := task.ReportErrors[w.reportType]; ok {
		code = own
	}
	if code == "" {
		code = fleet.CodeInternal
	}
	details := []string{"collection_id", w.collection.String(), "host", w.host.Name}
	for name, value := range task.Details {
		details = append(details, name, value)
	}
	return fleet.Fail(code, nil, details...)
}

// task returns the host's task of the collection.
func (s *server) task(ctx context.Context, scope fleet.Scope, w waited) (fleet.Task, error) {
	page := fleet.Page{Limit: 1000}
	for {
		tasks, next, err := s.Store.Tasks(ctx, scope, w.collection, store.TaskFilter{}, page)
		if err != nil {
			return fleet.Task{}, err
		}
		for _, t := range tasks {
			if t.HostID == w.host.ID {
				return t, nil
			}
		}
		if next == "" {
			return fleet.Task{}, fleet.Errorf(fleet.NotFound, "there is no such collection")
		}
		page.After = next
	}
}
