package rest

import (
	"context"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/google/uuid"

	"github.com/rollcallhq/rollcall/api/internal/session"
	"github.com/rollcallhq/rollcall/pkg/collector"
	"github.com/rollcallhq/rollcall/pkg/fleet"
	"github.com/rollcallhq/rollcall/pkg/wire"
)

const reportsPath = "/reports"

func (s *server) registerReports() {
	register(s, operation{
		id: "listReports", method: http.MethodGet, path: reportsPath, tag: "reports", summary: "List reports, newest first", role: fleet.Viewer,
		responses: unchangedResponse(),
	}, s.listReports)
	register(s, operation{
		id: "getReport", method: http.MethodGet, path: reportsPath + "/{id}", tag: "reports", summary: "One report", role: fleet.Viewer,
		responses: unchangedResponse(),
	}, s.getReport)
	register(s, operation{
		id: "listHostReports", method: http.MethodGet, path: hostsPath + "/{id}/reports", tag: "reports", role: fleet.Viewer,
		summary: "The newest report of each type of a host", responses: unchangedResponse(),
	}, s.listHostReports)
	register(s, operation{
		id: "getHostReport", method: http.MethodGet, path: hostsPath + "/{id}/reports/{type}", tag: "reports", role: fleet.Viewer,
		summary: "The newest report of a type of a host", responses: unchangedResponse(),
	}, s.getHostReport)
}

func unchangedResponse() map[string]*huma.Response {
	return map[string]*huma.Response{"304": {
		Description: "What If-None-Match names is what there is.",
		Headers:     map[string]*huma.Param{"ETag": {Schema: &huma.Schema{Type: huma.TypeString}}},
	}}
}

type listReportsInput struct {
	Paged
	IfNoneMatch
	HostID string    `query:"host_id" format:"uuid"`
	Type   string    `query:"type" example:"os"`
	Since  time.Time `query:"since" doc:"inclusive"`
	Until  time.Time `query:"until" doc:"exclusive"`
}

func (s *server) listReports(ctx context.Context, in *listReportsInput) (*tagged[wire.List[wire.Report]], error) {
	filter := fleet.ReportFilter{Type: in.Type, Since: in.Since, Until: in.Until}
	if in.HostID != "" {
		id, err := uuid.Parse(in.HostID)
		if err != nil {
			return nil, fleet.InvalidField("host_id", "it is no UUID")
		}
		filter.HostID = &id
	}
	if err := checkType(in.Type); err != nil {
		return nil, err
	}
	reports, next, err := s.Store.Reports(ctx, session.Actor(ctx).Scope(), filter, in.page())
	if err != nil {
		return nil, err
	}
	return tag(in.IfNoneMatch, wire.ListOf(reports, next, wire.ReportView))
}

// checkType refuses a type of report that there is not; the empty one stands for all.
func checkType(name string) error {
	if _, ok := collector.Lookup(name); ok || name == "" {
		return nil
	}
	const code, message = "unknown_report_type", "there is no such type of report; /collectors lists them"
	return fleet.InvalidField("type", message).WithCode(code)
}

type getReportInput struct {
	ByID
	IfNoneMatch
}

func (s *server) getReport(ctx context.Context, in *getReportInput) (*tagged[wire.Report], error) {
	r, err := s.Store.Report(ctx, session.Actor(ctx).Scope(), in.ID)
	if err != nil {
		return nil, err
	}
	return tag(in.IfNoneMatch, wire.ReportView(r))
}

// HostReports is which of a host's newest reports are asked for. Embedded, it has to be exported for huma to see it.
type HostReports struct {
	ByID
	IfNoneMatch
	AsOf string `query:"as_of" doc:"not supported yet"`
}

func (s *server) listHostReports(ctx context.Context, in *HostReports) (*tagged[wire.List[wire.Report]], error) {
	reports, err := s.latest(ctx, in, "")
	if err != nil {
		return nil, err
	}
	return tag(in.IfNoneMatch, wire.ListOf(reports, "", wire.ReportView))
}

type hostReportInput struct {
	HostReports
	Type string `path:"type"`
}

func (s *server) getHostReport(ctx context.Context, in *hostReportInput) (*tagged[wire.Report], error) {
	if err := checkType(in.Type); err != nil {
		return nil, err
	}
	reports, err := s.latest(ctx, &in.HostReports, in.Type)
	if err != nil {
		return nil, err
	}
	if len(reports) == 0 {
		return nil, fleet.Errorf(fleet.NotFound, "the host has no report of this type yet").WithCode("no_report_yet")
	}
	return tag(in.IfNoneMatch, wire.ReportView(reports[0]))
}

func (s *server) latest(ctx context.Context, in *HostReports, reportType string) ([]fleet.Report, error) {
	if err := unsupported("as_of", in.AsOf != ""); err != nil {
		return nil, err
	}
	scope := session.Actor(ctx).Scope()
	if _, err := s.Store.Host(ctx, scope, in.ID); err != nil {
		return nil, err
	}
	return s.Store.LatestReports(ctx, scope, in.ID, reportType)
}
