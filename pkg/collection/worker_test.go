package collection_test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rollcallhq/rollcall/pkg/await"
	"github.com/rollcallhq/rollcall/pkg/collection"
	"github.com/rollcallhq/rollcall/pkg/collector"
	"github.com/rollcallhq/rollcall/pkg/fleet"
	"github.com/rollcallhq/rollcall/pkg/needs"
	"github.com/rollcallhq/rollcall/pkg/secret"
	"github.com/rollcallhq/rollcall/pkg/simulate"
	"github.com/rollcallhq/rollcall/pkg/store"
)

func local(c *collection.WorkerConfig, _ *collection.Worker) { c.Local = true }

func TestSimulatedHostsAreCollectedTwice(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	sims, hosts := r.simulated(simulate.Options{Hosts: 5})
	w, _ := r.worker()
	var rounds [2]map[string]fleet.Report
	for round := range rounds {
		id, messages := r.request(30*time.Second, nil, hosts...)
		var all sync.WaitGroup
		for _, m := range messages {
			all.Go(func() { contains(t, r.work(w, m), "sim-", " succeeded ") })
		}
		all.Wait()
		if c := r.collection(id); c.State != fleet.CollectionSucceeded || c.Counts.Succeeded != len(hosts) || c.FinishedAt == nil {
			t.Errorf("round %d: %+v", round, c)
		}
		for _, task := range r.tasks(id) {
			r.ended(task, fleet.TaskSucceeded, "")
		}
		rounds[round] = r.latest(hosts[0])
	}
	for name, second := range rounds[1] {
		first := rounds[0][name]
		if first.ID == second.ID || string(first.ContentHash) != string(second.ContentHash) || string(first.Facts) != string(second.Facts) {
			t.Errorf("%s: the facts changed from %s to %s", name, first.Facts, second.Facts)
		}
		if len(first.Metrics) > 0 && name != "network" && name != "disks" && name != "packages" && string(first.Metrics) == string(second.Metrics) {
			t.Errorf("%s: the metrics stayed %s", name, first.Metrics)
		}
	}
	if want := len(collector.Builtin()); len(rounds[1]) != want {
		t.Errorf("%d types of reports, want %d", len(rounds[1]), want)
	}
	if n := sims.Hosts()[0].Executions; n != 2 {
		t.Errorf("%d executions on the host, want one a round", n)
	}
	if h, err := r.Host(t.Context(), fleet.Everything(), hosts[0].ID); err != nil || h.MachineID != sims.Hosts()[0].MachineID {
		t.Errorf("machine ID = %q, %v", h.MachineID, err)
	}
}

func TestARealSSHServer(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	s := startSSHD(t)
	w, _ := r.worker()
	host := r.host("web-1", at(s.address), r.credential(s.username, secret.Credential{PrivateKey: s.key}))
	r.ended(r.collect(w, host, "os", "memory"), fleet.TaskSucceeded, "")
	latest := r.latest(host)
	var facts map[string]any
	if err := json.Unmarshal(latest["os"].Facts, &facts); err != nil {
		t.Fatal(err)
	}
	if name, _ := os.Hostname(); facts["hostname"] != name || len(latest) != 2 {
		t.Errorf("facts = %v of %d types, want those of this machine", facts, len(latest))
	}
}

