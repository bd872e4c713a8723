package client

import (
	"context"
	"iter"
	"net/http"
	"net/url"
	"time"

	"github.com/google/uuid"

	"github.com/rollcallhq/rollcall/pkg/wire"
)

// A ReportQuery picks reports; the zero value picks all that the caller may see.
type ReportQuery struct {
	HostID uuid.UUID // uuid.Nil: of any host
	Type   string
	Since  time.Time // inclusive; zero: from the beginning
	Until  time.Time // exclusive; zero: until now
}

// Reports returns reports, newest first, fetched page by page. An error ends them.
func (c *Client) Reports(ctx context.Context, q ReportQuery, options ...CallOption) iter.Seq2[wire.Report, error] {
	query := url.Values{}
	set(query, "type", q.Type)
	if q.HostID != uuid.Nil {
		query.Set("host_id", q.HostID.String())
	}
	setTime(query, "since", q.Since)
	setTime(query, "until", q.Until)
	return pages[wire.Report](ctx, c, "/reports", query, options)
}

// Report returns one report.
func (c *Client) Report(ctx context.Context, id uuid.UUID) (wire.Report, error) {
	var report wire.Report
	return report, c.get(ctx, "/reports/"+id.String(), nil, &report)
}

// AsOf makes HostReports and HostReport answer as they would have at that time.
func AsOf(at time.Time) CallOption {
	return func(c *call) { setTime(c.query, "as_of", at) }
}

// SinceWhen makes HostReports and HostReport say since when each fact holds, in the Since of the reports.
func SinceWhen() CallOption {
	return func(c *call) { c.query.Set("since", "true") }
}

// HostReports returns the newest report of each type of a host.
func (c *Client) HostReports(ctx context.Context, host uuid.UUID, options ...CallOption) ([]wire.Report, error) {
	var list wire.List[wire.Report]
	r := c.newCall(http.MethodGet, "/hosts/"+host.String()+"/reports", options)
	if err := c.do(ctx, r, &list); err != nil {
		return nil, err
	}
	return list.Items, nil
}

// HostReport returns the newest report of one type of a host; one that has none yet, or had none then, is an *Error
// with the code no_report_yet.
func (c *Client) HostReport(ctx context.Context, host uuid.UUID, reportType string, options ...CallOption) (wire.Report, error) {
	var report wire.Report
	r := c.newCall(http.MethodGet, "/hosts/"+host.String()+"/reports/"+inPath(reportType), options)
	return report, c.do(ctx, r, &report)
}
