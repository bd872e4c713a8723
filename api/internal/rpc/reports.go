package rpc

import (
	"context"

	"google.golang.org/grpc"

	"github.com/rollcallhq/rollcall/pkg/fleet"
	rollcallv1 "github.com/rollcallhq/rollcall/proto/rollcall/v1"
)

// GetReport returns a report by its ID, or the newest one of a host and type.
func (s *server) GetReport(ctx context.Context, r *rollcallv1.GetReportRequest) (*rollcallv1.GetReportResponse, error) {
	scope := callerOf(ctx).actor.Scope()
	report, err := s.report(ctx, scope, r)
	if err != nil {
		return nil, err
	}
	v, err := viewReport(report)
	return &rollcallv1.GetReportResponse{Report: v}, err
}

func (s *server) report(ctx context.Context, scope fleet.Scope, r *rollcallv1.GetReportRequest) (fleet.Report, error) {
	if r.GetId() != "" {
		if r.GetHost() != "" || r.GetReportType() != "" {
			return fleet.Report{}, fleet.InvalidField("id", "name the report by id, or by host and report_type, not by both")
		}
		id, err := idOf("id", r.GetId())
		if err != nil {
			return fleet.Report{}, err
		}
		return s.Store.Report(ctx, scope, id)
	}
	if err := s.required(ctx, r.GetHost(), r.GetReportType()); err != nil {
		return fleet.Report{}, err
	}
	host, err := s.host(ctx, scope, r.GetHost())
	if err != nil {
		return fleet.Report{}, err
	}
	reports, err := s.Store.LatestReports(ctx, scope, host.ID, r.GetReportType())
	if err != nil {
		return fleet.Report{}, err
	}
	if len(reports) == 0 {
		return fleet.Report{}, fleet.Errorf(fleet.NotFound, "there is no %s report of %s yet", r.GetReportType(), host.Name)
	}
	return reports[0], nil
}

// listPage is how many reports are held at once while listing.
const listPage = 100

// ListReports sends what the request selects, newest first.
func (s *server) ListReports(r *rollcallv1.ListReportsRequest, out grpc.ServerStreamingServer[rollcallv1.ListReportsResponse]) error {
	ctx := out.Context()
	filter, err := s.filter(ctx, callerOf(ctx).actor.Scope(), r)
	if err != nil {
		return err
	}
	page := fleet.Page{Limit: listPage}
	for {
		actor, err := s.renewed(ctx)
		if err != nil {
			return err
		}
		reports, next, err := s.Store.Reports(ctx, actor.Scope(), filter, page)
		if err != nil {
			return err
		}
		for _, report := range reports {
			v, err := viewReport(report)
			if err != nil {
				return err
			}
			if err := out.Send(&rollcallv1.ListReportsResponse{Report: v}); err != nil {
				return err
			}
		}
		if next == "" {
			return nil
		}
		if stopped(s.Stopping) {
			return errStopping()
		}
		page.After = next
	}
}

func (s *server) filter(ctx context.Context, scope fleet.Scope, r *rollcallv1.ListReportsRequest) (f fleet.ReportFilter, err error) {
	f.Type = r.GetReportType()
	if f.Type != "" {
		if err := s.knownType(ctx, f.Type); err != nil {
			return f, err
		}
	}
	if f.Since, err = timeOf("since", r.GetSince()); err != nil {
		return f, err
	}
	if f.Until, err = timeOf("until", r.GetUntil()); err != nil {
		return f, err
	}
	if !f.Since.IsZero() && !f.Until.IsZero() && !f.Since.Before(f.Until) {
		return f, fleet.InvalidField("until", "must be later than since")
	}
	if r.GetHost() != "" {
		host, err := s.host(ctx, scope, r.GetHost())
		if err != nil {
			return f, err
		}
		f.HostID = &host.ID
	}
	return f, nil
}