func TestFailuresOfHosts(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	w, _ := r.worker()
	right := func() func(*fleet.Host) { return r.credential("rollcall", password(rightPassword)) }
	tests := []struct {
		name     string
		address  string // empty: a server that counts
		change   func(*fleet.Host)
		code     fleet.Code
		attempts int
		offers   int
		detail   string
	}{
		{"a wrong password is offered once", "", r.credential("rollcall", password("wrong")), fleet.CodeAuthFailed, 1, 1, "methods"},
		{"a refused connection is tried again", freeAddress(t), right(), fleet.CodeTCPRefused, 3, 0, "phase"},
		{"a refused session is tried again", "", right(), fleet.CodeSessionRefused, 3, 3, "phase"},
		{"no credential", "", func(*fleet.Host) {}, fleet.CodeAuthFailed, 1, 0, "reason"},
		{"an unknown name", "nowhere.invalid:22", right(), fleet.CodeDNSFailed, 3, 0, "name"},
		{"a host key that nobody has trusted, under strict", "", func(h *fleet.Host) { right()(h); h.SSH.HostKeyPolicy = fleet.HostKeyStrict }, fleet.CodeHostKeyUnknown, 1, 0, "fingerprint"},
		{"a host key under the policy ca, which needs its authority", "", func(h *fleet.Host) { right()(h); h.SSH.HostKeyPolicy = fleet.HostKeyCA }, fleet.CodeHostKeyUnknown, 1, 0, "fingerprint"},
		{"a local host without permission", "", func(h *fleet.Host) { h.Connection = fleet.ConnectionLocal }, fleet.CodeLocalNotAllowed, 1, 0, "worker"},
	}
	for i, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := &server{address: tt.address}
			if tt.address == "" {
				s = startServer(t)
			}
			host := r.host(fmt.Sprintf("web-%d", i), at(s.address), tt.change)
			task := r.collect(w, host, "os", "cpu")
			if task.State != fleet.TaskFailed || task.Code != tt.code || task.Attempts != tt.attempts || task.Details[tt.detail] == "" {
				t.Errorf("task = %+v, want it failed with %s and %s after %d attempts", task, tt.code, tt.detail, tt.attempts)
			}
			if n := int(s.offers.Load()); n != tt.offers {
				t.Errorf("credentials were offered %d times, want %d", n, tt.offers)
			}
			if n := len(r.latest(host)); n != 0 {
				t.Errorf("%d reports are stored", n)
			}
		})
	}
}

func TestACredentialThatThisWorkerCannotOpen(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	s := startServer(t)
	_, foreign, err := secret.GenerateKeyPair(fleet.DefaultSite)
	if err != nil {
		t.Fatal(err)
	}
	keys, err := secret.ParseOpenKeys(foreign)
	if err != nil {
		t.Fatal(err)
	}
	w, _ := r.worker(func(c *collection.WorkerConfig, _ *collection.Worker) { c.Keys = keys })
	task := r.collect(w, r.host("web-1", at(s.address), r.credential("u", password(rightPassword))), "os")
	r.ended(task, fleet.TaskFailed, fleet.CodeAuthFailed)
	contains(t, task.Details["reason"], "ROLLCALL_OPEN_KEYS")
	elsewhere := r.host("web-2", at(s.address), r.credential("u", password(rightPassword)), func(h *fleet.Host) { h.Site = "eu" })
	task = r.collect(w, elsewhere, "os")
	r.ended(task, fleet.TaskFailed, fleet.CodeAuthFailed)
	contains(t, task.Details["reason"], "not sealed to the host's site")
	if s.connections.Load() != 0 {
		t.Error("the host was connected to for nothing")
	}
}

