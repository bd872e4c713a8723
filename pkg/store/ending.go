package store

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

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
	Termination  fleet.Termination // of what ran on the host; empty where nothing did or where it ended by itself
	Trial        bool              // it says nothing about the host
	MachineID    string            // what the host says it is; empty if unknown
	At           time.Time         // when it was learned, on the database's clock; the reports' created_at, to the millisecond
}

// ErrOtherFormer means that a host's facts are not those that a finding says it follows on. Nothing was stored; compare
// it anew.
var ErrOtherFormer = errors.New("other facts hold for the host than those that the finding follows on")

// EndTask ends a claimed task and stores what was learned, in one pipelined transaction: the task moves to history if
// the lease still holds, and contents, reports, metrics, periods and changes are written. It reports whether the lease
// held; if not, nothing was stored. A finding that does not follow on the facts that hold is ErrOtherFormer.
func (s *Store) EndTask(ctx context.Context, e Ending) (bool, error) {
	held := false
	err := s.InTx(ctx, func(tx *Store) error {
		batch := &pgx.Batch{}
		held = false
		batch.Queue(keptPlans)
		queueEnd(batch, e)
		queueStatus(batch, e)
		queueFindings(batch, e)
		results := tx.db.SendBatch(ctx, batch)
		_, err := results.Exec()
		var tag pgconn.CommandTag
		if err == nil {
			tag, err = results.Exec()
		}
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
	if violates(err, uniqueViolation, "fact_periods_now") {
		return false, ErrOtherFormer
	}
	return held, fail(err, "ending a task")
}

// keptPlans lets the rest of the transaction use the plans that the session has kept: planning these statements takes
// longer than running them. They all ask for rows by key, so there is one plan that is right however large the tables
// have become meanwhile, and it is the one without sequential scans.
//
// It also bounds how long a worker that is frozen or cut off in between keeps the rows of contents that others want to
// store as well: left to the session's own limit, it would keep every other worker from beating for longer than they
// may be silent.
const keptPlans = `select set_config('plan_cache_mode', 'auto', true), set_config('enable_seqscan', 'off', true),
	set_config('idle_in_transaction_session_timeout', '2s', true)`

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
			finished_at, error_code, error_details, report_errors, termination)
		select id, collection_id, created_at, host_id, site, @state, epoch, attempts, worker_id, started_at, now(), @code, @details, @report_errors, nullif(@termination, '')
		from ended`, pgx.NamedArgs{
		"id": e.Lease.TaskID, "epoch": e.Lease.Epoch, "worker": e.Lease.WorkerID, "state": e.State,
		"code": code, "details": details, "report_errors": e.ReportErrors,
		"termination": string(e.Termination),
	})
}

func queueStatus(batch *pgx.Batch, e Ending) {
	if e.State == fleet.TaskCancelled || e.Trial {
		return
	}
	var code *fleet.Code
	if e.Failure != nil {
		code = &e.Failure.Code
	}
	batch.Queue(`
		insert into host_status as st (host_id, collection_id, state, error_code, finished_at, succeeded_at, failures)
		values (@host, @collection, @state, @code, now(), case when @state = 'failed' then null else now() end,
			case when @state = 'failed' then 1 else 0 end)
		on conflict (host_id) do update set collection_id = excluded.collection_id, state = excluded.state,
			error_code = excluded.error_code, finished_at = excluded.finished_at,
			succeeded_at = coalesce(excluded.succeeded_at, st.succeeded_at),
			failures = case when excluded.failures = 0 then 0 else st.failures + 1 end`,
		pgx.NamedArgs{"host": e.Host, "collection": e.Lease.CollectionID, "state": string(e.State), "code": code})
	batch.Queue(settle("f.host_id = $1", inOrder), e.Host)
	if e.MachineID != "" {
		batch.Queue("update hosts set machine_id = $2 where id = $1 and machine_id is null", e.Host, e.MachineID)
	}
}

// findingsArgs returns the findings as arrays, a column each, so that a task's reports are stored by one statement per
// table. The contents are in the order of their hashes: tasks that store the same ones never wait for each other in
// circles.
func findingsArgs(e Ending) ([]fleet.Finding, pgx.NamedArgs) {
	findings := slices.Clone(e.Findings)
	slices.SortFunc(findings, func(a, b fleet.Finding) int { return bytes.Compare(a.ContentHash[:], b.ContentHash[:]) })
	n := len(findings)
	ids, types, statuses := make([]uuid.UUID, n), make([]string, n), make([]string, n)
	hashes, formers, versions, facts := make([][]byte, n), make([][]byte, n), make([]int, n), make([]string, n)
	metrics, unavailable := make([]*string, n), make([]*string, n)
	for i, f := range findings {
		ids[i], types[i], statuses[i] = fleet.NewIDAt(e.At), f.Type, string(f.Status)
		hashes[i], versions[i], facts[i] = f.ContentHash[:], f.SchemaVersion, string(f.Facts)
		if f.Follows != nil {
			formers[i] = f.Follows.ContentHash
		}
		if len(f.Metrics) > 0 {
			metrics[i] = new(string(f.Metrics))
		}
		if len(f.Unavailable) > 0 {
			unavailable[i] = new(string(jsonOf(f.Unavailable)))
		}
	}
	return findings, pgx.NamedArgs{
		"ids": ids, "types": types, "statuses": statuses, "hashes": hashes, "formers": formers, "versions": versions, "facts": facts,
		"metrics": metrics, "unavailable": unavailable, "at": fleet.TimeOf(fleet.NewIDAt(e.At)), "host": e.Host,
		"task": e.Lease.TaskID, "collection": e.Lease.CollectionID,
	}
}

func queueFindings(batch *pgx.Batch, e Ending) {
	if len(e.Findings) == 0 {
		return
	}
	findings, args := findingsArgs(e)
	// Facts that the host's current period refers to are there already. The update on conflict takes the row's lock,
	// so that the removal of unused contents cannot pass between this insert and its first reference.
	batch.Queue(`
		insert into report_contents (content_hash, report_type, schema_version, facts)
		select f.hash, t.id, f.version, f.facts::jsonb
		from unnest(@types::text[], @hashes::bytea[], @versions::int[], @facts::text[]) as f(type, hash, version, facts)
		join report_types t on t.name = f.type
		where not exists (
			select from fact_periods p where p.host_id = @host and p.report_type = t.id and p.valid_to is null and p.content_hash = f.hash)
		order by f.hash
		on conflict (content_hash) do update set last_used_at = now()`, args)
	// A type that the database does not know has no number, and the missing number fails the transaction.
	batch.Queue(`
		insert into report_rows (id, created_at, host_id, report_type, status, content_hash, unavailable, task_id, collection_id)
		select f.id, @at, @host, (select t.id from report_types t where t.name = f.type), f.status, f.hash, f.unavailable::jsonb, @task, @collection
		from unnest(@ids::uuid[], @types::text[], @statuses::text[], @hashes::bytea[], @unavailable::text[]) as f(id, type, status, hash, unavailable)`, args)
	batch.Queue(`
		insert into report_metrics (report_id, created_at, host_id, report_type, metrics)
		select f.id, @at, @host, t.id, f.metrics::jsonb
		from unnest(@ids::uuid[], @types::text[], @metrics::text[]) as f(id, type, metrics) join report_types t on t.name = f.type
		where f.metrics is not null`, args)
	batch.Queue(`
		insert into latest_reports as l (host_id, report_type, report_id, created_at, status)
		select @host, t.id, f.id, @at, f.status
		from unnest(@ids::uuid[], @types::text[], @statuses::text[]) as f(id, type, status) join report_types t on t.name = f.type
		order by t.id
		on conflict (host_id, report_type) do update
			set report_id = excluded.report_id, created_at = excluded.created_at, status = excluded.status
			where l.created_at <= excluded.created_at`, args)
	queuePeriods(batch, args)
	queueChanges(batch, e, findings, args)
}

// queuePeriods confirms the host's current periods, or closes those that the findings follow on and begins the next
// ones. A period that nobody closed makes the next one a duplicate, which fails the transaction.
func queuePeriods(batch *pgx.Batch, args pgx.NamedArgs) {
	batch.Queue(`
		with found as materialized (
			select f.id, t.id as type, f.hash, f.former
			from unnest(@ids::uuid[], @types::text[], @hashes::bytea[], @formers::bytea[]) as f(id, type, hash, former)
			join report_types t on t.name = f.type
		), confirmed as (
			update fact_periods p set last_confirmed_at = greatest(p.last_confirmed_at, @at) from found f
			where p.host_id = @host and p.report_type = f.type and p.valid_to is null and p.content_hash = f.hash
			returning p.report_type
		), closed as (
			update fact_periods p set valid_to = greatest(@at, p.valid_from + interval '1 microsecond') from found f
			where p.host_id = @host and p.report_type = f.type and p.valid_to is null and p.content_hash = f.former and p.content_hash <> f.hash
			returning p.report_type, p.valid_to
		)
		insert into fact_periods (host_id, report_type, content_hash, report_id, valid_from, last_confirmed_at)
		select @host, f.type, f.hash, f.id, coalesce(c.valid_to, @at), @at
		from found f left join closed c on c.report_type = f.type
		where f.type not in (select report_type from confirmed)`, args)
}

// queueChanges writes what the findings changed, and which paths they are the first to know. Almost no finding has any.
func queueChanges(batch *pgx.Batch, e Ending, findings []fleet.Finding, args pgx.NamedArgs) {
	reports, _ := args["ids"].([]uuid.UUID)
	at, _ := args["at"].(time.Time)
	for i, f := range findings {
		if f.Follows == nil {
			continue
		}
		if len(f.Follows.Changes) > 0 {
			batch.Queue(`
				insert into changes (id, seen_at, host_id, report_type, path, before, after, report_id, before_report_id, before_since)
				select c.id, @at, @host, (select id from report_types where name = @type), c.path, c.before::jsonb, c.after::jsonb, @report, @former, c.since
				from unnest(@ids::uuid[], @paths::text[], @befores::text[], @afters::text[], @sinces::timestamptz[]) as c(id, path, before, after, since)`,
				changesArgs(e.Host, at, reports[i], f))
		}
		if len(f.Follows.Baselines) > 0 {
			batch.Queue(`
				insert into fact_baselines as b (host_id, report_type, pattern, known_since)
				select @host, (select id from report_types where name = @type), p, @at from unnest(@patterns::text[]) as p order by p
				on conflict (host_id, report_type, pattern) do update set known_since = greatest(b.known_since, excluded.known_since)`,
				pgx.NamedArgs{"host": e.Host, "at": at, "type": f.Type, "patterns": f.Follows.Baselines})
		}
	}
}

// changesArgs returns the changes of a finding as arrays, a column each. Their IDs follow the order of their paths.
func changesArgs(host uuid.UUID, at time.Time, report uuid.UUID, f fleet.Finding) pgx.NamedArgs {
	n := len(f.Follows.Changes)
	ids, paths := make([]uuid.UUID, n), make([]string, n)
	befores, afters, sinces := make([]*string, n), make([]*string, n), make([]*time.Time, n)
	for i, c := range f.Follows.Changes {
		ids[i], paths[i], befores[i], afters[i], sinces[i] = fleet.NewIDAt(at), c.Path, textOf(c.Before), textOf(c.After), c.Since
	}
	slices.SortFunc(ids, func(a, b uuid.UUID) int { return bytes.Compare(a[:], b[:]) })
	return pgx.NamedArgs{
		"ids": ids, "paths": paths, "befores": befores, "afters": afters, "sinces": sinces,
		"at": at, "host": host, "report": report, "type": f.Type, "former": f.Follows.ReportID,
	}
}

// textOf returns JSON as text, and nil for none.
func textOf(value []byte) *string {
	if value == nil {
		return nil
	}
	return new(string(value))
}
