package inventory

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"maps"
	"slices"
	"strings"

	"github.com/google/uuid"

	"github.com/rollcallhq/rollcall/pkg/fleet"
	"github.com/rollcallhq/rollcall/pkg/secret"
	"github.com/rollcallhq/rollcall/pkg/store"
)

// An inlineKey tells apart the credentials that lines bring along. It lives as long as the import.
type inlineKey credentialLine

// An inline credential was brought along by one or more lines.
type inline struct {
	name     string
	named    bool // by the file, not by us
	digested bool // the name says which password it is
	c        fleet.Credential
	material secret.Credential
	sites    map[string]bool // of the hosts that use it
	err      error           // why it cannot be used
	id       uuid.UUID       // once it is resolved
}

// bring returns the credential that the line brings along, the same one for equal ones.
func (im *importing) bring(h fleet.Host, given hostLine, brought map[inlineKey]*inline) (*inline, error) {
	if _, ok := im.Seals.CurrentKey(h.Site); !ok {
		return nil, fieldError("site", secret.CodeNoSealKey, "there is no seal key for this site, so its credential cannot be sealed")
	}
	key := inlineKey(*given.Credential)
	if in, ok := brought[key]; ok {
		in.sites[h.Site] = true
		return in, in.err
	}
	if len(brought) >= maxImportCredentials {
		return nil, fleet.Errorf(fleet.Invalid, "credential: an import brings along at most %d different credentials", maxImportCredentials).
			WithCode("too_many_credentials")
	}
	in := &inline{
		name: key.Name, named: key.Name != "", sites: map[string]bool{h.Site: true},
		material: secret.Credential{PrivateKey: some(key.PrivateKey), Passphrase: some(key.Passphrase), Password: some(key.Password)},
	}
	in.c = fleet.Credential{Name: key.Name, Kind: key.Kind, Username: key.Username, Sites: []string{h.Site}}
	in.c, in.err = im.checkInline(in)
	in.name = in.c.Name
	brought[key] = in
	im.credentials = append(im.credentials, in)
	return in, in.err
}

// some returns the bytes of text; nil for the empty one.
func some(text string) []byte {
	if text == "" {
		return nil
	}
	return []byte(text)
}

// checkInline checks a credential and names it if the file does not.
func (im *importing) checkInline(in *inline) (fleet.Credential, error) {
	c := in.c
	if !in.named {
		c.Name = "import" // stands in until the key's fingerprint is known
	}
	c, err := im.checkNewCredential(c, in.material)
	if err != nil {
		return c, within("credential", err)
	}
	if in.named {
		return c, nil
	}
	switch {
	case c.Kind == fleet.CredentialPrivateKey:
		c.Name = c.Username + "@import-" + short(strings.TrimPrefix(c.Fingerprint, "SHA256:"))
	case len(im.DigestKey) > 0:
		mac := hmac.New(sha256.New, im.DigestKey)
		mac.Write([]byte("imported password\x00" + c.Username + "\x00"))
		mac.Write(in.material.Password)
		c.Name = c.Username + "@import-" + short(base64.RawStdEncoding.EncodeToString(mac.Sum(nil)))
		in.digested = true
	default:
		c.Name = c.Username + "@import-password"
	}
	return c, nil
}

// short returns a stable beginning of a digest in base64 that reads well in a name.
func short(digest string) string {
	return strings.NewReplacer("+", "-", "/", "_").Replace(digest[:min(len(digest), 12)])
}

// within returns an Invalid error with its fields one level deeper.
func within(field string, err error) error {
	fields := fleet.FieldsOf(err)
	if len(fields) == 0 {
		return err
	}
	var p problems
	for _, f := range fields {
		p.merge(fieldError(field+"."+f.Field, f.Code, f.Message))
	}
	return p.err()
}

// resolveCredentials stores the credentials that the lines bring along, or finds them. Those that cannot be used keep
// the reason.
func (im *importing) resolveCredentials(ctx context.Context) error {
	byName := map[string]*inline{}
	for _, in := range im.credentials {
		if in.err != nil {
			continue
		}
		if _, taken := byName[in.name]; taken {
			in.err = fieldError("credential.name", "duplicate", "another line brings another credential along under this name; give each a name of its own")
			continue
		}
		byName[in.name] = in
	}
	if len(byName) == 0 {
		return nil
	}
	return im.Store.InTx(ctx, func(tx *store.Store) error {
		names := slices.Sorted(maps.Keys(byName))
		existing, err := tx.CredentialsByName(ctx, names)
		if err != nil {
			return err
		}
		for _, name := range names {
			in := byName[name]
			known, ok := existing[name]
			if !ok {
				err = im.addInline(ctx, tx, in)
			} else {
				err = im.matchInline(ctx, tx, in, known)
			}
			if err != nil {
				return err
			}
		}
		return nil
	})
}

func (im *importing) addInline(ctx context.Context, tx *store.Store, in *inline) error {
	c := in.c
	c.ID, c.Sites = fleet.NewID(), slices.Sorted(maps.Keys(in.sites))
	in.id = c.ID
	if im.dryRun {
		return nil
	}
	seals, err := im.seal(c, in.material)
	if err != nil {
		return err
	}
	if err := tx.AddCredential(ctx, c, seals); err != nil {
		return err
	}
	return tx.Audit(ctx, im.actor, credentialEntry("create", c))
}

// matchInline takes a credential of the same name, and brings it up to date: further sites, and another secret. A
// password under a name that the file gave is sealed anew each time, because nobody can tell here whether it differs.
func (im *importing) matchInline(ctx context.Context, tx *store.Store, in *inline, known fleet.Credential) error {
	if known.Kind != in.c.Kind || known.Username != in.c.Username {
		in.err = fieldError("credential.name", "name_taken", "a credential of that name exists with another kind or user name")
		return nil
	}
	switch err := mayTouchCredential(ctx, tx, im.actor, known.ID, true); fleet.KindOf(err) {
	case fleet.OK:
	case fleet.NotFound, fleet.Forbidden:
		in.err = fieldError("credential.name", "name_taken", "a credential of that name exists for hosts outside of what you may see")
		return nil
	default:
		return err
	}
	in.id = known.ID
	after := in.c
	after.ID, after.Version = known.ID, known.Version
	after.Sites = slices.Clone(known.Sites)
	for site := range in.sites {
		if !slices.Contains(after.Sites, site) {
			after.Sites = append(after.Sites, site)
		}
	}
	slices.Sort(after.Sites)
	same := in.digested || in.c.Kind == fleet.CredentialPrivateKey && known.Fingerprint == in.c.Fingerprint
	if im.dryRun || same && slices.Equal(after.Sites, known.Sites) {
		return nil
	}
	if problem := im.sealable(after.Sites); problem != nil {
		in.err = within("credential", problem)
		return nil
	}
	_, err := im.storeCredential(ctx, tx, im.actor, known, after, &in.material)
	return err
}

// sealable says which of the sites have no seal key, or nothing.
func (im *importing) sealable(sites []string) error {
	var p problems
	im.checkSites(&p, sites)
	return p.err()
}
