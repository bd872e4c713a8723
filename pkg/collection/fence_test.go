package collection_test

import (
	"fmt"
	"net"
	"regexp"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hibiken/asynq"

	"github.com/rollcallhq/rollcall/pkg/await"
	"github.com/rollcallhq/rollcall/pkg/collection"
	"github.com/rollcallhq/rollcall/pkg/fleet"
	"github.com/rollcallhq/rollcall/pkg/queue"
	"github.com/rollcallhq/rollcall/pkg/simulate"
)

// asInLife lets a worker live as fast as it does in life, on a database of its own.
func asInLife(database *tap) func(*collection.WorkerConfig, *collection.Worker) {
	return func(c *collection.WorkerConfig, w *collection.Worker) {
		c.Store = database.Store
		if w != nil {
			collection.LiveInRealTime(w)
		}
	}
}

// when calls f whenever a worker comes to that step.
func when(at collection.Step, f func()) func(*collection.WorkerConfig, *collection.Worker) {
	return func(_ *collection.WorkerConfig, w *collection.Worker) {
		if w != nil {
			collection.At(w, at, f)
		}
	}
}

// measureLag returns how late the machine has been to let anybody run since then: tests beside this one keep it busy.
func measureLag(t *testing.T) func() time.Duration {
	t.Helper()
	var worst atomic.Int64
	tick := time.NewTicker(10 * time.Millisecond)
	t.Cleanup(tick.Stop)
	go func() {
		for last := time.Now(); t.Context().Err() == nil; {
			select {
			case <-tick.C:
				worst.Store(max(worst.Load(), int64(time.Since(last))))
				last = time.Now()
			case <-t.Context().Done():
			}
		}
	}()
	return func() time.Duration { return time.Duration(worst.Load()) }
}

// TestAFencedWorkerIsGoneFromAHostThatAnswersNothingMore lets a host fall silent in the middle of a command, which it
// would be asked to end for four seconds, and looks whether the worker still holds a connection when others may come.
func TestAFencedWorkerIsGoneFromAHostThatAnswersNothingMore(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	sims, hosts := r.simulated(simulate.Options{Hosts: 1, Behave: func(int, simulate.Behaviour) simulate.Behaviour {
		return simulate.Behaviour{Fault: simulate.FaultDrip, DripEvery: time.Hour}
	}})
	sim := sims.Hosts()[0]
	lan := startNetwork(t, net.JoinHostPort(sim.Address, strconv.Itoa(sim.Port)))
	moved := hosts[0]
	at(lan.address)(&moved)
	if _, err := r.UpdateHost(t.Context(), moved); err != nil {
		t.Fatal(err)
	}
	database := r.tap()
	w, _ := r.worker(asInLife(database))
	_, messages := r.request(time.Minute, []string{"os"}, hosts...)
	line := make(chan string, 1)
	go func() {
		text, err := w.Work(t.Context(), messages[0])
		line <- fmt.Sprint(text, err)
	}()
	await.Until(t, "the command running", func() bool {
		host, _ := sims.Host(hosts[0].Name)
		return host.Executions == 1
	})
	lan.swallowed.Store(true)
	database.shut.Store(true)
	lag := measureLag(t)
	await.Until(t, "the last connection being closed", func() bool { return lan.open.Load() == 0 })
	seen := ask[float64](r, "select extract(epoch from clock_timestamp() - seen_at)::float8 from workers")
	t.Logf("the connection was closed %.2f s after the last heartbeat", seen)
	if latest := (collection.Silence + lag()).Seconds(); seen < 4.5 || seen >= latest {
		t.Errorf("it was closed %.2f s after the last heartbeat, want that after a second of asking and before %.1f s", seen, latest)
	}
	select {
	case text := <-line:
		contains(t, text, " fenced ")
	case <-time.After(patience):
		t.Fatal("the worker goes on")
	}
}

// TestWhatWasTakenOverIsNotEnded lets others take a task over at each of its steps: whatever the worker still has to
// say is not stored, and its line says so.
func TestWhatWasTakenOverIsNotEnded(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name  string
		at    collection.Step
		fault simulate.Fault
		line  string
	}{
		{"right after the claim", collection.StepClaimed, "", " taken over "},
		{"when the host has let it in", collection.StepConnected, "", " taken over "},
		{"when the host has answered", collection.StepAnswered, "", " taken over "},
		{"right before the end is stored", collection.StepCompared, "", " taken over "},
		{"while the host refuses, which would be tried again", collection.StepAnswered, simulate.FaultResetAtAccept, " taken over "},
		{"while the host refuses for good", collection.StepAnswered, simulate.FaultAuth, " taken over "},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, nil)
			_, hosts := r.simulated(simulate.Options{Hosts: 1, Behave: func(int, simulate.Behaviour) simulate.Behaviour {
				return simulate.Behaviour{Fault: tt.fault}
			}})
			w, _ := r.worker(when(tt.at, func() {
				if n, err := r.TakeOver(t.Context(), -time.Hour); err != nil || n != 1 { // as if it had been silent
					t.Errorf("TakeOver = %d, %v", n, err)
				}
			}))
			id, messages := r.request(time.Minute, []string{"os"}, hosts...)
			contains(t, r.work(w, messages[0]), tt.line)
			if task := r.tasks(id)[0]; task.State != fleet.TaskQueued || task.Epoch != 2 || task.Code != "" {
				t.Errorf("task = %+v, want it waiting for whoever took it over", task)
			}
			if n := ask[int](r, "select (select count(*) from report_rows) + (select count(*) from task_history)"); n != 0 {
				t.Errorf("%d rows were stored", n)
			}
		})
	}
}

