package store_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/rollcallhq/rollcall/pkg/fleet"
	"github.com/rollcallhq/rollcall/pkg/storetest"
)

func TestOnlyContentsThatNobodyRefersToAreRemoved(t *testing.T) {
	t.Parallel()
	s, pool := storetest.Pool(t)
	addHost(t, s, "web-1")
	for i := range 3 {
		learn(t, s, time.Now(), finding("os", fmt.Sprintf(`{"n":%d}`, i), ""))
	}
	exec(t, pool, `insert into report_contents (content_hash, report_type, schema_version, facts)
		select sha256(n::text::bytea), 1, 1, '{}' from generate_series(1, 50) n`)
	exec(t, pool, "update report_contents set last_used_at = now() - interval '3 days' where content_hash <> sha256('50')")
	var removed, looked int
	var after []byte
	for {
		unused, next, err := s.UnusedContents(t.Context(), 48*time.Hour, after, 7)
		if err != nil || len(unused) > 7 {
			t.Fatalf("UnusedContents = %d, %v", len(unused), err)
		}
		n, err := s.RemoveContents(t.Context(), unused, 48*time.Hour)
		if err != nil || n != len(unused) {
			t.Fatalf("RemoveContents = %d of %d, %v", n, len(unused), err)
		}
		removed, looked = removed+n, looked+1
		if next == nil {
			break
		}
		after = next
	}
	if removed != 49 || looked < 7 {
		t.Errorf("removed %d in %d looks, want 49, a few at a time", removed, looked)
	}
	if n := ask[int](t, pool, "select count(*) from report_contents"); n != 4 {
		t.Errorf("%d contents are left, want three that are referred to and a young one", n)
	}
}

// TestContentsAreRemovedWhileTheyAreStoredAgain lets hosts go back and forth between a few contents, each of which counts as
// unused at once when its last period is gone, while others remove what is unused.
func TestContentsAreRemovedWhileTheyAreStoredAgain(t *testing.T) {
	t.Parallel()
	const hosts, rounds, values = 4, 60, 3
	s, pool := storetest.Pool(t)
	worker := aWorker(t, s)
	for i := range hosts {
		addHost(t, s, fmt.Sprintf("web-%d", i))
	}
	ctx, stop := context.WithCancel(t.Context())
	removed := 0
	var removing sync.WaitGroup
	removing.Go(func() {
		for ctx.Err() == nil {
			// What an old installation looks like at any time: nothing has been stored for long, and former periods go.
			_, err := pool.Exec(ctx, `with u as (update report_contents set last_used_at = last_used_at - interval '3 days' where content_hash in
				(select content_hash from report_contents where last_used_at > now() - interval '3 days' for update skip locked))
				delete from fact_periods where valid_to is not null`)
			if err != nil && ctx.Err() == nil {
				t.Errorf("ageing: %v", err)
				return
			}
			unused, _, err := s.UnusedContents(ctx, 48*time.Hour, nil, 100)
			if err != nil && ctx.Err() == nil {
				t.Errorf("UnusedContents = %v", err)
				return
			}
			n, err := s.RemoveContents(ctx, unused, 48*time.Hour)
			if err != nil && ctx.Err() == nil {
				t.Errorf("RemoveContents = %v", err)
				return
			}
			removed += n
		}
	})
	for round := range rounds {
		c, err := s.AddCollection(t.Context(), fleet.Everything(), aCollection(), selector(t, "*"))
		if err != nil {
			t.Fatal(err)
		}
		messages, err := s.Outbox(t.Context(), &c.ID, hosts)
		if err != nil || len(messages) != hosts {
			t.Fatalf("outbox = %v, %v", messages, err)
		}
		var storing sync.WaitGroup
		for _, m := range messages {
			claimed := claim(t, s, m, worker.ID)
			e := ending(claimed, fleet.TaskSucceeded, finding("os", fmt.Sprintf(`{"n":%d}`, rand.IntN(values)), ""))
			e.Findings = follow(t, s, e.Host, e.Findings)
			storing.Go(func() {
				if held, err := s.EndTask(ctx, e); err != nil || !held {
					t.Errorf("EndTask = %v, %v", held, err)
				}
			})
		}
		storing.Wait()
		if n := ask[int](t, pool, `select count(*) from fact_periods p where not exists (select from report_contents c where c.content_hash = p.content_hash)`); n != 0 {
			t.Fatalf("round %d: %d periods refer to contents that are gone", round, n)
		}
	}
	stop()
	removing.Wait()
	if removed == 0 {
		t.Error("nothing was ever removed: this has tested nothing")
	}
	t.Logf("%d contents removed meanwhile", removed)
}
