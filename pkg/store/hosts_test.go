package store_test

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/rollcallhq/rollcall/pkg/await"
	"github.com/rollcallhq/rollcall/pkg/fleet"
	"github.com/rollcallhq/rollcall/pkg/store"
	"github.com/rollcallhq/rollcall/pkg/storetest"
)

// refused runs f in a transaction of its own and checks how it is refused; what the test did before stays.
func refused(t *testing.T, s *store.Store, what string, kind fleet.Kind, code string, f func(tx *store.Store) error) {
	t.Helper()
	err := s.InTx(t.Context(), f)
	if fleet.KindOf(err) != kind || fleet.CodeOf(err) != code {
		t.Errorf("%s = %v (%s), want %s", what, err, fleet.CodeOf(err), code)
	}
}

func TestHostsAreStoredAsTheyAre(t *testing.T) {
	t.Parallel()
	s := storetest.New(t)
	jump := addHost(t, s, "bastion")
	credential := fleet.Credential{ID: fleet.NewID(), Name: "key", Kind: fleet.CredentialPassword, Username: "u"}
	if err := s.AddCredential(t.Context(), credential, nil); err != nil {
		t.Fatal(err)
	}
	want := fleet.Host{
		ID: fleet.NewID(), Name: "web-1", Address: "2001:db8::1", Port: 2222, Site: "eu", Labels: map[string]string{"a": "", "ü": "'"},
		CredentialID: &credential.ID, Connection: fleet.ConnectionSSH, JumpHostID: &jump.ID, Enabled: true,
		SSH: fleet.SSHOptions{Become: fleet.BecomeSudo, HostKeyPolicy: fleet.HostKeyStrict, KeepaliveSeconds: new(0), BecomeCredentialID: &credential.ID},
	}
	stored, err := s.AddHost(t.Context(), want)
	if err != nil {
		t.Fatal(err)
	}
	read, err := s.Host(t.Context(), fleet.Everything(), want.ID)
	if err != nil || read.Version != 1 || read.Labels["ü"] != "'" || len(read.Labels) != 2 || *read.SSH.KeepaliveSeconds != 0 ||
		read.SSH.HostKeyPolicy != fleet.HostKeyStrict || *read.CredentialID != credential.ID || *read.JumpHostID != jump.ID || !read.CreatedAt.Equal(stored.CreatedAt) {
		t.Errorf("Host = %+v, %v", read, err)
	}
	read.Name, read.Labels = "web-2", nil
	changed, err := s.UpdateHost(t.Context(), read)
	if err != nil || changed.Version != 2 || changed.Name != "web-2" || len(changed.Labels) != 0 || changed.Labels == nil {
		t.Errorf("UpdateHost = %+v, %v", changed, err)
	}

	refused(t, s, "an old version", fleet.Precondition, "precondition_failed", func(tx *store.Store) error { _, err := tx.UpdateHost(t.Context(), read); return err })
	refused(t, s, "a taken name", fleet.Conflict, "name_taken", func(tx *store.Store) error {
		_, err := tx.AddHost(t.Context(), fleet.Host{ID: fleet.NewID(), Name: "web-2", Address: "x", Port: 22, Site: "eu", Connection: fleet.ConnectionSSH})
		return err
	})
	refused(t, s, "a rename to a taken name", fleet.Conflict, "name_taken", func(tx *store.Store) error {
		h := changed
		h.Name = "bastion"
		_, err := tx.UpdateHost(t.Context(), h)
		return err
	})
	refused(t, s, "an unknown credential", fleet.Invalid, "unknown_credential", func(tx *store.Store) error {
		h := changed
		h.CredentialID = new(fleet.NewID())
		_, err := tx.UpdateHost(t.Context(), h)
		return err
	})
	refused(t, s, "an unknown jump host", fleet.Invalid, "unknown_host", func(tx *store.Store) error {
		h := changed
		h.JumpHostID = new(fleet.NewID())
		_, err := tx.UpdateHost(t.Context(), h)
		return err
	})
}

