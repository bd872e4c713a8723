package store

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/rollcallhq/rollcall/pkg/fleet"
)

// reportColumns is the one list of a report's columns; reportJoins brings the host and the content of report_rows r.
// What else there is of a report is looked up for the rows that come out, one by one: planning a join of so many tables,
// two of them partitioned, takes ten times as long as answering it.
const (
	reportColumns = reportValues + `(
		select p.last_confirmed_at from fact_periods p
		where p.host_id = r.host_id and p.report_type = r.report_type and p.valid_to is null and p.content_hash = r.content_hash)`
	// reportColumnsThen has the end of the period that the report belongs to, which may be over.
	reportColumnsThen = reportValues + `(
		select p.last_confirmed_at from fact_periods p
		where p.host_id = r.host_id and p.report_type = r.report_type and p.valid_from <= r.created_at and (p.valid_to is null or p.valid_to > r.created_at))`
	reportValues = `r.id, r.host_id, h.name, (select t.name from report_types t where t.id = r.report_type), r.status, r.created_at,
		c.schema_version, c.facts::text,
		(select m.metrics::text from report_metrics m where m.report_id = r.id and m.created_at = r.created_at),
		r.unavailable, r.content_hash, r.task_id, r.collection_id, `
	reportJoins = `
		join hosts h on h.id = r.host_id
		cross join lateral (select * from report_contents where content_hash = r.content_hash offset 0) c`
)

func scanReport(row pgx.CollectableRow) (fleet.Report, error) {
	var r fleet.Report
	var facts string
	var metrics *string
	err := row.Scan(&r.ID, &r.HostID, &r.Host, &r.Type, &r.Status, &r.CreatedAt, &r.SchemaVersion, &facts, &metrics,
		&r.Unavailable, &r.ContentHash, &r.TaskID, &r.CollectionID, &r.ConfirmedAt)
	r.Facts = []byte(facts)
	if metrics != nil {
		r.Metrics = []byte(*metrics)
	}
	return r, err
}

// Report returns the report of the ID, if the scope sees its host. One whose time is over is NotFound with CodeNoLongerKept.
func (s *Store) Report(ctx context.Context, scope fleet.Scope, id uuid.UUID) (fleet.Report, error) {
	w := newWhere()
	w.add("r.id = @id", "id", id)
	w.add("r.created_at = @at", "at", fleet.TimeOf(id))
	w.scope(scope)
	rows, _ := s.db.Query(ctx, "select "+reportColumns+" from report_rows r "+reportJoins+" where "+w.String(), w.args)
	r, err := pgx.CollectExactlyOneRow(rows, scanReport)
	if isNoRows(err) {
		if gone := s.stillKept(ctx, PartReports, "", fleet.TimeOf(id)); gone != nil {
			return r, gone
		}
	}
	return r, notFound(err, "report")
}

// LatestReports returns the newest report of each type of the host, or of one type unless reportType is empty.
func (s *Store) LatestReports(ctx context.Context, scope fleet.Scope, host uuid.UUID, reportType string) ([]fleet.Report, error) {
	w := newWhere()
	w.add("l.host_id = @host", "host", host)
	if reportType != "" {
		w.add("l.report_type = (select id from report_types where name = @type)", "type", reportType)
	}
	w.scope(scope)
	rows, _ := s.db.Query(ctx, "select "+reportColumns+`
		from latest_reports l join report_rows r on r.id = l.report_id and r.created_at = l.created_at `+reportJoins+`
		where `+w.String()+" order by l.report_type", w.args)
	reports, err := pgx.CollectRows(rows, scanReport)
	return reports, fail(err, "reading the latest reports")
}

// A LatestReport says when a host's newest report of a type was made.
type LatestReport struct {
	HostID    uuid.UUID
	ReportID  uuid.UUID
	Type      string
	CreatedAt time.Time
	Status    fleet.ReportStatus
}

// LatestOf returns which newest reports the hosts have, without their facts.
func (s *Store) LatestOf(ctx context.Context, scope fleet.Scope, hosts []uuid.UUID) (map[uuid.UUID][]LatestReport, error) {
	w := newWhere()
	w.add("l.host_id = any(@hosts)", "hosts", hosts)
	w.scope(scope)
	rows, _ := s.db.Query(ctx, `
		select l.host_id, l.report_id, t.name, l.created_at, l.status
		from latest_reports l join hosts h on h.id = l.host_id join report_types t on t.id = l.report_type
		where `+w.String()+" order by l.host_id, l.report_type", w.args)
	latest, err := pgx.CollectRows(rows, pgx.RowToStructByPos[LatestReport])
	byHost := make(map[uuid.UUID][]LatestReport, len(hosts))
	for _, l := range latest {
		byHost[l.HostID] = append(byHost[l.HostID], l)
	}
	return byHost, fail(err, "reading the latest reports")
}

// Reports returns a page of the reports that f selects within the scope, newest first, and the cursor of the next
// page.
func (s *Store) Reports(ctx context.Context, scope fleet.Scope, f fleet.ReportFilter, page fleet.Page) ([]fleet.Report, string, error) {
	w := newWhere()
	w.scope(scope)
	if err := w.reportFilter(f, page); err != nil {
		return nil, "", err
	}
	limit := limitOf(page)
	// An ID begins with its millisecond, which is created_at, so both orders are one. By ID the primary keys of the
	// partitions are walked backwards, by time the index of a host.
	order := "r.id desc"
	if f.HostID != nil {
		order = "r.created_at desc, r.id desc"
	}
	// The page is picked before anything is joined to it: joined first, every report of the period would be.
	rows, _ := s.db.Query(ctx, fmt.Sprintf(`
		select %s from (
			select r.* from report_rows r join hosts h on h.id = r.host_id where %s order by %s limit %d
		) r %s order by r.id desc`, reportColumns, w, order, limit+1, reportJoins), w.args)
	reports, err := pgx.CollectRows(rows, scanReport)
	if err != nil {
		return nil, "", fail(err, "listing reports")
	}
	reports, next := cut(reports, limit, func(r fleet.Report) string { return r.ID.String() })
	return reports, next, nil
}

func (w *where) reportFilter(f fleet.ReportFilter, page fleet.Page) error {
	if f.HostID != nil {
		w.add("r.host_id = @host", "host", *f.HostID)
	}
	if f.Type != "" {
		w.add("r.report_type = (select id from report_types where name = @type)", "type", f.Type)
	}
	if !f.Since.IsZero() {
		w.add("r.created_at >= @since", "since", f.Since)
	}
	if !f.Until.IsZero() {
		w.add("r.created_at < @until", "until", f.Until)
	}
	if page.After == "" {
		return nil
	}
	id, err := idCursor(page.After)
	if err != nil {
		return err
	}
	w.add("r.created_at <= @after_time", "after_time", fleet.TimeOf(id))
	w.add("r.id < @after", "after", id)
	return nil
}
