package simulate_test

import (
	"runtime"
	"testing"

	"github.com/rollcallhq/rollcall/pkg/simulate"
)

// Ten thousand hosts are simulated beside what is tried on them. It runs alone, not beside the parallel tests.
func TestAnIdleHostIsSmall(t *testing.T) { //nolint:paralleltest // it measures the process
	const hosts, most = 500, 20 << 10
	before, goroutines := inUse(), runtime.NumGoroutine()
	f, err := simulate.Start(t.Context(), simulate.Options{Hosts: hosts, Shares: simulate.Shares{Dead: 0.1, Noise: 0.1}})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	if each := (inUse() - before) / hosts; each > most {
		t.Errorf("an idle host takes %d bytes, want at most %d", each, most)
	}
	// One accepts for each host that is not dead, and one waits for the end of the fleet.
	if got, want := runtime.NumGoroutine()-goroutines, hosts*9/10+1; got > want {
		t.Errorf("the idle fleet has %d goroutines, want at most %d", got, want)
	}
}

// inUse returns how many bytes of memory are in use after a collection of garbage.
func inUse() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapInuse + m.StackInuse)
}
