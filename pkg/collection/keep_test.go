package collection_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/rollcallhq/rollcall/pkg/await"
	"github.com/rollcallhq/rollcall/pkg/collection"
	"github.com/rollcallhq/rollcall/pkg/fleet"
	"github.com/rollcallhq/rollcall/pkg/simulate"
)

// quick is a worker that lives fast, on a database that can be shut.
func quick(r *rig) (*tap, *collection.Worker, func()) {
	database := r.tap()
	w, stop := r.worker(func(c *collection.WorkerConfig, w *collection.Worker) {
		c.Store = database.Store
		if w != nil {
			collection.SetPace(w, 50*time.Millisecond, 2*time.Second, 50*time.Millisecond)
		}
	})
	return database, w, stop
}

// TestAMessageIsKeptUntilItCanBeWorked: given back at once, it would be followed by the next one and the next, all of
// which others could have worked.
func TestAMessageIsKeptUntilItCanBeWorked(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	_, hosts := r.simulated(simulate.Options{Hosts: 1})
	database, w, _ := quick(r)
	_, messages := r.request(time.Minute, []string{"os"}, hosts...)
	database.shut.Store(true)
	await.Until(t, "the worker having been silent for too long", func() bool { return w.Silent() > 2*time.Second })
	line := make(chan string, 1)
	go func() {
		text, err := w.Work(t.Context(), messages[0])
		line <- fmt.Sprint(text, err)
	}()
	select {
	case text := <-line:
		t.Fatalf("a silent worker gives the message back at once: %s", text)
	case <-time.After(200 * time.Millisecond):
	}
	database.shut.Store(false)
	select {
	case text := <-line:
		contains(t, text, " succeeded ")
	case <-time.After(patience):
		t.Fatal("the message is not worked")
	}
}

func TestAKeptMessageIsGivenBackInTheEnd(t *testing.T) {
	t.Parallel()
	for _, leaves := range []bool{true, false} {
		t.Run(fmt.Sprintf("the worker leaves: %v", leaves), func(t *testing.T) {
			t.Parallel()
			r := newRig(t, nil)
			_, hosts := r.simulated(simulate.Options{Hosts: 1})
			database, w, stop := quick(r)
			id, messages := r.request(time.Minute, []string{"os"}, hosts...)
			database.shut.Store(true)
			await.Until(t, "the worker having been silent for too long", func() bool { return w.Silent() > 2*time.Second })
			told := make(chan error, 1)
			go func() {
				_, err := w.Work(t.Context(), messages[0])
				told <- err
			}()
			if leaves {
				stop()
			}
			select {
			case err := <-told:
				if fleet.KindOf(err) != fleet.Unavailable {
					t.Errorf("Work = %v, want the message delivered to others", err)
				}
			case <-time.After(patience):
				t.Fatal("the message is kept for ever")
			}
			if task := r.tasks(id)[0]; task.State != fleet.TaskQueued || task.Epoch != 1 {
				t.Errorf("task = %+v, want it as it was", task)
			}
		})
	}
}
