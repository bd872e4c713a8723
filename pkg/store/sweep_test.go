package store_test

import (
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/rollcallhq/rollcall/pkg/fleet"
	"github.com/rollcallhq/rollcall/pkg/store"
	"github.com/rollcallhq/rollcall/pkg/storetest"
)

// TestWhatBecomesOfTasksWhoseTimeIsUp moves the times of one task and sweeps.
func TestWhatBecomesOfTasksWhoseTimeIsUp(t *testing.T) {
	t.Parallel()
	refused := fleet.Fail(fleet.CodeTCPRefused, nil, "phase", "connect")
	tests := []struct {
		name  string
		tried bool // and failed for now
		again bool // and claimed again
		times string
		state fleet.TaskState
		code  fleet.Code
	}{
		{"nothing is up", false, false, "attempts = 0", fleet.TaskQueued, ""},
		{"it waited too long", false, false, "expires_at = now() - interval '1 s'", fleet.TaskFailed, fleet.CodeExpired},
		{"one that was tried does not wait any more", true, false, "expires_at = now() - interval '1 s'", fleet.TaskQueued, fleet.CodeTCPRefused},
		{"its deadline passed between two attempts", true, false, "deadline_at = now() - interval '1 s'", fleet.TaskFailed, fleet.CodeTCPRefused},
		{"its deadline has just passed while it runs", true, true, "deadline_at = now() - interval '1 s'", fleet.TaskRunning, fleet.CodeTCPRefused},
		{"it runs long past its deadline", true, true, "deadline_at = now() - interval '1 h'", fleet.TaskFailed, fleet.CodeTCPRefused},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := storetest.New(t)
			host := addHost(t, s, "web-1")
			c, messages := collect(t, s)
			worker := aWorker(t, s)
			if tt.tried {
				first := claim(t, s, messages[0], worker.ID)
				if held, err := s.RetryTask(t.Context(), store.LeaseOf(first.Task), 0, refused, ""); err != nil || !held {
					t.Fatalf("RetryTask = %v, %v", held, err)
				}
				messages[0].Epoch++
			}
			if tt.again {
				claim(t, s, messages[0], worker.ID)
			}
			exec(t, store.DBOf(s), "update tasks set "+tt.times)
			if tt.state == fleet.TaskFailed && !tt.again {
				if late, err := s.ClaimTask(t.Context(), messages[0], worker.ID); err != nil || late != nil {
					t.Errorf("claiming it then = %v, %v; want nothing to do", late, err)
				}
			}
			n, err := s.EndHopeless(t.Context(), time.Minute)
			if want := map[bool]int{true: 1}[tt.state == fleet.TaskFailed]; err != nil || n != want {
				t.Errorf("EndHopeless = %d, %v; want %d", n, err, want)
			}
			tasks, _, err := s.Tasks(t.Context(), fleet.Everything(), c.ID, store.TaskFilter{}, fleet.Page{})
			if err != nil || len(tasks) != 1 || tasks[0].State != tt.state || tasks[0].Code != tt.code {
				t.Errorf("tasks = %+v, %v; want %s with %q", tasks, err, tt.state, tt.code)
			}
			statuses, err := s.HostStatuses(t.Context(), fleet.Everything(), []uuid.UUID{host.ID})
			if err != nil || (statuses[host.ID].State == fleet.TaskFailed) != (tt.state == fleet.TaskFailed) {
				t.Errorf("status = %+v, %v", statuses, err)
			}
			if tt.state == fleet.TaskQueued {
				claim(t, s, messages[0], worker.ID)
			}
		})
	}
}

func TestCancellingACollection(t *testing.T) {
	t.Parallel()
	s := storetest.New(t)
	addHost(t, s, "web-1")
	addHost(t, s, "web-2")
	c, messages := collect(t, s)
	running := claim(t, s, messages[0], aWorker(t, s).ID)
	for _, want := range []int{1, 0} { // a second time finds none
		if n, err := s.RequestCancel(t.Context(), c.ID); err != nil || n != want {
			t.Errorf("RequestCancel = %d, %v; want %d", n, err, want)
		}
	}
	if late, err := s.ClaimTask(t.Context(), messages[1], fleet.NewID()); err != nil || late != nil {
		t.Errorf("claiming a cancelled task = %v, %v", late, err)
	}
	e := ending(running, fleet.TaskCancelled)
	e.Failure = fleet.Fail(fleet.CodeCancelled, nil)
	end(t, s, e)
	if done, err := s.FinishCollections(t.Context(), &c.ID, 1); err != nil || len(done) != 1 {
		t.Fatalf("FinishCollections = %v, %v", done, err)
	}
	read, err := s.Collection(t.Context(), fleet.Everything(), c.ID)
	if err != nil || read.State != fleet.CollectionCancelled || read.Counts.Cancelled != 2 || read.Errors[fleet.CodeCancelled] != 2 || read.CancelledAt == nil {
		t.Errorf("collection = %+v, %v", read, err)
	}
	for what, id := range map[string]uuid.UUID{"an ended one": c.ID, "one that never was": fleet.NewID()} {
		if _, err := s.RequestCancel(t.Context(), id); fleet.KindOf(err) != fleet.Conflict {
			t.Errorf("cancelling %s = %v, want Conflict", what, err)
		}
	}
}

