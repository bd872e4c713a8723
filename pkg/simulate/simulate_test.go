package simulate_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"math"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/rollcallhq/rollcall/pkg/collector"
	"github.com/rollcallhq/rollcall/pkg/fleet"
	"github.com/rollcallhq/rollcall/pkg/remote"
	"github.com/rollcallhq/rollcall/pkg/simulate"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m)
}

func start(t *testing.T, o simulate.Options) *simulate.Fleet {
	t.Helper()
	f, err := simulate.Start(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.Close() })
	return f
}

func within(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	t.Cleanup(cancel)
	return ctx
}

func target(f *simulate.Fleet, h simulate.Host) remote.Target {
	credential := remote.Credential{Kind: remote.KindPrivateKey, Username: simulate.User, PrivateKey: f.PrivateKey()}
	if f.Password() != "" {
		credential = remote.Credential{Kind: remote.KindPassword, Username: simulate.User, Password: []byte(f.Password())}
	}
	return remote.Target{
		Address: h.Address, Port: h.Port, Credential: credential,
		Verify: func(_ context.Context, key remote.Key) error {
			if key.Fingerprint != h.Fingerprint {
				return fleet.Fail(fleet.CodeHostKeyChanged, nil, "fingerprint", key.Fingerprint)
			}
			return nil
		},
	}
}

// collect asks a host for all built-in types, over a connection of its own.
func collect(t *testing.T, f *simulate.Fleet, h simulate.Host) (collector.Run, []collector.Report) {
	t.Helper()
	plan, err := collector.NewPlan(allTypes(), collector.Options{})
	if err != nil {
		t.Fatal(err)
	}
	ctx := within(t)
	conn, err := remote.Dial(ctx, target(f, h))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	output, err := conn.Run(ctx, plan.Command(), plan.Script(), remote.RunOptions{MaxStdout: plan.MaxOutput()})
	if err != nil || output.ExitStatus != 0 {
		t.Fatalf("Run = status %d, %v", output.ExitStatus, err)
	}
	run, err := plan.Read(output.Stdout)
	if err != nil {
		t.Fatal(err)
	}
	return run, plan.Reports(run)
}

func allTypes() []string {
	var names []string
	for _, builtin := range collector.Builtin() {
		names = append(names, builtin.Name)
	}
	return names
}

func TestAHostIsCollectedLikeARealOne(t *testing.T) {
	t.Parallel()
	f := start(t, simulate.Options{Hosts: 12, Seed: 7})
	for _, h := range f.Hosts() { // enough of them for every distribution
		run, first := collect(t, f, h)
		_, second := collect(t, f, h)
		if !run.Complete || run.MachineID() != h.MachineID {
			t.Errorf("%s: complete %v, machine ID %q, want true, %q", h.Name, run.Complete, run.MachineID(), h.MachineID)
		}
		for i, report := range first {
			again := second[i]
			if report.Status != collector.StatusOK || again.Status != collector.StatusOK || len(report.Warnings) > 0 {
				t.Errorf("%s %s: status %s, then %s (%v, warnings %v, unavailable %v)", h.Name, report.Type,
					report.Status, again.Status, report.Failure, report.Warnings, report.Unavailable)
				continue
			}
			if report.ContentHash != again.ContentHash {
				t.Errorf("%s %s: facts differ between two executions (-first +second):\n%s", h.Name, report.Type,
					cmp.Diff(string(report.Facts), string(again.Facts)))
			}
			// Nothing happens to packages without a change of the facts.
			if report.Type != "packages" && bytes.Equal(report.Metrics, again.Metrics) {
				t.Errorf("%s %s: metrics are the same after another execution: %s", h.Name, report.Type, report.Metrics)
			}
		}
	}
	for _, h := range f.Hosts() {
		if h.Executions != 2 {
			t.Errorf("%s counts %d executions, want 2", h.Name, h.Executions)
		}
	}
}

