package e2e_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/rollcallhq/rollcall/pkg/facts"
	"github.com/rollcallhq/rollcall/pkg/simulate"
)

// soakSweeps is how often the soak collects. ROLLCALL_SOAK_SWEEPS overrides it: "task soak" asks for a thousand.
func soakSweeps(t *testing.T) int {
	t.Helper()
	text := os.Getenv("ROLLCALL_SOAK_SWEEPS")
	if text == "" {
		return 8
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 2 || n > 1_000_000 {
		t.Fatalf("ROLLCALL_SOAK_SWEEPS=%s is not a number from 2 to a million", text)
	}
	return n
}

func TestAnUnchangedBusyMachineHasNoChanges(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	s.env["ROLLCALL_LOCAL"] = "true"
	s.up()
	var machine struct{ ID string }
	s.post("/api/v1/hosts", map[string]any{"name": "real-1", "address": "localhost", "connection": "local"}, http.StatusCreated, &machine)
	// Beside it stands a host that changes with every sweep: what it is told to have changed shows that the feed works,
	// and that it has been read to the end.
	drifting := s.simulated(simulate.Options{Hosts: 1, Seed: 5, Drift: 1})
	position := s.end()
	busy(t)
	sweeps := soakSweeps(t)
	times := make([]time.Duration, 0, sweeps)
	partial := 0
	var first, last map[string]sweptReport
	for n := range sweeps {
		began := time.Now()
		c := s.collect(map[string]any{"selector": "*"}, time.Minute)
		times = append(times, time.Since(began))
		if c.Counts["failed"] > 0 || c.Counts["succeeded"]+c.Counts["partial"] != 2 {
			t.Fatalf("sweep %d is %+v", n+1, c)
		}
		partial += c.Counts["partial"]
		if n == 0 {
			first = s.latest(t, machine.ID)
		}
	}
	last = s.latest(t, machine.ID)
	// Once this is told, so is everything before it.
	s.collect(map[string]any{"selector": "name=sim-0001"}, time.Minute)
	var changes []changeView
	eventually(t, 30*time.Second, "the feed read to its end", func() error {
		more, next, err := s.readFeed(t.Context(), position, nil)
		changes, position = append(changes, more...), next
		if planted := len(drifting.Planted("sim-0001")); err == nil && countOf(changes, "sim-0001") < planted {
			err = fmt.Errorf("%d changes of the host that drifts, want %d", countOf(changes, "sim-0001"), planted)
		}
		return err
	})
	if got := countOf(changes, "sim-0001"); got != sweeps {
		t.Errorf("the host that drifts has %d changes, want %d", got, sweeps)
	}
	standing := standingPorts(t, first["ports"], last["ports"])
	others := map[string]bool{"ports": true} // types in which others have changed something; the ports that stand are looked at
	for _, c := range changes {
		path, err := facts.ParsePath(c.Path)
		if c.Type == "ports" && err == nil && len(path) > 1 && !standing[path[1]] {
			continue // of a program that others have started or stopped on this machine meanwhile
		}
		if c.Type == "disks" && err == nil && len(path) > 1 && strings.HasPrefix(path[1], "loop") {
			others[c.Type] = true // others have mounted an image
			continue
		}
		if c.Host == "real-1" {
			t.Errorf("at %s: %s", c.SeenAt, c)
		}
	}
	if partial > sweeps/10 {
		t.Errorf("%d of %d reports of the machine were partial, so little was compared", partial, sweeps)
	}
	for name, r := range last {
		// People come and go on their own time, packages when somebody installs them, and scripts of services tell nothing.
		if bytes.Equal(r.Metrics, first[name].Metrics) && !slices.Contains([]string{"users", "packages", "services"}, name) {
			t.Errorf("%s: the metrics are the same after %d sweeps of a busy machine: %s", name, sweeps, r.Metrics)
		}
		if r.ContentHash != first[name].ContentHash && !others[name] {
			t.Errorf("%s: the content differs:\n%s\n%s", name, first[name].Facts, r.Facts)
		}
	}
	s.checkCounted(t, machine.ID, last["cpu"], sweeps)
	slices.Sort(times)
	t.Logf("%d sweeps, %d partial; a sweep took %s in the middle, %s at most", sweeps, partial,
		times[len(times)/2].Round(time.Millisecond), times[len(times)-1].Round(time.Millisecond))
}

// standingPorts returns the keys of the ports that are the same in both reports and held by the same process: whatever
// others do, these have been open all the time.
func standingPorts(t *testing.T, first, last sweptReport) map[string]bool {
	t.Helper()
	var listening [2]struct{ Listening map[string]json.RawMessage }
	var held [2]struct {
		Listening map[string]struct{ PID, Inode *int64 }
	}
	for i, r := range []sweptReport{first, last} {
		if err := errors.Join(json.Unmarshal(r.Facts, &listening[i]), json.Unmarshal(r.Metrics, &held[i])); err != nil {
			t.Fatal(err)
		}
	}
	standing := map[string]bool{}
	for key, port := range listening[0].Listening {
		other, found := listening[1].Listening[key]
		a, b := held[0].Listening[key], held[1].Listening[key]
		if found && bytes.Equal(port, other) && cmp.Equal(a, b) {
			standing[key] = true
		}
	}
	if len(standing) == 0 {
		t.Error("no port has been open from the first sweep to the last, not even that of the server")
	}
	return standing
}

func countOf(changes []changeView, host string) int {
	n := 0
	for _, c := range changes {
		if c.Host == host {
			n++
		}
	}
	return n
}

// latest returns the latest reports of a host by type.
func (s *stack) latest(t *testing.T, id string) map[string]sweptReport {
	t.Helper()
	var list listOf[sweptReport]
	s.get("/api/v1/hosts/"+id+"/reports", &list)
	latest := map[string]sweptReport{}
	for _, r := range list.Items {
		latest[r.Type] = r
	}
	if names := slices.Sorted(maps.Keys(latest)); !slices.Equal(names, builtinTypes()) {
		t.Fatalf("there are reports of %v, want %v", names, builtinTypes())
	}
	return latest
}

// checkCounted makes sure that every sweep was stored: its metrics are.
func (s *stack) checkCounted(t *testing.T, id string, last sweptReport, sweeps int) {
	t.Helper()
	var answer struct {
		Series []struct {
			Points []struct {
				Count    int
				Min, Max json.Number
			}
		}
	}
	query := url.Values{"type": {"cpu"}, "path": {"procs_total"}, "until": {last.CreatedAt.Add(time.Second).Format(time.RFC3339Nano)}}
	s.get("/api/v1/hosts/"+id+"/metrics?"+query.Encode(), &answer)
	counted := 0
	for _, series := range answer.Series {
		for _, p := range series.Points {
			counted += p.Count
		}
	}
	if counted != sweeps {
		t.Errorf("%d reports have metrics, want %d: %+v", counted, sweeps, answer)
	}
}
