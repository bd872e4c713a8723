package store_test

import (
	"crypto/sha256"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/rollcallhq/rollcall/pkg/facts"
	"github.com/rollcallhq/rollcall/pkg/fleet"
	"github.com/rollcallhq/rollcall/pkg/store"
)

// addHost stores a host of the name, changed by the changes.
func addHost(t *testing.T, s *store.Store, name string, changes ...func(*fleet.Host)) fleet.Host {
	t.Helper()
	h := fleet.Host{
		ID: fleet.NewID(), Name: name, Address: "192.0.2.1", Port: 22, Site: fleet.DefaultSite,
		Connection: fleet.ConnectionSSH, Enabled: true, Labels: map[string]string{"env": "prod"},
	}
	for _, change := range changes {
		change(&h)
	}
	stored, err := s.AddHost(t.Context(), h)
	if err != nil {
		t.Fatalf("adding host %s: %v", name, err)
	}
	return stored
}

func labelled(labels map[string]string) func(*fleet.Host) {
	return func(h *fleet.Host) { h.Labels = labels }
}

func selector(t *testing.T, text string) *fleet.Selector {
	t.Helper()
	s, err := fleet.ParseSelector(text)
	if err != nil {
		t.Fatalf("parsing selector %s: %v", text, err)
	}
	return &s
}

func aCollection() fleet.Collection {
	id := fleet.NewID()
	return fleet.Collection{
		ID: id, Kind: fleet.KindCollect, Actor: "user:admin", Selector: "*", ReportTypes: []string{"os"},
		Priority: fleet.PriorityNormal, Deadline: time.Minute, ExpiresAt: fleet.TimeOf(id).Add(time.Hour),
	}
}

// collect stores a collection of everything and returns it with the messages of its tasks.
func collect(t *testing.T, s *store.Store) (fleet.Collection, []fleet.Message) {
	t.Helper()
	c, err := s.AddCollection(t.Context(), fleet.Everything(), aCollection(), selector(t, "*"))
	if err != nil {
		t.Fatalf("adding a collection: %v", err)
	}
	messages, err := s.Outbox(t.Context(), &c.ID, 1000)
	if err != nil {
		t.Fatalf("reading the outbox: %v", err)
	}
	return c, messages
}

// aWorker stores the heartbeat of a fresh worker.
func aWorker(t *testing.T, s *store.Store) fleet.Worker {
	t.Helper()
	w := fleet.Worker{ID: fleet.NewID(), Host: "w", Version: "test", Sites: []string{fleet.DefaultSite}, Slots: 10}
	if _, _, err := s.Heartbeat(t.Context(), w); err != nil {
		t.Fatalf("beating: %v", err)
	}
	return w
}

func claim(t *testing.T, s *store.Store, m fleet.Message, worker uuid.UUID) *store.Claim {
	t.Helper()
	c, err := s.ClaimTask(t.Context(), m, worker)
	if err != nil {
		t.Fatalf("claiming: %v", err)
	}
	if c == nil {
		t.Fatal("claiming: nothing to claim")
	}
	return c
}

// finding returns a finding of the type with the facts, hashed as the collectors do.
func finding(reportType, facts, metrics string) fleet.Finding {
	return fleet.Finding{
		Type: reportType, SchemaVersion: 1, Status: fleet.ReportOK, Facts: []byte(facts), Metrics: []byte(metrics),
		ContentHash: sha256.Sum256(fmt.Appendf(nil, "%s\x00%d\x00%s", reportType, 1, facts)),
	}
}

func ending(c *store.Claim, state fleet.TaskState, findings ...fleet.Finding) store.Ending {
	return store.Ending{Lease: store.LeaseOf(c.Task), Host: c.Host.ID, State: state, Findings: findings, At: time.Now()}
}

// follow says of each finding what it follows on, with its changes as package facts finds them.
func follow(t *testing.T, s *store.Store, host uuid.UUID, findings []fleet.Finding) []fleet.Finding {
	t.Helper()
	known := map[string][]byte{}
	for _, f := range findings {
		known[f.Type] = nil
	}
	formers, err := s.Formers(t.Context(), fleet.Everything(), host, known)
	if err != nil {
		t.Fatalf("reading what holds: %v", err)
	}
	findings = slices.Clone(findings)
	for i, f := range findings {
		former := formers[f.Type]
		if former.ContentHash == nil || [32]byte(former.ContentHash) == f.ContentHash {
			continue
		}
		findings[i].Follows = &fleet.Succession{ContentHash: former.ContentHash, ReportID: former.ReportID}
		comparison, err := facts.Compare(former.Facts, f.Facts, facts.Options{})
		if err != nil {
			t.Fatalf("comparing: %v", err)
		}
		for _, d := range comparison.Changes {
			sinces, err := s.FactSincesOf(t.Context(), fleet.Everything(), host, f.Type, []facts.Path{d.Path})
			if err != nil {
				t.Fatalf("reading since when: %v", err)
			}
			since := sinces.Of(d.Path)
			findings[i].Follows.Changes = append(findings[i].Follows.Changes, fleet.FactChange{
				Path: d.Path.String(), Before: d.Before, After: d.After, Since: &since,
			})
		}
	}
	return findings
}

// end ends the claimed task and insists that the lease held.
func end(t *testing.T, s *store.Store, e store.Ending) {
	t.Helper()
	e.Findings = follow(t, s, e.Host, e.Findings)
	held, err := s.EndTask(t.Context(), e)
	if err != nil || !held {
		t.Fatalf("ending a task: held %v, %v", held, err)
	}
}
