package client

import (
	"context"
	"iter"
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
	if !q.Since.IsZero() {
		query.Set("since", q.Since.UTC().Format(time.RFC3339Nano))
	}
	if !q.Until.IsZero() {
		query.Set("until", q.Until.UTC().Format(time.RFC3339Nano))
	}
	return pages[wire.Report](ctx, c, "/reports", query, options)
}

// Report returns one report.
func (c *Client) Report(ctx context.Context, id uuid.UUID) (wire.Report, error) {
	var report wire.Report
	return report, c.get(ctx, "/reports/"+id.String(), nil, &report)
}

// HostReports returns the newest report of each type of a host.
func (c *Client) HostReports(ctx context.Context, host uuid.UUID) ([]wire.Report, error) {
	return listed[wire.Report](ctx, c, "/hosts/"+host.String()+"/reports", nil)
}

// HostReport returns the newest report of one type of a host; one that has none yet is an *Error with the code
// no_report_yet.
func (c *Client) HostReport(ctx context.Context, host uuid.UUID, reportType string) (wire.Report, error) {
	var report wire.Report
	return report, c.get(ctx, "/hosts/"+host.String()+"/reports/"+inPath(reportType), nil, &report)
}
