package bench_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"
	"golang.org/x/sync/errgroup"

	"github.com/rollcallhq/rollcall/pkg/collection"
	"github.com/rollcallhq/rollcall/pkg/fleet"
	"github.com/rollcallhq/rollcall/pkg/queue"
	"github.com/rollcallhq/rollcall/pkg/store"
	"github.com/rollcallhq/rollcall/pkg/storetest"
)

// A crew is two schedulers, and a worker of 200 slots whose hosts take their time and say nothing: everything but SSH.
type crew struct {
	store       *store.Store
	pool        *pgxpool.Pool
	collections *collection.Service
	worker      fleet.Worker
	takes       func(h fleet.Host) time.Duration

	held map[string]*atomic.Int64 // slots by actor

	mu      sync.Mutex
	claimed map[uuid.UUID]chan time.Time // of the collections of one host
}

const crewSlots = 200

func newCrew(b *testing.B, takes func(fleet.Host) time.Duration) *crew {
	b.Helper()
	log := slog.New(slog.DiscardHandler)
	s, pool := storetest.Pool(b)
	client := openRedis(b)
	q := queue.New(client)
	c := &crew{
		store: s, pool: pool, takes: takes, collections: collection.New(collection.Config{Store: s, Queue: q, Log: log}),
		worker:  fleet.Worker{ID: fleet.NewID(), Host: "bench", Version: "bench", Sites: []string{fleet.DefaultSite}, Slots: crewSlots},
		held:    map[string]*atomic.Int64{"user:large": {}, "user:small": {}, "user:one": {}},
		claimed: map[uuid.UUID]chan time.Time{},
	}
	ctx, stop := context.WithCancel(b.Context())
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return c.beat(ctx) })
	for range 2 {
		sweeper := collection.NewSweeper(s, q, log, nil)
		g.Go(func() error { return sweeper.Relay(ctx) })
		g.Go(func() error { return sweeper.Sweep(ctx) })
	}
	g.Go(func() error {
		return queue.Run(ctx, client, queue.ServerOptions{Sites: c.worker.Sites, Slots: crewSlots, Handler: c.work, Drain: 5 * time.Second, Log: log})
	})
	b.Cleanup(func() {
		stop()
		if err := g.Wait(); err != nil {
			b.Error(err)
		}
	})
	return c
}