func TestHostsDiffer(t *testing.T) {
	t.Parallel()
	f := start(t, simulate.Options{Hosts: 2})
	hosts := f.Hosts()
	_, one := collect(t, f, hosts[0])
	_, other := collect(t, f, hosts[1])
	if hosts[0].Fingerprint == hosts[1].Fingerprint || hosts[0].MachineID == hosts[1].MachineID || hosts[0].Port == hosts[1].Port {
		t.Errorf("two hosts share an identity: %+v", hosts)
	}
	for i, report := range one {
		// Two hosts may well have the same processors, as much memory, or the same services.
		if name := report.Type; name != "cpu" && name != "memory" && name != "services" && report.ContentHash == other[i].ContentHash {
			t.Errorf("%s: two hosts have the same facts: %s", name, report.Facts)
		}
	}
}

func TestTheReportsSayWhatTheHostIs(t *testing.T) {
	t.Parallel()
	f := start(t, simulate.Options{Hosts: 1})
	h := f.Hosts()[0]
	_, reports := collect(t, f, h)
	facts := map[string]string{}
	for _, report := range reports {
		facts[report.Type] = string(report.Facts)
	}
	for name, wants := range map[string][]string{
		"os":       {`"hostname":"sim-0001"`, `"machine_id":"` + h.MachineID + `"`, `"fqdn":"sim-0001.sim.example"`, `"init":"systemd"`, `"type":"kvm"`},
		"cpu":      {`"model":"AMD EPYC-Milan Processor"`, `"sockets":1`},
		"memory":   {`"total":`},
		"disks":    {`"/srv"`, `"/boot/efi"`, `"vda2"`, `"vdb"`},
		"network":  {`10.80.0.10`, `52:54:00:`, `10.80.0.1`, `eth0`},
		"packages": {`:openssl:`, `:sim-agent:`, `"running_kernel_package":"`},
		"services": {`"systemd:sim-agent.service"`, `"systemd:fstrim.service"`, `"fstrim.timer"`},
	} {
		for _, want := range wants {
			if !strings.Contains(facts[name], want) {
				t.Errorf("%s facts lack %s:\n%s", name, want, facts[name])
			}
		}
	}
}

func TestARestartKeepsTheHosts(t *testing.T) {
	t.Parallel()
	options := simulate.Options{Hosts: 3, Seed: 42}
	before := start(t, options)
	_, first := collect(t, before, before.Hosts()[2])
	_ = before.Close()
	after := start(t, options)
	_, second := collect(t, after, after.Hosts()[2])
	for i := range first {
		if first[i].ContentHash != second[i].ContentHash {
			t.Errorf("%s: facts differ after a restart (-before +after):\n%s", first[i].Type, cmp.Diff(string(first[i].Facts), string(second[i].Facts)))
		}
	}
	if !bytes.Equal(before.PrivateKey(), after.PrivateKey()) {
		t.Error("the credential differs after a restart")
	}
	for i, h := range before.Hosts() {
		if again := after.Hosts()[i]; h.Fingerprint != again.Fingerprint || h.Name != again.Name {
			t.Errorf("host %d was %+v and is %+v", i, h, again)
		}
	}
	if another := start(t, simulate.Options{Hosts: 1, Seed: 43}); another.Hosts()[0].Fingerprint == before.Hosts()[0].Fingerprint {
		t.Error("another seed makes the same host")
	}
}

func TestManyHostsAtOnce(t *testing.T) {
	t.Parallel()
	const hosts = 200
	f := start(t, simulate.Options{Hosts: hosts, Latency: 10 * time.Millisecond})
	var work sync.WaitGroup
	slots := make(chan struct{}, 32)
	for _, h := range f.Hosts() {
		work.Go(func() {
			slots <- struct{}{}
			defer func() { <-slots }()
			if run, _ := collect(t, f, h); run.MachineID() != h.MachineID {
				t.Errorf("%s answered as %s", h.Name, run.MachineID())
			}
		})
	}
	work.Wait()
	ids := map[string]bool{}
	for _, h := range f.Hosts() {
		ids[h.MachineID] = true
		if h.Executions != 1 {
			t.Errorf("%s counts %d executions, want 1", h.Name, h.Executions)
		}
	}
	if len(ids) != hosts {
		t.Errorf("%d machine IDs among %d hosts", len(ids), hosts)
	}
}

