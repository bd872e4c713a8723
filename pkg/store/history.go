package store

import (
	"bytes"
	"context"
	"strconv"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/rollcallhq/rollcall/pkg/facts"
	"github.com/rollcallhq/rollcall/pkg/fleet"
)

// ReportsAsOf returns the report of each type of the host that was the newest one at that time, or of one type unless
// reportType is empty. ConfirmedAt is when its facts were last seen to hold, also later than that time. A time before what is
// kept is NotFound with CodeNoLongerKept.
func (s *Store) ReportsAsOf(ctx context.Context, scope fleet.Scope, host uuid.UUID, reportType string, at time.Time) ([]fleet.Report, error) {
	if err := s.stillKept(ctx, PartReports, reportType, at); err != nil {
		return nil, err
	}
	w := newWhere()
	w.args["host"], w.args["at"] = host, at
	if reportType != "" {
		w.add("t.name = @type", "type", reportType)
	}
	w.scope(scope)
	rows, _ := s.db.Query(ctx, "select "+reportColumnsThen+`
		from report_types t
		cross join lateral (
			select * from report_rows where host_id = @host and report_type = t.id and created_at <= @at order by created_at desc limit 1
		) r `+reportJoins+`
		where `+w.String()+" order by t.id", w.args)
	reports, err := pgx.CollectRows(rows, scanReport)
	return reports, fail(err, "reading the reports of a time")
}

// periodsAtOnce is how many periods are looked at in one question.
const periodsAtOnce = 200

// PathHistory returns a page of the times in which one path of a host's facts had one value, newest first, and the
// cursor of the next page. Those that overlap the time from since to until are shown, whole.
func (s *Store) PathHistory(ctx context.Context, scope fleet.Scope, host uuid.UUID, reportType string, path facts.Path, since, until time.Time,
	page fleet.Page,
) ([]fleet.PathPeriod, string, error) {
	before := time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC)
	if page.After != "" {
		key, err := keyOf(page.After)
		if err != nil {
			return nil, "", err
		}
		micros, err := strconv.ParseInt(key, 10, 64)
		if err != nil {
			return nil, "", fleet.InvalidField("cursor", "this is not a cursor that a history was answered with")
		}
		before = time.UnixMicro(micros)
	}
	limit := limitOf(page)
	course := course{since: since, until: until}
	for more := true; more && len(course.found) <= limit; {
		periods, err := s.pathPeriods(ctx, scope, host, reportType, path, before)
		if err != nil {
			return nil, "", err
		}
		more = len(periods) == periodsAtOnce
		for _, p := range periods {
			before = p.From
			if !course.add(p) {
				more = false
				break
			}
		}
	}
	items, next := cut(course.bounded(), limit, func(p fleet.PathPeriod) string { return strconv.FormatInt(p.From.UnixMicro(), 10) })
	return items, next, nil
}

// A course joins the periods of a host's facts, newest first, into those of one path.
type course struct {
	since, until time.Time // zero means unbounded
	found        []fleet.PathPeriod
}

// add takes the next older period. It reports whether still older ones matter.
func (c *course) add(p fleet.PathPeriod) bool {
	if last := len(c.found) - 1; last >= 0 && sameJSON(c.found[last].Value, p.Value) {
		c.found[last].From, c.found[last].ReportID = p.From, p.ReportID
		return true
	}
	c.found = c.bounded()
	if !c.since.IsZero() && p.To != nil && !p.To.After(c.since) {
		return false
	}
	c.found = append(c.found, p)
	return true
}

// bounded returns what was found without a last one that is all too new.
func (c *course) bounded() []fleet.PathPeriod {
	if last := len(c.found) - 1; last >= 0 && !c.until.IsZero() && !c.found[last].From.Before(c.until) {
		return c.found[:last]
	}
	return c.found
}

// sameJSON compares two values as jsonb writes them: equal values are written alike.
func sameJSON(a, b []byte) bool { return (a == nil) == (b == nil) && bytes.Equal(a, b) }

// pathPeriods returns the periods that begin before that time, newest first, with the value that the path has in each.
func (s *Store) pathPeriods(ctx context.Context, scope fleet.Scope, host uuid.UUID, reportType string, path facts.Path, before time.Time,
) ([]fleet.PathPeriod, error) {
	w := newWhere()
	w.add("p.host_id = @host", "host", host)
	w.add("p.report_type = (select id from report_types where name = @type)", "type", reportType)
	w.add("p.valid_from < @before", "before", before)
	w.scope(scope)
	w.args["path"] = []string(path)
	if path == nil {
		w.args["path"] = []string{}
	}
	rows, _ := s.db.Query(ctx, `
		select (c.facts #> @path)::text, p.valid_from, p.valid_to, p.last_confirmed_at, p.report_id
		from fact_periods p join hosts h on h.id = p.host_id join report_contents c on c.content_hash = p.content_hash
		where `+w.String()+" order by p.valid_from desc limit "+strconv.Itoa(periodsAtOnce), w.args)
	periods, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (fleet.PathPeriod, error) {
		var p fleet.PathPeriod
		var value *string
		err := row.Scan(&value, &p.From, &p.To, &p.ConfirmedAt, &p.ReportID)
		p.Value = bytesOf(value)
		return p, err
	})
	return periods, fail(err, "reading the history of a path")
}
