package queue_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hibiken/asynq"
)

func TestAsynqDefaults(t *testing.T) {
	t.Parallel()
	client, _ := startRedis(t)
	enqueue(t, client, "a")
	if info := infoOf(t, client, "a"); info.MaxRetry != 25 || info.Timeout != 30*time.Minute || info.Retention != 0 {
		t.Errorf("a task has %d retries, %s and a retention of %s, want 25, 30m and none", info.MaxRetry, info.Timeout, info.Retention)
	}
	for n, want := range map[int][2]time.Duration{ // n⁴ + 15 + up to 29·(n+1) seconds
		0: {15 * time.Second, 44 * time.Second}, 1: {16 * time.Second, 74 * time.Second},
		24: {331791 * time.Second, 332516 * time.Second},
	} {
		for range 200 {
			if got := asynq.DefaultRetryDelayFunc(n, errors.New("x"), nil); got < want[0] || got > want[1] {
				t.Fatalf("after %d retries the delay is %s, want %s to %s", n, got, want[0], want[1])
			}
		}
	}
}

func TestAsynqOutcomes(t *testing.T) {
	t.Parallel()
	temporary := errors.New("temporary")
	tests := []struct {
		name     string
		err      error
		panics   bool
		maxRetry int
		runs     int32 // within a minute, a retry following after a second
		state    string
		delays   []int // the counts of retries that the delay was asked for
	}{
		{name: "an error is retried until the retries are used up, then archived", err: errors.New("x"), maxRetry: 2, runs: 3, state: "archived", delays: []int{0, 1}},
		{name: "a panic is an error", panics: true, maxRetry: 1, runs: 2, state: "archived", delays: []int{0}},
		{name: "SkipRetry archives at once", err: fmt.Errorf("bad: %w", asynq.SkipRetry), maxRetry: 25, runs: 1, state: "archived"},
		{name: "RevokeTask leaves nothing behind", err: fmt.Errorf("gone: %w", asynq.RevokeTask), maxRetry: 25, runs: 1, state: ""},
		{name: "an error that is no failure is not counted", err: temporary, maxRetry: 1, runs: 5, state: "completed", delays: []int{0, 0, 0, 0}},
		{name: "without retries even that is archived", err: temporary, maxRetry: 0, runs: 1, state: "archived"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			url := redisURL(t)
			synctest.Test(t, func(t *testing.T) {
				client, _ := dial(t, url)
				enqueue(t, client, "a", asynq.MaxRetry(tt.maxRetry), asynq.Retention(time.Hour))
				var runs, handled atomic.Int32
				var mu sync.Mutex
				var delays []int
				startServer(t, client, asynq.Config{
					TaskCheckInterval: 100 * time.Millisecond, DelayedTaskCheckInterval: 100 * time.Millisecond,
					IsFailure:    func(err error) bool { return !errors.Is(err, temporary) },
					ErrorHandler: asynq.ErrorHandlerFunc(func(context.Context, *asynq.Task, error) { handled.Add(1) }),
					RetryDelayFunc: func(n int, _ error, _ *asynq.Task) time.Duration {
						mu.Lock()
						defer mu.Unlock()
						delays = append(delays, n)
						return time.Second
					},
				}, func(context.Context, *asynq.Task) error {
					n := runs.Add(1)
					if tt.panics {
						panic("x")
					}
					if n == 5 {
						return nil
					}
					return tt.err
				})
				pass(time.Minute)
				if runs.Load() != tt.runs || asynqState(t, client, "a") != tt.state {
					t.Errorf("it ran %d times and is %q, want %d and %q", runs.Load(), asynqState(t, client, "a"), tt.runs, tt.state)
				}
				mu.Lock()
				defer mu.Unlock()
				if !slices.Equal(delays, tt.delays) {
					t.Errorf("the delay was asked for with %v, want %v", delays, tt.delays)
				}
				wantHandled := tt.runs
				if tt.state == "completed" {
					wantHandled--
				}
				if handled.Load() != wantHandled {
					t.Errorf("the error handler was called %d times, want %d", handled.Load(), wantHandled)
				}
			})
		})
	}
}

func TestAsynqTimeoutsFreeTheSlotAndNotTheGoroutine(t *testing.T) {
	t.Parallel()
	url := redisURL(t)
	synctest.Test(t, func(t *testing.T) {
		client, _ := dial(t, url)
		enqueue(t, client, "a", asynq.Timeout(3*time.Second))
		var atOnce atomic.Int32
		release := make(chan struct{})
		c := impatient()
		c.Concurrency = 1
		startServer(t, client, c, func(context.Context, *asynq.Task) error { // which ignores its context
			atOnce.Add(1)
			<-release
			return nil
		})
		pass(25 * time.Second)
		if n := atOnce.Load(); n < 4 {
			t.Errorf("%d copies of the handler run in one slot after 25 s, want several", n)
		}
		close(release)
	})
}

