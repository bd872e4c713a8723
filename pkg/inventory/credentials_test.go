package inventory_test

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"github.com/rollcallhq/rollcall/pkg/fleet"
	"github.com/rollcallhq/rollcall/pkg/inventory"
	"github.com/rollcallhq/rollcall/pkg/secret"
)

func TestCredentialsAreSealedToTheirSites(t *testing.T) {
	t.Parallel()
	b := setup(t)
	key := newKey(t, "open sesame")
	c, err := b.AddCredential(t.Context(), admin, inventory.NewCredential{
		Name: "fleet", Kind: fleet.CredentialPrivateKey, Username: "rollcall", Sites: []string{"eu", "default", "eu"},
		Secret: secret.Credential{PrivateKey: []byte(key), Passphrase: []byte("open sesame")},
	})
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(c.Fingerprint, "SHA256:") || !cmp.Equal(c.Sites, []string{"default", "eu"}) || c.Version != 1 {
		t.Errorf("AddCredential = %+v", c)
	}
	for _, site := range c.Sites {
		if got := b.opened(t, c.ID, site); string(got.PrivateKey) != key || string(got.Passphrase) != "open sesame" {
			t.Errorf("workers of %s open something else than was sealed", site)
		}
	}
	stored := b.everythingStored(t)
	for _, leak := range []string{"open sesame", strings.Split(key, "\n")[1]} {
		if strings.Contains(stored, leak) {
			t.Errorf("a secret is stored in the clear")
		}
	}
	if n := b.audited(t, "credential.create", "ok"); n != 1 {
		t.Errorf("%d entries in the audit log, want 1", n)
	}
}

func TestBadCredentialsAreRefused(t *testing.T) {
	t.Parallel()
	b := setup(t)
	good, locked := newKey(t, ""), newKey(t, "open sesame")
	tests := []struct {
		name   string
		change func(*inventory.NewCredential)
		field  string
		code   string
	}{
		{"no name", func(c *inventory.NewCredential) { c.Name = "" }, "name", "invalid"},
		{"a name with a NUL", func(c *inventory.NewCredential) { c.Name = "a\x00" }, "name", "invalid"},
		{"no user name", func(c *inventory.NewCredential) { c.Username = "" }, "username", "invalid"},
		{"a user name that looks like an option", func(c *inventory.NewCredential) { c.Username = "-l" }, "username", "invalid"},
		{"a user name with a space", func(c *inventory.NewCredential) { c.Username = "a b" }, "username", "invalid"},
		{"an unknown kind", func(c *inventory.NewCredential) { c.Kind = "kerberos" }, "kind", "invalid"},
		{"a certificate", func(c *inventory.NewCredential) { c.Kind = "certificate" }, "kind", "not_supported_yet"},
		{"an agent", func(c *inventory.NewCredential) { c.Kind = "agent" }, "kind", "not_supported_yet"},
		{"no private key", func(c *inventory.NewCredential) { c.Secret.PrivateKey = nil }, "private_key", "invalid"},
		{"a public key", func(c *inventory.NewCredential) { c.Secret.PrivateKey = []byte("ssh-ed25519 AAAA hunter2") }, "private_key", "invalid"},
		{"an encrypted key without its passphrase", func(c *inventory.NewCredential) { c.Secret.PrivateKey = []byte(locked) }, "passphrase", "invalid"},
		{"a wrong passphrase", func(c *inventory.NewCredential) {
			c.Secret.PrivateKey, c.Secret.Passphrase = []byte(locked), []byte("hunter2")
		}, "passphrase", "invalid"},
		{"a key and a password", func(c *inventory.NewCredential) { c.Secret.Password = []byte("hunter2") }, "password", "invalid"},
		{"a site without a seal key", func(c *inventory.NewCredential) { c.Sites = []string{"default", "mars"} }, "sites", "no_seal_key"},
		{"a password that is empty", func(c *inventory.NewCredential) {
			c.Kind, c.Secret = fleet.CredentialPassword, secret.Credential{}
		}, "password", "invalid"},
		{"a password of 5,000 bytes", func(c *inventory.NewCredential) {
			c.Kind, c.Secret = fleet.CredentialPassword, secret.Credential{Password: bytes.Repeat([]byte("x"), 5000)}
		}, "password", "invalid"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			c := inventory.NewCredential{Name: "x", Kind: fleet.CredentialPrivateKey, Username: "root", Secret: secret.Credential{PrivateKey: []byte(good)}}
			tt.change(&c)
			_, err := b.AddCredential(t.Context(), admin, c)
			if diff := cmp.Diff(map[string]string{tt.field: tt.code}, fieldCodes(err)); diff != "" {
				t.Errorf("bad fields of %v (-want +got)\n%s", err, diff)
			}
			if err != nil && strings.Contains(err.Error(), "hunter2") {
				t.Errorf("the refusal quotes the secret: %v", err)
			}
		})
	}
}