func TestHostKeysAreTrustedOnFirstUseAndAChangedOneIsRefused(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	w, _ := r.worker()
	first, second := startServer(t), startServer(t)
	host := r.host("web-1", at(first.address), r.credential("rollcall", password(rightPassword)))
	r.ended(r.collect(w, host, "os"), fleet.TaskFailed, fleet.CodeSessionRefused) // after the login
	keys, err := r.HostKeys(t.Context(), fleet.Everything(), host.ID)
	if err != nil || len(keys) != 1 || keys[0].State != fleet.HostKeyTrusted || keys[0].Reason != "first use" || keys[0].DecidedBy != "system" {
		t.Fatalf("keys = %+v, %v; want one pinned", keys, err)
	}
	if n := ask[int](r, `select count(*) from audit_logs where action = 'host_key.pin' and resource_id = $1 and details ->> 'fingerprint' = $2`, host.ID.String(), keys[0].Fingerprint); n != 1 {
		t.Errorf("%d audit entries about the pinned key, want one", n)
	}

	at(second.address)(&host)
	if host, err = r.UpdateHost(t.Context(), host); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		task := r.collect(w, host, "os")
		r.ended(task, fleet.TaskFailed, fleet.CodeHostKeyChanged)
		if task.Attempts != 1 || task.Details["fingerprint"] == keys[0].Fingerprint {
			t.Errorf("task = %+v", task)
		}
	}
	if second.connections.Load() != 2 || second.offers.Load() != 0 {
		t.Errorf("%d credentials were offered over %d connections, want none over two", second.offers.Load(), second.connections.Load())
	}
	keys, err = r.HostKeys(t.Context(), fleet.Everything(), host.ID)
	if err != nil || len(keys) != 2 || keys[0].State != fleet.HostKeyChanged {
		t.Fatalf("keys = %+v, %v; want the new one noted", keys, err)
	}
	if n := ask[int](r, "select count(*) from audit_logs where action = 'host_key.refuse'"); n != 1 {
		t.Errorf("%d audit entries about the refused key, want one", n)
	}
	for state, code := range map[fleet.HostKeyState]fleet.Code{fleet.HostKeyRevoked: fleet.CodeHostKeyRevoked, fleet.HostKeyPending: fleet.CodeHostKeyUnknown} {
		if _, err := r.DecideHostKey(t.Context(), host.ID, keys[0].ID, state, "user:admin", "test"); err != nil {
			t.Fatal(err)
		}
		r.ended(r.collect(w, host, "os"), fleet.TaskFailed, code)
	}
	if second.offers.Load() != 0 {
		t.Error("a credential was offered to a key that is not trusted")
	}
	if _, err := r.DecideHostKey(t.Context(), host.ID, keys[0].ID, fleet.HostKeyTrusted, "user:admin", "reinstalled"); err != nil {
		t.Fatal(err)
	}
	r.ended(r.collect(w, host, "os"), fleet.TaskFailed, fleet.CodeSessionRefused)
	if second.offers.Load() == 0 {
		t.Error("no credential was offered to the key that is trusted now")
	}
}

func TestAHostThatIsRetiredOrDisabledMeanwhile(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	w, _ := r.worker()
	s := startServer(t)
	gone := r.host("gone", at(s.address), r.credential("u", password(rightPassword)))
	off := r.host("off", at(s.address), r.credential("u", password(rightPassword)))
	id, messages := r.request(30*time.Second, []string{"os"}, gone, off)
	if err := r.RetireHost(t.Context(), gone.ID); err != nil {
		t.Fatal(err)
	}
	off.Enabled = false
	if _, err := r.UpdateHost(t.Context(), off); err != nil {
		t.Fatal(err)
	}
	for _, m := range messages {
		r.work(w, m)
	}
	for _, task := range r.tasks(id) {
		r.ended(task, fleet.TaskFailed, fleet.CodeHostDisabled)
	}
	if s.connections.Load() != 0 {
		t.Error("the hosts were connected to")
	}
}

func TestTheMachineThatTheWorkerRunsOn(t *testing.T) {
	t.Parallel()
	id, err := os.ReadFile("/etc/machine-id")
	machine := strings.TrimSpace(string(id))
	if err != nil || machine == "" {
		needs.Lacking(t, "this machine has no ID to be told by in /etc/machine-id")
	}
	r := newRig(t, nil)
	w, _ := r.worker(local)
	here := func(h *fleet.Host) { h.Connection = fleet.ConnectionLocal }
	host := r.host("localhost", here)
	r.ended(r.collect(w, host, "os", "cpu"), fleet.TaskSucceeded, "")
	if h, err := r.Host(t.Context(), fleet.Everything(), host.ID); err != nil || h.MachineID != machine || len(r.latest(host)) != 2 {
		t.Errorf("host = %+v, %v; want this machine pinned", h, err)
	}
	other := r.host("other", here)
	if _, err := r.PinMachineID(t.Context(), other.ID, "0123456789abcdef0123456789abcdef"); err != nil {
		t.Fatal(err)
	}
	task := r.collect(w, other, "os")
	r.ended(task, fleet.TaskFailed, fleet.CodeIdentityMismatch)
	if n := len(r.latest(other)); n != 0 || task.Attempts != 1 || task.Details["worker"] != "worker" {
		t.Errorf("%d reports of another machine are stored; task %+v", n, task)
	}
}

