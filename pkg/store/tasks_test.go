package store_test

import (
	"errors"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/rollcallhq/rollcall/pkg/fleet"
	"github.com/rollcallhq/rollcall/pkg/store"
	"github.com/rollcallhq/rollcall/pkg/storetest"
)

func TestTheLifeOfATask(t *testing.T) {
	t.Parallel()
	s := storetest.New(t)
	host := addHost(t, s, "web-1")
	addHost(t, s, "off-1", func(h *fleet.Host) { h.Enabled = false })
	c, messages := collect(t, s)
	if c.Counts.Total != 1 || len(messages) != 1 || len(c.Skipped) != 1 || c.Skipped[0].Host != "off-1" {
		t.Fatalf("collection = %+v with %d messages; want one task and off-1 skipped", c, len(messages))
	}
	if err := s.MarkDispatched(t.Context(), messages); err != nil {
		t.Fatal(err)
	}
	if again, _ := s.Outbox(t.Context(), nil, 10); len(again) != 0 {
		t.Errorf("the outbox still has %v", again)
	}
	worker := aWorker(t, s)
	claimed := claim(t, s, messages[0], worker.ID)
	if claimed.Host.ID != host.ID || claimed.Remaining < 50*time.Second || claimed.Remaining > time.Minute {
		t.Errorf("claim = %+v, want host %s and a minute left", claimed, host.ID)
	}
	if second, err := s.ClaimTask(t.Context(), messages[0], worker.ID); err != nil || second != nil {
		t.Errorf("a second claim = %v, %v; want nothing to do", second, err)
	}
	end(t, s, ending(claimed, fleet.TaskSucceeded, finding("os", `{"id":"debian"}`, `{"uptime_seconds":1}`)))
	if held, err := s.EndTask(t.Context(), ending(claimed, fleet.TaskSucceeded)); err != nil || held {
		t.Errorf("ending twice = %v, %v; want the lease gone", held, err)
	}
	running, err := s.Collection(t.Context(), fleet.Everything(), c.ID)
	if err != nil || running.State != fleet.CollectionSucceeded || running.Counts.Succeeded != 1 || running.FinishedAt == nil {
		t.Errorf("before it is frozen: %+v, %v", running, err)
	}
	if done, err := s.FinishCollections(t.Context(), nil, 10); err != nil || len(done) != 1 {
		t.Fatalf("FinishCollections = %v, %v", done, err)
	}
	frozen, err := s.Collection(t.Context(), fleet.Everything(), c.ID)
	if err != nil || frozen.State != fleet.CollectionSucceeded || frozen.Counts != running.Counts || !frozen.FinishedAt.Equal(*running.FinishedAt) {
		t.Errorf("frozen: %+v, %v", frozen, err)
	}
	statuses, err := s.HostStatuses(t.Context(), fleet.Everything(), []uuid.UUID{host.ID})
	if err != nil || statuses[host.ID].State != fleet.TaskSucceeded || statuses[host.ID].SucceededAt == nil {
		t.Errorf("status = %+v, %v", statuses, err)
	}
}

func TestAHostThatIsBusyPostponesTheTask(t *testing.T) {
	t.Parallel()
	s, _ := storetest.Pool(t)
	addHost(t, s, "web-1")
	_, first := collect(t, s)
	_, second := collect(t, s)
	worker := aWorker(t, s)
	claim(t, s, first[0], worker.ID)
	if _, err := s.ClaimTask(t.Context(), second[0], worker.ID); !errors.Is(err, store.ErrHostBusy) {
		t.Fatalf("claiming a busy host = %v, want ErrHostBusy", err)
	}
	if again, err := s.ClaimTask(t.Context(), second[0], worker.ID); err != nil || again != nil {
		t.Errorf("the old epoch = %v, %v; want it fenced off", again, err)
	}
}

func TestWhoeverTakesOverFencesTheFirstWorkerOff(t *testing.T) {
	t.Parallel()
	s := storetest.New(t)
	addHost(t, s, "web-1")
	c, messages := collect(t, s)
	dead := aWorker(t, s)
	lost := claim(t, s, messages[0], dead.ID)
	if n, err := s.TakeOver(t.Context(), time.Minute); err != nil || n != 0 {
		t.Fatalf("TakeOver of a live worker = %d, %v", n, err)
	}
	if err := s.RemoveWorker(t.Context(), dead.ID); err != nil {
		t.Fatal(err)
	}
	if n, err := s.TakeOver(t.Context(), time.Minute); err != nil || n != 1 {
		t.Fatalf("TakeOver of a dead worker = %d, %v", n, err)
	}
	if held, err := s.EndTask(t.Context(), ending(lost, fleet.TaskSucceeded, finding("os", `{}`, `{}`))); err != nil || held {
		t.Errorf("the first worker's end = %v, %v; want it fenced off", held, err)
	}
	if reports, _, err := s.Reports(t.Context(), fleet.Everything(), fleet.ReportFilter{}, fleet.Page{}); err != nil || len(reports) != 0 {
		t.Errorf("reports of a fenced end = %v, %v; want none", reports, err)
	}
	again, err := s.Outbox(t.Context(), &c.ID, 10)
	if err != nil || len(again) != 1 || again[0].Epoch != 2 {
		t.Fatalf("outbox = %v, %v; want the task at epoch 2", again, err)
	}
	claim(t, s, again[0], aWorker(t, s).ID)
}

