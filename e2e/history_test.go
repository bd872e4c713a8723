package e2e_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/rollcallhq/rollcall/pkg/facts"
	"github.com/rollcallhq/rollcall/pkg/simulate"
)

// A driftingFleet is a stack that has collected a simulated fleet several times.
type driftingFleet struct {
	*stack
	fleet *simulate.Fleet
	ids   map[string]string // of hosts, by name
	start string            // of the feed
	swept []time.Time       // after each sweep, before the next
}

const (
	driftingHosts = 20
	driftSweeps   = 6
)

func startDriftingFleet(t *testing.T) *driftingFleet {
	t.Helper()
	d := &driftingFleet{stack: newStack(t), ids: map[string]string{}}
	d.up()
	d.fleet = d.simulated(simulate.Options{Hosts: driftingHosts, Seed: 11, Drift: 0.2, DriftFacts: 2})
	var hosts listOf[struct{ ID, Name string }]
	d.get("/api/v1/hosts?limit=1000", &hosts)
	for _, h := range hosts.Items {
		d.ids[h.Name] = h.ID
	}
	d.start = d.end()
	return d
}

// sweep collects from all hosts once.
func (d *driftingFleet) sweep() {
	d.t.Helper()
	c := d.collect(map[string]any{"selector": "*"}, 2*time.Minute)
	if c.State != "succeeded" || c.Counts["succeeded"] != driftingHosts {
		d.t.Fatalf("the collection is %+v", c)
	}
	d.swept = append(d.swept, time.Now())
}

// planted returns what the fleet says that has changed, by host and path, in the order of time.
func (d *driftingFleet) planted() map[string][]string {
	all := map[string][]string{}
	for _, h := range d.fleet.Hosts() {
		if h.Executions != int64(len(d.swept)) {
			d.t.Fatalf("%s was asked %d times in %d sweeps", h.Name, h.Executions, len(d.swept))
		}
		for _, p := range d.fleet.Planted(h.Name) {
			key := h.Name + " " + p.Type + " " + p.Path
			all[key] = append(all[key], nothing(p.Before)+" -> "+nothing(p.After))
		}
	}
	return all
}

// nothing writes a value that may not be there.
func nothing(value []byte) string {
	if value == nil {
		return "nothing"
	}
	return string(value)
}

// told returns changes in the form of planted. A change told twice is there twice.
func told(t *testing.T, changes []changeView) map[string][]string {
	t.Helper()
	all := map[string][]string{}
	for _, c := range changes {
		before, after := canonical(t, c.Before), canonical(t, c.After)
		switch c.Kind {
		case "added":
			before = "nothing"
		case "removed":
			after = "nothing"
		}
		key := c.Host + " " + c.Type + " " + c.Path
		all[key] = append(all[key], before+" -> "+after)
	}
	return all
}

func TestTheFeedIsExactlyWhatChanged(t *testing.T) {
	t.Parallel()
	d := startDriftingFleet(t)
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	// Two that read by pages, at their own pace, and two whose connection breaks now and then.
	readers := map[string]*follower{
		"pages": d.followPages(ctx, d.start), "other pages": d.followPages(ctx, ""),
		"events": d.followEvents(ctx, d.start), "other events": d.followEvents(ctx, d.start),
	}
	began := time.Now()
	for range driftSweeps {
		d.sweep()
	}
	took := time.Since(began)
	planted := d.planted()
	want := 0
	for _, list := range planted {
		want += len(list)
	}
	if want < driftingHosts {
		t.Fatalf("only %d changes were planted", want)
	}
	for name, reader := range readers {
		eventually(t, 20*time.Second, name+" reading everything", func() error {
			if n := len(reader.seen()); n < want {
				return fmt.Errorf("%d changes of %d; it has ended with: %v", n, want, reader.failure()) //nolint:errorlint // it is only shown
			}
			return nil
		})
	}
	stop()
	for name, reader := range readers {
		<-reader.done
		if reader.err != nil {
			t.Errorf("%s: %v", name, reader.err)
		}
		if diff := cmp.Diff(planted, told(t, reader.seen())); diff != "" {
			t.Errorf("%s: the feed (-planted +told):\n%s", name, diff)
		}
	}
	t.Logf("%d sweeps of %d hosts in %s, %d changes, %d and %d streams cut", driftSweeps, driftingHosts, took.Round(time.Millisecond), want,
		readers["events"].cuts, readers["other events"].cuts)
	all := readers["pages"].seen()
	d.checkReferences(t, all)
	d.checkFilters(t, all)
	d.checkGroups(t, all)
	d.travel(t, all)
}

// failure returns why the reader has given up, and nil while it has not.
func (f *follower) failure() error {
	select {
	case <-f.done:
		return f.err
	default:
		return nil
	}
}

// checkReferences holds each change against the two reports that it names.
func (d *driftingFleet) checkReferences(t *testing.T, all []changeView) {
	t.Helper()
	reports := d.reports(t)
	byID := map[string]sweptReport{}
	for _, r := range reports {
		byID[r.ID] = r
	}
	last := map[string]time.Time{} // when a path last changed
	for _, c := range all {
		if c.BeforeReportID == nil {
			t.Errorf("%s names no report with the former value", c)
			continue
		}
		before, after := byID[*c.BeforeReportID], byID[c.AfterReportID]
		path, err := facts.ParsePath(c.Path)
		if err != nil {
			t.Fatal(err)
		}
		for _, side := range []struct {
			what   string
			report sweptReport
			value  []byte
			there  bool
		}{{"before", before, c.Before, c.Kind != "added"}, {"after", after, c.After, c.Kind != "removed"}} {
			value, there := facts.At(side.report.Facts, path)
			if side.report.Type != c.Type || side.report.HostID != c.HostID || there != side.there || there && canonical(t, value) != canonical(t, side.value) {
				t.Errorf("%s: the report %s has %s", c, side.what, value)
			}
		}
		if !c.SeenAt.Equal(after.CreatedAt) {
			t.Errorf("%s was seen at %s, want the time of its report, %s", c, c.SeenAt, after.CreatedAt)
		}
		key := c.HostID + c.Type + c.Path
		since, changed := last[key]
		if !changed {
			since = d.first(reports, c.HostID, c.Type)
		}
		if c.BeforeSince == nil || !c.BeforeSince.Equal(since) { // also where there was nothing: since when not
			t.Errorf("%s: the former value is told to hold since %v, want %s", c, c.BeforeSince, since)
		}
		last[key] = c.SeenAt
	}
}
