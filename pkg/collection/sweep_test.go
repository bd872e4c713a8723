package collection_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"

	"github.com/rollcallhq/rollcall/pkg/await"
	"github.com/rollcallhq/rollcall/pkg/collection"
	"github.com/rollcallhq/rollcall/pkg/fleet"
	"github.com/rollcallhq/rollcall/pkg/queue"
	"github.com/rollcallhq/rollcall/pkg/simulate"
	"github.com/rollcallhq/rollcall/pkg/store"
)

// sweeper starts a sweeper that calls things lost within fractions of a second.
func (r *rig) sweeper(changes ...func(*collection.Sweeper)) {
	r.t.Helper()
	w := collection.NewSweeper(r.Store, r.queue, r.log, nil)
	collection.SetAges(w, 2*time.Second, 200*time.Millisecond, 400*time.Millisecond)
	for _, change := range changes {
		change(w)
	}
	r.background(w.Relay)
	r.background(w.Sweep)
}

// background runs f until the test ends and waits for it.
func (r *rig) background(f func(context.Context) error) {
	r.t.Helper()
	ctx, cancel := context.WithCancel(r.t.Context())
	var running sync.WaitGroup
	running.Go(func() {
		if err := f(ctx); err != nil && !errors.Is(err, context.Canceled) {
			r.t.Errorf("in the background: %v", err)
		}
	})
	r.t.Cleanup(func() { cancel(); running.Wait() })
}

// serve delivers messages to the worker.
func (r *rig) serve(client redis.UniversalClient, w *collection.Worker) {
	r.t.Helper()
	r.serveWith(client, w, 20)
}

func (r *rig) serveWith(client redis.UniversalClient, w *collection.Worker, slots int) {
	r.t.Helper()
	r.background(func(ctx context.Context) error {
		return queue.Run(ctx, client, queue.ServerOptions{Sites: []string{fleet.DefaultSite}, Slots: slots, Drain: time.Second, Handler: w.Work, Log: r.log})
	})
}

// trigger asks for the os reports of all hosts.
func (r *rig) trigger() fleet.Collection {
	r.t.Helper()
	got, err := r.service.Trigger(r.t.Context(), actor(fleet.Operator, ""), collection.Request{Selector: "*", ReportTypes: []string{"os"}, Deadline: time.Minute})
	if err != nil {
		r.t.Fatal(err)
	}
	return got.Collection
}

// succeeds waits until the collection has succeeded, each task with one result.
func (r *rig) succeeds(c fleet.Collection) {
	r.t.Helper()
	await.Until(r.t, "the end of the collection", func() bool { return r.collection(c.ID).FinishedAt != nil })
	if got := r.collection(c.ID); got.State != fleet.CollectionSucceeded || got.Counts.Succeeded != c.Counts.Total {
		r.t.Errorf("collection = %+v", got)
	}
	if n := ask[int](r, "select count(*) from report_rows where collection_id = $1", c.ID); n != c.Counts.Total {
		r.t.Errorf("%d reports, want %d", n, c.Counts.Total)
	}
}

func TestTheWholeRoad(t *testing.T) {
	t.Parallel()
	client := startRedis(t)
	r := newRig(t, client)
	r.simulated(simulate.Options{Hosts: 30})
	w, _ := r.worker()
	r.serve(client, w)
	r.sweeper()
	r.sweeper() // none of them is special
	for range 2 {
		r.succeeds(r.trigger())
	}
}

func TestTasksOfAWorkerThatVanishedAreTakenOver(t *testing.T) {
	t.Parallel()
	client := startRedis(t)
	r := newRig(t, client)
	r.simulated(simulate.Options{Hosts: 3})
	vanished := time.Now() // or a moment later, when it beats for the last time
	dead := fleet.Worker{ID: fleet.NewID(), Host: "dead", Sites: []string{fleet.DefaultSite}}
	if _, _, err := r.Heartbeat(t.Context(), dead); err != nil {
		t.Fatal(err)
	}
	c := r.trigger()
	var leases []store.Lease
	for _, task := range r.tasks(c.ID) {
		claim, err := r.ClaimTask(t.Context(), fleet.Message{TaskID: task.ID, Epoch: 1}, dead.ID)
		if err != nil || claim == nil {
			t.Fatalf("claiming: %v, %v", claim, err)
		}
		leases = append(leases, store.LeaseOf(claim.Task))
	}
	w, _ := r.worker()
	r.serve(client, w)
	r.sweeper(collection.SweepInRealTime)
	r.succeeds(c)
	// Eight seconds are promised, and a machine that is busy with other tests adds to them; the queue's own recovery
	// would take a minute.
	took := time.Since(vanished)
	t.Logf("taken over and worked after %s", took)
	if took < collection.Silence || took > 20*time.Second {
		t.Errorf("taken over and worked after %s, want between %s and 8s", took, collection.Silence)
	}
	for _, task := range r.tasks(c.ID) {
		if task.Epoch != 2 || task.Attempts != 2 {
			t.Errorf("task = %+v, want a second epoch and attempt", task)
		}
	}
	if held, err := r.EndTask(t.Context(), store.Ending{Lease: leases[0], State: fleet.TaskFailed, At: time.Now()}); err != nil || held {
		t.Errorf("the dead worker's end = %v, %v; want it fenced off", held, err)
	}
}

