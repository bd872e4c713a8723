package store_test

import (
	"context"
	"testing"
	"time"

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