func TestARetiredHostIsGoneAndItsReportsStay(t *testing.T) {
	t.Parallel()
	s := storetest.New(t)
	host := addHost(t, s, "web-1")
	learn(t, s, time.Now(), finding("os", `{}`, ""))
	_, messages := collect(t, s)
	if err := s.RetireHost(t.Context(), host.ID); err != nil {
		t.Fatal(err)
	}
	refused(t, s, "retiring it again", fleet.NotFound, "not_found", func(tx *store.Store) error { return tx.RetireHost(t.Context(), host.ID) })
	for what, f := range map[string]func() error{
		"Host":       func() error { _, err := s.Host(t.Context(), fleet.Everything(), host.ID); return err },
		"HostByName": func() error { _, err := s.HostByName(t.Context(), fleet.Everything(), "web-1"); return err },
	} {
		if err := f(); fleet.KindOf(err) != fleet.NotFound {
			t.Errorf("%s = %v, want NotFound", what, err)
		}
	}
	if c := claim(t, s, messages[0], aWorker(t, s).ID); !c.Retired {
		t.Errorf("claim = %+v, want it to say that the host is retired", c)
	}
	reports, err := s.LatestReports(t.Context(), fleet.Everything(), host.ID, "os")
	if err != nil || len(reports) != 1 || reports[0].Host != "web-1" {
		t.Fatalf("reports = %+v, %v", reports, err)
	}
	if r, err := s.Report(t.Context(), fleet.Everything(), reports[0].ID); err != nil || r.HostID != host.ID || r.CollectionID == nil || r.TaskID == nil {
		t.Errorf("Report = %+v, %v", r, err)
	}
	if again := addHost(t, s, "web-1"); again.ID == host.ID {
		t.Error("the name is not free again")
	}
	c, err := s.AddCollection(t.Context(), fleet.Everything(), aCollection(), selector(t, "*"))
	if err != nil || c.Counts.Total != 1 {
		t.Errorf("a collection of everything = %+v, %v; want the new host alone", c, err)
	}
}

func TestReportsAreFoundByHostTypeAndTime(t *testing.T) {
	t.Parallel()
	s := storetest.New(t)
	host := addHost(t, s, "web-1")
	now := time.Now().Truncate(time.Millisecond)
	for i := range 3 {
		learn(t, s, now.Add(time.Duration(i)*time.Second), finding("os", `{}`, ""), finding("cpu", `{}`, ""))
	}
	other := fleet.NewID()
	for what, tt := range map[string]struct {
		f    fleet.ReportFilter
		want int
	}{
		"all":                 {fleet.ReportFilter{}, 6},
		"of the host":         {fleet.ReportFilter{HostID: &host.ID}, 6},
		"of another host":     {fleet.ReportFilter{HostID: &other}, 0},
		"of a type":           {fleet.ReportFilter{Type: "cpu"}, 3},
		"of an unknown type":  {fleet.ReportFilter{Type: "nonesuch"}, 0},
		"since, inclusive":    {fleet.ReportFilter{Since: now.Add(time.Second)}, 4},
		"until, exclusive":    {fleet.ReportFilter{Until: now.Add(time.Second)}, 2},
		"of a moment and all": {fleet.ReportFilter{HostID: &host.ID, Type: "os", Since: now, Until: now.Add(time.Millisecond)}, 1},
	} {
		reports, _, err := s.Reports(t.Context(), fleet.Everything(), tt.f, fleet.Page{})
		if err != nil || len(reports) != tt.want {
			t.Errorf("%s: %d reports, %v; want %d", what, len(reports), err, tt.want)
		}
	}
	refused(t, s, "an unknown report", fleet.NotFound, "not_found", func(tx *store.Store) error {
		_, err := tx.Report(t.Context(), fleet.Everything(), fleet.NewID())
		return err
	})
}

func TestAMachineIsPinnedOnce(t *testing.T) {
	t.Parallel()
	s := storetest.New(t)
	host := addHost(t, s, "web-1")
	for _, machine := range []string{"first", "second"} {
		if pinned, err := s.PinMachineID(t.Context(), host.ID, machine); err != nil || pinned != "first" {
			t.Errorf("pinning %s = %s, %v", machine, pinned, err)
		}
	}
	refused(t, s, "pinning nothing", fleet.NotFound, "not_found", func(tx *store.Store) error {
		_, err := tx.PinMachineID(t.Context(), fleet.NewID(), "x")
		return err
	})
}

