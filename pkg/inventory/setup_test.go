package inventory_test

import (
	"crypto/ed25519"
	"crypto/rand"
	"encoding/pem"
	"strings"
	"testing"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"golang.org/x/crypto/ssh"

	"github.com/rollcallhq/rollcall/pkg/fleet"
	"github.com/rollcallhq/rollcall/pkg/inventory"
	"github.com/rollcallhq/rollcall/pkg/remote"
	"github.com/rollcallhq/rollcall/pkg/secret"
	"github.com/rollcallhq/rollcall/pkg/store"
	"github.com/rollcallhq/rollcall/pkg/storetest"
)

// A bundle is the service on a database of the test's own, with seal keys for the sites default and eu.
type bundle struct {
	*inventory.Service
	db   *store.Store
	pool *pgxpool.Pool
	open *secret.OpenKeys
}

func setup(t *testing.T) bundle {
	t.Helper()
	db, pool := storetest.Pool(t)
	var seals, opens string
	for _, site := range []string{"default", "eu"} {
		seal, open, err := secret.GenerateKeyPair(site)
		if err != nil {
			t.Fatal(err)
		}
		seals, opens = seals+","+seal, opens+","+open
	}
	sealKeys, err := secret.ParseSealKeys(seals[1:])
	if err != nil {
		t.Fatal(err)
	}
	openKeys, err := secret.ParseOpenKeys(opens[1:])
	if err != nil {
		t.Fatal(err)
	}
	svc, err := inventory.New(inventory.Config{
		Store: db, Seals: sealKeys, ValidateKey: remote.ValidatePrivateKey, DigestKey: []byte("a key for tests"),
	})
	if err != nil {
		t.Fatal(err)
	}
	return bundle{Service: svc, db: db, pool: pool, open: openKeys}
}

var admin = fleet.Actor{Kind: fleet.ActorUser, Name: "ada", Role: fleet.Admin, Address: "192.0.2.7"}

// scoped returns an admin who may touch only what the selector picks.
func scoped(t *testing.T, selector string) fleet.Actor {
	t.Helper()
	sel, err := fleet.ParseSelector(selector)
	if err != nil {
		t.Fatal(err)
	}
	a := admin
	a.Name, a.Selector = "scoped", &sel
	return a
}

func (b bundle) addHost(t *testing.T, h fleet.Host) fleet.Host {
	t.Helper()
	h.Enabled = true
	stored, err := b.AddHost(t.Context(), admin, h)
	if err != nil {
		t.Fatalf("adding host %s: %v", h.Name, err)
	}
	return stored
}

func (b bundle) addPassword(t *testing.T, name string, sites ...string) fleet.Credential {
	t.Helper()
	c, err := b.AddCredential(t.Context(), admin, inventory.NewCredential{
		Name: name, Kind: fleet.CredentialPassword, Username: "root", Secret: secret.Credential{Password: []byte("hunter2")}, Sites: sites,
	})
	if err != nil {
		t.Fatalf("adding credential %s: %v", name, err)
	}
	return c
}

// audited returns how many audit entries there are of the action and outcome.
func (b bundle) audited(t *testing.T, action, outcome string) int {
	t.Helper()
	var n int
	err := b.pool.QueryRow(t.Context(), "select count(*) from audit_logs where action = $1 and outcome = $2", action, outcome).Scan(&n)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// opened returns what the workers of the site read of the credential.
func (b bundle) opened(t *testing.T, id uuid.UUID, site string) secret.Credential {
	t.Helper()
	_, seal, err := b.db.CredentialFor(t.Context(), id, site)
	if err != nil {
		t.Fatalf("reading the seal for %s: %v", site, err)
	}
	plain, err := b.open.Open(site, seal.KeyID, id, seal.Sealed)
	if err != nil {
		t.Fatalf("opening the seal for %s: %v", site, err)
	}
	c, err := secret.DecodeCredential(plain)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// everythingStored returns all rows of all tables as text, for secrets to be looked for.
func (b bundle) everythingStored(t *testing.T) string {
	t.Helper()
	var all strings.Builder
	for _, table := range []string{"credentials", "credential_seals", "hosts", "host_keys", "audit_logs"} {
		rows, _ := b.pool.Query(t.Context(), "select to_jsonb(x)::text from "+pgx.Identifier{table}.Sanitize()+" x")
		texts, err := pgx.CollectRows(rows, pgx.RowTo[string])
		if err != nil {
			t.Fatal(err)
		}
		for _, text := range texts {
			all.WriteString(text + "\n")
		}
	}
	return all.String()
}

// newKey returns a fresh private key in PEM form, encrypted if there is a passphrase.
func newKey(t *testing.T, passphrase string) string {
	t.Helper()
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	var block *pem.Block
	if passphrase == "" {
		block, err = ssh.MarshalPrivateKey(private, "")
	} else {
		block, err = ssh.MarshalPrivateKeyWithPassphrase(private, "", []byte(passphrase))
	}
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(block))
}

// fieldCodes returns the bad fields that err names with their codes.
func fieldCodes(err error) map[string]string {
	codes := map[string]string{}
	for _, f := range fleet.FieldsOf(err) {
		codes[f.Field] = f.Code
	}
	return codes
}
