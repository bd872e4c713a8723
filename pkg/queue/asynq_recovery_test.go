package queue_test

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"

	"github.com/rollcallhq/rollcall/pkg/await"
)

// impatient is a configuration with every knob turned that shortens recovery.
func impatient() asynq.Config {
	return asynq.Config{
		TaskCheckInterval:        100 * time.Millisecond,
		DelayedTaskCheckInterval: time.Second,
		RetryDelayFunc:           func(int, error, *asynq.Task) time.Duration { return 0 },
		IsFailure:                func(err error) bool { return !errors.Is(err, asynq.ErrLeaseExpired) },
	}
}

func TestAsynqLeaseLastsThirtySecondsAndIsExtendedEveryFive(t *testing.T) {
	t.Parallel()
	url := redisURL(t)
	synctest.Test(t, func(t *testing.T) {
		client, _ := dial(t, url)
		enqueue(t, client, "a")
		began, working, release := time.Now(), make(chan struct{}), make(chan struct{})
		startServer(t, client, asynq.Config{}, func(context.Context, *asynq.Task) error {
			close(working)
			<-release
			return nil
		})
		defer close(release)
		within(t, working, time.Minute)
		if got := scoreOf(t, client, "lease", "a").Sub(began); got != 30*time.Second {
			t.Errorf("a lease lasts %s, want 30s", got)
		}
		pass(time.Second)
		for beat := 5 * time.Second; beat <= 60*time.Second; beat += 5 * time.Second { // once a second, one second after each beat
			pass(5 * time.Second)
			if got := scoreOf(t, client, "lease", "a").Sub(began); got != beat+30*time.Second {
				t.Fatalf("%s after the start the lease ends at %s, want it extended at %s", time.Since(began), got, beat)
			}
		}
		ttl, payloads := time.Duration(0), ""
		for _, key := range client.Keys(t.Context(), "asynq:workers:*").Val() {
			ttl, payloads = client.TTL(t.Context(), key).Val(), strings.Join(client.HVals(t.Context(), key).Val(), "")
		}
		if ttl <= 8*time.Second || ttl > 10*time.Second {
			t.Errorf("what a server tells of itself lives for %s, want 10s", ttl)
		}
		if !strings.Contains(payloads, "payload of a") {
			t.Errorf("the heartbeat does not repeat the payload: %q", payloads)
		}
	})
}

// TestAsynqRecoversAnOrphanAfterOneToThreeMinutes kills a worker at the best and at the worst moment. The survivor
// looks for orphans when it starts and every 60 s from then on.
func TestAsynqRecoversAnOrphanAfterOneToThreeMinutes(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name     string
		config   asynq.Config
		started  time.Duration // when the doomed worker starts, and hence when its heart beats: every 5 s from then on
		killed   time.Duration // both after the survivor's start
		min, max time.Duration // until the task starts again
		retried  int
	}{
		// Beats until 60 s, so the lease ends at 90 s and the grace at 120 s: just when the survivor looks.
		{"at best, with every knob turned", impatient(), 10 * time.Second, 64900 * time.Millisecond, 55 * time.Second, 56500 * time.Millisecond, 0},
		{"at best, by default", asynq.Config{}, 10 * time.Second, 64900 * time.Millisecond, 70 * time.Second, 106 * time.Second, 1},
		// Beats until 61 s, so the grace ends at 121 s, a second after the survivor looked.
		{"at worst, with every knob turned", impatient(), 11 * time.Second, 61100 * time.Millisecond, 118 * time.Second, 121 * time.Second, 0},
		{"at worst, by default", asynq.Config{}, 11 * time.Second, 61100 * time.Millisecond, 133 * time.Second, 171 * time.Second, 1},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			url := redisURL(t)
			synctest.Test(t, func(t *testing.T) {
				doomedClient, cable := dial(t, url)
				client, _ := dial(t, url)
				began, again, retried := time.Now(), make(chan time.Time), 0
				startServer(t, client, tt.config, func(ctx context.Context, _ *asynq.Task) error {
					retried, _ = asynq.GetRetryCount(ctx)
					again <- time.Now()
					return nil
				})
				pass(tt.started)
				working, release := make(chan struct{}), make(chan struct{})
				defer close(release)
				enqueue(t, client, "a") // the survivor looks again later, and the doomed worker at once
				startServer(t, doomedClient, tt.config, func(context.Context, *asynq.Task) error {
					close(working)
					<-release
					return nil
				})
				within(t, working, time.Minute)
				pass(tt.killed - time.Since(began))
				cable.cut()
				killed := time.Now()
				if took := within(t, again, 5*time.Minute).Sub(killed); took < tt.min || took > tt.max {
					t.Errorf("the task started again after %s, want %s to %s", took, tt.min, tt.max)
				}
				if retried != tt.retried {
					t.Errorf("the crash counted as %d failed attempts, want %d", retried, tt.retried)
				}
			})
		})
	}
}

