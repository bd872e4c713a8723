package queue_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"

	"github.com/rollcallhq/rollcall/pkg/await"
)

// fillArchive puts n entries into the archive, of which the oldest was archived at that time and the others each a
// second later. Only the oldest has a message.
func fillArchive(t *testing.T, client redis.UniversalClient, n int, oldest time.Time) {
	t.Helper()
	entries := make([]redis.Z, n)
	for i := range entries {
		entries[i] = redis.Z{Score: float64(oldest.Unix() + int64(i)), Member: fmt.Sprint("old-", i)}
	}
	if err := errors.Join(
		client.ZAdd(t.Context(), keyOf("archived"), entries...).Err(),
		client.HSet(t.Context(), keyOf("t:old-0"), "msg", "x", "state", "archived").Err(),
		client.SAdd(t.Context(), "asynq:queues", aQueue).Err(),
	); err != nil {
		t.Fatal(err)
	}
}

// failOnce has a task archived by a server.
func failOnce(t *testing.T, client redis.UniversalClient, id string) (ran <-chan struct{}) {
	t.Helper()
	enqueue(t, client, id)
	done := make(chan struct{}, 1)
	startServer(t, client, asynq.Config{TaskCheckInterval: 10 * time.Millisecond}, func(context.Context, *asynq.Task) error {
		done <- struct{}{}
		return asynq.SkipRetry
	})
	return done
}

func TestAsynqKeepsNoMoreThan9999ArchivedTasks(t *testing.T) {
	t.Parallel()
	client, _ := startRedis(t)
	fillArchive(t, client, 9999, time.Now().Add(-24*time.Hour))
	failOnce(t, client, "new")
	await.Until(t, "the archiving", func() bool { return asynqState(t, client, "new") == "archived" })
	if n := client.ZCard(t.Context(), keyOf("archived")).Val(); n != 9999 {
		t.Errorf("%d tasks are kept, want 9999", n)
	}
	if state := asynqState(t, client, "old-0"); state != "" {
		t.Errorf("the oldest is %s, want it deleted silently", state)
	}
}

func TestAsynqKeepsArchivedTasksForNinetyDays(t *testing.T) {
	t.Parallel()
	client, _ := startRedis(t)
	const day = 24 * time.Hour
	fillArchive(t, client, 1, time.Now().Add(-90*day-2*time.Hour)) // local days may have 25 hours
	client.ZAdd(t.Context(), keyOf("archived"), redis.Z{Score: float64(time.Now().Add(-89 * day).Unix()), Member: "younger"})
	failOnce(t, client, "new")
	await.Until(t, "the archiving", func() bool { return asynqState(t, client, "new") == "archived" })
	if state := asynqState(t, client, "old-0"); state != "" {
		t.Errorf("after 90 days it is %s, want it gone with the next one that is archived", state)
	}
	if n := client.ZCard(t.Context(), keyOf("archived")).Val(); n != 2 {
		t.Errorf("%d are kept, want the one of 89 days and the new one", n)
	}
}

// TestAsynqCannotArchiveWhenThousandsAreTooOld is a canary: Lua's unpack does not take that many.
func TestAsynqCannotArchiveWhenThousandsAreTooOld(t *testing.T) {
	t.Parallel()
	client, _ := startRedis(t)
	fillArchive(t, client, 9000, time.Now().Add(-91*24*time.Hour))
	within(t, failOnce(t, client, "new"), patience)
	await.Until(t, "the attempt", func() bool { return client.ZScore(t.Context(), keyOf("archived"), "new").Err() == nil })
	if state, n := asynqState(t, client, "new"), client.ZCard(t.Context(), keyOf("archived")).Val(); state != "active" || n != 9001 {
		t.Errorf("the task is %s among %d archived ones: the bug is mended", state, n)
	}
}

// TestAsynqInspectorLeaksWhatFallsOffTheArchive: the inspector's ArchiveTask, and Asynqmon's button, cut the list without deleting what fell off.
func TestAsynqInspectorLeaksWhatFallsOffTheArchive(t *testing.T) {
	t.Parallel()
	client, _ := startRedis(t)
	fillArchive(t, client, 9999, time.Now().Add(-24*time.Hour))
	enqueue(t, client, "new")
	if err := asynq.NewInspectorFromRedisClient(client).ArchiveTask(aQueue, "new"); err != nil {
		t.Fatal(err)
	}
	if err := client.ZScore(t.Context(), keyOf("archived"), "old-0").Err(); !errors.Is(err, redis.Nil) {
		t.Errorf("the oldest did not fall off: %v", err)
	}
	if err := tryEnqueue(client, "old-0"); !errors.Is(err, asynq.ErrTaskIDConflict) {
		t.Errorf("enqueueing it again = %v: nothing was left behind", err)
	}
}
