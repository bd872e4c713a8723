package inventory_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"github.com/rollcallhq/rollcall/pkg/fleet"
	"github.com/rollcallhq/rollcall/pkg/inventory"
	"github.com/rollcallhq/rollcall/pkg/secret"
)

func TestAddHostSpellsOutDefaults(t *testing.T) {
	t.Parallel()
	b := setup(t)
	tests := []struct {
		name  string
		given fleet.Host
		want  fleet.Host
	}{
		{
			"an SSH host needs a name and an address",
			fleet.Host{Name: "web-1", Address: "192.0.2.1", Enabled: true},
			fleet.Host{Name: "web-1", Address: "192.0.2.1", Port: 22, Site: "default", Connection: "ssh", Enabled: true},
		},
		{
			"a local host needs a name",
			fleet.Host{Name: "here", Connection: "local"},
			fleet.Host{Name: "here", Address: "localhost", Port: 22, Site: "default", Connection: "local"},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			got, err := b.AddHost(t.Context(), admin, tt.given)
			if err != nil {
				t.Fatal(err)
			}
			tt.want.ID, tt.want.Version, tt.want.CreatedAt, tt.want.UpdatedAt = got.ID, 1, got.CreatedAt, got.UpdatedAt
			tt.want.Labels = map[string]string{}
			tt.want.SSH = fleet.SSHOptions{Become: "none", HostKeyPolicy: "tofu", Algorithms: "modern", KeepaliveSeconds: new(15)}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
}

func TestBadHostsAreRefused(t *testing.T) {
	t.Parallel()
	b := setup(t)
	elsewhere := b.addPassword(t, "eu only", "eu").ID
	added, err := b.AddCredential(t.Context(), admin, inventory.NewCredential{
		Name: "key", Kind: fleet.CredentialPrivateKey, Username: "root", Secret: secret.Credential{PrivateKey: []byte(newKey(t, ""))},
	})
	if err != nil {
		t.Fatal(err)
	}
	key := added.ID
	unknown, other := uuid.New(), uuid.New()
	tooMany := map[string]string{}
	for i := range 65 {
		tooMany[fmt.Sprint("k", i)] = ""
	}
	tests := []struct {
		name   string
		change func(*fleet.Host)
		field  string
		code   string
	}{
		{"no name", func(h *fleet.Host) { h.Name = "" }, "name", "invalid"},
		{"a name with a space", func(h *fleet.Host) { h.Name = "a b" }, "name", "invalid"},
		{"a name that ends in a newline", func(h *fleet.Host) { h.Name = "web\n" }, "name", "invalid"},
		{"a name of 254 characters", func(h *fleet.Host) { h.Name = strings.Repeat("a", 254) }, "name", "invalid"},
		{"no address", func(h *fleet.Host) { h.Address = "" }, "address", "invalid"},
		{"an address that looks like an option", func(h *fleet.Host) { h.Address = "-oProxyCommand=x" }, "address", "invalid"},
		{"an address with a space", func(h *fleet.Host) { h.Address = "a b" }, "address", "invalid"},
		{"an address with a NUL", func(h *fleet.Host) { h.Address = "a\x00b" }, "address", "invalid"},
		{"an address with a port", func(h *fleet.Host) { h.Address = "web.example:22" }, "address", "invalid"},
		{"an IPv6 address in brackets", func(h *fleet.Host) { h.Address = "[2001:db8::1]" }, "address", "invalid"},
		{"an address with an empty label", func(h *fleet.Host) { h.Address = "a..b" }, "address", "invalid"},
		{"an address of 254 characters", func(h *fleet.Host) { h.Address = strings.Repeat("a.", 127) }, "address", "invalid"},
		{"a negative port", func(h *fleet.Host) { h.Port = -1 }, "port", "invalid"},
		{"port 65536", func(h *fleet.Host) { h.Port = 65536 }, "port", "invalid"},
		{"a site in capitals", func(h *fleet.Host) { h.Site = "EU" }, "site", "invalid"},
		{"a label named like a keyword", func(h *fleet.Host) { h.Labels = map[string]string{"and": "x"} }, "labels", "invalid"},
		{"a label value with a control character", func(h *fleet.Host) { h.Labels = map[string]string{"k": "\x1b"} }, "labels.k", "invalid"},
		{"65 labels", func(h *fleet.Host) { h.Labels = tooMany }, "labels", "invalid"},
		{"an unknown connection", func(h *fleet.Host) { h.Connection = "winrm" }, "connection", "invalid"},
		{"an unknown credential", func(h *fleet.Host) { h.CredentialID = &unknown }, "credential_id", "unknown_credential"},
		{"a credential of another site", func(h *fleet.Host) { h.CredentialID = &elsewhere }, "credential_id", "not_sealed_for_site"},
		{"a jump host", func(h *fleet.Host) { h.JumpHostID = &other }, "jump_host_id", "not_supported_yet"},
		{"an unknown way to become root", func(h *fleet.Host) { h.SSH.Become = "su" }, "ssh.become", "invalid"},
		{"a become credential for nothing", func(h *fleet.Host) { h.SSH.BecomeCredentialID = &other }, "ssh.become_credential_id", "invalid"},
		{"a become credential for doas", func(h *fleet.Host) { h.SSH.Become, h.SSH.BecomeCredentialID = "doas", &other }, "ssh.become_credential_id", "invalid"},
		{"an unknown become credential", func(h *fleet.Host) { h.SSH.Become, h.SSH.BecomeCredentialID = "sudo", &other }, "ssh.become_credential_id", "unknown_credential"},
		{
			"a become credential of another site", func(h *fleet.Host) { h.SSH.Become, h.SSH.BecomeCredentialID = "sudo", &elsewhere },
			"ssh.become_credential_id", "not_sealed_for_site",
		},
		{"a key to become root with", func(h *fleet.Host) { h.SSH.Become, h.SSH.BecomeCredentialID = "sudo", &key }, "ssh.become_credential_id", "not_a_password"},
		{"host keys by a CA", func(h *fleet.Host) { h.SSH.HostKeyPolicy = "ca" }, "ssh.host_key_policy", "not_supported_yet"},
		{"an unknown host key policy", func(h *fleet.Host) { h.SSH.HostKeyPolicy = "off" }, "ssh.host_key_policy", "invalid"},
		{"old algorithms", func(h *fleet.Host) { h.SSH.Algorithms = "legacy" }, "ssh.algorithms", "not_supported_yet"},
		{"a negative keepalive", func(h *fleet.Host) { h.SSH.KeepaliveSeconds = new(-1) }, "ssh.keepalive_seconds", "invalid"},
		{"a keepalive of two hours", func(h *fleet.Host) { h.SSH.KeepaliveSeconds = new(7200) }, "ssh.keepalive_seconds", "invalid"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			h := fleet.Host{Name: "web-1", Address: "web-1.example"}
			tt.change(&h)
			_, err := b.AddHost(t.Context(), admin, h)
			if fleet.KindOf(err) != fleet.Invalid {
				t.Fatalf("AddHost = %v, want an error of kind Invalid", err)
			}
			if diff := cmp.Diff(map[string]string{tt.field: tt.code}, fieldCodes(err)); diff != "" {
				t.Errorf("bad fields (-want +got)\n%s", diff)
			}
			if fleet.CodeOf(err) != tt.code {
				t.Errorf("code = %s, want %s", fleet.CodeOf(err), tt.code)
			}
		})
	}
}

func TestGoodAddressesAreTaken(t *testing.T) {
	t.Parallel()
	b := setup(t)
	for i, address := range []string{"192.0.2.1", "2001:db8::1", "fe80::1%eth0", "web", "web-1.example.com.", "_host.example", "xn--bcher-kva.example"} {
		if _, err := b.AddHost(t.Context(), admin, fleet.Host{Name: fmt.Sprint("h", i), Address: address}); err != nil {
			t.Errorf("%s: %v", address, err)
		}
	}
}

func TestAllBadFieldsAreNamedAtOnce(t *testing.T) {
	t.Parallel()
	b := setup(t)
	_, err := b.AddHost(t.Context(), admin, fleet.Host{Name: "?", Port: 70000, SSH: fleet.SSHOptions{Algorithms: "legacy"}})
	want := map[string]string{"name": "invalid", "address": "invalid", "port": "invalid", "ssh.algorithms": "not_supported_yet"}
	if diff := cmp.Diff(want, fieldCodes(err)); diff != "" {
		t.Errorf("bad fields (-want +got)\n%s", diff)
	}
	if fleet.CodeOf(err) != "invalid" {
		t.Errorf("code = %s, want invalid: the fields disagree", fleet.CodeOf(err))
	}
}

func TestOnlyAdminsWriteHosts(t *testing.T) {
	t.Parallel()
	b := setup(t)
	h := b.addHost(t, fleet.Host{Name: "web-1", Address: "192.0.2.1"})
	same := func(*fleet.Host) error { return nil }
	for _, tt := range []struct {
		name  string
		actor fleet.Actor
		want  fleet.Kind
	}{
		{"nobody", fleet.Actor{}, fleet.Unauthenticated},
		{"a viewer", fleet.Actor{Kind: fleet.ActorUser, Name: "v", Role: fleet.Viewer}, fleet.Forbidden},
		{"an operator", fleet.Actor{Kind: fleet.ActorUser, Name: "o", Role: fleet.Operator}, fleet.Forbidden},
	} {
		_, add := b.AddHost(t.Context(), tt.actor, fleet.Host{Name: "web-2", Address: "192.0.2.2"})
		_, update := b.UpdateHost(t.Context(), tt.actor, h.ID, 0, same)
		retire := b.RetireHost(t.Context(), tt.actor, h.ID, 0)
		_, trust := b.TrustHostKey(t.Context(), tt.actor, h.ID, uuid.New(), "")
		_, imported := b.Import(t.Context(), tt.actor, "ndjson", false, strings.NewReader(""), nil)
		removed := b.RemoveCredential(t.Context(), tt.actor, uuid.New(), 0)
		for what, err := range map[string]error{
			"add": add, "update": update, "retire": retire, "trust": trust, "import": imported, "remove": removed,
		} {
			if fleet.KindOf(err) != tt.want {
				t.Errorf("%s: %s = %v, want kind %d", tt.name, what, err, tt.want)
			}
		}
	}
	if n := b.audited(t, "host.update", "denied"); n != 2 {
		t.Errorf("%d refusals of host.update in the audit log, want 2: those of actors who are known", n)
	}
}

func TestScopedAdminsStayInside(t *testing.T) {
	t.Parallel()
	b := setup(t)
	actor := scoped(t, "env=test")
	inside := b.addHost(t, fleet.Host{Name: "in", Address: "192.0.2.1", Labels: map[string]string{"env": "test"}})
	outside := b.addHost(t, fleet.Host{Name: "out", Address: "192.0.2.2", Labels: map[string]string{"env": "prod"}})
	leave := func(h *fleet.Host) error { h.Labels["env"] = "prod"; return nil }
	same := func(*fleet.Host) error { return nil }

	_, add := b.AddHost(t.Context(), actor, fleet.Host{Name: "new", Address: "192.0.2.3"})
	_, left := b.UpdateHost(t.Context(), actor, inside.ID, 0, leave)
	_, unseen := b.UpdateHost(t.Context(), actor, outside.ID, 0, same)
	for what, tt := range map[string]struct {
		err  error
		want fleet.Kind
	}{
		"adding a host outside":           {add, fleet.Forbidden},
		"moving a host outside":           {left, fleet.Forbidden},
		"changing a host that is unseen":  {unseen, fleet.NotFound},
		"retiring a host that is unseen":  {b.RetireHost(t.Context(), actor, outside.ID, 0), fleet.NotFound},
		"retiring a host that is visible": {b.RetireHost(t.Context(), actor, inside.ID, 0), fleet.OK},
	} {
		if fleet.KindOf(tt.err) != tt.want {
			t.Errorf("%s = %v, want kind %d", what, tt.err, tt.want)
		}
	}
	if n := b.audited(t, "host.update", "denied"); n != 1 {
		t.Errorf("%d refusals in the audit log, want 1", n)
	}
}

func TestUpdateHost(t *testing.T) {
	t.Parallel()
	b := setup(t)
	h := b.addHost(t, fleet.Host{Name: "web-1", Address: "192.0.2.1"})
	rename := func(h *fleet.Host) error { h.Name = "web-2"; return nil }

	changed, err := b.UpdateHost(t.Context(), admin, h.ID, h.Version, rename)
	if err != nil || changed.Version != h.Version+1 || changed.Name != "web-2" {
		t.Fatalf("UpdateHost = %+v, %v, want web-2 of the next version", changed, err)
	}
	if _, err := b.UpdateHost(t.Context(), admin, h.ID, h.Version, rename); fleet.KindOf(err) != fleet.Precondition {
		t.Errorf("with the earlier version = %v, want kind Precondition", err)
	}
	again, err := b.UpdateHost(t.Context(), admin, h.ID, 0, rename)
	if err != nil || again.Version != changed.Version {
		t.Errorf("without a difference = version %d, %v, want %d still", again.Version, err, changed.Version)
	}
	for what, keepalive := range map[string]*int{"spelled out": new(15), "left to the default": nil} {
		same := func(h *fleet.Host) error { h.SSH.KeepaliveSeconds = keepalive; return nil }
		if again, err = b.UpdateHost(t.Context(), admin, h.ID, 0, same); err != nil || again.Version != changed.Version {
			t.Errorf("with the default %s = version %d, %v, want %d still", what, again.Version, err, changed.Version)
		}
	}
	b.addHost(t, fleet.Host{Name: "web-3", Address: "192.0.2.3"})
	taken := func(h *fleet.Host) error { h.Name = "web-3"; return nil }
	if _, err := b.UpdateHost(t.Context(), admin, h.ID, 0, taken); fleet.CodeOf(err) != "name_taken" {
		t.Errorf("with a name that is taken = %v, want code name_taken", err)
	}
	if n := b.audited(t, "host.update", "ok"); n != 1 {
		t.Errorf("%d changes in the audit log, want 1", n)
	}
}

func TestAnotherAddressSuspendsTrust(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name   string
		change func(*fleet.Host) error
		want   fleet.HostKeyState
	}{
		{"another address", func(h *fleet.Host) error { h.Address = "192.0.2.9"; return nil }, fleet.HostKeyPending},
		{"another port", func(h *fleet.Host) error { h.Port = 2222; return nil }, fleet.HostKeyPending},
		{"another site", func(h *fleet.Host) error { h.Site = "eu"; return nil }, fleet.HostKeyPending},
		{"another name", func(h *fleet.Host) error { h.Name = "web-9"; return nil }, fleet.HostKeyTrusted},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			h := b.addHost(t, fleet.Host{Name: "web-1", Address: "192.0.2.1"})
			b.record(t, h.ID, "a", fleet.HostKeyTrusted)
			if _, err := b.UpdateHost(t.Context(), admin, h.ID, 0, tt.change); err != nil {
				t.Fatal(err)
			}
			keys, err := b.db.HostKeys(t.Context(), fleet.Everything(), h.ID)
			if err != nil || len(keys) != 1 || keys[0].State != tt.want {
				t.Errorf("keys = %+v, %v, want one that is %s", keys, err, tt.want)
			}
		})
	}
}

