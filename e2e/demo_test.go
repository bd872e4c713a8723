package e2e_test

import "testing"

// TestTheDemoIsCollected starts the demo twice, as a restart of its container does: it enrols what it serves, and finds
// its hosts and its schedule again.
func TestTheDemoIsCollected(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	s.up()
	ready := freeAddr(t)
	demo := func() *process {
		p := s.start("rollcall", map[string]string{"ROLLCALL_MIGRATE": "wait"}, "demo", "--hosts", "20", "--dead", "5%", "--refusing", "5%",
			"--every", "1h", "--listen", "127.81.7.1:22000", "--advertise", "127.81.7.1", "--ready", ready)
		p.ops = "http://" + ready
		p.ready()
		return p
	}
	demo().stop()
	demo()
	var hosts, schedules struct{ Items []struct{ Name string } }
	s.get("/api/v1/hosts?selector=simulated%3Dtrue", &hosts)
	s.get("/api/v1/schedules", &schedules)
	if len(hosts.Items) != 20 || len(schedules.Items) != 1 || schedules.Items[0].Name != "demo" {
		t.Errorf("%d hosts, schedules %+v", len(hosts.Items), schedules.Items)
	}
	var collections struct {
		Items []struct {
			State  string
			Counts map[string]int
		}
	}
	s.get("/api/v1/collections", &collections)
	if len(collections.Items) != 2 {
		t.Fatalf("collections %+v, want one of each start", collections.Items)
	}
	for _, c := range collections.Items {
		if c.State != "partial" || c.Counts["succeeded"] != 18 || c.Counts["failed"] != 2 {
			t.Errorf("a collection is %+v, want that of 20 hosts one is dead and one lets nobody in", c)
		}
	}
}
