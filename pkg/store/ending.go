package store

import (
	"bytes"
	"context"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/rollcallhq/rollcall/pkg/fleet"
)

// An Ending is how a claimed task ended and what was learned.
type Ending struct {
	Lease        Lease
	Host         uuid.UUID
	State        fleet.TaskState
	Failure      *fleet.Failure        // of a failed task, or of a partial one as a whole; may be nil
	ReportErrors map[string]fleet.Code // of the report types that failed
	Findings     []fleet.Finding
	MachineID    string    // what the host says it is; empty if unknown
	At           time.Time // when it was learned, on the database's clock; the reports' created_at, to the millisecond
}

// EndTask ends a claimed task and stores what was learned, in one pipelined transaction: the task moves to history if
// the lease still holds, and contents, reports, metrics and periods are written. It reports whether the lease held;
// if not, nothing was stored.
func (s *Store) EndTask(ctx context.Context, e Ending) (bool, error) {
	held := false
	err := s.InTx(ctx, func(tx *Store) error {
		batch := &pgx.Batch{}
		held = false
		queueEnd(batch, e)
		queueStatus(batch, e)
		findings := slices.Clone(e.Findings)
		slices.SortFunc(findings, func(a, b fleet.Finding) int { return bytes.Compare(a.ContentHash[:], b.ContentHash[:]) })
		for _, f := range findings {
			queueContent(batch, e.Host, f)
		}
		for _, f := range findings {
			queueReport(batch, e, f)
		}
		results := tx.db.SendBatch(ctx, batch)
		tag, err := results.Exec()
		if err == nil && tag.RowsAffected() == 0 {
			_ = results.Close()
			return errLeaseLost
		}
		if closed := results.Close(); err == nil {
			err = closed
		}
		held = err == nil
		return err
	})
	if err == errLeaseLost { //nolint:errorlint // InTx returns f's error as it is
		return false, nil
	}
	return held, fail(err, "ending a task")
}

// errLeaseLost rolls back the transaction of a task that somebody else has taken over meanwhile.
var errLeaseLost = fleet.Errorf(fleet.Conflict, "the task was taken over")

func queueEnd(batch *pgx.Batch, e Ending) {
	var code *fleet.Code
	var details map[string]string
	if e.Failure != nil {
		code, details = &e.Failure.Code, e.Failure.Details
	}
	batch.Queue(`
		with ended as (
			delete from tasks where id = @id and epoch = @epoch and worker_id = @worker and state = 'running' returning *
		)
		insert into task_history (id, collection_id, created_at, host_id, site, state, epoch, attempts, worker_id, started_at,
			finished_at, error_code, error_details, report_errors)
		select id, collection_id, created_at, host_id, site, @state, epoch, attempts, worker_id, started_at, now(), @code, @details, @report_errors
		from ended`, pgx.NamedArgs{
		"id": e.Lease.TaskID, "epoch": e.Lease.Epoch, "worker": e.Lease.WorkerID, "state": e.State,
		"code": code, "details": details, "report_errors": e.ReportErrors,
	})
}

func queueStatus(batch *pgx.Batch, e Ending) {
	if e.State == fleet.TaskCancelled {
		return
	}
	var code *fleet.Code
	if e.Failure != nil {
		code = &e.Failure.Code
	}
	batch.Queue(`
		insert into host_status as st (host_id, collection_id, state, error_code, finished_at, succeeded_at, failures)
		select @host, collection_id, @state, @code, now(), case when @state = 'failed' then null else now() end,
			case when @state = 'failed' then 1 else 0 end
		from task_history where id = @task and created_at > now() - interval '40 days'
		on conflict (host_id) do update set collection_id = excluded.collection_id, state = excluded.state,
			error_code = excluded.error_code, finished_at = excluded.finished_at,
			succeeded_at = coalesce(excluded.succeeded_at, st.succeeded_at),
			failures = case when excluded.failures = 0 then 0 else st.failures + 1 end`,
		pgx.NamedArgs{"host": e.Host, "task": e.Lease.TaskID, "state": string(e.State), "code": code})
	if e.MachineID != "" {
		batch.Queue("update hosts set machine_id = $2 where id = $1 and machine_id is null", e.Host, e.MachineID)
	}
}