func TestWhatWasAnsweredBeforeTheDeadlineIsKept(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	slow := t.TempDir() // a df that takes longer than anybody waits
	if err := os.WriteFile(filepath.Join(slow, "df"), []byte("#!/bin/sh\nexec sleep 60\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	s := startSSHD(t, fmt.Sprintf("SetEnv PATH=%s:%s", slow, os.Getenv("PATH")))
	w, _ := r.worker()
	host := r.host("web-1", at(s.address), r.credential(s.username, secret.Credential{PrivateKey: s.key}))
	id, messages := r.request(3*time.Second, []string{"cpu", "disks"}, host)
	began := time.Now()
	r.work(w, messages[0])
	if took := time.Since(began); took < 2*time.Second || took > 15*time.Second {
		t.Errorf("it took %s with a deadline of 3s", took)
	}
	task := r.tasks(id)[0]
	r.ended(task, fleet.TaskPartial, fleet.CodeDeadlineExceeded)
	if task.Details["phase"] != "run" {
		t.Errorf("details = %v", task.Details)
	}
	if _, ok := r.latest(host)["cpu"]; !ok {
		t.Errorf("reports = %v, want the one that was answered; errors %v", r.latest(host), task.ReportErrors)
	}
}

func TestATaskWhoseTimeIsUpBetweenAttempts(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	w, _ := r.worker(func(_ *collection.WorkerConfig, w *collection.Worker) {
		if w != nil { // no second attempt fits into the deadline
			collection.SetPace(w, 50*time.Millisecond, 4*time.Second, time.Minute)
		}
	})
	host := r.host("web-1", at(freeAddress(t)), r.credential("u", password("x")))
	task := r.collect(w, host, "os")
	r.ended(task, fleet.TaskFailed, fleet.CodeTCPRefused)
	if task.Attempts != 1 {
		t.Errorf("%d attempts, want one", task.Attempts)
	}
}

func TestCancellingWhatRuns(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	_, hosts := r.simulated(simulate.Options{Hosts: 2, Latency: time.Minute})
	w, _ := r.worker()
	id, messages := r.request(time.Minute, []string{"os"}, hosts...)
	var working sync.WaitGroup
	working.Go(func() { contains(t, r.work(w, messages[0]), " cancelled ") })
	await.Until(t, "the task running", func() bool { return r.collection(id).Counts.Running == 1 })
	if c, err := r.service.Cancel(t.Context(), actor(fleet.Operator, ""), id); err != nil || c.Counts.Cancelled == 0 || c.CancelledAt == nil {
		t.Errorf("Cancel = %+v, %v; want the queued one cancelled at once", c, err)
	}
	began := time.Now()
	working.Wait()
	if took := time.Since(began); took > 20*time.Second {
		t.Errorf("the running one ended after %s", took)
	}
	for _, task := range r.tasks(id) {
		r.ended(task, fleet.TaskCancelled, fleet.CodeCancelled)
	}
	if c := r.collection(id); c.State != fleet.CollectionCancelled || c.FinishedAt == nil {
		t.Errorf("collection = %+v", c)
	}
}

func TestAStoppingWorkerPutsItsTasksBack(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	_, hosts := r.simulated(simulate.Options{Hosts: 1, Latency: time.Minute})
	w, stop := r.worker()
	id, messages := r.request(time.Minute, []string{"os"}, hosts...)
	var working sync.WaitGroup
	working.Go(func() { contains(t, r.work(w, messages[0]), " released ") })
	await.Until(t, "the task running", func() bool { return r.collection(id).Counts.Running == 1 })
	stop()
	working.Wait()
	left := r.tasks(id)[0]
	if left.State != fleet.TaskQueued || left.Epoch != 2 || left.Attempts != 0 {
		t.Errorf("task = %+v, want it queued as if it had never been claimed", left)
	}
	if n := ask[int](r, "select count(*) from workers"); n != 0 {
		t.Error("the worker still has a heartbeat")
	}
	if _, err := w.Work(t.Context(), r.outbox(id)[0]); fleet.KindOf(err) != fleet.Unavailable {
		t.Errorf("Work after leaving = %v, want the message delivered to others", err)
	}
}

func TestAWorkerThatCannotBeatStopsBeforeOthersTakeOver(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	_, hosts := r.simulated(simulate.Options{Hosts: 1, Latency: time.Minute})
	database := r.tap()
	w, _ := r.worker(func(c *collection.WorkerConfig, w *collection.Worker) {
		c.Store = database.Store
		if w != nil { // as it is in life
			collection.LiveInRealTime(w)
		}
	})
	id, messages := r.request(time.Minute, []string{"os"}, hosts...)
	line := make(chan string, 1)
	go func() {
		text, err := w.Work(t.Context(), messages[0])
		line <- fmt.Sprint(text, err)
	}()
	await.Until(t, "the task running", func() bool { return r.collection(id).Counts.Running == 1 })
	database.shut.Store(true)
	select {
	case text := <-line:
		contains(t, text, " fenced ")
	case <-time.After(patience):
		t.Fatal("the task was not stopped")
	}
	// The heartbeat that the database knows of is younger than what would let others take over.
	seen := ask[float64](r, "select extract(epoch from clock_timestamp() - seen_at)::float8 from workers")
	if silence := collection.Silence.Seconds(); seen < 3 || seen >= silence {
		t.Errorf("stopped %.1fs after the last heartbeat, want less than %.1fs", seen, silence)
	}
	if n, err := r.TakeOver(t.Context(), collection.Silence); err != nil || n != 0 {
		t.Errorf("TakeOver = %d, %v: too early", n, err)
	}
	if _, err := w.Work(t.Context(), messages[0]); fleet.KindOf(err) != fleet.Unavailable {
		t.Errorf("Work of a silent worker = %v, want the message delivered to others", err)
	}
	database.shut.Store(false)
	await.Until(t, "the worker putting back what it gave up", func() bool {
		tasks := r.tasks(id)
		return tasks[0].State == fleet.TaskQueued && tasks[0].Epoch == 2
	})
}

func TestReportsThatCannotBeStoredEndTheTask(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	_, hosts := r.simulated(simulate.Options{Hosts: 1})
	w, _ := r.worker()
	r.exec("alter table report_contents add constraint never check (schema_version > 1000) not valid")
	id, messages := r.request(time.Minute, []string{"os"}, hosts...)
	contains(t, r.work(w, messages[0]), " failed internal ")
	task := r.tasks(id)[0]
	r.ended(task, fleet.TaskFailed, fleet.CodeInternal)
	if n := ask[int](r, "select count(*) from report_rows"); n != 0 || r.collection(id).FinishedAt == nil {
		t.Errorf("%d reports, %+v", n, r.collection(id))
	}
}

func TestMessagesThatHaveNothingToSay(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	_, hosts := r.simulated(simulate.Options{Hosts: 1, Latency: time.Minute})
	w, stop := r.worker()
	id, messages := r.request(time.Minute, []string{"os"}, hosts...)
	late := messages[0]
	late.Epoch = 7
	unknown := fleet.Message{TaskID: fleet.NewID(), Epoch: 1, Site: fleet.DefaultSite, Priority: fleet.PriorityBulk}
	for what, m := range map[string]fleet.Message{"another epoch": late, "another task": unknown} {
		if line := r.work(w, m); line != "nothing to do" {
			t.Errorf("%s: %s", what, line)
		}
	}
	var working sync.WaitGroup
	working.Go(func() { r.work(w, messages[0]) })
	await.Until(t, "the task running", func() bool { return r.collection(id).Counts.Running == 1 })
	if line := r.work(w, messages[0]); line != "nothing to do" {
		t.Errorf("a doubled message: %s", line)
	}
	second, more := r.request(time.Minute, []string{"os"}, hosts...)
	contains(t, r.work(w, more[0]), "postponed")
	if tasks, _, err := r.Tasks(t.Context(), fleet.Everything(), second, store.TaskFilter{}, fleet.Page{}); err != nil || tasks[0].Epoch != 2 || tasks[0].Attempts != 0 {
		t.Errorf("the postponed task = %+v, %v", tasks, err)
	}
	stop()
	working.Wait()
}
