package e2e_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rollcallhq/rollcall/pkg/simulate"
)

// keysOf gives the stack keys for the sites and returns the opening keys of each.
func (s *stack) keysOf(sites ...string) map[string]string {
	s.t.Helper()
	out, err := exec.CommandContext(s.t.Context(), filepath.Join(bin, "rollcall"), "keygen", "--site", strings.Join(sites, ",")).Output()
	if err != nil {
		s.t.Fatalf("making keys: %v", err)
	}
	open := map[string]string{}
	for line := range strings.Lines(string(out)) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), "=")
		if name == "ROLLCALL_SEAL_KEYS" || name == "ROLLCALL_OPEN_KEYS" {
			s.env[name] = value
		}
		if name == "ROLLCALL_OPEN_KEYS" {
			for key := range strings.SplitSeq(value, ",") {
				site, _, _ := strings.Cut(key, "/")
				open[site] = key
			}
		}
	}
	if len(open) != len(sites) {
		s.t.Fatalf("there are keys of %d sites, want %v", len(open), sites)
	}
	return open
}

// inSites imports the simulated hosts, those with an odd number into the first site and the others into the second one,
// and returns their IDs by name.
func (s *stack) inSites(hosts *simulate.Fleet, first, second string) map[string]string {
	s.t.Helper()
	var inventory, placed bytes.Buffer
	if err := hosts.WriteInventory(&inventory); err != nil {
		s.t.Fatal(err)
	}
	i := 0
	for line := range strings.Lines(inventory.String()) {
		var host map[string]any
		if err := json.Unmarshal([]byte(line), &host); err != nil {
			s.t.Fatal(err)
		}
		host["site"] = []string{first, second}[i%2]
		i++
		if err := json.NewEncoder(&placed).Encode(host); err != nil {
			s.t.Fatal(err)
		}
	}
	s.post("/api/v1/hosts/import?format=ndjson", placed.String(), http.StatusOK, nil, "Content-Type", "application/x-ndjson")
	var list struct{ Items []struct{ ID, Name string } }
	s.get("/api/v1/hosts", &list)
	ids := map[string]string{}
	for _, h := range list.Items {
		ids[h.Name] = h.ID
	}
	if len(ids) != i {
		s.t.Fatalf("%d of %d hosts were imported", len(ids), i)
	}
	return ids
}

// executed returns how often each host has run a script, in their order.
func executed(hosts *simulate.Fleet) string {
	var counts []string
	for _, h := range hosts.Hosts() {
		counts = append(counts, strconv.FormatInt(h.Executions, 10))
	}
	return strings.Join(counts, " ")
}

// TestEachSitesWorkersCollectItsOwnHosts has two sites whose workers have only their own keys. The one of the second
// site comes late: until then its tasks wait and everybody is told, and a host that is moved takes its task along.
func TestEachSitesWorkersCollectItsOwnHosts(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	open := s.keysOf("eu", "us")
	api, scheduler := s.start("api", nil), s.start("scheduler", nil)
	worker := s.start("worker", map[string]string{"ROLLCALL_SITES": "eu", "ROLLCALL_OPEN_KEYS": open["eu"]})
	for _, p := range []*process{api, scheduler, worker} {
		p.ready()
	}
	s.signIn()
	hosts, err := simulate.Start(t.Context(), simulate.Options{Hosts: 6, Seed: 6})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = hosts.Close() })
	ids := s.inSites(hosts, "eu", "us")

	var c collectionView
	s.post("/api/v1/collections", map[string]any{"selector": "*", "report_types": []string{"os"}, "max_parallel": 4}, http.StatusAccepted, &c)
	type collectionSites struct {
		State    string
		Counts   map[string]int
		Unserved []struct {
			Site  string
			Tasks int
		}
	}
	var now collectionSites
	eventually(t, 60*time.Second, "the end of the first site's tasks", func() error {
		now = collectionSites{}
		s.get("/api/v1/collections/"+c.ID, &now)
		if now.Counts["succeeded"] != 3 {
			return fmt.Errorf("it is %+v", now)
		}
		return nil
	})
	if len(now.Unserved) != 1 || now.Unserved[0].Site != "us" || now.Unserved[0].Tasks != 3 {
		t.Errorf("what waits is %+v, want 3 tasks for us", now.Unserved)
	}
	if got := executed(hosts); got != "1 0 1 0 1 0" {
		t.Errorf("the hosts ran %s, want each of eu once and none of us", got)
	}
	s.says(t, api, "us")

	// The last one moves to where a worker is.
	last := hosts.Hosts()[5].Name
	s.do(http.MethodPatch, "/api/v1/hosts/"+ids[last], map[string]any{"site": "eu"}, http.StatusOK, nil)
	eventually(t, 30*time.Second, "the task of the moved host", func() error {
		if got := executed(hosts); got != "1 0 1 0 1 1" {
			return fmt.Errorf("the hosts ran %s", got)
		}
		return nil
	})

	late := s.start("worker", map[string]string{"ROLLCALL_SITES": "us", "ROLLCALL_OPEN_KEYS": open["us"]})
	late.ready()
	if ended := s.await(c.ID, 60*time.Second); ended.State != "succeeded" || ended.Counts["succeeded"] != 6 {
		t.Errorf("the collection ended as %+v", ended)
	}
	if got := executed(hosts); got != "1 1 1 1 1 1" {
		t.Errorf("the hosts ran %s, want each once", got)
	}
	s.says(t, api, "")
}

// says looks what the api says of sites: which one no worker serves, if one is named.
func (s *stack) says(t *testing.T, api *process, unserved string) {
	t.Helper()
	eventually(t, 15*time.Second, "what is said of sites", func() error {
		var sites struct {
			Items []struct {
				Name, Status string
			}
		}
		s.get("/api/v1/sites", &sites)
		for _, site := range sites.Items {
			if want := map[bool]string{true: "unserved", false: "served"}[site.Name == unserved]; site.Status != want {
				return fmt.Errorf("the site %s is %s", site.Name, site.Status)
			}
		}
		for _, path := range []string{"/health", "/readyz"} {
			var health struct {
				Status   string
				Warnings []struct{ Code, Message string }
			}
			s.get(path, &health) // 200 either way
			if warned := len(health.Warnings) == 1 && health.Warnings[0].Code == "site_unserved" && strings.Contains(health.Warnings[0].Message, unserved); warned != (unserved != "") {
				return fmt.Errorf("%s of %s says %+v", path, api.name, health)
			}
		}
		return nil
	})
}