func TestUpdateCredential(t *testing.T) {
	t.Parallel()
	b := setup(t)
	c := b.addPassword(t, "root", "default", "eu")
	b.addHost(t, fleet.Host{Name: "web-1", Address: "192.0.2.1", CredentialID: &c.ID})
	newSecret := &secret.Credential{Password: []byte("hunter3")}
	tests := []struct {
		name    string
		version int64
		change  inventory.CredentialChange
		kind    fleet.Kind
		field   string
	}{
		{"another version", 7, inventory.CredentialChange{Name: new("x")}, fleet.Precondition, ""},
		{"another kind without its secret", 0, inventory.CredentialChange{Kind: new(fleet.CredentialPrivateKey)}, fleet.Invalid, "kind"},
		{"a further site without the secret", 0, inventory.CredentialChange{Sites: []string{"default", "eu", "us"}}, fleet.Invalid, "sites"},
		{"a further site without a seal key", 0, inventory.CredentialChange{Sites: []string{"default", "us"}, Secret: newSecret}, fleet.Invalid, "sites"},
		{"a site taken away whose host uses it", 0, inventory.CredentialChange{Sites: []string{"eu"}}, fleet.Conflict, ""},
		{"no site at all", 0, inventory.CredentialChange{Sites: []string{}}, fleet.Invalid, "sites"},
	}
	for _, tt := range tests {
		_, err := b.UpdateCredential(t.Context(), admin, c.ID, tt.version, tt.change)
		if fleet.KindOf(err) != tt.kind || tt.field != "" && fieldCodes(err)[tt.field] == "" {
			t.Errorf("%s = %v, want kind %d about %q", tt.name, err, tt.kind, tt.field)
		}
	}
	renamed, err := b.UpdateCredential(t.Context(), admin, c.ID, c.Version, inventory.CredentialChange{Name: new("toor"), Sites: []string{"default"}})
	if err != nil || renamed.Name != "toor" || renamed.Version != 2 || !cmp.Equal(renamed.Sites, []string{"default"}) {
		t.Fatalf("UpdateCredential = %+v, %v", renamed, err)
	}
	if got := b.opened(t, c.ID, "default"); string(got.Password) != "hunter2" {
		t.Error("without a new secret the old one is gone")
	}
	if _, err := b.UpdateCredential(t.Context(), admin, c.ID, 0, inventory.CredentialChange{Secret: newSecret}); err != nil {
		t.Fatal(err)
	}
	if got := b.opened(t, c.ID, "default"); string(got.Password) != "hunter3" {
		t.Error("the new secret is not what workers open")
	}
}

func TestRemoveCredential(t *testing.T) {
	t.Parallel()
	b := setup(t)
	c := b.addPassword(t, "root")
	h := b.addHost(t, fleet.Host{Name: "web-1", Address: "192.0.2.1", CredentialID: &c.ID})
	if err := b.RemoveCredential(t.Context(), admin, c.ID, 0); fleet.CodeOf(err) != "in_use" {
		t.Errorf("while a host uses it = %v, want code in_use", err)
	}
	if err := b.RetireHost(t.Context(), admin, h.ID, 0); err != nil {
		t.Fatal(err)
	}
	h = b.addHost(t, fleet.Host{
		Name: "web-2", Address: "192.0.2.2", SSH: fleet.SSHOptions{Become: fleet.BecomeSudo, BecomeCredentialID: &c.ID},
	})
	if err := b.RemoveCredential(t.Context(), admin, c.ID, 0); fleet.CodeOf(err) != "in_use" {
		t.Errorf("while a host becomes root by it = %v, want code in_use", err)
	}
	if err := b.RetireHost(t.Context(), admin, h.ID, 0); err != nil {
		t.Fatal(err)
	}
	if err := b.RemoveCredential(t.Context(), admin, c.ID, c.Version+1); fleet.KindOf(err) != fleet.Precondition {
		t.Errorf("with another version = %v, want kind Precondition", err)
	}
	if err := b.RemoveCredential(t.Context(), admin, c.ID, c.Version); err != nil {
		t.Errorf("RemoveCredential = %v", err)
	}
	if err := b.RemoveCredential(t.Context(), admin, uuid.New(), 0); fleet.KindOf(err) != fleet.NotFound {
		t.Errorf("an unknown one = %v, want kind NotFound", err)
	}
}

func TestNewNeedsWhatItWorksWith(t *testing.T) {
	t.Parallel()
	if svc, err := inventory.New(inventory.Config{Log: slog.New(slog.DiscardHandler)}); err == nil {
		t.Errorf("New = %v without a store, want an error", svc)
	}
}
