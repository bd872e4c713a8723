package queue_test

import (
	"context"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/rollcallhq/rollcall/pkg/fleet"
	"github.com/rollcallhq/rollcall/pkg/queue"
)

func TestSlotsAreDividedAmongServers(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name         string
		slots, sites int
		trip         time.Duration
		want         []int
	}{
		{"one slot is everybody's", 1, 1, time.Millisecond, []int{1}},
		{"of two, one is for what is interactive", 2, 1, time.Millisecond, []int{1, 1}},
		{"there are no more servers than slots", 5, 1, time.Second, []int{1, 1, 1, 1, 1}},
		{"below 20 normal work has none to itself", 19, 1, 100 * time.Microsecond, []int{1, 9, 9}},
		{"from 20 on it has", 20, 1, 100 * time.Microsecond, []int{2, 2, 8, 8}},
		{"a Redis nearby needs two servers, however many slots there are", 10_000, 1, 100 * time.Microsecond, []int{1000, 1000, 4000, 4000}},
		{"one in the next building needs more", 200, 1, 500 * time.Microsecond, []int{20, 20, 53, 53, 54}},
		{"and so do more sites", 200, 3, 500 * time.Microsecond, []int{20, 20, 17, 17, 18, 18, 18, 18, 18, 18, 18}},
		{
			"one far away gets what there is at most", 2000, 1, 50 * time.Millisecond,
			[]int{200, 200, 114, 114, 114, 114, 114, 114, 114, 114, 114, 114, 115, 115, 115, 115},
		},
	}
	for _, tt := range tests {
		got := queue.Slots(tt.slots, tt.sites, tt.trip)
		if !slices.Equal(got, tt.want) {
			t.Errorf("%s: %v, want %v", tt.name, got, tt.want)
		}
	}
	for slots := 1; slots <= 500; slots++ {
		for _, trip := range []time.Duration{0, time.Millisecond, 5 * time.Millisecond, time.Second} {
			got, sum := queue.Slots(slots, 1, trip), 0
			for _, n := range got {
				sum += n
			}
			if sum != slots || slices.Min(got) < 1 || len(got) > min(slots, 16) || len(got) < min(slots, 2) {
				t.Fatalf("%d slots at %s: %v", slots, trip, got)
			}
		}
	}
}

// A crowd counts the handlers at work, by lane, and holds all of them up.
type crowd struct {
	mu      sync.Mutex
	working map[fleet.Priority]int
	release chan struct{}
}

func (c *crowd) handle(_ context.Context, m fleet.Message) (string, error) {
	c.mu.Lock()
	c.working[m.Priority]++
	c.mu.Unlock()
	<-c.release
	return "", nil
}

func (c *crowd) now() map[fleet.Priority]int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return maps.Clone(c.working)
}

// inBackground serves the site eu in a bubble until the test ends.
func inBackground(t *testing.T, client redis.UniversalClient, slots int, h queue.Handler) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() {
		o := queue.ServerOptions{Sites: []string{"eu"}, Slots: slots, Handler: h, Log: slog.New(slog.DiscardHandler)}
		if err := queue.Run(ctx, client, o); err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	t.Cleanup(func() { cancel(); running.Wait() })
}

func ringMany(t *testing.T, client redis.UniversalClient, lane fleet.Priority, n int) {
	t.Helper()
	many := make([]fleet.Message, n)
	for i := range many {
		many[i] = aMessage()
		many[i].Priority = lane
	}
	if err := queue.New(client).Ring(t.Context(), many); err != nil {
		t.Fatal(err)
	}
}

// TestSlowBulkWorkLeavesSlotsToTheOthers fills every slot that each lane can get, the least urgent first.
func TestSlowBulkWorkLeavesSlotsToTheOthers(t *testing.T) {
	t.Parallel()
	url := redisURL(t)
	synctest.Test(t, func(t *testing.T) {
		client, _ := dial(t, url)
		c := &crowd{working: map[fleet.Priority]int{}, release: make(chan struct{})}
		inBackground(t, client, 40, c.handle)
		t.Cleanup(func() { close(c.release) }) // before Run waits for them
		want := map[fleet.Priority]int{}
		for _, step := range []struct {
			lane  fleet.Priority
			slots int
		}{{fleet.PriorityBulk, 32}, {fleet.PriorityNormal, 4}, {fleet.PriorityInteractive, 4}} {
			ringMany(t, client, step.lane, 60)
			want[step.lane] = step.slots
			pass(10 * time.Second)
			if got := c.now(); !maps.Equal(got, want) {
				t.Errorf("with %s waiting as well %v are at work, want %v", step.lane, got, want)
			}
		}
	})
}

// TestAFarRedisIsFetchedFromAsFastAsTheSlotsCanWork lets Redis be 5 ms away, at which one server fetches at most 67 bulk
// tasks a second, because it looks into the other lanes as well.
func TestAFarRedisIsFetchedFromAsFastAsTheSlotsCanWork(t *testing.T) {
	t.Parallel()
	url := redisURL(t)
	synctest.Test(t, func(t *testing.T) {
		const trip, tasks = 5 * time.Millisecond, 200
		near, _ := dial(t, url)
		ringMany(t, near, fleet.PriorityBulk, tasks)
		far, _ := dial(t, url)
		far.AddHook(watcher(func(ctx context.Context, cmd redis.Cmder, next redis.ProcessHook) error {
			if isFetch(cmd) || cmd.Name() == "ping" {
				pass(trip)
			}
			return next(ctx, cmd)
		}))
		if got := queue.RoundTrip(t.Context(), far); got != trip {
			t.Fatalf("the round trip is %s, want %s", got, trip)
		}
		c := &crowd{working: map[fleet.Priority]int{}, release: make(chan struct{})}
		inBackground(t, far, 300, c.handle)
		t.Cleanup(func() { close(c.release) })
		began := time.Now()
		for c.now()[fleet.PriorityBulk] < tasks {
			if time.Since(began) > time.Minute {
				t.Fatalf("%v are at work", c.now())
			}
			pass(trip)
		}
		if took := time.Since(began); took > 500*time.Millisecond { // two servers would take 1.5 s
			t.Errorf("%d tasks were fetched within %s", tasks, took)
		}
	})
}

func TestARedisThatDoesNotAnswerIsTakenToBeNear(t *testing.T) {
	t.Parallel()
	if got := queue.RoundTrip(t.Context(), open(t, "redis://127.0.0.1:1/0")); got != 2*time.Millisecond {
		t.Errorf("the round trip is %s", got)
	}
}
