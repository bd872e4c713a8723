package queue_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hibiken/asynq"
)

// orderOf returns the order in which one slot works 100 tasks of each of two queues.
func orderOf(t *testing.T, url string, strict bool) string {
	t.Helper()
	client, _ := dial(t, url)
	const each = 100
	for i := range each {
		enqueue(t, client, fmt.Sprint("low-", i), asynq.Queue("low"))
		enqueue(t, client, fmt.Sprint("high-", i), asynq.Queue("high"))
	}
	order, done := "", make(chan struct{})
	startServer(t, client, asynq.Config{
		Concurrency: 1, StrictPriority: strict, Queues: map[string]int{"high": 3, "low": 1},
	}, func(ctx context.Context, _ *asynq.Task) error {
		order += taskID(ctx)[:1]
		if len(order) == 2*each {
			close(done)
		}
		return nil
	})
	within(t, done, time.Minute)
	return order
}

func TestAsynqPriorities(t *testing.T) {
	t.Parallel()
	t.Run("strict ones let the lower queue wait until the higher is empty", func(t *testing.T) {
		t.Parallel()
		url := redisURL(t)
		synctest.Test(t, func(t *testing.T) {
			if order, want := orderOf(t, url, true), strings.Repeat("h", 100)+strings.Repeat("l", 100); order != want {
				t.Errorf("they ran as %s", order)
			}
		})
	})
	t.Run("weights say how often a queue is looked into first", func(t *testing.T) {
		t.Parallel()
		url := redisURL(t)
		synctest.Test(t, func(t *testing.T) {
			order := orderOf(t, url, false)
			// Of the first 80 a quarter is to come from the lower queue; 3 to 40 fails less than once in a million runs.
			if low := strings.Count(order[:80], "l"); low < 3 || low > 40 {
				t.Errorf("%d of the first 80 came from the lower queue, want about 20", low)
			}
		})
	})
	t.Run("neither helps while long tasks hold every slot", func(t *testing.T) {
		t.Parallel()
		url := redisURL(t)
		synctest.Test(t, func(t *testing.T) {
			client, _ := dial(t, url)
			enqueue(t, client, "long-1", asynq.Queue("low"))
			enqueue(t, client, "long-2", asynq.Queue("low"))
			var started atomic.Int32
			urgent, release := make(chan time.Time, 1), make(chan struct{})
			startServer(t, client, asynq.Config{
				Concurrency: 2, StrictPriority: true, Queues: map[string]int{"high": 1000, "low": 1},
			}, func(ctx context.Context, _ *asynq.Task) error {
				if taskID(ctx) == "urgent" {
					urgent <- time.Now()
					return nil
				}
				started.Add(1)
				<-release
				return nil
			})
			pass(5 * time.Second)
			if started.Load() != 2 {
				t.Fatalf("%d long tasks run", started.Load())
			}
			enqueue(t, client, "urgent", asynq.Queue("high"))
			asked := time.Now()
			pass(3 * time.Minute)
			close(release)
			if waited := within(t, urgent, time.Minute).Sub(asked); waited < 3*time.Minute {
				t.Errorf("the urgent task waited %s, want it to wait for the long ones", waited)
			}
		})
	})
}

func TestAsynqQueuesAreFirstInFirstOutAndRetriesGoToTheTail(t *testing.T) {
	t.Parallel()
	url := redisURL(t)
	synctest.Test(t, func(t *testing.T) {
		client, _ := dial(t, url)
		for _, id := range []string{"a", "b", "c"} {
			enqueue(t, client, id)
		}
		var order []string
		done := make(chan struct{})
		c := impatient()
		c.Concurrency = 1
		startServer(t, client, c, func(ctx context.Context, _ *asynq.Task) error {
			order = append(order, taskID(ctx))
			if len(order) == 4 {
				close(done)
			}
			if len(order) == 1 {
				return errors.New("once more")
			}
			return nil
		})
		within(t, done, time.Minute)
		if want := []string{"a", "b", "c", "a"}; !slices.Equal(order, want) {
			t.Errorf("they ran as %v, want %v", order, want)
		}
	})
}
