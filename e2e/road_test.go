package e2e_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/rollcallhq/rollcall/pkg/simulate"
)

// A reportView is what the tests look at of a report.
type reportView struct {
	ID          string          `json:"id"`
	Host        string          `json:"host"`
	Type        string          `json:"type"`
	Status      string          `json:"status"`
	Facts       json.RawMessage `json:"facts"`
	Metrics     json.RawMessage `json:"metrics"`
	ContentHash string          `json:"content_hash"`
}

type listOf[T any] struct {
	Items      []T     `json:"items"`
	NextCursor *string `json:"next_cursor"`
}

func TestThreeBinariesOneRealHost(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	s.up()
	server := startSSHD(t, accounts(t)[0])
	id := s.addHost("real-1", server)
	c := s.collect(map[string]any{"selector": "env=test", "priority": "interactive"}, time.Minute)
	if c.State != "succeeded" || c.Counts["succeeded"] != 1 {
		var tasks json.RawMessage
		s.get("/api/v1/collections/"+c.ID+"/tasks", &tasks)
		t.Fatalf("the collection is %+v: %s", c, tasks)
	}
	var reports listOf[reportView]
	s.get("/api/v1/hosts/"+id+"/reports", &reports)
	if len(reports.Items) != len(builtinTypes()) {
		t.Fatalf("%d reports, want %d", len(reports.Items), len(builtinTypes()))
	}
	var facts struct {
		Kernel struct {
			Release string `json:"release"`
		} `json:"kernel"`
	}
	for _, r := range reports.Items {
		if r.Type == "os" {
			if err := json.Unmarshal(r.Facts, &facts); err != nil {
				t.Fatal(err)
			}
		}
	}
	release, err := exec.CommandContext(t.Context(), "uname", "-r").Output()
	if err != nil || facts.Kernel.Release != strings.TrimSpace(string(release)) {
		t.Errorf("kernel.release = %q, uname -r says %q, %v", facts.Kernel.Release, release, err)
	}
	s.rawSQL(t)
	var keys listOf[struct {
		ID          string `json:"id"`
		State       string `json:"state"`
		Fingerprint string `json:"fingerprint"`
	}]
	s.get("/api/v1/hosts/"+id+"/host-keys", &keys)
	if len(keys.Items) != 1 || keys.Items[0].State != "trusted" {
		t.Errorf("host keys = %+v, want one that was trusted on first use", keys.Items)
	}
}

// rawSQL asks what people ask in psql.
func (s *stack) rawSQL(t *testing.T) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), s.env["DATABASE_URL"])
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(context.WithoutCancel(t.Context())) }()
	rows, err := conn.Query(t.Context(), "select hostname, report_type, data, created_at from reports where hostname = 'real-1' order by report_type")
	if err != nil {
		t.Fatal(err)
	}
	var types []string
	var hostname, reportType string
	var data map[string]any
	var at time.Time
	_, err = pgx.ForEachRow(rows, []any{&hostname, &reportType, &data, &at}, func() error {
		types = append(types, reportType)
		if data["facts"] == nil || data["metrics"] == nil || data["unavailable"] == nil {
			return fmt.Errorf("data of %s has %v", reportType, data)
		}
		return nil
	})
	if err != nil || strings.Join(types, " ") != strings.Join(builtinTypes(), " ") {
		t.Errorf("raw SQL found %v, %v", types, err)
	}
}

func TestAChangedHostKeyIsRefused(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	s.up()
	server := startSSHD(t, accounts(t)[0])
	id := s.addHost("real-1", server)
	if c := s.collect(map[string]any{"host_ids": []string{id}, "report_types": []string{"os"}}, time.Minute); c.State != "succeeded" {
		t.Fatalf("the first collection is %+v", c)
	}
	other := startSSHD(t, accounts(t)[0])
	impostor := map[string]any{"address": "127.0.0.1", "port": other.port}
	s.do(http.MethodPatch, "/api/v1/hosts/"+id, impostor, http.StatusOK, nil, "Content-Type", "application/merge-patch+json")
	c := s.collect(map[string]any{"host_ids": []string{id}, "report_types": []string{"os"}}, time.Minute)
	if c.State != "failed" || c.Errors["hostkey_unknown"] != 1 {
		t.Errorf("after the address changed: %+v, want hostkey_unknown", c)
	}
}