func TestLogin(t *testing.T) {
	t.Parallel()
	keyed := start(t, simulate.Options{Hosts: 1})
	worded := start(t, simulate.Options{Hosts: 1, Login: simulate.LoginByPassword})
	if _, reports := collect(t, worded, worded.Hosts()[0]); reports[0].Status != collector.StatusOK {
		t.Errorf("with a password: %+v", reports[0])
	}
	wrong := target(worded, worded.Hosts()[0])
	wrong.Credential.Password = []byte("wrong")
	crossed := target(keyed, keyed.Hosts()[0])
	crossed.Credential.Username = "root"
	for name, target := range map[string]remote.Target{"a wrong password": wrong, "another user": crossed} {
		_, err := remote.Dial(within(t), target)
		if failure, ok := errors.AsType[*fleet.Failure](err); !ok || failure.Code != fleet.CodeAuthFailed {
			t.Errorf("%s: Dial = %v, want auth_failed", name, err)
		}
	}
}

func TestACommandThatIsNoCollection(t *testing.T) {
	t.Parallel()
	f := start(t, simulate.Options{Hosts: 1})
	conn, err := remote.Dial(within(t), target(f, f.Hosts()[0]))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	for _, stdin := range []string{"", "rm -rf /", "#BEGIN-", "#BEGIN-x\n#OTHER\n", "\n#BEGIN-" + strings.Repeat("a", 100) + "\n#SECTIONS id\n"} {
		output, err := conn.Run(within(t), "sh", []byte(stdin), remote.RunOptions{})
		if err != nil || output.ExitStatus != 127 || len(output.Stdout) > 0 {
			t.Errorf("Run(%.20q) = %+v, %v, want status 127", stdin, output, err)
		}
	}
	if got := f.Hosts()[0].Executions; got != 0 {
		t.Errorf("%d executions, want none", got)
	}
}

func TestLatencyAndCancellation(t *testing.T) {
	t.Parallel()
	f := start(t, simulate.Options{Hosts: 2, Latency: time.Hour, Behave: func(number int, usual simulate.Behaviour) simulate.Behaviour {
		if number == 1 {
			usual.Latency = 200 * time.Millisecond
		}
		return usual
	}})
	began := time.Now()
	collect(t, f, f.Hosts()[1])
	if took := time.Since(began); took < 200*time.Millisecond {
		t.Errorf("answered after %v, want a latency of 200 ms", took)
	}
	conn, err := remote.Dial(within(t), target(f, f.Hosts()[0]))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	ctx, cancel := context.WithTimeout(within(t), 3*time.Second) // long enough for a busy machine to start it
	defer cancel()
	output, err := conn.Run(ctx, "sh", nil, remote.RunOptions{})
	failure, ok := errors.AsType[*fleet.Failure](err)
	if !ok || failure.Code != fleet.CodeDeadlineExceeded || output.Termination != remote.TerminationConfirmed || output.Signal != "KILL" {
		t.Errorf("Run = %+v, %v, want deadline_exceeded and a confirmed end", output, err)
	}
}

func TestInventory(t *testing.T) {
	t.Parallel()
	f := start(t, simulate.Options{Hosts: 3})
	var out bytes.Buffer
	if err := f.WriteInventory(&out); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(&out)
	for _, h := range f.Hosts() {
		if !lines.Scan() {
			t.Fatal("a host is missing")
		}
		var got map[string]any
		if err := json.Unmarshal(lines.Bytes(), &got); err != nil {
			t.Fatal(err)
		}
		want := map[string]any{
			"name": h.Name, "address": h.Address, "port": float64(h.Port), "site": "default", "connection": "ssh",
			"labels": map[string]any{"simulated": "true", "env": h.Labels["env"], "role": h.Labels["role"]},
			"credential": map[string]any{
				"name": "simulated", "kind": "private_key", "username": "rollcall", "private_key": string(f.PrivateKey()),
			},
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("inventory line (-want +got):\n%s", diff)
		}
	}
	if lines.Scan() {
		t.Errorf("one line too many: %s", lines.Text())
	}
}

