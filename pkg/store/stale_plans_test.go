package store_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/rollcallhq/rollcall/pkg/fleet"
	"github.com/rollcallhq/rollcall/pkg/store"
	"github.com/rollcallhq/rollcall/pkg/storetest"
)

// TestSweepingAfterTheFirstLargeCollection asks for what the sweep does often enough for its plans to be kept while there
// is one task, and then adds many: it must not read all tasks once for each of them.
func TestSweepingAfterTheFirstLargeCollection(t *testing.T) {
	t.Parallel()
	s, pool := storetest.Pool(t)
	addHost(t, s, "web-1")
	_, messages := collect(t, s)
	exec(t, pool, "analyze tasks; analyze workers")
	const often = 8 // PostgreSQL may keep a plan after five
	for range often {
		if n, err := s.TakeOver(t.Context(), time.Minute); err != nil || n != 0 {
			t.Fatalf("TakeOver of nothing = %d, %v", n, err)
		}
		if n, err := s.EndHopeless(t.Context(), time.Minute); err != nil || n != 0 {
			t.Fatalf("EndHopeless of nothing = %d, %v", n, err)
		}
		if n, err := s.RingAgain(t.Context(), messages, false); err != nil || n != 1 {
			t.Fatalf("RingAgain = %d, %v; want 1", n, err)
		}
	}
	const many, lost, hopeless = 20_000, 100, 5_000
	worker := aWorker(t, s)
	exec(t, pool, "insert into hosts (id, name, address) select gen_random_uuid(), 'many-' || n, '192.0.2.1' from generate_series(1, $1) n", many)
	exec(t, pool, `
		insert into tasks (id, collection_id, created_at, host_id, site, priority, expires_at, state, worker_id)
			select gen_random_uuid(), collection_id, created_at, h.id, site, priority,
				case when n <= $1 then now() - interval '1 s' else expires_at end,
				case when n > $2 then 'running' else 'queued' end, case when n > $2 then $3::uuid end
			from tasks, (select id, row_number() over () as n from hosts where name like 'many-%') h`, hopeless, many-lost, worker.ID)
	exec(t, pool, "update workers set seen_at = now() - interval '1 h'")
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if n, err := s.TakeOver(ctx, time.Minute); err != nil || n != lost {
		t.Errorf("TakeOver = %d, %v; want %d", n, err, lost)
	}
	if n, err := s.RingAgain(ctx, messages, true); err != nil || n != 1 {
		t.Errorf("RingAgain = %d, %v; want 1", n, err)
	}
	if n, err := s.EndHopeless(ctx, time.Minute); err != nil || n != hopeless {
		t.Errorf("EndHopeless = %d, %v; want %d", n, err, hopeless)
	}
}

// TestEndingTasksAfterTheTablesGrew ends tasks often enough for the plans to be kept while the tables are empty, and then
// fills them: no end may read any of them whole.
func TestEndingTasksAfterTheTablesGrew(t *testing.T) {
	t.Parallel()
	_, pool := storetest.Pool(t)
	connection, err := pool.Acquire(t.Context()) // one session, one set of plans
	if err != nil {
		t.Fatal(err)
	}
	defer connection.Release()
	s := store.New(connection.Conn())
	addHost(t, s, "web-1")
	const often = 8 // PostgreSQL may keep a plan after five
	for i := range often {
		exec(t, pool, "vacuum analyze fact_periods, report_contents, latest_reports") // known to be tiny
		learn(t, s, time.Now(), finding("os", fmt.Sprintf(`{"v":%d}`, i), `{"n":1}`), finding("cpu", `{"v":1}`, ""))
	}
	exec(t, pool, `alter table fact_periods set (autovacuum_enabled = off); alter table report_contents set (autovacuum_enabled = off)`)
	for i := range often { // these are planned for what the last vacuum saw
		learn(t, s, time.Now(), finding("os", fmt.Sprintf(`{"w":%d}`, i), `{"n":1}`), finding("cpu", `{"v":1}`, ""))
	}
	exec(t, pool, `insert into report_contents (content_hash, report_type, schema_version, facts)
		select sha256(n::text::bytea), 1, 1, '{}' from generate_series(1, 5000) n`)
	exec(t, pool, `insert into fact_periods (host_id, report_type, content_hash, report_id, valid_from, last_confirmed_at)
		select gen_random_uuid(), 1, sha256(n::text::bytea), gen_random_uuid(), now(), now() from generate_series(1, 5000) n`)
	exec(t, pool, `insert into latest_reports (host_id, report_type, report_id, created_at, status)
		select host_id, report_type, report_id, valid_from, 'ok' from fact_periods on conflict do nothing`)
	read := func() int {
		exec(t, connection.Conn(), "select pg_stat_force_next_flush()")
		return ask[int](t, pool, `select coalesce(sum(seq_tup_read), 0)::int from pg_stat_user_tables
			where relname in ('report_contents', 'fact_periods', 'latest_reports', 'tasks') or relname like 'report_rows_%'`)
	}
	_, messages := collect(t, s)
	e := ending(claim(t, s, messages[0], aWorker(t, s).ID), fleet.TaskSucceeded, finding("os", `{"v":99}`, `{"n":1}`), finding("cpu", `{"v":2}`, ""))
	e.Findings = follow(t, s, e.Host, e.Findings)
	before := read()
	if held, err := s.EndTask(t.Context(), e); err != nil || !held {
		t.Fatalf("ending: held %v, %v", held, err)
	}
	if after := read(); after != before {
		t.Errorf("the end of a task read %d rows by going through whole tables", after-before)
	}
}
