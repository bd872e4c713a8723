package collection_test

import (
	"testing"
	"time"

	"github.com/rollcallhq/rollcall/pkg/await"
	"github.com/rollcallhq/rollcall/pkg/collection"
	"github.com/rollcallhq/rollcall/pkg/fleet"
	"github.com/rollcallhq/rollcall/pkg/needs"
	"github.com/rollcallhq/rollcall/pkg/simulate"
)

// TestTheDeadlineHoldsInEveryPhase lets a host hang wherever it can, with a deadline that is shorter than every other
// patience, of which that of connecting is the shortest.
func TestTheDeadlineHoldsInEveryPhase(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name      string
		behaviour simulate.Behaviour
		address   func(*testing.T) string // instead of the simulated host
		phase     string
	}{
		{"dialling a black hole", simulate.Behaviour{}, func(t *testing.T) string { t.Helper(); return needs.BlackHole(t).String() }, "connect"},
		{"a port that says nothing", simulate.Behaviour{Fault: simulate.FaultMute}, nil, "banner"},
		{"a login that is never answered", simulate.Behaviour{}, func(t *testing.T) string { t.Helper(); return startHesitant(t) }, "login"},
		{"a command that never begins", simulate.Behaviour{Fault: simulate.FaultHang}, nil, "run"},
		{"an answer that takes for ever", simulate.Behaviour{Latency: time.Hour}, nil, "run"},
		{"an answer that drips", simulate.Behaviour{Fault: simulate.FaultDrip, DripEvery: time.Hour}, nil, "run"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			deadline := 4 * time.Second
			if tt.phase == "connect" {
				deadline = 2 * time.Second
			}
			r := newRig(t, nil)
			_, hosts := r.simulated(simulate.Options{Hosts: 1, Behave: func(int, simulate.Behaviour) simulate.Behaviour { return tt.behaviour }})
			host := hosts[0]
			if tt.address != nil {
				at(tt.address(t))(&host)
				host.CredentialID = nil
				r.credential("u", password(rightPassword))(&host)
				var err error
				if host, err = r.UpdateHost(t.Context(), host); err != nil {
					t.Fatal(err)
				}
			}
			w, _ := r.worker()
			id, messages := r.request(deadline, []string{"os"}, host)
			began := time.Now()
			r.work(w, messages[0])
			took := time.Since(began)
			task := r.tasks(id)[0]
			r.ended(task, fleet.TaskFailed, fleet.CodeDeadlineExceeded)
			if task.Details["phase"] != tt.phase || task.Attempts != 1 {
				t.Errorf("task = %+v, want it ended in the phase %s", task, tt.phase)
			}
			if took < deadline || took > deadline+15*time.Second { // a stop of what runs takes four seconds at most, on a machine that has time
				t.Errorf("it took %s with a deadline of %s", took, deadline)
			}
		})
	}
}

func TestEndlessOutputEndsLongBeforeTheDeadline(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	_, hosts := r.simulated(simulate.Options{Hosts: 1, Behave: func(int, simulate.Behaviour) simulate.Behaviour {
		return simulate.Behaviour{Fault: simulate.FaultEndless}
	}})
	w, _ := r.worker()
	id, messages := r.request(time.Minute, []string{"os", "cpu"}, hosts...)
	began := time.Now()
	r.work(w, messages[0])
	if took := time.Since(began); took > 20*time.Second {
		t.Errorf("it took %s", took)
	}
	if task := r.tasks(id)[0]; task.Code != fleet.CodeOutputTruncated || task.Attempts != 1 || task.Termination != fleet.TerminationConfirmed {
		t.Errorf("task = %+v, want its output cut off and what ran ended", task)
	}
}

// TestTheDeadlineIsOverAllAttempts lets a host refuse again and again: what is left of the time gets shorter, and what
// ends the task is the last refusal.
func TestTheDeadlineIsOverAllAttempts(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	const deadline = 4 * time.Second
	w, _ := r.worker(func(_ *collection.WorkerConfig, w *collection.Worker) {
		if w != nil {
			collection.SetPace(w, 50*time.Millisecond, 4*time.Second, 1100*time.Millisecond)
		}
	})
	id, _ := r.request(deadline, []string{"os"}, r.host("web-1", at(freeAddress(t)), r.credential("u", password("x"))))
	began := time.Now()
	task := r.workOut(w, id)[0]
	r.ended(task, fleet.TaskFailed, fleet.CodeTCPRefused)
	if took := time.Since(began); took > deadline+time.Second || task.Attempts != 2 {
		t.Errorf("%d attempts within %s, want two within %s", task.Attempts, took, deadline)
	}
}

// TestADeadlineThatPassesWhileTheDatabaseIsSilent takes the database away when the host has answered. The worker gives
// the task up, and whoever sweeps afterwards ends it, once.
func TestADeadlineThatPassesWhileTheDatabaseIsSilent(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	_, hosts := r.simulated(simulate.Options{Hosts: 1})
	database := r.tap()
	w, stop := r.worker(func(c *collection.WorkerConfig, w *collection.Worker) {
		c.Store = database.Store
		if w != nil {
			collection.SetPace(w, 50*time.Millisecond, 500*time.Millisecond, 50*time.Millisecond)
		}
	}, when(collection.StepAnswered, func() { database.shut.Store(true) }))
	id, messages := r.request(2*time.Second, []string{"os"}, hosts...)
	working := make(chan string, 1)
	go func() {
		line, err := w.Work(t.Context(), messages[0])
		if err != nil {
			line = err.Error()
		}
		working <- line
	}()
	await.Until(t, "the deadline passing", func() bool { return ask[bool](r, "select coalesce(deadline_at < now(), false) from tasks") })
	r.sweeper()
	await.Until(t, "the end of the collection", func() bool { return r.collection(id).FinishedAt != nil })
	database.shut.Store(false)
	task := r.tasks(id)[0]
	r.ended(task, fleet.TaskFailed, fleet.CodeDeadlineExceeded)
	database.cut()
	stop()
	select {
	case line := <-working:
		t.Log(line)
	case <-time.After(patience):
		t.Error("the worker still works")
	}
	if n := ask[int](r, "select (select count(*) from task_history) * 10 + (select count(*) from report_rows)"); n != 10 {
		t.Errorf("%d tasks ended and %d reports were stored, want one and none", n/10, n%10)
	}
}
