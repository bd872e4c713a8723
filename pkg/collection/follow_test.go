package collection_test

import (
	"bytes"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/rollcallhq/rollcall/pkg/collection"
	"github.com/rollcallhq/rollcall/pkg/collector"
	"github.com/rollcallhq/rollcall/pkg/facts"
	"github.com/rollcallhq/rollcall/pkg/fleet"
	"github.com/rollcallhq/rollcall/pkg/store"
)

// A teller lets a host say what a test wants, through the road that every answer takes from the parser on.
type teller struct {
	*rig
	host   fleet.Host
	worker *collection.Worker
	self   fleet.Worker
}

func newTeller(t *testing.T) *teller {
	t.Helper()
	r := newRig(t, nil)
	self := fleet.Worker{ID: fleet.NewID(), Host: "worker", Sites: []string{fleet.DefaultSite}, Slots: 1}
	if _, _, err := r.Heartbeat(t.Context(), self); err != nil {
		t.Fatal(err)
	}
	return &teller{
		rig: r, host: r.host("web-1"), self: self,
		worker: collection.NewWorker(collection.WorkerConfig{Store: r.Store, Keys: r.open, Log: r.log, Self: self}),
	}
}

// whole returns a report of type os in which nothing is missing.
func whole(schema int, content string) collector.Report {
	return collector.Report{
		Type: "os", SchemaVersion: schema, Status: collector.StatusOK, Facts: []byte(content), Metrics: []byte("{}"),
		ContentHash: collector.ContentHash("os", schema, []byte(content)),
	}
}

// lacking is whole without what could not be told.
func lacking(content string, unavailable map[string]string) collector.Report {
	r := whole(1, content)
	r.Unavailable, r.Status = unavailable, collector.StatusPartial
	return r
}

// tell ends a task of the host with the report.
func (l *teller) tell(r collector.Report) {
	l.t.Helper()
	id, _ := l.request(30*time.Second, []string{"os"}, l.host)
	claim, err := l.ClaimTask(l.t.Context(), l.outbox(id)[0], l.self.ID)
	if err != nil || claim == nil {
		l.t.Fatalf("claiming: %v, %v", claim, err)
	}
	e := store.Ending{Lease: store.LeaseOf(claim.Task), Host: l.host.ID, State: fleet.TaskSucceeded}
	if held, err := collection.End(l.t.Context(), l.worker, e, []collector.Report{r}); err != nil || !held {
		l.t.Fatalf("ending: %v, %v", held, err)
	}
}

// changes returns the changes so far, oldest first.
func (l *teller) changes() []string {
	l.t.Helper()
	changes, _, err := l.LastChanges(l.t.Context(), fleet.Everything(), store.ChangeFilter{}, fleet.Page{})
	if err != nil {
		l.t.Fatal(err)
	}
	var out []string
	for _, c := range changes {
		out = append(out, fmt.Sprintf("%s: %s -> %s", c.Path, c.Before, c.After))
	}
	slices.Reverse(out)
	return out
}

