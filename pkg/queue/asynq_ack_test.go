package queue_test

import (
	"context"
	"errors"
	"io"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"

	"github.com/rollcallhq/rollcall/pkg/fleet"
	"github.com/rollcallhq/rollcall/pkg/queue"
)

// TestAsynqRepeatsAnAcknowledgementWithACancelledContext is a canary: it fails when the bug is mended, and then the
// section "Acknowledgement" of docs/asynq.md has to change.
func TestAsynqRepeatsAnAcknowledgementWithACancelledContext(t *testing.T) {
	t.Parallel()
	url := redisURL(t)
	synctest.Test(t, func(t *testing.T) {
		client, _ := dial(t, url)
		type attempt struct {
			at  time.Time
			err error
		}
		var mu sync.Mutex
		var attempts []attempt
		client.AddHook(watcher(func(ctx context.Context, cmd redis.Cmder, next redis.ProcessHook) error {
			if !isAck(cmd) {
				return next(ctx, cmd)
			}
			mu.Lock()
			defer mu.Unlock()
			attempts = append(attempts, attempt{time.Now(), ctx.Err()})
			if len(attempts) == 1 { // Redis fails once, for an instant
				cmd.SetErr(io.ErrUnexpectedEOF)
				return io.ErrUnexpectedEOF
			}
			return next(ctx, cmd)
		}))
		enqueue(t, client, "a")
		runs := make(chan time.Time, 2)
		startServer(t, client, impatient(), func(context.Context, *asynq.Task) error {
			runs <- time.Now()
			return nil
		})
		first, second := within(t, runs, time.Minute), within(t, runs, 5*time.Minute)
		if took := second.Sub(first); took < time.Minute || took > 2*time.Minute+2*time.Second {
			t.Errorf("the task ran again after %s, want one to two minutes", took)
		}
		pass(time.Second)
		mu.Lock()
		defer mu.Unlock()
		repeated := 0
		for _, a := range attempts[1:] {
			if a.at.Before(second) {
				repeated++
				if !errors.Is(a.err, context.Canceled) {
					t.Errorf("the acknowledgement was repeated with a context that has %v: the bug is mended", a.err)
				}
			}
		}
		if repeated < 4 || repeated > 6 {
			t.Errorf("the acknowledgement was repeated %d times, want every 5 s until the lease ends", repeated)
		}
		if gap := attempts[2].at.Sub(attempts[1].at); gap < 5*time.Second || gap > 5500*time.Millisecond {
			t.Errorf("it was repeated after %s, want 5s", gap)
		}
	})
}

// TestAsynqReportsAConflictWhenTheAnswerToAnEnqueueIsLost holds that a conflict is our own success.
func TestAsynqReportsAConflictWhenTheAnswerToAnEnqueueIsLost(t *testing.T) {
	t.Parallel()
	url := redisURL(t)
	synctest.Test(t, func(t *testing.T) {
		client, cable := dial(t, url)
		enqueue(t, client, "to have the script loaded and the queue known")
		cable.loseAnswer("payload of a")
		if err := tryEnqueue(client, "a"); !errors.Is(err, asynq.ErrTaskIDConflict) {
			t.Errorf("the answer to an enqueue was lost, and the client says %v, want a conflict", err)
		}
		if state := asynqState(t, client, "a"); state != "pending" {
			t.Errorf("the task is %q, want it pending", state)
		}
		q, m := queue.New(client), aMessage()
		if err := q.Ring(t.Context(), []fleet.Message{aMessage()}); err != nil {
			t.Fatal(err)
		}
		cable.loseAnswer(m.TaskID.String())
		if err := q.Ring(t.Context(), []fleet.Message{m}); err != nil {
			t.Errorf("Ring whose answer was lost = %v, want success", err)
		}
		if state := stateOf(t, q, m); state != queue.StatePending {
			t.Errorf("the message is %s", state)
		}
	})
}