// TestWhatIsKnownOfTheEndOnTheHost follows one task through what may become of it, and looks what it says in the end.
func TestWhatIsKnownOfTheEndOnTheHost(t *testing.T) {
	t.Parallel()
	const confirmed, unconfirmed = fleet.TerminationConfirmed, fleet.TerminationUnconfirmed
	refused := fleet.Fail(fleet.CodeTCPRefused, nil)
	type step func(t *testing.T, s *store.Store, c *store.Claim)
	ends := func(with fleet.Termination) step {
		return func(t *testing.T, s *store.Store, c *store.Claim) {
			t.Helper()
			e := ending(c, fleet.TaskCancelled)
			e.Failure, e.Termination = fleet.Fail(fleet.CodeCancelled, nil), with
			end(t, s, e)
		}
	}
	held := func(t *testing.T, held bool, err error) {
		t.Helper()
		if err != nil || !held {
			t.Fatalf("held %v, %v", held, err)
		}
	}
	isRetried := func(t *testing.T, s *store.Store, c *store.Claim) {
		t.Helper()
		ok, err := s.RetryTask(t.Context(), store.LeaseOf(c.Task), 0, refused, unconfirmed)
		held(t, ok, err)
	}
	tests := []struct {
		name  string
		steps []step // each on a claim of its own
		open  fleet.Termination
		want  fleet.Termination
	}{
		{"it ended by itself", []step{ends("")}, "", ""},
		{"it was ended, and that is certain", []step{ends(confirmed)}, "", confirmed},
		{"it was ended, and that is not certain", []step{ends(unconfirmed)}, "", unconfirmed},
		{"it is cancelled after an attempt that was lost", []step{isRetried}, unconfirmed, unconfirmed},
		{"it ended by itself after an attempt that was lost", []step{isRetried, ends("")}, "", ""},
		{"its worker stopped", []step{func(t *testing.T, s *store.Store, c *store.Claim) {
			t.Helper()
			ok, err := s.ReleaseTask(t.Context(), store.LeaseOf(c.Task), confirmed)
			held(t, ok, err)
		}}, confirmed, confirmed},
		{"its worker died", []step{func(t *testing.T, s *store.Store, c *store.Claim) {
			t.Helper()
			if err := s.RemoveWorker(t.Context(), *c.Task.WorkerID); err != nil {
				t.Fatal(err)
			}
			n, err := s.TakeOver(t.Context(), time.Minute)
			held(t, n == 1, err)
		}}, unconfirmed, unconfirmed},
		{"its worker knows nothing of it", []step{func(t *testing.T, s *store.Store, c *store.Claim) {
			t.Helper()
			n, err := s.ReleaseStray(t.Context(), *c.Task.WorkerID, nil, -time.Second)
			held(t, n == 1, err)
		}}, unconfirmed, unconfirmed},
		{"it ran long past its deadline", []step{func(t *testing.T, s *store.Store, _ *store.Claim) {
			t.Helper()
			exec(t, store.DBOf(s), "update tasks set deadline_at = now() - interval '1 h'")
			n, err := s.EndHopeless(t.Context(), time.Minute)
			held(t, n == 1, err)
		}}, "", unconfirmed},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := storetest.New(t)
			addHost(t, s, "web-1")
			c, messages := collect(t, s)
			is := func(when string, want fleet.Termination) {
				t.Helper()
				tasks, _, err := s.Tasks(t.Context(), fleet.Everything(), c.ID, store.TaskFilter{}, fleet.Page{})
				if err != nil || len(tasks) != 1 || tasks[0].Termination != want {
					t.Errorf("%s: %+v, %v; want %q", when, tasks, err, want)
				}
			}
			for _, step := range tt.steps {
				claimed := claim(t, s, messages[0], aWorker(t, s).ID)
				is("while it runs", "")
				step(t, s, claimed)
				messages[0].Epoch++
			}
			if tt.open != "" {
				is("while it waits", tt.open)
			}
			if _, err := s.RequestCancel(t.Context(), c.ID); err != nil {
				t.Fatal(err)
			}
			is("in the end", tt.want)
		})
	}
}

func TestTheOutboxIsReadInOrderOfUrgency(t *testing.T) {
	t.Parallel()
	s, _ := storetest.Pool(t)
	addHost(t, s, "web-1")
	for _, priority := range []fleet.Priority{fleet.PriorityBulk, fleet.PriorityNormal, fleet.PriorityInteractive} {
		c := aCollection()
		c.Priority = priority
		if _, err := s.AddCollection(t.Context(), fleet.Everything(), c, selector(t, "*")); err != nil {
			t.Fatal(err)
		}
	}
	err := s.InTx(t.Context(), func(one *store.Store) error {
		first, err := one.Outbox(t.Context(), nil, 2)
		if err != nil || len(first) != 2 || first[0].Priority != fleet.PriorityInteractive || first[1].Priority != fleet.PriorityNormal {
			t.Errorf("outbox = %+v, %v", first, err)
		}
		return s.InTx(t.Context(), func(two *store.Store) error { // another relay takes what is left
			rest, err := two.Outbox(t.Context(), nil, 10)
			if err != nil || len(rest) != 1 || rest[0].Priority != fleet.PriorityBulk || rest[0].Site != fleet.DefaultSite || rest[0].Epoch != 1 {
				t.Errorf("the rest = %+v, %v", rest, err)
			}
			return two.MarkDispatched(t.Context(), rest)
		})
	})
	if err != nil {
		t.Fatal(err)
	}
	if left, err := s.Outbox(t.Context(), nil, 10); err != nil || len(left) != 2 {
		t.Errorf("what was not marked = %+v, %v; want it still there", left, err)
	}
}