func TestARedisThatLostEverythingIsRungAgain(t *testing.T) {
	t.Parallel()
	client := startRedis(t)
	r := newRig(t, client)
	r.simulated(simulate.Options{Hosts: 5})
	c := r.trigger()
	if err := client.FlushAll(t.Context()).Err(); err != nil {
		t.Fatal(err)
	}
	w, _ := r.worker()
	r.serve(client, w)
	r.sweeper()
	r.succeeds(c)
	for _, task := range r.tasks(c.ID) {
		if task.Epoch != 1 || task.Attempts != 1 {
			t.Errorf("task = %+v, want the same message rung again", task)
		}
	}
}

// TestMessagesThatNobodyWillDeliver puts a task's message into each state from which no worker will ever get it.
func TestMessagesThatNobodyWillDeliver(t *testing.T) {
	t.Parallel()
	const name = "collect.default.normal"
	for what, spoil := range map[string]func(client redis.UniversalClient, id string) error{
		"it was archived": func(client redis.UniversalClient, id string) error {
			return asynq.NewInspectorFromRedisClient(client).ArchiveTask(name, id)
		},
		"it was taken by a worker that died before the claim": func(client redis.UniversalClient, id string) error {
			moved := client.LMove(context.Background(), "asynq:{"+name+"}:pending", "asynq:{"+name+"}:active", "RIGHT", "LEFT").Err()
			return errors.Join(moved, client.HSet(context.Background(), "asynq:{"+name+"}:t:"+id, "state", "active").Err())
		},
		"its body was lost": func(client redis.UniversalClient, id string) error {
			removed := client.LRem(context.Background(), "asynq:{"+name+"}:pending", 0, id).Err()
			return errors.Join(removed, client.HDel(context.Background(), "asynq:{"+name+"}:t:"+id, "msg").Err())
		},
		"it was answered, and the claim was not": func(client redis.UniversalClient, id string) error {
			removed := client.LRem(context.Background(), "asynq:{"+name+"}:pending", 0, id).Err()
			return errors.Join(removed, client.HSet(context.Background(), "asynq:{"+name+"}:t:"+id, "state", "completed").Err())
		},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			client := startRedis(t)
			r := newRig(t, client)
			r.simulated(simulate.Options{Hosts: 1})
			c := r.trigger()
			if err := spoil(client, fmt.Sprintf("%s:1", r.tasks(c.ID)[0].ID)); err != nil {
				t.Fatal(err)
			}
			w, _ := r.worker()
			r.serve(client, w)
			r.sweeper()
			r.succeeds(c)
			if task := r.tasks(c.ID)[0]; task.Epoch != 2 || task.Attempts != 1 {
				t.Errorf("task = %+v, want it under a new epoch", task)
			}
		})
	}
}

func TestWhatWaitsAsItShouldIsLeftAlone(t *testing.T) {
	t.Parallel()
	r := newRig(t, startRedis(t))
	r.host("web-1")
	c := r.trigger()
	r.sweeper(func(w *collection.Sweeper) {
		collection.SetAges(w, time.Millisecond, time.Millisecond, time.Millisecond)
	})
	for range 3 { // each cancelled collection shows that the sweep has gone round
		second := r.trigger()
		r.exec("update collections set cancel_requested_at = now() where id = $1", second.ID)
		await.Until(t, "a round of the sweep", func() bool { return r.collection(second.ID).FinishedAt != nil })
	}
	if task := r.tasks(c.ID)[0]; task.State != fleet.TaskQueued || task.Epoch != 1 {
		t.Errorf("task = %+v, want it waiting for a worker", task)
	}
}

func TestTheSweepNeedsNoRedisForWhatIsPostgres(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	r.host("web-1")
	c := r.trigger()
	r.exec("update tasks set expires_at = now() - interval '1 s'")
	r.sweeper()
	await.Until(t, "the end of the collection", func() bool { return r.collection(c.ID).FinishedAt != nil })
	r.ended(r.tasks(c.ID)[0], fleet.TaskFailed, fleet.CodeExpired)
	if missing, err := r.MissingPartitions(t.Context(), time.Now().AddDate(0, store.MonthsAhead, -5)); err != nil || len(missing) != 0 {
		t.Errorf("missing partitions = %v, %v", missing, err)
	}
}
