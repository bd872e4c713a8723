package inventory

import (
	"context"
	"slices"

	"github.com/google/uuid"

	"github.com/rollcallhq/rollcall/pkg/fleet"
	"github.com/rollcallhq/rollcall/pkg/secret"
	"github.com/rollcallhq/rollcall/pkg/store"
)

// The limits of a credential's fields, in bytes.
const (
	maxCredentialName = 255
	maxUsername       = 255
	maxPassword       = 4096
	maxSites          = 64
)

// A NewCredential is a credential with its secret, before it is sealed. The secret stays the caller's, to wipe.
type NewCredential struct {
	Name     string
	Kind     fleet.CredentialKind
	Username string
	Secret   secret.Credential
	Sites    []string // none means the default site
}

// A CredentialChange is what to change of a credential; nil fields stay. A secret replaces the earlier one as a whole,
// and is needed for another kind and for a further site, because what is sealed cannot be read back here.
type CredentialChange struct {
	Name     *string
	Kind     *fleet.CredentialKind
	Username *string
	Secret   *secret.Credential
	Sites    []string
}

func credentialEntry(verb string, c fleet.Credential) fleet.AuditEntry {
	return fleet.AuditEntry{
		Action: "credential." + verb, ResourceType: "credential", ResourceID: idOrNone(c.ID),
		Details: map[string]any{
			"name": c.Name, "kind": string(c.Kind), "username": c.Username, "fingerprint": c.Fingerprint, "sites": c.Sites,
		},
	}
}

// AddCredential seals a credential to its sites and stores it on behalf of actor, an admin. It returns it without the
// secret, of which nothing else is kept. A bad field, a key that is none and a site without a seal key are Invalid
// and named; nothing of the secret is ever echoed.
func (s *Service) AddCredential(ctx context.Context, actor fleet.Actor, in NewCredential) (fleet.Credential, error) {
	c := fleet.Credential{Name: in.Name, Kind: in.Kind, Username: in.Username, Sites: in.Sites}
	if err := s.requireAdmin(ctx, actor, credentialEntry("create", fleet.Credential{})); err != nil {
		return fleet.Credential{}, err
	}
	if len(c.Sites) == 0 {
		c.Sites = []string{fleet.DefaultSite}
	}
	var stored fleet.Credential
	c, err := s.checkNewCredential(c, in.Secret)
	if err != nil {
		return fleet.Credential{}, err
	}
	c.ID = fleet.NewID()
	seals, err := s.seal(c, in.Secret)
	if err != nil {
		return fleet.Credential{}, err
	}
	err = s.Store.InTx(ctx, func(tx *store.Store) error {
		if err := tx.AddCredential(ctx, c, seals); err != nil {
			return err
		}
		var err error
		if stored, err = tx.Credential(ctx, c.ID); err != nil {
			return err
		}
		return tx.Audit(ctx, actor, credentialEntry("create", stored))
	})
	return stored, err
}

// UpdateCredential changes a credential on behalf of actor, an admin. A version other than 0 is the one that the
// caller has read: another is a Precondition error. A site whose hosts use the credential cannot be taken away.
func (s *Service) UpdateCredential(ctx context.Context, actor fleet.Actor, id uuid.UUID, version int64, change CredentialChange) (fleet.Credential, error) {
	if err := s.requireAdmin(ctx, actor, credentialEntry("update", fleet.Credential{ID: id})); err != nil {
		return fleet.Credential{}, err
	}
	var stored fleet.Credential
	err := s.Store.InTx(ctx, func(tx *store.Store) error {
		before, err := readCredential(ctx, tx, actor, id, version)
		if err != nil {
			return err
		}
		after, err := s.changed(before, change)
		if err != nil {
			return err
		}
		if err := checkSitesLeft(ctx, tx, before, after); err != nil {
			return err
		}
		stored, err = s.storeCredential(ctx, tx, actor, before, after, change.Secret)
		return err
	})
	return stored, err
}

func readCredential(ctx context.Context, tx *store.Store, actor fleet.Actor, id uuid.UUID, version int64) (fleet.Credential, error) {
	if err := tx.LockCredential(ctx, id); err != nil {
		return fleet.Credential{}, err
	}
	if err := mayTouchCredential(ctx, tx, actor, id, true); err != nil {
		return fleet.Credential{}, err
	}
	c, err := tx.Credential(ctx, id)
	if err == nil && version != 0 && version != c.Version {
		return c, fleet.Errorf(fleet.Precondition, "the credential was changed meanwhile; read it again")
	}
	return c, err
}

// changed returns the credential that the change makes of c, once it is checked.
func (s *Service) changed(c fleet.Credential, change CredentialChange) (fleet.Credential, error) {
	after := c
	if change.Name != nil {
		after.Name = *change.Name
	}
	if change.Username != nil {
		after.Username = *change.Username
	}
	if change.Kind != nil {
		after.Kind = *change.Kind
	}
	if change.Sites != nil {
		after.Sites = slices.Compact(slices.Sorted(slices.Values(change.Sites)))
	}
	if change.Secret != nil {
		return s.checkNewCredential(after, *change.Secret)
	}
	var p problems
	p.checkCredential(after)
	if after.Kind != c.Kind {
		p.add("kind", "another kind needs its secret with it")
	}
	for _, site := range after.Sites {
		if !slices.Contains(c.Sites, site) {
			p.add("sites", "a further site needs the secret with it, because it cannot be read back")
			break
		}
	}
	return after, p.err()
}