func TestRetiringFreesTheName(t *testing.T) {
	t.Parallel()
	b := setup(t)
	h := b.addHost(t, fleet.Host{Name: "web-1", Address: "192.0.2.1"})
	if err := b.RetireHost(t.Context(), admin, h.ID, h.Version+1); fleet.KindOf(err) != fleet.Precondition {
		t.Errorf("with another version = %v, want kind Precondition", err)
	}
	if err := b.RetireHost(t.Context(), admin, h.ID, h.Version); err != nil {
		t.Fatal(err)
	}
	if err := b.RetireHost(t.Context(), admin, h.ID, 0); fleet.KindOf(err) != fleet.NotFound {
		t.Errorf("a second time = %v, want kind NotFound", err)
	}
	b.addHost(t, fleet.Host{Name: "web-1", Address: "192.0.2.2"})
}

func (b bundle) record(t *testing.T, host uuid.UUID, key string, state fleet.HostKeyState) fleet.HostKey {
	t.Helper()
	k, err := b.db.RecordHostKey(t.Context(), fleet.HostKey{
		ID: fleet.NewID(), HostID: host, Algorithm: "ssh-ed25519", Key: []byte(key), Fingerprint: "SHA256:" + key, State: state,
	})
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func TestHostKeys(t *testing.T) {
	t.Parallel()
	b := setup(t)
	h := b.addHost(t, fleet.Host{Name: "web-1", Address: "192.0.2.1"})
	other := b.addHost(t, fleet.Host{Name: "web-2", Address: "192.0.2.2"})
	trusted := b.record(t, h.ID, "old", fleet.HostKeyTrusted)
	pending := b.record(t, h.ID, "second", fleet.HostKeyPending)
	changed := b.record(t, h.ID, "new", fleet.HostKeyChanged)

	if _, err := b.TrustHostKey(t.Context(), admin, other.ID, changed.ID, ""); fleet.KindOf(err) != fleet.NotFound {
		t.Errorf("trusting another host's key = %v, want kind NotFound", err)
	}
	if _, err := b.TrustHostKey(t.Context(), admin, h.ID, changed.ID, "a\nb"); fieldCodes(err)["reason"] != "invalid" {
		t.Errorf("a reason of two lines = %v, want it refused", err)
	}
	if _, err := b.TrustHostKey(t.Context(), admin, h.ID, pending.ID, ""); err != nil {
		t.Fatal(err)
	}
	b.wantStates(t, h.ID, map[string]fleet.HostKeyState{"old": "trusted", "second": "trusted", "new": "changed"})

	k, err := b.TrustHostKey(t.Context(), admin, h.ID, changed.ID, "reinstalled")
	if err != nil || k.State != fleet.HostKeyTrusted || k.DecidedBy != "user:ada" || k.Reason != "reinstalled" {
		t.Fatalf("TrustHostKey = %+v, %v", k, err)
	}
	b.wantStates(t, h.ID, map[string]fleet.HostKeyState{"old": "revoked", "second": "revoked", "new": "trusted"})
	if _, err := b.TrustHostKey(t.Context(), admin, h.ID, trusted.ID, ""); fleet.CodeOf(err) != "revoked" {
		t.Errorf("trusting a revoked key = %v, want code revoked", err)
	}
	for range 2 {
		if k, err := b.RevokeHostKey(t.Context(), admin, h.ID, changed.ID, "leaked"); err != nil || k.State != fleet.HostKeyRevoked {
			t.Errorf("RevokeHostKey = %+v, %v", k, err)
		}
	}
	if trusts, revokes := b.audited(t, "host_key.trust", "ok"), b.audited(t, "host_key.revoke", "ok"); trusts != 2 || revokes != 3 {
		t.Errorf("%d trusts and %d revocations in the audit log, want 2 and 3", trusts, revokes)
	}
}

func (b bundle) wantStates(t *testing.T, host uuid.UUID, want map[string]fleet.HostKeyState) {
	t.Helper()
	keys, err := b.db.HostKeys(t.Context(), fleet.Everything(), host)
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]fleet.HostKeyState{}
	for _, k := range keys {
		got[string(k.Key)] = k.State
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("states (-want +got)\n%s", diff)
	}
}