func TestHostsAreImportedInOneStatement(t *testing.T) {
	t.Parallel()
	s := storetest.New(t)
	addHost(t, s, "taken")
	host := func(name string) fleet.Host {
		return fleet.Host{ID: fleet.NewID(), Name: name, Address: "192.0.2.1", Port: 22, Site: "eu", Connection: fleet.ConnectionSSH, Enabled: true}
	}
	made, taken := host("new"), host("taken")
	made.Labels, made.SSH.KeepaliveSeconds = map[string]string{"a": "b"}, new(30)
	stored, err := s.AddHosts(t.Context(), []fleet.Host{made, taken})
	if err != nil || len(stored) != 1 || !stored[made.ID] {
		t.Fatalf("AddHosts = %v, %v; want the new one alone", stored, err)
	}
	read, err := s.HostsByName(t.Context(), fleet.Everything(), []string{"new", "taken", "none"})
	if err != nil || len(read) != 2 || read["new"].ID != made.ID || read["new"].Labels["a"] != "b" || *read["new"].SSH.KeepaliveSeconds != 30 || read["taken"].ID == taken.ID {
		t.Errorf("HostsByName = %+v, %v", read, err)
	}
	if stored, err := s.AddHosts(t.Context(), nil); err != nil || len(stored) != 0 {
		t.Errorf("AddHosts of none = %v, %v", stored, err)
	}
	refused(t, s, "an unknown credential", fleet.Invalid, "unknown_credential", func(tx *store.Store) error {
		h := host("bad")
		h.CredentialID = new(fleet.NewID())
		_, err := tx.AddHosts(t.Context(), []fleet.Host{h})
		return err
	})
}

func TestHostKeys(t *testing.T) {
	t.Parallel()
	s := storetest.New(t)
	host, other := addHost(t, s, "web-1"), addHost(t, s, "web-2")
	key := fleet.HostKey{
		ID: fleet.NewID(), HostID: host.ID, Algorithm: "ssh-ed25519", Key: []byte{1, 0, 2}, Fingerprint: "SHA256:x",
		State: fleet.HostKeyTrusted, DecidedBy: "system", Reason: "first use",
	}
	stored, err := s.RecordHostKey(t.Context(), key)
	if err != nil || stored.State != fleet.HostKeyTrusted || string(stored.Key) != "\x01\x00\x02" || stored.DecidedBy != "system" {
		t.Fatalf("RecordHostKey = %+v, %v", stored, err)
	}
	again := key
	again.ID, again.State, again.DecidedBy = fleet.NewID(), fleet.HostKeyPending, ""
	if seen, err := s.RecordHostKey(t.Context(), again); err != nil || seen.ID != key.ID || seen.State != fleet.HostKeyTrusted {
		t.Errorf("recording it again = %+v, %v; want the earlier decision", seen, err)
	}
	if n, err := s.SuspendHostKeys(t.Context(), host.ID, "the address has changed"); err != nil || n != 1 {
		t.Errorf("SuspendHostKeys = %d, %v", n, err)
	}
	keys, err := s.HostKeys(t.Context(), fleet.Everything(), host.ID)
	if err != nil || len(keys) != 1 || keys[0].State != fleet.HostKeyPending || keys[0].DecidedBy != "" || keys[0].Reason != "the address has changed" {
		t.Errorf("HostKeys = %+v, %v", keys, err)
	}
	decided, err := s.DecideHostKey(t.Context(), host.ID, key.ID, fleet.HostKeyRevoked, "user:admin", "stolen")
	if err != nil || decided.State != fleet.HostKeyRevoked || decided.DecidedBy != "user:admin" || decided.Reason != "stolen" {
		t.Errorf("DecideHostKey = %+v, %v", decided, err)
	}
	if n, err := s.SuspendHostKeys(t.Context(), host.ID, "again"); err != nil || n != 0 {
		t.Errorf("suspending a revoked key = %d, %v; want it left revoked", n, err)
	}
	refused(t, s, "deciding on another host's key", fleet.NotFound, "not_found", func(tx *store.Store) error {
		_, err := tx.DecideHostKey(t.Context(), other.ID, key.ID, fleet.HostKeyTrusted, "x", "")
		return err
	})
}

