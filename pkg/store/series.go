package store

import (
	"context"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/rollcallhq/rollcall/pkg/facts"
	"github.com/rollcallhq/rollcall/pkg/fleet"
)

// A MetricQuery asks for the course of a host's metrics.
type MetricQuery struct {
	Type  string
	Path  facts.Pattern
	Since time.Time // inclusive
	Until time.Time // exclusive
	Step  time.Duration
}

// MaxSeries is how many series one question is answered with at most; those that come first by path.
const MaxSeries = 50

// MetricSeries returns the course of the numeric metrics whose path the query's pattern covers, by path, summed up in
// steps that are counted from Unix time 0. Which there are is seen in the newest report before q.Until.
func (s *Store) MetricSeries(ctx context.Context, scope fleet.Scope, host uuid.UUID, q MetricQuery) ([]fleet.MetricSeries, error) {
	paths, err := s.metricPaths(ctx, scope, host, q)
	if err != nil || len(paths) == 0 {
		return nil, err
	}
	texts := make([]string, len(paths))
	for i, p := range paths {
		texts[i] = pathLiteral(p)
	}
	series := make([]fleet.MetricSeries, len(paths))
	for i, p := range paths {
		series[i].Path = p.String()
	}
	w := metricsOf(scope, host, q)
	w.args["paths"], w.args["step"] = texts, q.Step
	rows, _ := s.db.Query(ctx, `
		select (n - 1)::int, date_bin(@step, created_at, 'epoch'::timestamptz) as bin, min(v), max(v), avg(v),
			(array_agg(v order by created_at desc))[1], count(*)
		from (
			select p.n, m.created_at, case when jsonb_typeof(m.metrics #> p.path::text[]) = 'number' then (m.metrics #>> p.path::text[])::float8 end as v
			from report_metrics m join hosts h on h.id = m.host_id cross join unnest(@paths::text[]) with ordinality as p(path, n)
			where `+w.String()+`
		) x
		where v is not null group by n, bin order by n, bin`, w.args)
	var n int
	var p fleet.MetricPoint
	_, err = pgx.ForEachRow(rows, []any{&n, &p.At, &p.Min, &p.Max, &p.Avg, &p.Last, &p.Count}, func() error {
		series[n].Points = append(series[n].Points, p)
		return nil
	})
	return series, fail(err, "reading metrics")
}

func metricsOf(scope fleet.Scope, host uuid.UUID, q MetricQuery) *where {
	w := newWhere()
	w.add("m.host_id = @host", "host", host)
	w.add("m.report_type = (select id from report_types where name = @type)", "type", q.Type)
	w.add("m.created_at >= @since", "since", q.Since)
	w.add("m.created_at < @until", "until", q.Until)
	w.scope(scope)
	return w
}

// metricPaths returns the paths of the newest report's numbers that the pattern covers.
func (s *Store) metricPaths(ctx context.Context, scope fleet.Scope, host uuid.UUID, q MetricQuery) ([]facts.Path, error) {
	w := metricsOf(scope, host, q)
	var newest string
	err := s.db.QueryRow(ctx, `
		select m.metrics::text from report_metrics m join hosts h on h.id = m.host_id
		where `+w.String()+" order by m.created_at desc limit 1", w.args).Scan(&newest)
	if isNoRows(err) {
		return nil, nil
	}
	if err != nil {
		return nil, fail(err, "reading the newest metrics")
	}
	var paths []facts.Path
	for path, value := range facts.Leaves([]byte(newest)) {
		if len(value) == 0 || value[0] != '-' && (value[0] < '0' || value[0] > '9') || !q.Path.Covers(path) {
			continue
		}
		if paths = append(paths, slices.Clone(path)); len(paths) == MaxSeries {
			break
		}
	}
	return paths, nil
}

// pathLiteral returns a path as PostgreSQL writes an array of text, so that many fit into one argument.
func pathLiteral(p facts.Path) string {
	out := []byte{'{'}
	for i, name := range p {
		if i > 0 {
			out = append(out, ',')
		}
		out = append(out, '"')
		for _, c := range []byte(name) {
			if c == '"' || c == '\\' {
				out = append(out, '\\')
			}
			out = append(out, c)
		}
		out = append(out, '"')
	}
	return string(append(out, '}'))
}