func TestEndingsWithoutAWorker(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name    string
		prepare func(*testing.T, *store.Store, *fleet.Collection)
		want    fleet.TaskState
		code    fleet.Code
	}{
		{"a task that waited too long is expired", func(_ *testing.T, _ *store.Store, c *fleet.Collection) {
			c.ExpiresAt = time.Now().Add(-time.Second)
		}, fleet.TaskFailed, fleet.CodeExpired},
		{"a cancelled collection ends its queued tasks", func(*testing.T, *store.Store, *fleet.Collection) {}, fleet.TaskCancelled, fleet.CodeCancelled},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := storetest.New(t)
			addHost(t, s, "web-1")
			c := aCollection()
			tt.prepare(t, s, &c)
			c, err := s.AddCollection(t.Context(), fleet.Everything(), c, selector(t, "*"))
			if err != nil {
				t.Fatal(err)
			}
			if tt.want == fleet.TaskCancelled {
				if n, err := s.RequestCancel(t.Context(), c.ID); err != nil || n != 1 {
					t.Fatalf("RequestCancel = %d, %v", n, err)
				}
			} else if n, err := s.EndHopeless(t.Context(), time.Minute); err != nil || n != 1 {
				t.Fatalf("EndHopeless = %d, %v", n, err)
			}
			tasks, _, err := s.Tasks(t.Context(), fleet.Everything(), c.ID, store.TaskFilter{}, fleet.Page{})
			if err != nil || len(tasks) != 1 || tasks[0].State != tt.want || tasks[0].Code != tt.code {
				t.Errorf("tasks = %+v, %v; want one %s with %s", tasks, err, tt.want, tt.code)
			}
		})
	}
}

func TestRetryKeepsTheDeadlineAndCountsAttempts(t *testing.T) {
	t.Parallel()
	s := storetest.New(t)
	addHost(t, s, "web-1")
	c, messages := collect(t, s)
	worker := aWorker(t, s)
	first := claim(t, s, messages[0], worker.ID)
	failure := fleet.Fail(fleet.CodeTCPRefused, nil, "phase", "connect")
	if held, err := s.RetryTask(t.Context(), store.LeaseOf(first.Task), 0, failure, ""); err != nil || !held {
		t.Fatalf("RetryTask = %v, %v", held, err)
	}
	again, err := s.Outbox(t.Context(), &c.ID, 10)
	if err != nil || len(again) != 1 {
		t.Fatalf("outbox = %v, %v", again, err)
	}
	second := claim(t, s, again[0], worker.ID)
	if second.Task.Attempts != 2 || second.Remaining > first.Remaining {
		t.Errorf("second attempt = %+v with %s left, after %s", second.Task, second.Remaining, first.Remaining)
	}
	if held, err := s.ReleaseTask(t.Context(), store.LeaseOf(second.Task), ""); err != nil || !held {
		t.Errorf("ReleaseTask = %v, %v", held, err)
	}
}

func TestHeartbeatTellsOfCancelledTasksAndStrayOnesAreReleased(t *testing.T) {
	t.Parallel()
	s := storetest.New(t)
	addHost(t, s, "web-1")
	c, messages := collect(t, s)
	worker := aWorker(t, s)
	claimed := claim(t, s, messages[0], worker.ID)
	if _, err := s.RequestCancel(t.Context(), c.ID); err != nil {
		t.Fatal(err)
	}
	_, cancelled, err := s.Heartbeat(t.Context(), worker)
	if err != nil || len(cancelled) != 1 || cancelled[0] != claimed.Task.ID {
		t.Errorf("cancelled = %v, %v; want the running task", cancelled, err)
	}
	if n, err := s.ReleaseStray(t.Context(), worker.ID, []uuid.UUID{claimed.Task.ID}, -time.Second); err != nil || n != 0 {
		t.Errorf("ReleaseStray of a held task = %d, %v", n, err)
	}
	if n, err := s.ReleaseStray(t.Context(), worker.ID, nil, -time.Second); err != nil || n != 1 {
		t.Errorf("ReleaseStray of a stray task = %d, %v", n, err)
	}
}

func TestASiteWithoutWorkersHidesNoOther(t *testing.T) {
	t.Parallel()
	s := storetest.New(t)
	for _, name := range []string{"a-1", "a-2", "a-3", "b-1"} {
		addHost(t, s, name, func(h *fleet.Host) { h.Site = name[:1] })
	}
	_, messages := collect(t, s)
	if err := s.MarkDispatched(t.Context(), messages); err != nil {
		t.Fatal(err)
	}
	waiting, err := s.Unclaimed(t.Context(), -time.Second, 2)
	if err != nil {
		t.Fatal(err)
	}
	bySite := map[string]int{}
	for _, m := range waiting {
		bySite[m.Site]++
	}
	if bySite["a"] != 2 || bySite["b"] != 1 {
		t.Errorf("unclaimed by site = %v, want two of a and the one of b", bySite)
	}
}

func TestRingAgain(t *testing.T) {
	t.Parallel()
	s := storetest.New(t)
	addHost(t, s, "web-1")
	c, messages := collect(t, s)
	if err := s.MarkDispatched(t.Context(), messages); err != nil {
		t.Fatal(err)
	}
	if old, err := s.Unclaimed(t.Context(), -time.Second, 10); err != nil || len(old) != 1 {
		t.Fatalf("Unclaimed = %v, %v", old, err)
	}
	if n, err := s.RingAgain(t.Context(), messages, true); err != nil || n != 1 {
		t.Fatalf("RingAgain = %d, %v", n, err)
	}
	if n, err := s.RingAgain(t.Context(), messages, true); err != nil || n != 0 {
		t.Errorf("RingAgain of an old epoch = %d, %v", n, err)
	}
	if again, err := s.Outbox(t.Context(), &c.ID, 10); err != nil || len(again) != 1 || again[0].Epoch != 2 {
		t.Errorf("outbox = %v, %v", again, err)
	}
}
