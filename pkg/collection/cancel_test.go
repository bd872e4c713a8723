package collection_test

import (
	"sync"
	"testing"
	"time"

	"github.com/rollcallhq/rollcall/pkg/await"
	"github.com/rollcallhq/rollcall/pkg/fleet"
	"github.com/rollcallhq/rollcall/pkg/simulate"
)

// TestSimulatedHostsAreStoppedLikeRealOnes cancels what runs on simulated hosts: before it has said anything, in the
// middle of its answer, and where nothing is answered at all.
func TestSimulatedHostsAreStoppedLikeRealOnes(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name       string
		behaviour  simulate.Behaviour
		executions int64
		want       fleet.Termination
	}{
		{"a run that has said nothing", simulate.Behaviour{Latency: time.Hour}, 0, fleet.TerminationConfirmed},
		{"a run behind a login that talks", simulate.Behaviour{Latency: time.Hour, Noise: true}, 0, fleet.TerminationConfirmed},
		{"a run that has told its group", simulate.Behaviour{Fault: simulate.FaultDrip, DripEvery: 10 * time.Millisecond}, 1, fleet.TerminationConfirmed},
		{"a host on which no command begins", simulate.Behaviour{Fault: simulate.FaultHang}, 0, fleet.TerminationUnconfirmed},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, nil)
			sims, hosts := r.simulated(simulate.Options{Hosts: 1, Behave: func(int, simulate.Behaviour) simulate.Behaviour { return tt.behaviour }})
			w, _ := r.worker()
			id, messages := r.request(time.Minute, []string{"os"}, hosts...)
			var working sync.WaitGroup
			working.Go(func() { contains(t, r.work(w, messages[0]), " cancelled ") })
			await.Until(t, "the run having begun", func() bool {
				host, _ := sims.Host(hosts[0].Name)
				return host.Runs == 1 && host.Executions == tt.executions
			})
			began := time.Now()
			if _, err := r.service.Cancel(t.Context(), actor(fleet.Operator, ""), id); err != nil {
				t.Fatal(err)
			}
			working.Wait()
			t.Logf("ended after %s", time.Since(began))
			task := r.tasks(id)[0]
			r.ended(task, fleet.TaskCancelled, fleet.CodeCancelled)
			host, _ := sims.Host(hosts[0].Name)
			if task.Termination != tt.want || host.Executions != tt.executions {
				t.Errorf("termination %q, %d executions; want %q and %d", task.Termination, host.Executions, tt.want, tt.executions)
			}
			await.Until(t, "nothing running on the host", func() bool { host, _ := sims.Host(hosts[0].Name); return host.Runs == 0 })
		})
	}
}
