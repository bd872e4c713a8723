package store_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/rollcallhq/rollcall/pkg/fleet"
	"github.com/rollcallhq/rollcall/pkg/store"
	"github.com/rollcallhq/rollcall/pkg/storetest"
)

// atSite puts a host into a site.
func atSite(site string) func(*fleet.Host) { return func(h *fleet.Host) { h.Site = site } }

// serving stores the heartbeat of a worker of the sites.
func serving(t *testing.T, s *store.Store, slots int, sites ...string) fleet.Worker {
	t.Helper()
	w := fleet.Worker{ID: fleet.NewID(), Host: "w-" + sites[0], Version: "test", Sites: sites, Slots: slots}
	if _, _, err := s.Heartbeat(t.Context(), w); err != nil {
		t.Fatal(err)
	}
	return w
}

func TestWhatASiteIsAt(t *testing.T) {
	t.Parallel()
	s, pool := storetest.Pool(t)
	for i := range 3 {
		addHost(t, s, fmt.Sprintf("eu-%d", i), atSite("eu"))
	}
	addHost(t, s, "us-1", atSite("us"))
	addHost(t, s, "off", atSite("off"), func(h *fleet.Host) { h.Enabled = false })
	both := serving(t, s, 10, "eu", "spare")
	serving(t, s, 5, "eu")
	dead := serving(t, s, 7, "us")
	exec(t, pool, "update workers set seen_at = now() - interval '1 minute' where id = $1", dead.ID)
	_, messages := collect(t, s)
	claim(t, s, messages[slices.IndexFunc(messages, func(m fleet.Message) bool { return m.Site == "eu" })], both.ID)
	exec(t, pool, "update tasks set created_at = now() - interval '90 seconds' where site = 'us'")

	sites, err := s.Sites(t.Context(), fleet.Everything(), 10*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	got := namesOf(sites, func(site fleet.Site) string {
		return fmt.Sprintf("%s: %d/%d hosts, %d workers with %d/%d slots, %d queued, %d running, old %v, served %v", site.Name, site.Enabled, site.Hosts,
			site.Workers, site.Busy, site.Slots, site.Queued, site.Running, site.Oldest > 80*time.Second, site.Served())
	})
	want := []string{
		"eu: 3/3 hosts, 2 workers with 1/15 slots, 2 queued, 1 running, old false, served true",
		"off: 0/1 hosts, 0 workers with 0/0 slots, 0 queued, 0 running, old false, served false",
		"spare: 0/0 hosts, 1 workers with 1/10 slots, 0 queued, 0 running, old false, served true",
		"us: 1/1 hosts, 0 workers with 0/0 slots, 1 queued, 0 running, old true, served false",
	}
	if !slices.Equal(got, want) {
		t.Errorf("the sites are\n%q, want\n%q", got, want)
	}
	unserved, err := s.UnservedSites(t.Context(), 10*time.Second)
	if err != nil || !slices.Equal(unserved, []string{"us"}) {
		t.Errorf("UnservedSites = %q, %v; want the one with a host to collect from", unserved, err)
	}
	if unserved, err := s.UnservedSites(t.Context(), time.Hour); err != nil || len(unserved) != 0 {
		t.Errorf("with more patience: %q, %v", unserved, err)
	}
}

// TestATaskFollowsItsHostToAnotherSite has hosts moved while their tasks wait, and looks what the messages at the former
// site are good for.
func TestATaskFollowsItsHostToAnotherSite(t *testing.T) {
	t.Parallel()
	s, pool := storetest.Pool(t)
	serving(t, s, 1, "new")
	place := func(m fleet.Message) string {
		return ask[string](t, pool, "select site || ' ' || (epoch - $2) || ' ' || (dispatched_at is not null) from tasks where id = $1", m.TaskID, m.Epoch)
	}
	rung := func(name string) (fleet.Host, fleet.Message) {
		h := addHost(t, s, name, atSite("old"))
		c := aCollection()
		c, err := s.AddCollection(t.Context(), fleet.Everything(), c, selector(t, "name="+name))
		if err != nil {
			t.Fatal(err)
		}
		messages, err := s.Outbox(t.Context(), &c.ID, 1)
		if err != nil || len(messages) != 1 || messages[0].Site != "old" {
			t.Fatalf("Outbox = %v, %v", messages, err)
		}
		if err := s.MarkDispatched(t.Context(), messages); err != nil {
			t.Fatal(err)
		}
		return h, messages[0]
	}
	nobody := func(m fleet.Message, when string) {
		t.Helper()
		if c, err := s.ClaimTask(t.Context(), m, fleet.NewID()); err != nil || c != nil {
			t.Errorf("%s: the message at the former site = %+v, %v; want nothing to do", when, c, err)
		}
	}

	moved, message := rung("moved")
	moved.Site = "new"
	if _, err := s.UpdateHost(t.Context(), moved); err != nil {
		t.Fatal(err)
	}
	if got := place(message); got != "new 1 false" {
		t.Errorf("the task of a moved host is at %s", got)
	}
	nobody(message, "moved while it waited")
	if got := place(message); got != "new 1 false" {
		t.Errorf("after that it is at %s", got)
	}

	// A collection that was being stored while its host was moved has the former site.
	late, message := rung("late")
	exec(t, pool, "update hosts set site = 'new' where id = $1", late.ID)
	nobody(message, "moved before it was stored")
	if got := place(message); got != "new 1 false" {
		t.Errorf("let go by whoever would have claimed it, it is at %s", got)
	}

	stranded, message := rung("stranded")
	exec(t, pool, "update hosts set site = 'new' where id = $1", stranded.ID)
	if n, err := s.MoveStrandedTasks(t.Context(), time.Minute); err != nil || n != 1 {
		t.Errorf("MoveStrandedTasks = %d, %v; want the one", n, err)
	}
	if got := place(message); got != "new 1 false" {
		t.Errorf("stranded, it is at %s", got)
	}
	if n, err := s.MoveStrandedTasks(t.Context(), time.Minute); err != nil || n != 0 {
		t.Errorf("MoveStrandedTasks once more = %d, %v", n, err)
	}
	if err := s.RetireHost(t.Context(), stranded.ID); err != nil { // what runs or waits is ended by a worker, as ever
		t.Fatal(err)
	}
}

// TestTurnsAreTakenBackWhereNobodyIs holds that what waits at a site without workers does not count against the
// MaxParallel of its collection.
func TestTurnsAreTakenBackWhereNobodyIs(t *testing.T) {
	t.Parallel()
	s, pool := storetest.Pool(t)
	for _, site := range []string{"here", "there"} {
		addHost(t, s, site, atSite(site))
	}
	serving(t, s, 1, "here")
	for _, most := range []int{0, 5} {
		c := aCollection()
		c.MaxParallel = most
		if _, err := s.AddCollection(t.Context(), fleet.Everything(), c, selector(t, "*")); err != nil {
			t.Fatal(err)
		}
	}
	exec(t, pool, "update tasks set dispatched_at = now()")
	for _, want := range []int{1, 0} {
		if n, err := s.RecallUnserved(t.Context(), time.Minute); err != nil || n != want {
			t.Errorf("RecallUnserved = %d, %v; want %d", n, err, want)
		}
	}
	got := ask[string](t, pool, "select string_agg(site || ' ' || max_parallel || ' ' || epoch, ', ') from tasks where dispatched_at is null")
	if got != "there 5 2" {
		t.Errorf("taken back: %s; want that with a bound where nobody is", got)
	}
}