func TestOptions(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name    string
		options simulate.Options
		field   string
	}{
		{"no hosts", simulate.Options{}, "hosts"},
		{"too many hosts", simulate.Options{Hosts: simulate.MaxHosts + 1}, "hosts"},
		{"a latency before the question", simulate.Options{Hosts: 1, Latency: -1}, "latency"},
		{"a negative drift", simulate.Options{Hosts: 1, Drift: -0.01}, "drift"},
		{"a drift of more than all hosts", simulate.Options{Hosts: 1, Drift: 1.01}, "drift"},
		{"a drift that is no number", simulate.Options{Hosts: 1, Drift: math.NaN()}, "drift"},
		{"more drifting facts than there are", simulate.Options{Hosts: 1, DriftFacts: 100}, "drift_facts"},
		{"a negative number of drifting facts", simulate.Options{Hosts: 1, DriftFacts: -1}, "drift_facts"},
		{"an address that others reach", simulate.Options{Hosts: 1, Listen: "0.0.0.0"}, "listen"},
		{"a name", simulate.Options{Hosts: 1, Listen: "localhost:1"}, "listen"},
		{"a port that is none", simulate.Options{Hosts: 1, Listen: "127.0.0.1:99999"}, "listen"},
		{"an advertised address and no port", simulate.Options{Hosts: 1, Listen: "0.0.0.0", Advertise: "demo"}, "listen"},
		{"an advertised address and a port without room", simulate.Options{Hosts: 1, Listen: "0.0.0.0:65000", Advertise: "demo"}, "listen"},
		{"more hosts than ports at the advertised address", simulate.Options{Hosts: 5001, Listen: "127.0.0.1:22000", Advertise: "demo"}, "hosts"},
		{"another way to log in", simulate.Options{Hosts: 1, Login: "none"}, "login"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			f, err := simulate.Start(t.Context(), tt.options)
			if fields := fleet.FieldsOf(err); f != nil || len(fields) != 1 || fields[0].Field != tt.field || fleet.KindOf(err) != fleet.Invalid {
				t.Errorf("Start = %v, %v, want Invalid about %s", f, err, tt.field)
			}
		})
	}
}

func TestListenCountsUpPorts(t *testing.T) {
	t.Parallel()
	f := start(t, simulate.Options{Hosts: 4, Listen: "127.77.0.1:65534"})
	var got []string
	for _, h := range f.Hosts() {
		got = append(got, (&net.TCPAddr{IP: net.ParseIP(h.Address), Port: h.Port}).String())
	}
	want := []string{"127.77.0.1:65534", "127.77.0.1:65535", "127.77.0.2:65534", "127.77.0.2:65535"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("places (-want +got):\n%s", diff)
	}
	if _, err := simulate.Start(t.Context(), simulate.Options{Hosts: 1, Listen: "127.77.0.1:65534"}); fleet.KindOf(err) != fleet.Unavailable {
		t.Errorf("Start on a taken port = %v, want Unavailable", err)
	}
}

func TestAFleetTellsTheAddressThatOthersReach(t *testing.T) {
	t.Parallel()
	f := start(t, simulate.Options{Hosts: 2, Listen: "127.77.0.3:23000", Advertise: "demo.example"})
	for i, h := range f.Hosts() {
		if h.Address != "demo.example" || h.Port != 23000+i {
			t.Errorf("host %d is at %s:%d", i, h.Address, h.Port)
		}
	}
	var inventory strings.Builder
	if err := f.WriteInventory(&inventory); err != nil || strings.Count(inventory.String(), `"address":"demo.example"`) != 2 {
		t.Errorf("inventory %v:\n%s", err, &inventory)
	}
}

func TestTheFleetEndsWithItsContext(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	f, err := simulate.Start(ctx, simulate.Options{Hosts: 1})
	if err != nil {
		t.Fatal(err)
	}
	conn, err := remote.Dial(within(t), target(f, f.Hosts()[0]))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	cancel()
	if _, err := conn.Run(within(t), "sh", nil, remote.RunOptions{}); err == nil {
		t.Error("a host answered after the end of its fleet")
	}
	_ = f.Close()
	if _, err := remote.Dial(within(t), target(f, f.Hosts()[0])); err == nil {
		t.Error("a host listens after the end of its fleet")
	}
}
