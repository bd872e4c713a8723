package e2e_test

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rollcallhq/rollcall/pkg/collector"
	"github.com/rollcallhq/rollcall/pkg/facts"
	"github.com/rollcallhq/rollcall/pkg/remote"
)

// values are the facts of one run, by report type and path.
type values map[string]string

// through collects this machine over a server, as a worker does, and returns its facts.
func (s *sshd) through(t *testing.T, account string) values {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	conn, err := remote.Dial(ctx, remote.Target{
		Address: "127.0.0.1", Port: s.port, Credential: remote.Credential{Kind: remote.KindPrivateKey, Username: account, PrivateKey: []byte(s.privateKey)},
		Verify: func(context.Context, remote.Key) error { return nil },
	})
	if err != nil {
		t.Fatalf("%s: %v", account, err)
	}
	defer func() { _ = conn.Close() }()
	plan, err := collector.NewPlan(builtinTypes(), collector.Options{})
	if err != nil {
		t.Fatal(err)
	}
	out, err := conn.Run(ctx, plan.Command(), plan.Script(), remote.RunOptions{MaxStdout: plan.MaxOutput()})
	if err != nil {
		t.Fatalf("%s: %v\n%s", account, err, out.Stderr)
	}
	run, err := plan.Read(out.Stdout)
	if err != nil || !run.Complete || run.PGID == 0 {
		t.Fatalf("%s: complete %v, group %d, %v\n%s", account, run.Complete, run.PGID, err, out.Stderr)
	}
	found := values{}
	for _, report := range plan.Reports(run) {
		if report.Status != collector.StatusOK {
			t.Errorf("%s: %s is %s: %v, %v", account, report.Type, report.Status, report.Failure, report.Warnings)
		}
		for path, value := range facts.Leaves(report.Facts) {
			found[report.Type+" "+path.String()] = string(value)
		}
	}
	return found
}

// odd returns where the values are other than both of those that were collected before and after them, without what is
// about the ports of our own servers: whoever is let in by one may see more of it.
func odd(before, got, after values, own []int) []string {
	var out []string
	for path := range merged(before, got, after) {
		if slices.ContainsFunc(own, func(port int) bool { return strings.Contains(path, ":"+strconv.Itoa(port)+`"`) }) {
			continue
		}
		if !stands(path, before) || !stands(path, after) {
			continue
		}
		if got[path] != before[path] && got[path] != after[path] {
			out = append(out, fmt.Sprintf("%s is %q, before %q, after %q", path, got[path], before[path], after[path]))
		}
	}
	slices.Sort(out)
	return out
}

// stands reports whether the port that the path is of is in the report; what is of no port always stands. Others open
// and close ports on this machine all the time.
func stands(path string, in values) bool {
	port, _, found := strings.Cut(strings.TrimPrefix(path, "ports listening."), `".`)
	if !strings.HasPrefix(path, "ports listening.") || !found {
		return true
	}
	for other := range in {
		if strings.HasPrefix(other, "ports listening."+port+`".`) {
			return true
		}
	}
	return false
}

func merged(all ...values) values {
	out := values{}
	for _, v := range all {
		maps.Copy(out, v)
	}
	return out
}

// TestEveryDoorGivesTheSameFacts collects all types over each server and each login shell, and holds them against what
// OpenSSH's server and sh gave immediately before and after.
func TestEveryDoorGivesTheSameFacts(t *testing.T) {
	t.Parallel()
	d := openDoorway(t)
	open := d.openSSH(t)
	type door struct {
		name, shell string
		server      *sshd
	}
	servers := []door{{"dropbear", "sh", d.dropbear(t)}, {"tinysshd", "sh", d.tinySSH(t)}}
	own := []int{open.port, servers[0].server.port, servers[1].server.port}
	doors := slices.Clone(servers)
	for _, shell := range slices.Sorted(maps.Keys(d.shells)) {
		doors = append(doors, door{"the login shell " + shell, shell, open})
	}
	// root reads the most, and what a login shell does to a script it does to anybody's.
	for id, doors := range map[int][]door{0: servers, plainID: doors} {
		before, compared := open.through(t, account("sh", id)), 0
		for _, door := range doors {
			var differs []string
			for range 4 { // others use this machine, and start and end programs while it is asked
				got := door.server.through(t, account(door.shell, id))
				after := open.through(t, account("sh", id))
				differs, compared, before = odd(before, got, after, own), len(got), after
				if len(differs) == 0 {
					break
				}
			}
			for _, difference := range differs {
				t.Errorf("user ID %d, %s: %s", id, door.name, difference)
			}
		}
		if compared < 1000 {
			t.Errorf("user ID %d: %d facts, want many", id, compared)
		}
		t.Logf("user ID %d: %d facts are the same through %d doors", id, compared, len(doors)+1)
	}
}

// TestAWorkerCollectsThroughOtherServers goes the whole road with the servers that are not OpenSSH's.
func TestAWorkerCollectsThroughOtherServers(t *testing.T) {
	t.Parallel()
	d := openDoorway(t)
	servers := map[string]*sshd{"dropbear": d.dropbear(t), "tinysshd": d.tinySSH(t)}
	s := newStack(t)
	s.up()
	ids := map[string]string{}
	for name, server := range servers {
		server.account = account("sh", 0)
		ids[name] = s.addHost(name, server)
	}
	c := s.collect(map[string]any{"selector": "*", "report_types": builtinTypes()}, 2*time.Minute)
	if c.Counts["succeeded"] != len(servers) {
		t.Fatalf("the collection is %+v", c)
	}
	for name, id := range ids {
		for _, report := range s.latest(t, id) { // of all types
			if len(report.Facts) < 20 {
				t.Errorf("%s: %s says %s", name, report.Type, report.Facts)
			}
		}
	}
}
