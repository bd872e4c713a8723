package store_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/uuid"

	"github.com/rollcallhq/rollcall/pkg/fleet"
	"github.com/rollcallhq/rollcall/pkg/store"
)

// A landscape is two hosts of each kind of thing that can be seen, one inside a scope and one outside.
type landscape struct {
	ids        []uuid.UUID          // eu, us
	names      map[uuid.UUID]string // of the hosts, and of everything that belongs to one
	credential uuid.UUID
	become     []uuid.UUID      // credentials of eu-1 alone and of us-1 alone
	schedules  []fleet.Schedule // of eu and of us
	ended      uuid.UUID        // a frozen collection of both, which named its hosts
	half       uuid.UUID        // a frozen collection of us alone
	open       uuid.UUID        // an open collection of both; of each site a disabled host was skipped
}

func aLandscape(t *testing.T, s *store.Store) landscape {
	t.Helper()
	l := landscape{names: map[uuid.UUID]string{}, credential: fleet.NewID()}
	err := s.AddCredential(t.Context(), fleet.Credential{ID: l.credential, Name: "key", Kind: fleet.CredentialPassword, Username: "u"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	owner := fleet.User{ID: fleet.NewID(), Username: "owner", PasswordHash: "none", Role: fleet.Admin}
	if err := s.AddUser(t.Context(), owner); err != nil {
		t.Fatal(err)
	}
	for _, site := range []string{"eu", "us"} {
		become := fleet.Credential{ID: fleet.NewID(), Name: "become " + site, Kind: fleet.CredentialPassword, Username: "u"}
		if err := s.AddCredential(t.Context(), become, nil); err != nil {
			t.Fatal(err)
		}
		l.become = append(l.become, become.ID)
		h := addHost(t, s, site+"-1", labelled(map[string]string{"site-is": site}), func(h *fleet.Host) {
			h.Site, h.CredentialID, h.SSH.BecomeCredentialID = site, &l.credential, &become.ID
		})
		schedule, err := s.AddSchedule(t.Context(), fleet.Schedule{
			ID: fleet.NewID(), Name: h.Name, Cron: "@daily", Timezone: "UTC", Selector: "site=" + site, ReportTypes: []string{"os"}, Priority: fleet.PriorityBulk,
			Overlap: fleet.OverlapSkip, Misfire: fleet.MisfireOnce, OwnerID: &owner.ID,
		})
		if err != nil {
			t.Fatal(err)
		}
		l.schedules = append(l.schedules, schedule)
		l.ids = append(l.ids, h.ID)
		key := fleet.HostKey{ID: fleet.NewID(), HostID: h.ID, Algorithm: "ssh-ed25519", Key: []byte(site), Fingerprint: "SHA256:" + site, State: fleet.HostKeyTrusted}
		if _, err := s.RecordHostKey(t.Context(), key); err != nil {
			t.Fatal(err)
		}
		l.names[h.ID], l.names[key.ID] = h.Name, h.Name
		addHost(t, s, site+"-off", func(h *fleet.Host) { h.Site, h.Enabled = site, false })
	}
	l.ended = l.collect(t, s, l.ids, fleet.TaskSucceeded, fleet.TaskFailed)
	l.half = l.collect(t, s, l.ids[1:], fleet.TaskSucceeded)
	open, err := s.AddCollection(t.Context(), fleet.Everything(), aCollection(), selector(t, "*"))
	if err != nil {
		t.Fatal(err)
	}
	l.open = open.ID
	// Changes of a transaction before this one, which the feed may not show yet.
	exec(t, store.DBOf(s), "delete from freshness_changes")
	for i, id := range l.ids {
		exec(t, store.DBOf(s), `insert into changes (tx, id, seen_at, host_id, report_type, path, after, report_id)
			values ('1', uuid_v7(now() + $2 * interval '1 second'), now(), $1, 1, 'of', '1', gen_random_uuid())`, id, i)
		exec(t, store.DBOf(s), `insert into freshness_changes (tx, id, host_id, before, after)
			values ('1', uuid_v7(now() + $2 * interval '1 second'), $1, 'never', 'fresh')`, id, i)
	}
	return l
}

// nameIf returns the host's name if it was seen.
func (l landscape) nameIf(id uuid.UUID, seen bool) string {
	if !seen {
		return ""
	}
	return l.names[id]
}

// ofFacts returns which host facts are about.
func ofFacts(facts []byte, err error) (string, error) {
	var of struct{ Of string }
	if facts != nil && err == nil {
		err = json.Unmarshal(facts, &of)
	}
	return of.Of, err
}

// collect collects from the hosts, ends their tasks in the states, and freezes the collection.
func (l *landscape) collect(t *testing.T, s *store.Store, hosts []uuid.UUID, states ...fleet.TaskState) uuid.UUID {
	t.Helper()
	c := aCollection()
	c.HostIDs, c.Selector = hosts, ""
	c, err := s.AddCollection(t.Context(), fleet.Everything(), c, nil)
	if err != nil {
		t.Fatal(err)
	}
	messages, err := s.Outbox(t.Context(), &c.ID, 10)
	if err != nil {
		t.Fatal(err)
	}
	worker := aWorker(t, s)
	for _, m := range messages {
		claimed := claim(t, s, m, worker.ID)
		e := ending(claimed, states[slices.Index(hosts, claimed.Host.ID)], finding("os", `{"of":"`+claimed.Host.Name+`"}`, `{"up":1}`))
		if e.State == fleet.TaskFailed {
			e.Failure = fleet.Fail(fleet.CodeInternal, nil)
		}
		end(t, s, e)
	}
	if done, err := s.FinishCollections(t.Context(), &c.ID, 1); err != nil || len(done) != 1 {
		t.Fatalf("FinishCollections = %v, %v", done, err)
	}
	return c.ID
}

// collectionSeen describes what a collection shows: its counts, state and errors, and the hosts that it names.
func (l landscape) collectionSeen(c fleet.Collection) string {
	seen := []string{fmt.Sprintf("%s %d/%d/%d %v", c.State, c.Counts.Total, c.Counts.Succeeded, c.Counts.Failed, c.Errors)}
	for _, id := range c.HostIDs {
		seen = append(seen, l.names[id])
	}
	for _, skipped := range c.Skipped {
		seen = append(seen, "-"+skipped.Host)
	}
	return strings.Join(seen, " ")
}