// TestAsynqShutdown holds that handlers are told nothing while Shutdown waits for them, and what happens to their
// tasks when it stops waiting.
func TestAsynqShutdown(t *testing.T) {
	t.Parallel()
	url := redisURL(t)
	synctest.Test(t, func(t *testing.T) {
		client, _ := dial(t, url)
		for _, id := range []string{"a", "b", "c"} {
			enqueue(t, client, id)
		}
		var told atomic.Pointer[time.Time]
		working, release := make(chan struct{}), make(chan struct{})
		server := startServer(t, client, asynq.Config{Concurrency: 1}, func(ctx context.Context, _ *asynq.Task) error {
			context.AfterFunc(ctx, func() { now := time.Now(); told.Store(&now) })
			close(working)
			<-release
			return nil
		})
		defer close(release)
		within(t, working, time.Minute)
		server.Stop()
		pass(time.Minute)
		if told.Load() != nil {
			t.Error("Stop told the handler")
		}
		if state := asynqState(t, client, "a"); state != "active" {
			t.Errorf("after Stop the task is %s", state)
		}
		stopping := time.Now()
		server.Shutdown()
		if took := time.Since(stopping); took != 8*time.Second {
			t.Errorf("Shutdown took %s, want 8s", took)
		}
		if at := told.Load(); at == nil || at.Sub(stopping) != 8*time.Second {
			t.Errorf("the handler's context ended at %v, want it to end with the waiting", at)
		}
		if info := infoOf(t, client, "a"); info.State != asynq.TaskStatePending || info.Retried != 0 || info.LastErr != "" {
			t.Errorf("the task is %s after %d retries, %q; want it pending and not counted", info.State, info.Retried, info.LastErr)
		}
		if next := client.LIndex(t.Context(), keyOf("pending"), -1).Val(); next != "a" {
			t.Errorf("the next to be fetched is %s, want the task that was given back", next)
		}
	})
}

func TestAsynqCountsARetryWhenTheBaseContextEnds(t *testing.T) {
	t.Parallel()
	url := redisURL(t)
	synctest.Test(t, func(t *testing.T) {
		client, _ := dial(t, url)
		enqueue(t, client, "a")
		base, cancel := context.WithCancel(t.Context())
		working := make(chan struct{})
		startServer(t, client, asynq.Config{BaseContext: func() context.Context { return base }}, func(ctx context.Context, _ *asynq.Task) error {
			close(working)
			<-ctx.Done()
			return nil // whatever it returns
		})
		within(t, working, time.Minute)
		cancel()
		pass(time.Second)
		if info := infoOf(t, client, "a"); info.State != asynq.TaskStateRetry || info.Retried != 1 || info.LastErr != context.Canceled.Error() {
			t.Errorf("the task is %s after %d retries, %q", info.State, info.Retried, info.LastErr)
		}
	})
}

func TestAsynqResultsAndRetention(t *testing.T) {
	t.Parallel()
	url := redisURL(t)
	synctest.Test(t, func(t *testing.T) {
		client, _ := dial(t, url)
		enqueue(t, client, "kept", asynq.Retention(10*time.Second))
		enqueue(t, client, "dropped")
		enqueue(t, client, "failed", asynq.Retention(10*time.Second), asynq.MaxRetry(0))
		began := time.Now()
		startServer(t, client, asynq.Config{}, func(ctx context.Context, task *asynq.Task) error {
			if _, err := task.ResultWriter().Write([]byte("result of " + taskID(ctx))); err != nil {
				t.Errorf("writing a result: %v", err)
			}
			if taskID(ctx) == "failed" {
				return errors.New("x")
			}
			return nil
		})
		pass(5 * time.Second)
		if info := infoOf(t, client, "kept"); info.State != asynq.TaskStateCompleted || string(info.Result) != "result of kept" {
			t.Errorf("with retention there is %s, %q", info.State, info.Result)
		}
		if kept := scoreOf(t, client, "completed", "kept").Sub(began); kept < 10*time.Second || kept > 12*time.Second {
			t.Errorf("it is kept until %s after its start", kept)
		}
		if state := asynqState(t, client, "dropped"); state != "" {
			t.Errorf("without retention the task is %s, want it gone", state)
		}
		if info := infoOf(t, client, "failed"); info.State != asynq.TaskStateArchived || string(info.Result) != "result of failed" {
			t.Errorf("of the one that failed there is %s, %q", info.State, info.Result)
		}
		pass(4 * time.Second)
		if state := asynqState(t, client, "kept"); state != "completed" {
			t.Errorf("before its retention is over the task is %q", state)
		}
		pass(11 * time.Second) // the janitor comes every 8 s
		if state := asynqState(t, client, "kept"); state != "" {
			t.Errorf("20 s after its start the task is still %s", state)
		}
		pass(5 * time.Minute)
		if state := asynqState(t, client, "failed"); state != "archived" {
			t.Errorf("retention ended the archived task: %q", state)
		}
	})
}
