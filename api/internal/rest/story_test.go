package rest_test

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/rollcallhq/rollcall/pkg/await"
	"github.com/rollcallhq/rollcall/pkg/facts"
	"github.com/rollcallhq/rollcall/pkg/fleet"
	"github.com/rollcallhq/rollcall/pkg/store"
	"github.com/rollcallhq/rollcall/pkg/wire"
)

// learn stores a report of the host as a worker would at that time, changes and all, and returns it.
func (b *bench) learn(t *testing.T, host string, at time.Time, f fleet.Finding) wire.Report {
	t.Helper()
	c := b.collect(t, fmt.Sprintf(`{"host_ids":[%q],"report_types":[%q]}`, host, f.Type))
	tasks, _, err := b.db.Tasks(t.Context(), fleet.Everything(), c.ID, store.TaskFilter{}, fleet.Page{Limit: 1})
	if err != nil || len(tasks) != 1 {
		t.Fatalf("the collection of one host has %d tasks, %v", len(tasks), err)
	}
	if f.SchemaVersion == 0 {
		f.SchemaVersion = 1
	}
	if f.Status == "" {
		f.Status = fleet.ReportOK
	}
	f.ContentHash = contentHash(f)
	f.Follows = b.follow(t, tasks[0].HostID, f)
	b.end(t, tasks[0], b.worker(t), at, f)
	return get[wire.Report](t, b.do(t, call{path: "/api/v1/hosts/" + host + "/reports/" + f.Type, as: "viewer"}), http.StatusOK)
}

func contentHash(f fleet.Finding) [sha256.Size]byte {
	return sha256.Sum256(fmt.Appendf(nil, "%s\x00%d\x00%s", f.Type, f.SchemaVersion, f.Facts))
}

// follow returns how the finding follows on what holds for the host.
func (b *bench) follow(t *testing.T, host uuid.UUID, f fleet.Finding) *fleet.Succession {
	t.Helper()
	formers, err := b.db.Formers(t.Context(), fleet.Everything(), host, map[string][]byte{f.Type: nil})
	if err != nil {
		t.Fatal(err)
	}
	former, ok := formers[f.Type]
	if !ok || bytes.Equal(former.ContentHash, f.ContentHash[:]) {
		return nil
	}
	comparison, err := facts.Compare(former.Facts, f.Facts, facts.Options{})
	if err != nil {
		t.Fatal(err)
	}
	sinces, err := b.db.FactSinces(t.Context(), fleet.Everything(), host, f.Type, time.Time{})
	if err != nil {
		t.Fatal(err)
	}
	follows := &fleet.Succession{ContentHash: former.ContentHash, ReportID: former.ReportID}
	for _, d := range comparison.Changes {
		follows.Changes = append(follows.Changes, fleet.FactChange{Path: d.Path.String(), Before: d.Before, After: d.After, Since: new(sinces.Of(d.Path))})
	}
	return follows
}

// A story is what happened to two hosts: both were looked at twice, a minute apart, the second a millisecond after the
// first, and the first once more. At the second time both have another kernel, at the third the first has mounts.
type story struct {
	web1, web2 string // the first is in the scope of "scoped"
	at         [3]time.Time
	reports    [3]wire.Report // of web1
	others     [3]wire.Report // of web2
}

func (b *bench) story(t *testing.T) story {
	t.Helper()
	s := story{
		web1: b.host(t, `{"name":"web-1","address":"192.0.2.1","labels":{"env":"test"}}`),
		web2: b.host(t, `{"name":"web-2","address":"192.0.2.2","labels":{"env":"prod"}}`),
	}
	began := time.Now().UTC().Truncate(time.Minute).Add(-10 * time.Minute)
	if err := b.db.MakePartitions(t.Context(), began); err != nil {
		t.Fatal(err)
	}
	for i, text := range []string{
		`{"kernel":{"release":"6.1"},"name":"Debian"}`, `{"kernel":{"release":"6.2"},"name":"Debian"}`,
		`{"kernel":{"release":"6.2"},"mounts":{"/srv/a.b":{"size":5}},"name":"Debian"}`,
	} {
		s.at[i] = began.Add(time.Duration(i) * time.Minute)
		finding := fleet.Finding{Type: "os", Facts: []byte(text), Metrics: fmt.Appendf(nil, `{"load":{"five":%d,"one":%d},"note":"x"}`, i*10, i)}
		s.reports[i] = b.learn(t, s.web1, s.at[i], finding)
		if i < 2 {
			s.others[i] = b.learn(t, s.web2, s.at[i].Add(time.Millisecond), finding)
		}
	}
	s.others[2] = s.others[1]
	return s
}

// changes reads a page of the feed, or of what the query asks for instead.
func (b *bench) changes(t *testing.T, query, as string) wire.ChangeList {
	t.Helper()
	return get[wire.ChangeList](t, b.do(t, call{path: "/api/v1/changes?" + query, as: as}), http.StatusOK)
}

// settled waits until n changes are in the feed.
func (b *bench) settled(t *testing.T, n int) {
	t.Helper()
	await.Until(t, fmt.Sprintf("%d changes in the feed", n), func() bool { return len(b.changes(t, "limit=1000", "viewer").Items) == n })
}