// TestAsynqForgetsATaskWhenTheAnswerToAFetchIsLost holds that the client asks again and is given the next task: the
// first one waits for its lease to expire.
func TestAsynqForgetsATaskWhenTheAnswerToAFetchIsLost(t *testing.T) {
	t.Parallel()
	url := redisURL(t)
	synctest.Test(t, func(t *testing.T) {
		client, _ := dial(t, url)
		workers, cable := dial(t, url)
		inspector := asynq.NewInspectorFromRedisClient(client)
		enqueue(t, client, "a")
		enqueue(t, client, "b")
		if err := inspector.PauseQueue(aQueue); err != nil {
			t.Fatal(err)
		}
		ran := make(chan string, 2)
		startServer(t, workers, impatient(), func(ctx context.Context, _ *asynq.Task) error {
			ran <- taskID(ctx)
			return nil
		})
		pass(time.Second)                 // until Redis has the script
		cable.loseAnswer(keyOf("paused")) // which of what a server asks only the fetch names
		if err := inspector.UnpauseQueue(aQueue); err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		if id := within(t, ran, time.Minute); id != "b" {
			t.Fatalf("%s ran first: no answer was lost", id)
		}
		if id, took := within(t, ran, 5*time.Minute), time.Since(began); id != "a" || took < time.Minute || took > 2*time.Minute+3*time.Second {
			t.Errorf("%s ran after %s, want a after one to two minutes", id, took)
		}
	})
}

// TestAsynqFetchesOneTaskARoundTrip measures with a round trip of exactly 10 ms: one server fetches 100 tasks a
// second whatever its concurrency, and four servers fetch 400.
func TestAsynqFetchesOneTaskARoundTrip(t *testing.T) {
	t.Parallel()
	const roundTrip, tasks = 10 * time.Millisecond, 80
	for _, tt := range []struct {
		name        string
		servers     int
		concurrency int
		want        time.Duration
	}{
		{"one server with 100 slots", 1, 100, tasks * roundTrip},
		{"one server with 1000 slots", 1, 1000, tasks * roundTrip},
		{"four servers with 100 slots each", 4, 100, tasks / 4 * roundTrip},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			url := redisURL(t)
			synctest.Test(t, func(t *testing.T) {
				client, _ := dial(t, url)
				for i := range tasks {
					enqueue(t, client, strconv.Itoa(i))
				}
				workers, _ := dial(t, url)
				workers.AddHook(watcher(func(ctx context.Context, cmd redis.Cmder, next redis.ProcessHook) error {
					if isFetch(cmd) {
						pass(roundTrip)
					}
					return next(ctx, cmd)
				}))
				began, all, release := time.Now(), make(chan struct{}), make(chan struct{})
				var started atomic.Int32
				for range tt.servers {
					startServer(t, workers, asynq.Config{Concurrency: tt.concurrency}, func(context.Context, *asynq.Task) error {
						if started.Add(1) == tasks {
							close(all)
						}
						<-release
						return nil
					})
				}
				within(t, all, time.Minute)
				close(release)
				if took := time.Since(began); took < tt.want || took > tt.want+2*roundTrip {
					t.Errorf("fetching %d tasks took %s, want %s", tasks, took, tt.want)
				}
			})
		})
	}
}

func TestAsynqLooksIntoAnEmptyQueueOnceASecond(t *testing.T) {
	t.Parallel()
	url := redisURL(t)
	synctest.Test(t, func(t *testing.T) {
		client, _ := dial(t, url)
		var mu sync.Mutex
		var looks []time.Time
		client.AddHook(watcher(func(ctx context.Context, cmd redis.Cmder, next redis.ProcessHook) error {
			if isFetch(cmd) && cmd.Name() == "evalsha" {
				mu.Lock()
				looks = append(looks, time.Now())
				mu.Unlock()
			}
			return next(ctx, cmd)
		}))
		startServer(t, client, asynq.Config{}, func(context.Context, *asynq.Task) error { return nil })
		pass(time.Minute)
		mu.Lock()
		defer mu.Unlock()
		if len(looks) < 40 || len(looks) > 121 {
			t.Errorf("it looked %d times in a minute, want about 60", len(looks))
		}
		for i := range looks[1:] {
			if gap := looks[i+1].Sub(looks[i]); gap < 500*time.Millisecond || gap > 1500*time.Millisecond {
				t.Fatalf("it looked again after %s, want 0.5s to 1.5s", gap)
			}
		}
	})
}
