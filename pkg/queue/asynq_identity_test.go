package queue_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"

	"github.com/rollcallhq/rollcall/pkg/await"
)

// makeTask brings a task of that ID into a state. No other task may wait.
func makeTask(t *testing.T, client redis.UniversalClient, state, id string) {
	t.Helper()
	enqueue(t, client, id, asynq.ProcessIn(map[string]time.Duration{"scheduled": time.Hour}[state]),
		asynq.Retention(map[string]time.Duration{"completed": time.Hour}[state]))
	if state == "pending" || state == "scheduled" {
		return
	}
	release := make(chan struct{})
	server := asynq.NewServerFromRedisClient(client, asynq.Config{
		LogLevel: asynq.FatalLevel, Queues: map[string]int{aQueue: 1}, Concurrency: 1, TaskCheckInterval: 10 * time.Millisecond,
		RetryDelayFunc: func(int, error, *asynq.Task) time.Duration { return time.Hour },
	})
	if err := server.Start(asynq.HandlerFunc(func(context.Context, *asynq.Task) error {
		switch state {
		case "active":
			<-release
		case "retry":
			return errors.New("x")
		case "archived":
			return asynq.SkipRetry
		}
		return nil
	})); err != nil {
		t.Fatal(err)
	}
	await.Until(t, "a task that is "+state, func() bool { return asynqState(t, client, id) == state })
	if state == "active" {
		t.Cleanup(func() { close(release); server.Shutdown() })
		return
	}
	server.Shutdown()
}

func TestAsynqTaskIDsConflictInEveryState(t *testing.T) {
	t.Parallel()
	client, _ := startRedis(t)
	for _, state := range []string{"pending", "scheduled", "retry", "archived", "completed", "active"} {
		id := "in state " + state
		makeTask(t, client, state, id)
		if err := tryEnqueue(client, id); !errors.Is(err, asynq.ErrTaskIDConflict) {
			t.Errorf("while a task is %s, its ID can be used again: %v", state, err)
		}
		if state == "pending" { // out of the way of the next ones
			if err := asynq.NewInspectorFromRedisClient(client).DeleteTask(aQueue, id); err != nil {
				t.Fatal(err)
			}
			if err := tryEnqueue(client, id, asynq.ProcessIn(time.Hour)); err != nil {
				t.Errorf("enqueueing again what was deleted: %v", err)
			}
		}
	}
	if err := tryEnqueue(client, "in state retry", asynq.Queue("other")); err != nil {
		t.Errorf("an ID is taken in another queue, too: %v", err)
	}
}

func TestAsynqATaskIDIsFreeAfterSuccessWithoutRetention(t *testing.T) {
	t.Parallel()
	client, _ := startRedis(t)
	startServer(t, client, asynq.Config{TaskCheckInterval: 10 * time.Millisecond}, func(context.Context, *asynq.Task) error { return nil })
	for range 2 {
		enqueue(t, client, "a")
		await.Until(t, "the end of the task", func() bool { return asynqState(t, client, "a") == "" })
	}
}

func TestAsynqUniqueLocks(t *testing.T) {
	t.Parallel()
	const lock = "unique:test:*"
	client, _ := startRedis(t)
	ctx, payload := t.Context(), []byte("the same")
	ask := func(options ...asynq.Option) error {
		_, err := asynq.NewClientFromRedisClient(client).Enqueue(asynq.NewTask("test", payload),
			append([]asynq.Option{asynq.Queue(aQueue), asynq.Unique(time.Hour)}, options...)...)
		return err
	}
	locks := func() []string { return client.Keys(ctx, keyOf(lock)).Val() }
	if err := ask(asynq.TaskID("first")); err != nil {
		t.Fatal(err)
	}
	if err := ask(); !errors.Is(err, asynq.ErrDuplicateTask) {
		t.Errorf("the same task again = %v, want a duplicate", err)
	}
	held := locks()
	if len(held) != 1 {
		t.Fatalf("locks: %v", held)
	}
	if ttl := client.TTL(ctx, held[0]).Val(); ttl <= 59*time.Minute || ttl > time.Hour {
		t.Errorf("the lock lasts %s", ttl)
	}
	client.Del(ctx, held[0]) // as when its time is over, while the task still waits
	if err := ask(asynq.TaskID("second")); err != nil {
		t.Errorf("after the lock's end the task cannot be doubled: %v", err)
	}
	client.Del(ctx, held[0])
	if err := ask(asynq.TaskID("second")); !errors.Is(err, asynq.ErrTaskIDConflict) {
		t.Errorf("a conflict of IDs = %v", err)
	}
	if err := ask(asynq.TaskID("third")); !errors.Is(err, asynq.ErrDuplicateTask) || client.Get(ctx, held[0]).Val() != "second" {
		t.Errorf("a conflict of IDs does not leave the lock behind: %v", err)
	}
	fail := true
	startServer(t, client, asynq.Config{Concurrency: 1, TaskCheckInterval: 10 * time.Millisecond}, func(context.Context, *asynq.Task) error {
		if fail {
			fail = false
			return asynq.SkipRetry
		}
		return nil
	})
	await.Until(t, "the end of the second", func() bool { return asynqState(t, client, "second") == "" })
	if len(locks()) != 0 {
		t.Error("success leaves the lock behind")
	}
	fail = true
	if err := ask(asynq.TaskID("fourth")); err != nil {
		t.Fatal(err)
	}
	await.Until(t, "the archiving of the fourth", func() bool { return asynqState(t, client, "fourth") == "archived" })
	if err := ask(); !errors.Is(err, asynq.ErrDuplicateTask) {
		t.Errorf("archiving gave up the lock: %v", err)
	}
}
