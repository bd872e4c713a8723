package queue_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"

	"github.com/rollcallhq/rollcall/pkg/queue"
)

// TestAsynqAfterRedisLostItsData wipes Redis under a task that waits and one that runs.
func TestAsynqAfterRedisLostItsData(t *testing.T) {
	t.Parallel()
	url := redisURL(t)
	synctest.Test(t, func(t *testing.T) {
		client, _ := dial(t, url)
		ctx := t.Context()
		enqueuer := asynq.NewClientFromRedisClient(client) // one that lives through it
		ring := func(id string) error {
			_, err := enqueuer.Enqueue(asynq.NewTask("test", nil), asynq.Queue("collect.eu.normal"), asynq.TaskID(id))
			return err
		}
		runs := make(chan string, 10)
		release := make(chan struct{})
		startServer(t, client, asynq.Config{Concurrency: 1, Queues: map[string]int{"collect.eu.normal": 1}}, func(ctx context.Context, task *asynq.Task) error {
			runs <- taskID(ctx)
			if taskID(ctx) == "running" {
				<-release
				_, err := task.ResultWriter().Write([]byte("done"))
				return err
			}
			return nil
		})
		if err := errors.Join(ring("running"), ring("waiting")); err != nil {
			t.Fatal(err)
		}
		within(t, runs, time.Minute)
		if err := client.FlushAll(ctx).Err(); err != nil {
			t.Fatal(err)
		}
		pass(7 * time.Second) // a heartbeat
		if n := client.Exists(ctx, "asynq:{collect.eu.normal}:lease").Val(); n != 0 {
			t.Error("the heartbeat brought the lease back")
		}
		close(release)
		pass(5 * time.Minute)
		if len(runs) != 0 {
			t.Errorf("%s ran: the waiting task survived", <-runs)
		}
		// The result of the one that ran is all that is left of it, for ever, and keeps its ID.
		key := "asynq:{collect.eu.normal}:t:running"
		if all, ttl := client.HGetAll(ctx, key).Val(), client.TTL(ctx, key).Val(); len(all) != 1 || all["result"] != "done" || ttl != -1 {
			t.Errorf("of the task that ran there is %v with a TTL of %s", all, ttl)
		}
		if err := ring("running"); !errors.Is(err, asynq.ErrTaskIDConflict) {
			t.Errorf("ringing for it again = %v, want a conflict", err)
		}
		// Ringing again for what was waiting works, but nobody is told of the queue any more.
		if err := ring("waiting"); err != nil {
			t.Fatal(err)
		}
		if id := within(t, runs, time.Minute); id != "waiting" {
			t.Errorf("%s ran", id)
		}
		inspector := asynq.NewInspectorFromRedisClient(client)
		if names, err := inspector.Queues(); err != nil || len(names) != 0 {
			t.Errorf("the queues are %v, %v; want them forgotten", names, err)
		}
		if err := queue.New(client).Register(ctx, []string{"eu"}); err != nil {
			t.Fatal(err)
		}
		if names, err := inspector.Queues(); err != nil || !slices.Contains(names, "collect.eu.normal") {
			t.Errorf("after Register the queues are %v, %v", names, err)
		}
	})
}

// provider gives periodic tasks to a manager.
type provider []*asynq.PeriodicTaskConfig

func (p provider) GetConfigs() ([]*asynq.PeriodicTaskConfig, error) { return p, nil }

func startManager(t *testing.T, client redis.UniversalClient) (stop func()) {
	t.Helper()
	manager, err := asynq.NewPeriodicTaskManager(asynq.PeriodicTaskManagerOpts{
		RedisUniversalClient: client, SchedulerOpts: &asynq.SchedulerOpts{LogLevel: asynq.FatalLevel},
		PeriodicTaskConfigProvider: provider{{Cronspec: "@every 2s", Task: asynq.NewTask("tick", nil), Opts: []asynq.Option{asynq.Queue(aQueue)}}},
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := manager.Start(); err != nil {
		t.Fatal(err)
	}
	return manager.Shutdown
}

// histories counts the keys under which schedulers remember what they enqueued, and those that expire.
func histories(t *testing.T, client redis.UniversalClient) (all, expire int) {
	t.Helper()
	for _, key := range client.Keys(t.Context(), "asynq:scheduler_history:*").Val() {
		all++
		if client.TTL(t.Context(), key).Val() >= 0 {
			expire++
		}
	}
	return all, expire
}

func TestAsynqPeriodicTasks(t *testing.T) {
	t.Parallel()
	pending := func(t *testing.T, client redis.UniversalClient) int64 {
		t.Helper()
		return client.LLen(t.Context(), keyOf("pending")).Val()
	}
	t.Run("two replicas enqueue everything twice", func(t *testing.T) {
		t.Parallel()
		url := redisURL(t)
		synctest.Test(t, func(t *testing.T) {
			client, _ := dial(t, url)
			defer startManager(t, client)()
			defer startManager(t, client)()
			pass(21 * time.Second)
			if n := pending(t, client); n != 20 {
				t.Errorf("10 ticks were enqueued as %d tasks, want 20", n)
			}
		})
	})
	t.Run("a tick while Redis is away is lost", func(t *testing.T) {
		t.Parallel()
		url := redisURL(t)
		synctest.Test(t, func(t *testing.T) {
			schedulers, cable := dial(t, url)
			client, _ := dial(t, url)
			defer startManager(t, schedulers)()
			pass(5 * time.Second)
			cable.cut()
			pass(20 * time.Second)
			cable.mend()
			pass(10 * time.Second)
			if n := pending(t, client); n < 2+4 || n > 2+4+3 {
				t.Errorf("of 17 ticks %d were enqueued, want those of the 15 s with Redis", n)
			}
		})
	})
	t.Run("a killed scheduler leaves its histories behind for ever", func(t *testing.T) {
		t.Parallel()
		url := redisURL(t)
		synctest.Test(t, func(t *testing.T) {
			doomed, cable := dial(t, url)
			client, _ := dial(t, url)
			stop := startManager(t, client)
			defer startManager(t, doomed)()
			pass(11 * time.Second)
			if all, expire := histories(t, client); all != 2 || expire != 0 {
				t.Errorf("there are %d histories, of which %d expire; want 2 and none", all, expire)
			}
			cable.cut()
			stop()
			if all, _ := histories(t, client); all != 1 {
				t.Errorf("%d histories are left, want that of the killed one", all)
			}
		})
	})
	t.Run("a removed entry leaves its history behind for ever", func(t *testing.T) {
		t.Parallel()
		url := redisURL(t)
		synctest.Test(t, func(t *testing.T) {
			client, _ := dial(t, url)
			scheduler := asynq.NewSchedulerFromRedisClient(client, &asynq.SchedulerOpts{LogLevel: asynq.FatalLevel})
			id, err := scheduler.Register("@every 2s", asynq.NewTask("tick", nil), asynq.Queue(aQueue))
			if err != nil {
				t.Fatal(err)
			}
			if err := scheduler.Start(); err != nil {
				t.Fatal(err)
			}
			pass(5 * time.Second)
			if err := scheduler.Unregister(id); err != nil {
				t.Fatal(err)
			}
			scheduler.Shutdown()
			keys := client.Keys(t.Context(), "asynq:scheduler_history:*").Val()
			if len(keys) != 1 || !strings.HasSuffix(keys[0], id) {
				t.Errorf("the histories are %v", keys)
			}
		})
	})
}
