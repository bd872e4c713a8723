package secret

import (
	"crypto/ecdh"
	"crypto/hpke"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"

	"github.com/rollcallhq/rollcall/pkg/fleet"
)

const (
	maxKeyListBytes = 1 << 20 // of a whole list; some 10,000 keys
	maxNameBytes    = 63      // of a site and of a key's ID
	keyBytes        = 32      // of an X25519 key, public or private

	// generatedPrefix marks the IDs that GenerateKeyPair makes. What follows is the fingerprint of the public
	// key, so that a list with the two halves of a pair mixed up is noticed when it is read.
	generatedPrefix = "hk-"
)

// A keyName says whose key it is: the site, and the key's ID within the site.
type keyName struct{ site, id string }

// String returns the name as it stands in a list.
func (n keyName) String() string { return n.site + "/" + n.id }

// A keyEntry is one decoded entry of a list.
type keyEntry struct {
	name keyName
	raw  []byte
}

func suite() (hpke.KEM, hpke.KDF, hpke.AEAD) {
	return hpke.DHKEM(ecdh.X25519()), hpke.HKDFSHA256(), hpke.AES256GCM()
}

// GenerateKeyPair makes a fresh pair for site and returns its halves as entries of the two lists: seal for
// processes that store credentials, open for the workers of the site alone. Both carry the same ID, which is
// a fingerprint of the public key. A site that is not a name is an error of kind Invalid.
func GenerateKeyPair(site string) (seal, open string, err error) {
	if err := checkName("site", site); err != nil {
		return "", "", fleet.Errorf(fleet.Invalid, "%v", err)
	}
	kem, _, _ := suite()
	private, err := kem.GenerateKey()
	if err != nil {
		return "", "", fmt.Errorf("generating a key: %w", err)
	}
	raw, err := private.Bytes()
	if err != nil {
		return "", "", fmt.Errorf("encoding a key: %w", err)
	}
	public := private.PublicKey().Bytes()
	name := keyName{site: site, id: generatedID(public)}.String()
	encode := base64.StdEncoding.EncodeToString
	return name + ":" + encode(public), name + ":" + encode(raw), nil
}

// generatedID is the ID of the pair that public belongs to.
func generatedID(public []byte) string {
	sum := sha256.Sum256(public)
	return generatedPrefix + hex.EncodeToString(sum[:8])
}

// SealKeys are the public keys of sites. They are safe for concurrent use and never print a key.
type SealKeys struct {
	sites  []string           // in the order of the list
	bySite map[string]sealKey // the first of each site
	count  int
}

type sealKey struct {
	name keyName
	key  hpke.PublicKey
}

// ParseSealKeys reads a list of public keys. The first key of a site is the one that seals; later ones are
// checked and otherwise ignored. An error is of kind Invalid and names the number of the entry, counted from
// 1, and the reason; it never holds key material.
func ParseSealKeys(list string) (*SealKeys, error) {
	entries, err := parseList(list)
	if err != nil {
		return nil, err
	}
	kem, _, _ := suite()
	keys := &SealKeys{bySite: map[string]sealKey{}, count: len(entries)}
	for i, e := range entries {
		public, err := kem.NewPublicKey(e.raw)
		if err != nil {
			return nil, entryError(i, "not an X25519 public key")
		}
		if err := checkID(e.name, public); err != nil {
			return nil, entryError(i, "%v", err)
		}
		key := sealKey{name: e.name, key: public}
		// A point of low order decodes and cannot be agreed with, which the first credential would find out.
		if _, err := seal(key, [16]byte{}, nil); err != nil {
			return nil, entryError(i, "not a usable X25519 public key")
		}
		if _, ok := keys.bySite[e.name.site]; !ok {
			keys.bySite[e.name.site] = key
			keys.sites = append(keys.sites, e.name.site)
		}
	}
	return keys, nil
}

// Sites returns the sites there is a key for, in the order of the list. The slice is the caller's.
func (k *SealKeys) Sites() []string { return slices.Clone(k.sites) }

// CurrentKey returns the ID of the key that seals for site, and whether there is one. A stored seal with
// another key ID is one to seal anew.
func (k *SealKeys) CurrentKey(site string) (keyID string, ok bool) {
	key, ok := k.bySite[site]
	return key.name.id, ok
}

// String counts the keys and shows none.
func (k SealKeys) String() string { return fmt.Sprintf("[%d seal keys]", k.count) }

// Format prints the count under every verb, so that none of fmt's reaches the keys.
func (k SealKeys) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte(k.String())) }

// LogValue counts the keys and shows none.
func (k SealKeys) LogValue() slog.Value { return slog.StringValue(k.String()) }

// OpenKeys are the private keys of sites. They are safe for concurrent use and never print a key.
type OpenKeys struct {
	sites []string                  // in the order of the list
	names []keyName                 // in the order of the list
	first map[string]hpke.PublicKey // by site: the public half of the first key
	keys  map[keyName]hpke.PrivateKey
}

