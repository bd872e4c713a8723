package store

import (
	"context"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/rollcallhq/rollcall/pkg/fleet"
)

// HostOutcomes returns how many hosts went how the last time, each outcome with the first few hosts by name.
func (s *Store) HostOutcomes(ctx context.Context, scope fleet.Scope) ([]fleet.HostOutcome, error) {
	w := newWhere()
	w.and("h.retired_at is null")
	w.scope(scope)
	rows, _ := s.db.Query(ctx, `
		with found as (
			select h.id, h.name, h.enabled, coalesce(st.state, '') as state, coalesce(st.error_code, '') as code,
				row_number() over (partition by st.state, st.error_code, h.enabled order by h.name) as n
			from hosts h left join host_status st on st.host_id = h.id
			where `+w.String()+`
		)
		select state, code, enabled, count(*), array_agg(id order by n) filter (where n <= 5), array_agg(name order by n) filter (where n <= 5)
		from found group by state, code, enabled order by state, code, enabled`, w.args)
	outcomes, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (fleet.HostOutcome, error) {
		var o fleet.HostOutcome
		var ids []uuid.UUID
		var names []string
		err := row.Scan(&o.State, &o.Code, &o.Enabled, &o.Hosts, &ids, &names)
		for i, id := range ids {
			o.Sample = append(o.Sample, fleet.HostRef{ID: id, Name: names[i]})
		}
		return o, err
	})
	return outcomes, fail(err, "counting hosts by how they went")
}