// queueContent stores facts that the host's current period does not refer to already. The update on conflict takes
// the row's lock, so that the removal of unused contents cannot pass between this insert and its first reference.
func queueContent(batch *pgx.Batch, host uuid.UUID, f fleet.Finding) {
	batch.Queue(`
		insert into report_contents (content_hash, report_type, schema_version, facts)
		select @hash, t.id, @schema_version, @facts::jsonb from report_types t
		where t.name = @type and not exists (
			select from fact_periods p where p.host_id = @host and p.report_type = t.id and p.valid_to is null and p.content_hash = @hash)
		on conflict (content_hash) do update set last_used_at = now()`,
		pgx.NamedArgs{"hash": f.ContentHash[:], "type": f.Type, "schema_version": f.SchemaVersion, "facts": string(f.Facts), "host": host})
}

func queueReport(batch *pgx.Batch, e Ending, f fleet.Finding) {
	id := fleet.NewIDAt(e.At)
	var unavailable map[string]string
	if len(f.Unavailable) > 0 {
		unavailable = f.Unavailable
	}
	args := pgx.NamedArgs{
		"id": id, "at": fleet.TimeOf(id), "host": e.Host, "type": f.Type, "status": f.Status, "hash": f.ContentHash[:],
		"unavailable": unavailable, "task": e.Lease.TaskID, "metrics": string(f.Metrics),
	}
	// A type that the database does not know has no number, and the missing number fails the transaction.
	batch.Queue(`
		insert into report_rows (id, created_at, host_id, report_type, status, content_hash, unavailable, task_id, collection_id)
		values (@id, @at, @host, (select id from report_types where name = @type), @status, @hash, @unavailable, @task,
			(select collection_id from task_history where id = @task and created_at > now() - interval '40 days'))`, args)
	if len(f.Metrics) > 0 {
		batch.Queue(`
			insert into report_metrics (report_id, created_at, host_id, report_type, metrics)
			select @id, @at, @host, t.id, @metrics::jsonb from report_types t where t.name = @type`, args)
	}
	batch.Queue(`
		insert into latest_reports as l (host_id, report_type, report_id, created_at, status)
		select @host, t.id, @id, @at, @status from report_types t where t.name = @type
		on conflict (host_id, report_type) do update
			set report_id = excluded.report_id, created_at = excluded.created_at, status = excluded.status
			where l.created_at <= excluded.created_at`, args)
	queuePeriod(batch, f, args)
}

// queuePeriod confirms the host's current period of the type, or closes it and begins the next one. A partial report
// confirms a period it agrees with and never closes one: what it lacks it does not know.
func queuePeriod(batch *pgx.Batch, f fleet.Finding, args pgx.NamedArgs) {
	if f.Status == fleet.ReportPartial {
		batch.Queue(`
			update fact_periods p set last_confirmed_at = greatest(p.last_confirmed_at, @at) from report_types t
			where t.name = @type and p.host_id = @host and p.report_type = t.id and p.valid_to is null and p.content_hash = @hash`, args)
		return
	}
	batch.Queue(`
		with kind as (select id from report_types where name = @type), confirmed as (
			update fact_periods p set last_confirmed_at = greatest(p.last_confirmed_at, @at) from kind
			where p.host_id = @host and p.report_type = kind.id and p.valid_to is null and p.content_hash = @hash
			returning 1
		), closed as (
			update fact_periods p set valid_to = greatest(@at, p.valid_from + interval '1 microsecond') from kind
			where p.host_id = @host and p.report_type = kind.id and p.valid_to is null and p.content_hash <> @hash
			returning p.valid_to
		)
		insert into fact_periods (host_id, report_type, content_hash, report_id, valid_from, last_confirmed_at)
		select @host, kind.id, @hash, @id, coalesce((select valid_to from closed), @at), @at
		from kind where not exists (select from confirmed)`, args)
}