func TestWhatCountsAsAChange(t *testing.T) {
	t.Parallel()
	timedOut := map[string]string{"virt": collector.ReasonTimedOut}
	denied := map[string]string{"hw.serial": collector.ReasonNoPermission}
	for name, tt := range map[string]struct {
		reports []collector.Report
		want    []string
	}{
		"the first report is no change": {[]collector.Report{whole(1, `{"a":1}`)}, nil},
		"nor is the same one":           {[]collector.Report{whole(1, `{"a":1}`), whole(1, `{"a":1}`)}, nil},
		"another value is":              {[]collector.Report{whole(1, `{"a":1}`), whole(1, `{"a":2}`)}, []string{"a: 1 -> 2"}},
		"and so is the way back": {
			[]collector.Report{whole(1, `{"a":1}`), whole(1, `{"a":2}`), whole(1, `{"a":1}`)}, []string{"a: 1 -> 2", "a: 2 -> 1"},
		},
		"a section that timed out is not, and what it says afterwards is compared with what was known": {
			[]collector.Report{whole(1, `{"a":1,"virt":{"x":"kvm"}}`), lacking(`{"a":1,"virt":{"x":null}}`, timedOut), whole(1, `{"a":1,"virt":{"x":"xen"}}`)},
			[]string{`virt.x: "kvm" -> "xen"`},
		},
		"the rest of a partial report is compared": {
			[]collector.Report{whole(1, `{"a":1,"virt":{"x":"kvm"}}`), lacking(`{"a":2,"virt":{"x":null}}`, timedOut), whole(1, `{"a":2,"virt":{"x":"kvm"}}`)},
			[]string{"a: 1 -> 2"},
		},
		"what was never permitted and now is, is no change": {
			[]collector.Report{lacking(`{"hw":{"serial":null}}`, denied), whole(1, `{"hw":{"serial":"S1"}}`), whole(1, `{"hw":{"serial":"S2"}}`)},
			[]string{`hw.serial: "S1" -> "S2"`},
		},
		"a permission that is lost and given back is no change": {
			[]collector.Report{whole(1, `{"hw":{"serial":"S1"}}`), lacking(`{"hw":{"serial":null}}`, denied), whole(1, `{"hw":{"serial":"S1"}}`)}, nil,
		},
		"another schema, which this program does not know, is no change": {
			[]collector.Report{whole(1, `{"a":1}`), whole(99, `{"b":1}`), whole(99, `{"b":2}`)}, []string{"b: 1 -> 2"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := newTeller(t)
			for _, r := range tt.reports {
				l.tell(r)
			}
			if got := l.changes(); !slices.Equal(got, tt.want) {
				t.Errorf("changes %q, want %q", got, tt.want)
			}
		})
	}
}

func TestWhatBecomesKnownHoldsSinceThen(t *testing.T) {
	t.Parallel()
	l := newTeller(t)
	l.tell(lacking(`{"a":1,"hw":{"serial":null}}`, map[string]string{"hw.serial": collector.ReasonNoPermission}))
	l.tell(whole(1, `{"a":1,"hw":{"serial":"S1"}}`))
	times := ask[[]time.Time](l.rig, "select array_agg(created_at order by created_at) from report_rows")
	sinces, err := l.FactSinces(t.Context(), fleet.Everything(), l.host.ID, "os", time.Time{})
	if err != nil || !sinces.Of(facts.Path{"a"}).Equal(times[0]) || !sinces.Of(facts.Path{"hw", "serial"}).Equal(times[1]) {
		t.Errorf("a holds since %v and the serial number since %v, %v; want %v", sinces.Of(facts.Path{"a"}), sinces.Of(facts.Path{"hw", "serial"}), err, times)
	}
}

// TestReportsAreInOrderOnAnyClock holds that a worker whose clock is behind does not write a report before those that
// were there.
func TestReportsAreInOrderOnAnyClock(t *testing.T) {
	t.Parallel()
	l := newTeller(t)
	l.tell(whole(1, `{"a":1}`))
	l.exec("update latest_reports set created_at = created_at + interval '10 seconds'")
	l.exec("update report_rows set created_at = created_at + interval '10 seconds'")
	l.exec("update fact_periods set valid_from = valid_from + interval '10 seconds'")
	l.tell(whole(1, `{"a":2}`))
	l.tell(whole(1, `{"a":3}`))
	contents := ask[[][]byte](l.rig, "select array_agg(content_hash order by created_at) from report_rows")
	for i, hash := range contents {
		if want := whole(1, fmt.Sprintf(`{"a":%d}`, i+1)).ContentHash; !bytes.Equal(hash, want[:]) {
			t.Errorf("report %d has other facts", i+1)
		}
	}
	if got, want := l.changes(), []string{"a: 1 -> 2", "a: 2 -> 3"}; !slices.Equal(got, want) {
		t.Errorf("changes %q, want %q", got, want)
	}
}