func (c *crew) beat(ctx context.Context) error {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		if _, _, err := c.store.Heartbeat(ctx, c.worker); err != nil && ctx.Err() == nil {
			return err
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

func (c *crew) work(ctx context.Context, m fleet.Message) (string, error) {
	claim, err := c.store.ClaimTask(ctx, m, c.worker.ID)
	if errors.Is(err, store.ErrHostBusy) || err == nil && claim == nil {
		return "nothing to do", nil
	} else if err != nil {
		return "", err
	}
	now := time.Now()
	if claim.Actor == "user:one" {
		c.claimOf(claim.Task.CollectionID) <- now
	}
	held := c.held[claim.Actor]
	held.Add(1)
	defer held.Add(-1)
	<-time.After(c.takes(claim.Host))
	_, err = c.store.EndTask(context.WithoutCancel(ctx), store.Ending{Lease: store.LeaseOf(claim.Task), Host: claim.Host.ID, State: fleet.TaskSucceeded, At: time.Now()})
	return "done", err
}

// claimOf returns where the moment of the claim of a collection's only task is told.
func (c *crew) claimOf(collection uuid.UUID) chan time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.claimed[collection] == nil {
		c.claimed[collection] = make(chan time.Time, 1)
	}
	return c.claimed[collection]
}

// group stores so many hosts that group=name selects.
func (c *crew) group(b *testing.B, name string, n int) {
	b.Helper()
	_, err := c.pool.Exec(b.Context(), `insert into hosts (id, name, address, labels)
		select gen_random_uuid(), $2::text || '-' || n, '192.0.2.1', jsonb_build_object('group', $2::text) from generate_series(1, $1::int) n`, n, name)
	if err != nil {
		b.Fatal(err)
	}
}

// trigger collects from a group on behalf of its own user and returns how long the answer took.
func (c *crew) trigger(b *testing.B, user, selector string, priority fleet.Priority) (uuid.UUID, time.Duration) {
	b.Helper()
	began := time.Now()
	got, err := c.collections.Trigger(b.Context(), fleet.Actor{Kind: fleet.ActorUser, Name: user, ID: fleet.NewID(), Role: fleet.Operator},
		collection.Request{Selector: selector, ReportTypes: []string{"os"}, Priority: priority})
	if err != nil {
		b.Fatal(err)
	}
	return got.Collection.ID, time.Since(began)
}

func (c *crew) waiting(b *testing.B, user string) int {
	b.Helper()
	var n int
	err := c.pool.QueryRow(b.Context(), "select count(*) from tasks where requester = $1 and state = 'queued' and dispatched_at is null", user).Scan(&n)
	if err != nil {
		b.Fatal(err)
	}
	return n
}

// BenchmarkFairness has two actors with 9,000 and 1,000 hosts that take 500 ms each, on 200 slots, and says how many per
// cent of the slots the small one had in each five seconds in which both waited: it comes at once, or when the large one has
// held all slots for a while. In the end it counts.
func BenchmarkFairness(b *testing.B) {
	for _, before := range []time.Duration{0, 5 * time.Second} {
		b.Run(fmt.Sprintf("%s-later", before), func(b *testing.B) {
			for b.Loop() {
				c := newCrew(b, func(fleet.Host) time.Duration { return 500 * time.Millisecond })
				c.group(b, "large", 9000)
				c.group(b, "small", 1000)
				large, took := c.trigger(b, "large", "group=large", fleet.PriorityBulk)
				b.Logf("9,000 hosts were accepted within %s", took)
				<-time.After(before)
				began := time.Now()
				small, _ := c.trigger(b, "small", "group=small", fleet.PriorityBulk)
				for window := 0; c.window(b, window); window++ {
				}
				b.Logf("the small one had no more waiting after %s", time.Since(began))
				for id, want := range map[uuid.UUID]int{large: 9000, small: 1000} {
					c.await(b, id, want)
				}
			}
		})
	}
}

// window looks at five seconds and reports whether both still wait.
func (c *crew) window(b *testing.B, n int) bool {
	b.Helper()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	var large, small, looked int64
	for range 100 {
		<-tick.C
		large += c.held["user:large"].Load()
		small += c.held["user:small"].Load()
		looked++
		if c.waiting(b, "user:small") == 0 {
			break
		}
	}
	b.Logf("window %d (%d ms): the small one had %.1f %% of the slots in use, %.0f of %d of which were in use",
		n, looked*50, 100*float64(small)/float64(max(1, large+small)), float64(large+small)/float64(looked), crewSlots)
	if looked == 100 {
		b.ReportMetric(100*float64(small)/float64(max(1, large+small)), fmt.Sprintf("%%small-%d", n))
	}
	return looked == 100
}

// await waits for the end of a collection and holds its counts.
func (c *crew) await(b *testing.B, id uuid.UUID, want int) {
	b.Helper()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for range tick.C {
		got, err := c.store.Collection(b.Context(), fleet.Everything(), id)
		if err != nil {
			b.Fatal(err)
		}
		if got.FinishedAt == nil {
			continue
		}
		if got.Counts.Total != want || got.Counts.Succeeded != want {
			b.Errorf("in the end: %+v, want %d of %d", got.Counts, want, want)
		}
		return
	}
}

// BenchmarkInteractiveBesideBulk measures how long a collection of one host waits until it is claimed, from the request on,
// beside 10,000 hosts that take 3 s each on 200 slots: ROLLCALL_BENCH_TRIALS (100) times.
func BenchmarkInteractiveBesideBulk(b *testing.B) {
	trials := size(b, "ROLLCALL_BENCH_TRIALS", 100)
	for b.Loop() {
		c := newCrew(b, func(h fleet.Host) time.Duration {
			if h.Labels["group"] == "one" {
				return 50 * time.Millisecond
			}
			return 3 * time.Second
		})
		c.group(b, "large", 10_000)
		c.group(b, "one", trials)
		_, took := c.trigger(b, "large", "group=large", fleet.PriorityBulk)
		b.Logf("10,000 hosts were accepted within %s", took)
		began := time.Now()
		for c.held["user:large"].Load() < crewSlots*3/4 && time.Since(began) < time.Minute {
			<-time.After(50 * time.Millisecond)
		}
		b.Logf("after %s %d slots are held by slow hosts", time.Since(began), c.held["user:large"].Load())
		var waits []time.Duration
		for i := range trials {
			<-time.After(rand.N(100 * time.Millisecond))
			waits = append(waits, c.probe(b, fmt.Sprintf("name=one-%d", i+1)))
		}
		slices.Sort(waits)
		b.Logf("claimed after p50 %s, p99 %s, at most %s, beside %d slow ones", waits[trials/2], waits[trials*99/100], waits[trials-1], c.held["user:large"].Load())
		b.ReportMetric(float64(waits[trials/2].Milliseconds()), "p50-ms")
		b.ReportMetric(float64(waits[trials*99/100].Milliseconds()), "p99-ms")
		if _, err := c.pool.Exec(b.Context(), "delete from tasks where state = 'queued'"); err != nil {
			b.Fatal(err)
		}
	}
}

// probe asks one host and returns after how long its task was claimed.
func (c *crew) probe(b *testing.B, selector string) time.Duration {
	b.Helper()
	began := time.Now()
	got, err := c.collections.Trigger(b.Context(), fleet.Actor{Kind: fleet.ActorUser, Name: "one", ID: fleet.NewID(), Role: fleet.Operator},
		collection.Request{Selector: selector, ReportTypes: []string{"os"}, Priority: fleet.PriorityInteractive})
	if err != nil {
		b.Fatal(err)
	}
	select {
	case at := <-c.claimOf(got.Collection.ID):
		return at.Sub(began)
	case <-time.After(20 * time.Second):
		b.Fatal("it was not claimed at all")
	}
	return 0
}
