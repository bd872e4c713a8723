package store

import (
	"context"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/rollcallhq/rollcall/pkg/fleet"
)

// RequestCancel marks an open collection as to be cancelled and ends its queued tasks. It returns how many those
// were; the running ones are ended by their workers. An ended collection is a Conflict.
func (s *Store) RequestCancel(ctx context.Context, id uuid.UUID) (int, error) {
	tag, err := s.db.Exec(ctx, `
		update collections set cancel_requested_at = coalesce(cancel_requested_at, now()) where id = $1`, id)
	if err != nil {
		return 0, fail(err, "cancelling a collection")
	}
	if tag.RowsAffected() == 0 {
		return 0, fleet.Errorf(fleet.Conflict, "the collection has ended already").WithCode("ended")
	}
	reseals, err := s.cancelReseals(ctx, id)
	if err != nil {
		return 0, err
	}
	n, err := s.endQueued(ctx, "t.collection_id = @id", fleet.TaskCancelled, fleet.CodeCancelled, pgx.NamedArgs{"id": id})
	return reseals + n, err
}

// FinishCollections freezes and moves to history those of the open collections that have no open task, at most
// limit of them; only, unless nil, names the one to look at. It returns what it finished.
func (s *Store) FinishCollections(ctx context.Context, only *uuid.UUID, limit int) ([]uuid.UUID, error) {
	condition := "true"
	if only != nil {
		condition = "c.id = @only"
	}
	var ids []uuid.UUID
	err := s.InTx(ctx, func(tx *Store) error {
		rows, _ := tx.db.Query(ctx, finish(condition), pgx.NamedArgs{"only": only, "limit": limit})
		var err error
		ids, err = pgx.CollectRows(rows, pgx.RowTo[uuid.UUID])
		return err
	})
	return ids, fail(err, "finishing collections")
}

// finish returns the statement that ends the open collections which meet the condition.
func finish(condition string) string {
	return `
		with ended as materialized (
			select c.id, c.created_at, c.kind from collections c
			where ` + condition + ` and not exists (select from tasks t where t.collection_id = c.id)
				and (c.kind <> 'reseal' or not exists (select from reseals r where r.collection_id = c.id and r.state = 'queued'))
			order by c.id limit @limit for update skip locked
		), by_code as (
			select e.id, t.state, t.error_code, count(*) as n, min(t.started_at) as started_at, max(t.finished_at) as finished_at
			from ended e left join task_history t on t.collection_id = e.id and t.created_at = e.created_at
			where e.kind <> 'reseal' group by 1, 2, 3
			union all
			select e.id, r.state, r.error_code, count(*), min(e.created_at), max(r.finished_at)
			from ended e left join reseals r on r.collection_id = e.id
			where e.kind = 'reseal' group by 1, 2, 3
		), counted as (
			select id,
				coalesce(sum(n) filter (where state = 'succeeded'), 0) as succeeded,
				coalesce(sum(n) filter (where state = 'partial'), 0) as partial,
				coalesce(sum(n) filter (where state = 'failed'), 0) as failed,
				coalesce(sum(n) filter (where state = 'cancelled'), 0) as cancelled,
				min(started_at) as started_at, max(finished_at) as finished_at
			from by_code group by 1
		), errors as (
			select id, jsonb_object_agg(error_code, n) as errors
			from (select id, error_code, sum(n) as n from by_code where error_code is not null group by 1, 2) x group by 1
		), moved as (
			delete from collections c using counted k where c.id = k.id
			returning c.*, k.succeeded as k_succeeded, k.partial as k_partial, k.failed as k_failed, k.cancelled as k_cancelled,
				k.started_at as k_started, k.finished_at as k_finished
		)
		insert into collection_history (id, created_at, kind, requested_by, actor, selector, host_ids, report_types, priority, state,
			total, skipped, deadline_seconds, max_parallel, expires_at, schedule_id, due_at, started_at, finished_at, cancel_requested_at,
			counts, errors, jitter_seconds)
		select m.id, m.created_at, m.kind, m.requested_by, m.actor, m.selector, m.host_ids, m.report_types, m.priority,
			case when m.k_succeeded = m.total then 'succeeded'
				when m.k_succeeded + m.k_partial > 0 then 'partial'
				when m.k_failed > 0 then 'failed' else 'cancelled' end,
			m.total, m.skipped, m.deadline_seconds, m.max_parallel, m.expires_at, m.schedule_id, m.due_at, m.k_started,
			coalesce(m.k_finished, now()), m.cancel_requested_at,
			jsonb_build_object('total', m.total, 'queued', 0, 'running', 0, 'succeeded', m.k_succeeded, 'partial', m.k_partial,
				'failed', m.k_failed, 'cancelled', m.k_cancelled),
			coalesce(e.errors, '{}'), m.jitter_seconds
		from moved m left join errors e on e.id = m.id
		returning id`
}
