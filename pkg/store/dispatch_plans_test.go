package store_test

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/rollcallhq/rollcall/pkg/store"
	"github.com/rollcallhq/rollcall/pkg/storetest"
)

// crowd stores 20 actors' waiting tasks: collections of so many tasks each, all of different hosts. Some hundreds of the
// first ones are rung for or run.
func crowd(t *testing.T, db store.DBTX, collections, tasks int) {
	t.Helper()
	exec(t, db, `
		insert into tasks (id, collection_id, created_at, host_id, site, priority, expires_at, requester)
		select uuid_v7(now()), c.id, now(), gen_random_uuid(), 'default', 'bulk', now() + interval '1 day', 'user:' || c.n % 20
		from (select n, uuid_v7(now() + n * interval '1 millisecond') as id from generate_series(1, $1::int) n) c, generate_series(1, $2::int) k`,
		collections, tasks)
	exec(t, db, `
		update tasks set dispatched_at = now()
		where id in (select id from tasks order by collection_id, id limit 250)`)
	exec(t, db, `
		update tasks set state = 'running', worker_id = gen_random_uuid(), claimed_at = now()
		where id in (select id from tasks where dispatched_at is not null order by id limit 200)`)
	exec(t, db, "insert into workers (id, host, version, sites, slots) values (gen_random_uuid(), 'w', 'test', '{default}', 200)")
	exec(t, db, "vacuum analyze tasks")
}

// A cost is what a statement really took.
type cost struct {
	Plan struct {
		node
		Hit  float64 `json:"Shared Hit Blocks"`
		Read float64 `json:"Shared Read Blocks"`
	}
	Time float64 `json:"Execution Time"` // ms
}

func costOf(t *testing.T, tx pgx.Tx, sql string, args ...any) cost {
	t.Helper()
	var answer string
	if err := tx.QueryRow(t.Context(), "explain (analyze, buffers, format json) "+sql, args...).Scan(&answer); err != nil {
		t.Fatalf("explain %s: %v", sql, err)
	}
	var costs []cost
	if err := json.Unmarshal([]byte(answer), &costs); err != nil || len(costs) != 1 {
		t.Fatalf("plan %s: %v", answer, err)
	}
	return costs[0]
}

// TestARoundLooksAtFewOfManyTasks holds that what a round costs depends on what it may hand out and not on how much
// waits: no statement reads the table as a whole, and each looks at so few pages.
func TestARoundLooksAtFewOfManyTasks(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name               string
		collections, tasks int
	}{
		{"200,000 tasks of 200 collections", 200, 1000},
		{"10,000 collections of one host", 10_000, 1},
		{"nothing", 0, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			_, pool := storetest.Pool(t)
			crowd(t, pool, tt.collections, tt.tasks)
			tx, err := pool.Begin(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = tx.Rollback(t.Context()) }()
			s := store.New(tx)
			if locked, err := s.LockLine(t.Context()); err != nil || !locked {
				t.Fatalf("LockLine = %v, %v", locked, err)
			}
			line, err := s.Line(t.Context(), time.Minute)
			if err != nil || len(line.Waiting) != min(tt.collections, 20) {
				t.Fatalf("Line = %+v, %v; want 20 parties", line, err)
			}
			var searches []store.Search
			for _, p := range line.Waiting {
				searches = append(searches, store.Search{Party: p, Limit: 25})
			}
			found, err := s.WaitingCollections(t.Context(), searches)
			if err != nil {
				t.Fatal(err)
			}
			var turns []store.Turn
			for i, candidates := range found {
				for _, c := range candidates[:min(len(candidates), 10)] {
					turns = append(turns, store.Turn{Party: line.Waiting[i], CollectionID: c.CollectionID, Limit: 1})
				}
			}
			var spent, pages float64
			for what, statement := range store.RoundStatements(searches, turns) {
				c := costOf(t, tx, statement.SQL, statement.Args...)
				spent, pages = spent+c.Time, pages+c.Plan.Hit+c.Plan.Read
				t.Logf("%s: %.2f ms, %v pages", what, c.Time, c.Plan.Hit+c.Plan.Read)
				for _, step := range c.Plan.executed() {
					if step.Type == "Seq Scan" && step.Relation == "tasks" || step.Type == "Bitmap Heap Scan" {
						t.Errorf("%s: %s of %s", what, step.Type, step.Relation)
					}
					if step.Relation == "tasks" && step.Rows*step.Loops > 3000 {
						t.Errorf("%s: %s of tasks by %s looks at %v rows", what, step.Type, step.Index, step.Rows*step.Loops)
					}
				}
			}
			t.Logf("together %.2f ms, %v pages", spent, pages)
			if pages > 25_000 {
				t.Errorf("a round looks at %v pages", pages)
			}
		})
	}
}