// checkSitesLeft refuses to take a site away whose hosts use the credential.
func checkSitesLeft(ctx context.Context, tx *store.Store, before, after fleet.Credential) error {
	if slices.Equal(before.Sites, after.Sites) {
		return nil
	}
	used, err := tx.SitesUsing(ctx, fleet.Everything(), before.ID) // a rule about all hosts, not what the actor sees
	if err != nil {
		return err
	}
	for _, site := range used {
		if !slices.Contains(after.Sites, site) {
			return fleet.Errorf(fleet.Conflict, "hosts of site %s use this credential; give them another one first", site).WithCode("in_use")
		}
	}
	return nil
}

// storeCredential stores a checked change within tx; material is nil where the sealed secret stays.
func (s *Service) storeCredential(
	ctx context.Context, tx *store.Store, actor fleet.Actor, before, after fleet.Credential, material *secret.Credential,
) (fleet.Credential, error) {
	if material == nil && before.Name == after.Name && before.Username == after.Username && slices.Equal(before.Sites, after.Sites) {
		return before, nil
	}
	var seals []fleet.Seal
	if material != nil {
		var err error
		if seals, err = s.seal(after, *material); err != nil {
			return fleet.Credential{}, err
		}
	}
	if err := tx.UpdateCredential(ctx, after, seals); err != nil {
		return fleet.Credential{}, err
	}
	if err := tx.KeepSeals(ctx, after.ID, after.Sites); err != nil {
		return fleet.Credential{}, err
	}
	stored, err := tx.Credential(ctx, after.ID)
	if err != nil {
		return fleet.Credential{}, err
	}
	entry := credentialEntry("update", stored)
	entry.Details["secret_replaced"] = material != nil
	return stored, tx.Audit(ctx, actor, entry)
}

// RemoveCredential deletes a credential with its seals on behalf of actor, an admin. One that hosts use is a Conflict.
// A version other than 0 is the one that the caller has read.
func (s *Service) RemoveCredential(ctx context.Context, actor fleet.Actor, id uuid.UUID, version int64) error {
	if err := s.requireAdmin(ctx, actor, credentialEntry("delete", fleet.Credential{ID: id})); err != nil {
		return err
	}
	return s.Store.InTx(ctx, func(tx *store.Store) error {
		c, err := readCredential(ctx, tx, actor, id, version)
		if err != nil {
			return err
		}
		if err := tx.RemoveCredential(ctx, id); err != nil {
			return err
		}
		return tx.Audit(ctx, actor, credentialEntry("delete", c))
	})
}

// checkNewCredential checks c with its secret and returns it with the fingerprint of its key.
func (s *Service) checkNewCredential(c fleet.Credential, material secret.Credential) (fleet.Credential, error) {
	c.Sites = slices.Compact(slices.Sorted(slices.Values(c.Sites)))
	c.Fingerprint = ""
	var p problems
	p.checkCredential(c)
	s.checkSites(&p, c.Sites)
	switch c.Kind {
	case fleet.CredentialPrivateKey:
		if len(material.Password) > 0 {
			p.add("password", "the kind private_key has none")
		}
		fingerprint, err := s.ValidateKey(material.PrivateKey, material.Passphrase)
		if err != nil && len(fleet.FieldsOf(err)) == 0 {
			return c, err
		}
		if err != nil {
			p.merge(err)
		}
		c.Fingerprint = fingerprint
	case fleet.CredentialPassword:
		if len(material.PrivateKey) > 0 {
			p.add("private_key", "the kind password has none")
		}
		if len(material.Passphrase) > 0 {
			p.add("passphrase", "the kind password has none")
		}
		if len(material.Password) == 0 || len(material.Password) > maxPassword {
			p.add("password", "1 to %d bytes", maxPassword)
		}
	case fleet.CredentialCertificate, fleet.CredentialAgent:
	}
	return c, p.err()
}

func (p *problems) checkCredential(c fleet.Credential) {
	if !printable(c.Name, maxCredentialName) {
		p.add("name", "1 to %d printable characters", maxCredentialName)
	}
	p.addIf("username", usernameProblem(c.Username))
	switch c.Kind {
	case fleet.CredentialPrivateKey, fleet.CredentialPassword:
	case fleet.CredentialCertificate, fleet.CredentialAgent:
		p.merge(fleet.NotSupportedYet("kind"))
	default:
		p.add("kind", "private_key, password, certificate or agent")
	}
	if len(c.Sites) == 0 || len(c.Sites) > maxSites {
		p.add("sites", "1 to %d sites", maxSites)
	}
}

// checkSites looks whether a secret can be sealed to the sites.
func (s *Service) checkSites(p *problems, sites []string) {
	for _, site := range sites {
		if _, ok := s.Seals.CurrentKey(site); !ok {
			p.merge(fieldError("sites", secret.CodeNoSealKey, "there is no seal key for one of the sites; add it to ROLLCALL_SEAL_KEYS"))
			return
		}
	}
}

// usernameProblem says why name cannot be a user name on a host, or nothing.
func usernameProblem(name string) string {
	if !printable(name, maxUsername) || name[0] == '-' {
		return "1 to 255 printable characters, not beginning with -"
	}
	for _, r := range name {
		if r == ' ' {
			return "no spaces"
		}
	}
	return ""
}

// seal seals material as the secret of c for each of its sites.
func (s *Service) seal(c fleet.Credential, material secret.Credential) ([]fleet.Seal, error) {
	plaintext := material.Encode()
	defer clear(plaintext)
	seals := make([]fleet.Seal, 0, len(c.Sites))
	for _, site := range c.Sites {
		keyID, sealed, err := s.Seals.Seal(site, c.ID, plaintext)
		if err != nil {
			return nil, err
		}
		seals = append(seals, fleet.Seal{Site: site, KeyID: keyID, Sealed: sealed})
	}
	return seals, nil
}