// orphan makes a task that was fetched by a worker of which nothing was heard since.
func orphan(t *testing.T, client redis.UniversalClient, id string, expired time.Duration, options ...asynq.Option) {
	t.Helper()
	enqueue(t, client, id, options...)
	ctx := t.Context()
	if err := errors.Join(
		client.LRem(ctx, keyOf("pending"), 0, id).Err(),
		client.LPush(ctx, keyOf("active"), id).Err(),
		client.HSet(ctx, keyOf("t:"+id), "state", "active").Err(),
		client.ZAdd(ctx, keyOf("lease"), redis.Z{Score: float64(time.Now().Add(-expired).Unix()), Member: id}).Err(),
	); err != nil {
		t.Fatal(err)
	}
}

func TestAsynqWaitsThirtySecondsMoreAfterALeaseHasExpired(t *testing.T) {
	t.Parallel()
	client, _ := startRedis(t)
	orphan(t, client, "fresh", 15*time.Second)
	orphan(t, client, "old", 31*time.Second)
	startServer(t, client, asynq.Config{}, func(context.Context, *asynq.Task) error { return nil })
	await.Until(t, "the recovery of the old one", func() bool { return asynqState(t, client, "old") == "retry" })
	if state := asynqState(t, client, "fresh"); state != "active" { // one look takes both or not
		t.Errorf("15 s after its lease has expired a task is %s, want it left alone for 30 s", state)
	}
	if info := infoOf(t, client, "old"); info.LastErr != asynq.ErrLeaseExpired.Error() || info.Retried != 1 {
		t.Errorf("it was recovered as %q after %d retries", info.LastErr, info.Retried)
	}
}

func TestAsynqArchivesAnOrphanWithoutRetries(t *testing.T) {
	t.Parallel()
	client, _ := startRedis(t)
	orphan(t, client, "a", time.Minute, asynq.MaxRetry(0))
	var calls atomic.Int32
	startServer(t, client, impatient(), func(context.Context, *asynq.Task) error { // in which a crash is no failure
		calls.Add(1)
		return nil
	})
	await.Until(t, "the archiving of the orphan", func() bool { return asynqState(t, client, "a") == "archived" })
	if calls.Load() != 0 {
		t.Error("it ran again")
	}
}

func TestAsynqNeverRecoversAnOrphanWithoutLeaseOrMessage(t *testing.T) {
	t.Parallel()
	url := redisURL(t)
	synctest.Test(t, func(t *testing.T) {
		client, _ := dial(t, url)
		orphan(t, client, "leaseless", time.Hour)
		client.ZRem(t.Context(), keyOf("lease"), "leaseless")
		enqueue(t, client, "evicted")
		client.Del(t.Context(), keyOf("t:evicted")) // as a Redis that may evict keys does
		var calls atomic.Int32
		startServer(t, client, asynq.Config{}, func(context.Context, *asynq.Task) error {
			calls.Add(1)
			return nil
		})
		pass(3 * time.Minute)
		if calls.Load() != 0 {
			t.Errorf("%d of them ran", calls.Load())
		}
		for _, id := range []string{"leaseless", "evicted"} {
			if state := asynqState(t, client, id); state != "active" {
				t.Errorf("%s is %q after three minutes, want it stuck as active", id, state)
			}
			if err := tryEnqueue(client, id); !errors.Is(err, asynq.ErrTaskIDConflict) {
				t.Errorf("enqueueing %s again = %v, want a conflict", id, err)
			}
		}
	})
}

// TestAsynqEndsTheContextBeforeOthersTakeOver holds that a worker which is cut off is told of it, and stays silent.
func TestAsynqEndsTheContextBeforeOthersTakeOver(t *testing.T) {
	t.Parallel()
	url := redisURL(t)
	synctest.Test(t, func(t *testing.T) {
		lonelyClient, cable := dial(t, url)
		client, _ := dial(t, url)
		enqueue(t, client, "a")
		working, told := make(chan struct{}), make(chan time.Time, 1)
		startServer(t, lonelyClient, impatient(), func(ctx context.Context, _ *asynq.Task) error {
			close(working)
			<-ctx.Done()
			told <- time.Now()
			return nil
		})
		within(t, working, time.Minute)
		cable.cut()
		cut, again := time.Now(), make(chan time.Time, 1)
		startServer(t, client, impatient(), func(context.Context, *asynq.Task) error {
			again <- time.Now()
			return nil
		})
		if took := within(t, told, 5*time.Minute).Sub(cut); took < 25*time.Second || took > 45*time.Second {
			t.Errorf("the handler was told after %s, want about 30s", took)
		}
		cable.mend()
		pass(3 * time.Second)
		if state := asynqState(t, client, "a"); state != "active" {
			t.Errorf("a worker without a lease made the task %s, want it to write nothing", state)
		}
		if took := within(t, again, 5*time.Minute).Sub(cut); took < 55*time.Second {
			t.Errorf("another worker started it after %s, want no sooner than 55s", took)
		}
	})
}
