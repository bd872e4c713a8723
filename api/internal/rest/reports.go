package rest

import (
	"context"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/rollcallhq/rollcall/api/internal/session"
	"github.com/rollcallhq/rollcall/pkg/collector"
	"github.com/rollcallhq/rollcall/pkg/facts"
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
		summary:     "The newest report of each type of a host, now or as of then",
		description: "As of a time before the first report the list is empty. With since=true each report says of each of its facts since when it holds.",
		responses:   unchangedResponse(),
	}, s.listHostReports)
	register(s, operation{
		id: "getHostReport", method: http.MethodGet, path: hostsPath + "/{id}/reports/{type}", tag: "reports", role: fleet.Viewer,
		summary: "The newest report of a type of a host, now or as of then",
		description: "What a partial report could not tell is there as it was last known, and named in unavailable. As of a time before the first report " +
			"the answer is 404 with the code no_report_yet. With since=true the report says of each of its facts since when it holds.",
		responses: unchangedResponse(),
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
	var err error
	if filter.HostID, err = idOf("host_id", in.HostID); err != nil {
		return nil, err
	}
	if err := s.checkType(ctx, in.Type); err != nil {
		return nil, err
	}
	reports, next, err := s.Store.Reports(ctx, session.Actor(ctx).Scope(), filter, in.page())
	if err != nil {
		return nil, err
	}
	return tag(in.IfNoneMatch, wire.ListOf(reports, next, wire.ReportView))
}

// checkType refuses a type of report that there is not, and never was; the empty one stands for all.
func (s *server) checkType(ctx context.Context, name string) error {
	if _, ok := collector.Lookup(name); ok || name == "" {
		return nil
	}
	_, err := s.Store.Collector(ctx, name, 0) // removed or not: its reports stay
	if fleet.KindOf(err) != fleet.NotFound {
		return err
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

// HostReports is which of a host's reports are asked for. Embedded, it has to be exported for huma to see it.
type HostReports struct {
	ByID
	IfNoneMatch
	AsOf  time.Time `query:"as_of" doc:"what was the newest report then; the default is now"`
	Since bool      `query:"since" doc:"say of each fact since when it holds"`
}

func (s *server) listHostReports(ctx context.Context, in *HostReports) (*tagged[wire.List[wire.Report]], error) {
	reports, err := s.reportsOf(ctx, in, "")
	if err != nil {
		return nil, err
	}
	return tag(in.IfNoneMatch, wire.List[wire.Report]{Items: reports})
}

type hostReportInput struct {
	HostReports
	Type string `path:"type" example:"os"`
}

func (s *server) getHostReport(ctx context.Context, in *hostReportInput) (*tagged[wire.Report], error) {
	if err := s.checkType(ctx, in.Type); err != nil {
		return nil, err
	}
	reports, err := s.reportsOf(ctx, &in.HostReports, in.Type)
	if err != nil {
		return nil, err
	}
	if len(reports) == 0 {
		when := "yet"
		if !in.AsOf.IsZero() {
			when = "as of then"
		}
		return nil, fleet.Errorf(fleet.NotFound, "the host has no report of this type %s", when).WithCode("no_report_yet")
	}
	return tag(in.IfNoneMatch, reports[0])
}

// reportsOf returns the reports of the host that are asked for, of that type or of all types for the empty one.
func (s *server) reportsOf(ctx context.Context, in *HostReports, reportType string) ([]wire.Report, error) {
	scope := session.Actor(ctx).Scope()
	if _, err := s.Store.Host(ctx, scope, in.ID); err != nil {
		return nil, err
	}
	var reports []fleet.Report
	var err error
	if in.AsOf.IsZero() {
		reports, err = s.Store.LatestReports(ctx, scope, in.ID, reportType)
	} else {
		reports, err = s.Store.ReportsAsOf(ctx, scope, in.ID, reportType, in.AsOf)
	}
	if err != nil {
		return nil, err
	}
	views := wire.ListOf(reports, "", wire.ReportView).Items
	for i, r := range reports {
		if !in.Since {
			break
		}
		if views[i].Since, err = s.sinces(ctx, scope, r); err != nil {
			return nil, err
		}
	}
	return views, nil
}

// sinces returns since when each fact of the report holds, as of the report: what came after it, between two looks,
// is none of its.
func (s *server) sinces(ctx context.Context, scope fleet.Scope, r fleet.Report) (map[string]time.Time, error) {
	known, err := s.Store.FactSinces(ctx, scope, r.HostID, r.Type, r.CreatedAt)
	if err != nil {
		return nil, err
	}
	sinces := map[string]time.Time{}
	for path := range facts.Leaves(r.Facts) {
		sinces[path.String()] = known.Of(path).UTC()
	}
	return sinces, nil
}