func TestFiftySimulatedHosts(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	s.up()
	s.simulated(simulate.Options{Hosts: 50, Seed: 7})
	first := s.sweep(t)
	second := s.sweep(t)
	for key, before := range first {
		after, ok := second[key]
		if !ok || before.ID == after.ID {
			t.Errorf("%s: no second report", key)
			continue
		}
		if before.ContentHash != after.ContentHash {
			t.Errorf("%s: the content hash changed", key)
		}
		moves := strings.HasSuffix(key, " os") || strings.HasSuffix(key, " cpu") || strings.HasSuffix(key, " memory")
		if moves && bytes.Equal(before.Metrics, after.Metrics) {
			t.Errorf("%s: the metrics are the same twice", key)
		}
	}
}

// sweep collects from everything and returns the latest reports by host and type.
func (s *stack) sweep(t *testing.T) map[string]reportView {
	t.Helper()
	c := s.collect(map[string]any{"selector": "*"}, 2*time.Minute)
	if c.State != "succeeded" || c.Counts["succeeded"] != 50 {
		t.Fatalf("the collection is %+v", c)
	}
	found := map[string]reportView{}
	path := "/api/v1/reports?limit=1000"
	var page listOf[reportView]
	s.get(path, &page)
	for _, r := range page.Items { // newest first
		key := r.Host + " " + r.Type
		if _, ok := found[key]; !ok {
			found[key] = r
		}
	}
	if want := 50 * len(builtinTypes()); len(found) != want {
		t.Fatalf("%d latest reports, want %d", len(found), want)
	}
	return found
}

func TestAWorkerKilledDuringASleepingSectionLeavesNothing(t *testing.T) {
	t.Parallel()
	for _, account := range accounts(t) {
		t.Run("as "+account, func(t *testing.T) {
			t.Parallel()
			s := newStack(t)
			_, worker, _ := s.up()
			// Whatever the script calls first sleeps: a section that hangs, on a host that we never hear of again.
			marker := fmt.Sprintf("86399.%d", time.Now().UnixNano()%1_000_000)
			server := startSSHD(t, account)
			tools := filepath.Join(server.dir, "tools")
			if err := os.MkdirAll(tools, 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(tools, "uname"), []byte("#!/bin/sh\nexec sleep "+marker+"\n"), 0o755); err != nil {
				t.Fatal(err)
			}
			slow := startSSHD(t, account, "SetEnv PATH="+tools+":/usr/bin:/bin")
			id := s.addHost("slow-1", slow)
			const deadline = 6 * time.Second
			var c collectionView
			began := time.Now()
			s.post("/api/v1/collections", map[string]any{
				"host_ids": []string{id}, "report_types": []string{"os"}, "priority": "interactive", "deadline_seconds": int(deadline / time.Second),
			}, http.StatusAccepted, &c)
			eventually(t, 5*time.Second, "the section sleeping", func() error { return running(t, marker, true) })
			worker.kill()
			eventually(t, time.Until(began.Add(deadline+6*time.Second)), "nothing of ours left on the host", func() error { return running(t, marker, false) })
			if ended := s.await(c.ID, 40*time.Second); ended.State != "failed" || ended.Errors["deadline_exceeded"] != 1 {
				t.Errorf("the collection is %+v, want deadline_exceeded", ended)
			}
		})
	}
}

// running answers whether a process with the marker in its command line runs, as wanted.
func running(t *testing.T, marker string, want bool) error {
	t.Helper()
	found, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		t.Fatal(err)
	}
	var who []string
	for _, path := range found {
		if line, err := os.ReadFile(path); err == nil && bytes.Contains(line, []byte(marker)) {
			who = append(who, strings.ReplaceAll(string(line), "\x00", " "))
		}
	}
	if (len(who) > 0) != want {
		return fmt.Errorf("running: %q", who)
	}
	return nil
}
