package queue_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hibiken/asynq"

	"github.com/rollcallhq/rollcall/pkg/await"
)

func TestAsynqInspectorInEachState(t *testing.T) {
	t.Parallel()
	const refused = "" // the state afterwards, if the answer is an error
	tests := []struct{ state, deleted, run, archived string }{
		{"pending", "gone", refused, "archived"},
		{"scheduled", "gone", "pending", "archived"},
		{"retry", "gone", "pending", "archived"},
		{"archived", "gone", "pending", refused},
		{"completed", "gone", "pending", "archived"},
		{"active", refused, refused, refused},
	}
	for _, tt := range tests {
		t.Run("of a task that is "+tt.state, func(t *testing.T) {
			t.Parallel()
			client, _ := startRedis(t)
			inspector := asynq.NewInspectorFromRedisClient(client)
			for _, call := range []struct {
				name string
				do   func(queue, id string) error
				want string
			}{
				{"RunTask", inspector.RunTask, tt.run},
				{"ArchiveTask", inspector.ArchiveTask, tt.archived},
				{"DeleteTask", inspector.DeleteTask, tt.deleted},
			} {
				if tt.state != "active" || call.name == "RunTask" { // one that is active blocks the servers of the others
					makeTask(t, client, tt.state, "a")
				}
				err, want := call.do(aQueue, "a"), call.want
				if (err != nil) != (want == refused) {
					t.Errorf("%s = %v, want the task to be %q", call.name, err, want)
				}
				switch want {
				case refused:
					want = tt.state
				case "gone":
					want = ""
				}
				if state := asynqState(t, client, "a"); state != want {
					t.Errorf("after %s it is %q, want %q", call.name, state, want)
				}
				if tt.state == "active" {
					continue
				}
				if err := inspector.DeleteTask(aQueue, "a"); err != nil && want != "" {
					t.Fatalf("clearing up after %s: %v", call.name, err)
				}
			}
			if err := inspector.DeleteTask(aQueue, "unknown"); !errors.Is(err, asynq.ErrTaskNotFound) {
				t.Errorf("deleting what is not there = %v", err)
			}
			if err := inspector.DeleteTask("unknown", "a"); !errors.Is(err, asynq.ErrQueueNotFound) {
				t.Errorf("deleting from what is not there = %v", err)
			}
		})
	}
}

// TestAsynqCancelProcessingRetries holds that a cancelled task is retried whatever its handler returns, and that to
// cancel a task that does not run does nothing and says so to nobody.
func TestAsynqCancelProcessingRetries(t *testing.T) {
	t.Parallel()
	client, _ := startRedis(t)
	inspector := asynq.NewInspectorFromRedisClient(client)
	enqueue(t, client, "waiting", asynq.ProcessIn(time.Hour))
	enqueue(t, client, "a")
	var told atomic.Bool
	startServer(t, client, asynq.Config{TaskCheckInterval: 10 * time.Millisecond}, func(ctx context.Context, _ *asynq.Task) error {
		<-ctx.Done()
		told.Store(true)
		return asynq.SkipRetry
	})
	for _, id := range []string{"waiting", "unknown"} {
		if err := inspector.CancelProcessing(id); err != nil {
			t.Errorf("cancelling %s = %v", id, err)
		}
	}
	await.Until(t, "the cancelling of a running task", func() bool {
		return inspector.CancelProcessing("a") == nil && asynqState(t, client, "a") == "retry" && told.Load()
	})
	if info := infoOf(t, client, "a"); info.Retried != 1 || info.LastErr != context.Canceled.Error() {
		t.Errorf("it is to be retried after %d retries, %q", info.Retried, info.LastErr)
	}
	if state := asynqState(t, client, "waiting"); state != "scheduled" {
		t.Errorf("the one that waits is %s", state)
	}
}
