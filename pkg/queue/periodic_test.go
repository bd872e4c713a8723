package queue_test

import (
	"context"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"

	"github.com/rollcallhq/rollcall/pkg/await"
	"github.com/rollcallhq/rollcall/pkg/queue"
)

// redisOf returns a client of a Redis of the test's own.
func redisOf(t *testing.T) *redis.Client {
	t.Helper()
	o, err := redis.ParseURL(redisURL(t))
	if err != nil {
		t.Fatal(err)
	}
	client := redis.NewClient(o)
	t.Cleanup(func() { _ = client.Close() })
	return client
}

// ticking runs two replicas until the returned function is called.
func ticking(t *testing.T, client *redis.Client, o queue.PeriodicOptions) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	for range 2 {
		running.Go(func() {
			if err := queue.RunPeriodic(ctx, client, o); err != nil {
				t.Errorf("RunPeriodic = %v", err)
			}
		})
	}
	stop = sync.OnceFunc(func() { cancel(); running.Wait() })
	t.Cleanup(stop)
	return stop
}

func TestTicksComeAndAsynqmonShowsThem(t *testing.T) {
	t.Parallel()
	client := redisOf(t)
	ticks := []queue.Tick{{Job: "partitions", Every: time.Second}, {Job: "retention", Every: time.Hour}}
	var done atomic.Int64
	stop := ticking(t, client, queue.PeriodicOptions{
		Ticks: ticks, Log: slog.New(slog.DiscardHandler), SyncEvery: 200 * time.Millisecond,
		Do: func(_ context.Context, job string) (string, error) {
			if job != "partitions" {
				t.Errorf("a tick of %s", job)
			}
			done.Add(1)
			return "ok", context.DeadlineExceeded // whatever comes of a job, its next tick has to come
		},
	})
	inspector := asynq.NewInspectorFromRedisClient(client)
	await.Until(t, "both replicas show what they tick, as Asynqmon's page of schedulers reads it", func() bool {
		entries, err := inspector.SchedulerEntries()
		if err != nil {
			t.Fatal(err)
		}
		var seen []string
		for _, e := range entries {
			seen = append(seen, e.Spec+" "+e.Task.Type()+" "+string(e.Task.Payload()))
		}
		slices.Sort(seen)
		return slices.Equal(seen, []string{
			`@every 1h0m0s housekeeping {"job":"retention"}`, `@every 1h0m0s housekeeping {"job":"retention"}`,
			`@every 1s housekeeping {"job":"partitions"}`, `@every 1s housekeeping {"job":"partitions"}`,
		})
	})
	await.Until(t, "ticks come again and again", func() bool { return done.Load() >= 3 })
	if queues, err := inspector.Queues(); err != nil || !slices.Contains(queues, queue.Housekeeping) {
		t.Errorf("queues = %v, %v", queues, err)
	}
	stop()
	keys, err := client.Keys(t.Context(), "asynq:scheduler_history:*").Result()
	if err != nil || len(keys) > 0 {
		t.Errorf("after the end there are %v, %v", keys, err)
	}
}

