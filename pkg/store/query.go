package store

import (
	"context"
	"errors"
	"iter"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/rollcallhq/rollcall/pkg/facts"
	"github.com/rollcallhq/rollcall/pkg/fleet"
)

// A FactQuery asks for facts of one type over the fleet.
type FactQuery struct {
	Type     string
	Select   []facts.Path    // what is wanted of each host; the empty path is all of it
	Selector *fleet.Selector // of the hosts as they are labelled now; nil: any
	At       time.Time       // as the facts stood then; zero: now
}

// QueryFacts yields the facts of each host that has any, by the hosts' names, as they arrive from the database: there is
// no bound on their number. A host is in the answer if it was there at that time. An error is the last pair; a time
// before what is kept is one of kind NotFound with CodeNoLongerKept.
func (s *Store) QueryFacts(ctx context.Context, scope fleet.Scope, q FactQuery) iter.Seq2[fleet.FactRow, error] {
	return func(yield func(fleet.FactRow, error) bool) {
		if !q.At.IsZero() {
			if err := s.stillKept(ctx, PartFacts, q.Type, q.At); err != nil {
				yield(fleet.FactRow{}, err)
				return
			}
		}
		sql, args := factQuery(scope, q)
		batch := &pgx.Batch{}
		batch.Queue(longAnswer)
		batch.Queue(sql, args)
		results := s.db.SendBatch(ctx, batch)
		defer func() { _ = results.Close() }()
		if _, err := results.Exec(); err != nil {
			yield(fleet.FactRow{}, fail(err, "asking for facts"))
			return
		}
		rows, _ := results.Query()
		var row fleet.FactRow
		texts := make([]*string, len(q.Select))
		into := []any{&row.HostID, &row.Host, &row.ReportID, &row.Since, &row.ConfirmedAt}
		for i := range texts {
			into = append(into, &texts[i])
		}
		_, err := pgx.ForEachRow(rows, into, func() error {
			row.Values = make([][]byte, len(texts))
			for i, text := range texts {
				row.Values[i] = bytesOf(text)
			}
			if !yield(row, nil) {
				return errEnough
			}
			return nil
		})
		if err != nil && !errors.Is(err, errEnough) {
			yield(fleet.FactRow{}, fail(err, "asking for facts"))
		}
	}
}

// longAnswer lets the statement after it take as long as its reader does, within reason.
const longAnswer = "select set_config('statement_timeout', '10min', true)"

// errEnough ends an answer of which nobody wants to see more.
var errEnough = errors.New("enough")

func factQuery(scope fleet.Scope, q FactQuery) (string, pgx.NamedArgs) {
	w := newWhere()
	w.scope(scope)
	w.add("p.report_type = (select id from report_types where name = @type)", "type", q.Type)
	if q.Selector != nil {
		w.selector(q.Selector)
	}
	if q.At.IsZero() {
		w.and("p.valid_to is null and h.retired_at is null")
	} else {
		w.add("p.valid_from <= @at and (p.valid_to is null or p.valid_to > @at) and (h.retired_at is null or h.retired_at > @at)", "at", q.At)
	}
	var values strings.Builder
	for _, path := range q.Select {
		if path == nil {
			path = facts.Path{}
		}
		values.WriteString(", (c.facts #> " + w.arg([]string(path)) + ")::text")
	}
	return `
		select h.id, h.name, p.report_id, p.valid_from, p.last_confirmed_at` + values.String() + `
		from fact_periods p join hosts h on h.id = p.host_id join report_contents c on c.content_hash = p.content_hash
		where ` + w.String() + " order by h.name, h.id", w.args
}
