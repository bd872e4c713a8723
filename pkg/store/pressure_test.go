package store_test

import (
	"testing"

	"github.com/rollcallhq/rollcall/pkg/storetest"
)

func TestWaitingIsCountedNoFurtherThanAsked(t *testing.T) {
	t.Parallel()
	s, pool := storetest.Pool(t)
	exec(t, pool, `
		insert into tasks (id, collection_id, created_at, host_id, site, priority, expires_at, state, dispatched_at)
			select gen_random_uuid(), gen_random_uuid(), now(), gen_random_uuid(), 'default', 'bulk', now() + interval '1 day',
				case when n <= 40 then 'running' else 'queued' end, case when n % 2 = 0 then now() end
			from generate_series(1, 100) n`)
	for limit, want := range map[int]int{1: 1, 59: 59, 60: 60, 61: 60, 1000: 60} {
		if n, err := s.Waiting(t.Context(), limit); err != nil || n != want {
			t.Errorf("counted to %d: %d, %v, want %d: those that run do not wait", limit, n, err, want)
		}
	}
	nodes := explain(t, pool, "select count(*) from (select from tasks where state = 'queued' limit 7) t")
	for _, n := range nodes {
		if n.Relation == "tasks" && n.Rows > 7 {
			t.Errorf("counting to 7 read %v tasks", n.Rows)
		}
	}
	if len(nodes) < 2 {
		t.Errorf("the plan is %+v", nodes)
	}
}