func TestWhatDeadSchedulersLeaveIsRemoved(t *testing.T) {
	t.Parallel()
	client := redisOf(t)
	ctx := t.Context()
	q := queue.New(client)
	ticks := []queue.Tick{{Job: "partitions", Every: time.Second}}
	upkeep := queue.Upkeep{Queue: q, Jobs: ticks, Age: time.Nanosecond}

	// A scheduler of somebody else's, which is dead as well, and one of ours that was killed.
	stop := ticking(t, client, queue.PeriodicOptions{
		Ticks: ticks, Log: slog.New(slog.DiscardHandler), SyncEvery: 100 * time.Millisecond,
		Do: func(context.Context, string) (string, error) { return "", nil },
	})
	histories := func() []string {
		keys, err := client.Keys(ctx, "asynq:scheduler_history:*").Result()
		if err != nil {
			t.Fatal(err)
		}
		slices.Sort(keys)
		return keys
	}
	await.Until(t, "a replica has ticked", func() bool { return len(histories()) > 0 })
	alive := histories()[0]
	leave := func(name, from string) {
		t.Helper()
		if err := client.Copy(ctx, from, "asynq:scheduler_history:"+name, 0, true).Err(); err != nil {
			t.Fatal(err)
		}
	}
	leave("ours", alive)
	other := asynq.NewSchedulerFromRedisClient(client, &asynq.SchedulerOpts{LogLevel: asynq.FatalLevel})
	if _, err := other.Register("@every 1s", asynq.NewTask("other", nil)); err != nil {
		t.Fatal(err)
	}
	if err := other.Start(); err != nil {
		t.Fatal(err)
	}
	await.Until(t, "the other scheduler has ticked", func() bool {
		for _, key := range histories() {
			events, err := asynq.NewInspectorFromRedisClient(client).ListSchedulerEnqueueEvents(strings.TrimPrefix(key, "asynq:scheduler_history:"))
			if err == nil && len(events) > 0 && !strings.HasPrefix(events[0].TaskID, "housekeeping:") {
				leave("others", key)
				return true
			}
		}
		return false
	})
	other.Shutdown()

	young := upkeep
	young.Age = 0
	if n, err := young.Keep(ctx, []string{"default"}); err != nil || n != 0 {
		t.Errorf("Keep of what has just ticked = %d, %v", n, err)
	}
	if n, err := upkeep.Keep(ctx, []string{"default"}); err != nil || n != 1 {
		t.Errorf("Keep = %d, %v; want the one of the dead scheduler that was ours", n, err)
	}
	if left := histories(); slices.Contains(left, "asynq:scheduler_history:ours") || !slices.Contains(left, "asynq:scheduler_history:others") {
		t.Errorf("left are %v", left)
	}
	stop()
}

func TestATickWhoseIDIsTakenComesAgain(t *testing.T) {
	t.Parallel()
	client := redisOf(t)
	ctx := t.Context()
	upkeep := queue.Upkeep{Queue: queue.New(client), Jobs: []queue.Tick{{Job: "partitions", Every: time.Second}}}
	inspector := asynq.NewInspectorFromRedisClient(client)
	enqueue := func() error {
		_, err := asynq.NewClientFromRedisClient(client).Enqueue(asynq.NewTask("housekeeping", nil), asynq.Queue(queue.Housekeeping), asynq.TaskID("housekeeping:partitions"))
		return err
	}
	for name, spoil := range map[string]func() error{
		"archived": func() error {
			if err := enqueue(); err != nil {
				return err
			}
			return inspector.ArchiveTask(queue.Housekeeping, "housekeeping:partitions")
		},
		"half of it is left": func() error {
			return client.HSet(ctx, "asynq:{housekeeping}:t:housekeeping:partitions", "result", "x").Err()
		},
	} {
		if err := spoil(); err != nil {
			t.Fatal(err)
		}
		if err := enqueue(); err == nil {
			t.Errorf("%s: the ID is not taken, so that this tests nothing", name)
		}
		if _, err := upkeep.Keep(ctx, nil); err != nil {
			t.Errorf("%s: Keep = %v", name, err)
		}
		if err := enqueue(); err != nil {
			t.Errorf("%s: the tick does not come again: %v", name, err)
		}
		if _, err := upkeep.Keep(ctx, nil); err != nil {
			t.Errorf("%s: Keep = %v", name, err)
		}
		if err := inspector.DeleteTask(queue.Housekeeping, "housekeeping:partitions"); err != nil {
			t.Errorf("%s: a tick that waits was removed: %v", name, err)
		}
	}
	if err := client.FlushAll(ctx).Err(); err != nil { // a Redis that forgot everything
		t.Fatal(err)
	}
	if _, err := upkeep.Keep(ctx, []string{"eu"}); err != nil {
		t.Fatal(err)
	}
	if queues, err := inspector.Queues(); err != nil || len(queues) != 4 || !slices.Contains(queues, "collect.eu.bulk") {
		t.Errorf("queues = %v, %v", queues, err)
	}
	_ = client.Close()
	if _, err := upkeep.Keep(ctx, nil); err == nil {
		t.Error("Keep without Redis succeeded")
	}
}