func TestOpenTasksThatCanBeJoined(t *testing.T) {
	t.Parallel()
	s := storetest.New(t)
	host := addHost(t, s, "web-1")
	find := func(reportType string, age time.Duration) *fleet.Task {
		t.Helper()
		task, err := s.OpenTaskFor(t.Context(), fleet.Everything(), host.ID, reportType, age)
		if err != nil {
			t.Fatal(err)
		}
		return task
	}
	if task := find("os", time.Hour); task != nil {
		t.Errorf("without any: %+v", task)
	}
	c, messages := collect(t, s)
	if task := find("os", 0); task == nil || task.CollectionID != c.ID || task.State != fleet.TaskQueued {
		t.Errorf("a queued one: %+v", task)
	}
	if task := find("cpu", time.Hour); task != nil {
		t.Errorf("of another type: %+v", task)
	}
	claim(t, s, messages[0], aWorker(t, s).ID)
	if task := find("os", time.Hour); task == nil || task.State != fleet.TaskRunning {
		t.Errorf("a running one: %+v", task)
	}
	if task := find("os", 0); task != nil {
		t.Errorf("one that runs for too long: %+v", task)
	}
	if _, err := s.RequestCancel(t.Context(), c.ID); err != nil {
		t.Fatal(err)
	}
	if task := find("os", time.Hour); task != nil {
		t.Errorf("a cancelled one: %+v", task)
	}
}

// TestLocks holds that LockHost and LockCredential make one transaction wait for the other.
func TestLocks(t *testing.T) {
	t.Parallel()
	s, pool := storetest.Pool(t)
	credential := fleet.Credential{ID: fleet.NewID(), Name: "key", Kind: fleet.CredentialPassword, Username: "u"}
	if err := s.AddCredential(t.Context(), credential, nil); err != nil {
		t.Fatal(err)
	}
	host := fleet.NewID()
	for what, lock := range map[string]func(tx *store.Store) error{
		"a host":       func(tx *store.Store) error { return tx.LockHost(t.Context(), host) },
		"a credential": func(tx *store.Store) error { return tx.LockCredential(t.Context(), credential.ID) },
	} {
		var order []string
		var second sync.WaitGroup
		var failed error
		err := s.InTx(t.Context(), func(one *store.Store) error {
			if err := lock(one); err != nil {
				return err
			}
			second.Go(func() {
				failed = s.InTx(t.Context(), func(two *store.Store) error {
					if err := lock(two); err != nil {
						return err
					}
					order = append(order, "second")
					return nil
				})
			})
			await.Until(t, "the second transaction waiting", func() bool {
				return ask[int](t, pool, "select count(*) from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'") == 1
			})
			order = append(order, "first")
			return nil
		})
		second.Wait()
		if err := errors.Join(err, failed); err != nil || len(order) != 2 || order[0] != "first" {
			t.Errorf("locking %s: %v, %v", what, order, err)
		}
	}
	refused(t, s, "locking no credential", fleet.NotFound, "not_found", func(tx *store.Store) error { return tx.LockCredential(t.Context(), uuid.New()) })
}

func TestHowTheHostsWent(t *testing.T) {
	t.Parallel()
	s := storetest.New(t)
	for i := range 8 {
		addHost(t, s, fmt.Sprintf("web-%d", i))
	}
	addHost(t, s, "off", func(h *fleet.Host) { h.Enabled = false })
	_, messages := collect(t, s)
	worker := aWorker(t, s)
	for _, m := range messages {
		c := claim(t, s, m, worker.ID)
		e := ending(c, fleet.TaskSucceeded)
		if c.Host.Name >= "web-6" {
			e.State, e.Failure = fleet.TaskFailed, fleet.Fail(fleet.CodeAuthFailed, nil)
		}
		end(t, s, e)
	}
	addHost(t, s, "new")
	outcomes, err := s.HostOutcomes(t.Context(), fleet.Everything())
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, o := range outcomes {
		got = append(got, fmt.Sprintf("%s %s %v %d %s", o.State, o.Code, o.Enabled, o.Hosts, namesOf(o.Sample, func(h fleet.HostRef) string { return h.Name })))
	}
	want := []string{
		"  false 1 [off]", "  true 1 [new]", "failed auth_failed true 2 [web-6 web-7]", "succeeded  true 6 [web-0 web-1 web-2 web-3 web-4]",
	}
	if !slices.Equal(got, want) {
		t.Errorf("outcomes %q, want %q", got, want)
	}
}