// ParseOpenKeys reads a list of private keys, all of which open; the first of a site is also the one that Reseal seals
// to. Errors are as those of ParseSealKeys.
func ParseOpenKeys(list string) (*OpenKeys, error) {
	entries, err := parseList(list)
	if err != nil {
		return nil, err
	}
	kem, _, _ := suite()
	keys := &OpenKeys{keys: map[keyName]hpke.PrivateKey{}, first: map[string]hpke.PublicKey{}}
	for i, e := range entries {
		private, err := kem.NewPrivateKey(e.raw)
		if err != nil {
			return nil, entryError(i, "not an X25519 private key")
		}
		if err := checkID(e.name, private.PublicKey()); err != nil {
			return nil, entryError(i, "%v", err)
		}
		keys.keys[e.name] = private
		keys.names = append(keys.names, e.name)
		if _, ok := keys.first[e.name.site]; !ok {
			keys.first[e.name.site] = private.PublicKey()
			keys.sites = append(keys.sites, e.name.site)
		}
	}
	return keys, nil
}

// Sites returns the sites there is a key for, in the order of the list. The slice is the caller's.
func (k *OpenKeys) Sites() []string { return slices.Clone(k.sites) }

// CurrentKey returns the ID of the first key of site, to which Reseal seals, and whether there is one.
func (k *OpenKeys) CurrentKey(site string) (keyID string, ok bool) {
	for _, name := range k.names {
		if name.site == site {
			return name.id, true
		}
	}
	return "", false
}

// KeyIDs returns the IDs of the keys of site, the current one first. They are no secrets: seals name them.
func (k *OpenKeys) KeyIDs(site string) []string {
	var ids []string
	for _, name := range k.names {
		if name.site == site {
			ids = append(ids, name.id)
		}
	}
	return ids
}

// String counts the keys and shows none.
func (k OpenKeys) String() string { return fmt.Sprintf("[%d open keys]", len(k.keys)) }

// Format prints the count under every verb, so that none of fmt's reaches the keys.
func (k OpenKeys) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte(k.String())) }

// LogValue counts the keys and shows none.
func (k OpenKeys) LogValue() slog.Value { return slog.StringValue(k.String()) }

// parseList splits and decodes a list. White space around entries is allowed, an empty entry is not.
func parseList(list string) ([]keyEntry, error) {
	if strings.TrimSpace(list) == "" {
		return nil, fleet.Errorf(fleet.Invalid, "the list of keys is empty; the form is site/id:base64[,site/id:base64…]")
	}
	if len(list) > maxKeyListBytes {
		return nil, fleet.Errorf(fleet.Invalid, "the list of keys is longer than %d bytes", maxKeyListBytes)
	}
	parts := strings.Split(list, ",")
	entries := make([]keyEntry, 0, len(parts))
	seen := make(map[keyName]int, len(parts))
	for i, part := range parts {
		e, err := parseEntry(strings.TrimSpace(part))
		if err != nil {
			return nil, entryError(i, "%v", err)
		}
		if first, ok := seen[e.name]; ok {
			return nil, entryError(i, "has the same site and ID as entry %d", first+1)
		}
		seen[e.name] = i
		entries = append(entries, e)
	}
	return entries, nil
}

// parseEntry reads site/id:base64. Its errors quote nothing, because whatever stands in a wrong place may be
// the key.
func parseEntry(s string) (keyEntry, error) {
	if s == "" {
		return keyEntry{}, errors.New("is empty")
	}
	name, encoded, ok := strings.Cut(s, ":")
	if !ok {
		return keyEntry{}, errors.New("has no colon between name and key; the form is site/id:base64")
	}
	site, id, ok := strings.Cut(name, "/")
	if !ok {
		return keyEntry{}, errors.New("has no slash between site and ID; the form is site/id:base64")
	}
	if err := errors.Join(checkName("site", site), checkName("ID", id)); err != nil {
		return keyEntry{}, err
	}
	raw, err := base64.RawStdEncoding.Strict().DecodeString(strings.TrimRight(encoded, "="))
	if err != nil {
		return keyEntry{}, errors.New("has a key that is not base64")
	}
	if len(raw) != keyBytes {
		return keyEntry{}, fmt.Errorf("has a key of %d bytes instead of %d", len(raw), keyBytes)
	}
	return keyEntry{name: keyName{site: site, id: id}, raw: raw}, nil
}

// checkName accepts 1 to 63 of [A-Za-z0-9._-], beginning with a letter or digit.
func checkName(what, s string) error {
	if s == "" || len(s) > maxNameBytes {
		return fmt.Errorf("the %s is not 1 to %d characters long", what, maxNameBytes)
	}
	for i, c := range []byte(s) {
		alphanumeric := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9'
		if !alphanumeric && (i == 0 || !strings.ContainsRune("._-", rune(c))) {
			return fmt.Errorf("the %s may hold only letters, digits and, after the first, any of . _ -", what)
		}
	}
	return nil
}

// checkID refuses a generated ID on a key that it was not generated for. The usual cause is the list of the
// other half of the pairs, and a private key given to a process that must not have it is worth stopping for.
func checkID(name keyName, public hpke.PublicKey) error {
	if strings.HasPrefix(name.id, generatedPrefix) && name.id != generatedID(public.Bytes()) {
		return errors.New("has a key that its ID was not generated for; are seal keys and open keys mixed up?")
	}
	return nil
}

// entryError is about entry i, counted from 0.
func entryError(i int, format string, args ...any) error {
	return fleet.Errorf(fleet.Invalid, "entry %d: %s", i+1, fmt.Sprintf(format, args...))
}