// TestAClaimThatIsAnsweredTooLateIsNotWorked freezes a worker between its claim and the answer, which is when its timer
// has nothing to stop.
func TestAClaimThatIsAnsweredTooLateIsNotWorked(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	sims, hosts := r.simulated(simulate.Options{Hosts: 1})
	database := r.tap()
	const fence = 500 * time.Millisecond
	var w *collection.Worker
	w, _ = r.worker(func(c *collection.WorkerConfig, w *collection.Worker) {
		c.Store = database.Store
		if w != nil {
			collection.SetPace(w, 50*time.Millisecond, fence, 50*time.Millisecond)
		}
	}, when(collection.StepClaimed, func() {
		database.shut.Store(true)
		await.Until(t, "the worker having been silent for too long", func() bool { return w.Silent() > fence })
	}))
	_, messages := r.request(time.Minute, []string{"os"}, hosts...)
	contains(t, r.work(w, messages[0]), " fenced ")
	if host, _ := sims.Host(hosts[0].Name); host.Executions != 0 {
		t.Errorf("%d executions on the host", host.Executions)
	}
}

// TestTheLineOfEachMessage looks at answered messages as Asynqmon does.
func TestTheLineOfEachMessage(t *testing.T) {
	t.Parallel()
	client := startRedis(t)
	r := newRig(t, client)
	_, hosts := r.simulated(simulate.Options{Hosts: 3, Behave: func(number int, _ simulate.Behaviour) simulate.Behaviour {
		return simulate.Behaviour{Fault: []simulate.Fault{"", simulate.FaultAuth, simulate.FaultResetAtAccept}[number]}
	}})
	w, _ := r.worker()
	r.serve(client, w)
	r.sweeper()
	c := r.trigger()
	await.Until(t, "the end of the collection", func() bool { return r.collection(c.ID).FinishedAt != nil })
	const number = `\d+\.\ds`
	want := map[string][]string{
		hosts[0].Name: {"sim-0001 succeeded " + number},
		hosts[1].Name: {"sim-0002 failed auth_failed " + number},
		hosts[2].Name: {
			"sim-0003 retry 2/3 in " + number + " [a-z_]+ " + number, "sim-0003 retry 3/3 in " + number + " [a-z_]+ " + number,
			"sim-0003 failed [a-z_]+ " + number,
		},
	}
	inspector := asynq.NewInspectorFromRedisClient(client)
	for _, task := range r.tasks(c.ID) {
		for i, pattern := range want[task.Host] {
			id := queue.ID(fleet.Message{TaskID: task.ID, Epoch: i + 1})
			var info *asynq.TaskInfo
			await.Until(t, "the message "+id+" being answered", func() bool {
				var err error
				info, err = inspector.GetTaskInfo("collect.default.normal", id)
				return err == nil && info.State == asynq.TaskStateCompleted
			})
			if !regexp.MustCompile("^"+pattern+"$").Match(info.Result) || info.Retention != 10*time.Minute {
				t.Errorf("Asynqmon shows %q for %s, want %q", info.Result, info.Retention, pattern)
			}
		}
	}
}

// TestAnotherWorkerHasWhatAStoppingOneGivesBackWithinASecond stops a worker whose task would take a minute.
func TestAnotherWorkerHasWhatAStoppingOneGivesBackWithinASecond(t *testing.T) {
	t.Parallel()
	client := startRedis(t)
	r := newRig(t, client)
	sims, hosts := r.simulated(simulate.Options{Hosts: 4, Latency: time.Minute})
	first, leave := r.worker()
	r.serve(client, first)
	r.sweeper()
	c := r.trigger()
	await.Until(t, "all tasks running", func() bool { return r.collection(c.ID).Counts.Running == len(hosts) })
	for _, h := range hosts { // the next command is answered at once
		if err := sims.Set(h.Name, simulate.Behaviour{}); err != nil {
			t.Fatal(err)
		}
	}
	second, _ := r.worker()
	r.serve(client, second)
	began := time.Now()
	leave()
	r.succeeds(c)
	took := time.Since(began)
	t.Logf("given back and done by another worker within %s", took)
	if took > 45*time.Second { // a second is what it takes; a busy machine adds to it, and Asynq alone takes a minute
		t.Errorf("another worker was done %s later", took)
	}
	for _, task := range r.tasks(c.ID) {
		if task.Attempts != 1 || task.Epoch < 2 { // more where the sweep, which is impatient here, was faster than the machine
			t.Errorf("task = %+v, want one attempt in a later epoch", task)
		}
	}
}
