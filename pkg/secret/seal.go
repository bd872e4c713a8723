package secret

import (
	"crypto/hpke"
	"errors"
	"fmt"

	"github.com/google/uuid"

	"github.com/rollcallhq/rollcall/pkg/fleet"
)

// MaxPlaintext is the largest secret that can be sealed, in bytes.
const MaxPlaintext = 256 << 10

const (
	// CodeNoSealKey is the code of an error about a site that nothing can be sealed for.
	CodeNoSealKey = "no_seal_key"
	// CodeNoOpenKey is the code of an error about a seal whose key this process does not hold.
	CodeNoOpenKey = "no_open_key"
	// CodeSealBroken is the code of an error about a seal that no key can open.
	CodeSealBroken = "seal_broken"
)

const (
	version1 = 1  // X25519, HKDF-SHA256, AES-256-GCM; info and AAD as below
	encBytes = 32 // encapsulated X25519 key, after the version byte
	tagBytes = 16
)

// Seal encrypts plaintext, of at most MaxPlaintext bytes, to the current key of site so that it opens only for
// that site and as the secret of owner, which is the credential's ID. It returns the ID of the key it sealed
// with, which opening needs. A site without a key and a plaintext that is too long are errors of kind Invalid.
func (k *SealKeys) Seal(site string, owner uuid.UUID, plaintext []byte) (keyID string, sealed []byte, err error) {
	key, ok := k.bySite[site]
	if !ok {
		return "", nil, fleet.Errorf(fleet.Invalid, "there is no seal key for site %q", site).WithCode(CodeNoSealKey)
	}
	if len(plaintext) > MaxPlaintext {
		return "", nil, fleet.Errorf(fleet.Invalid, "the secret is longer than %d bytes", MaxPlaintext)
	}
	sealed, err = seal(key, owner, plaintext)
	if err != nil {
		return "", nil, fmt.Errorf("sealing for site %s: %w", site, err)
	}
	return key.name.id, sealed, nil
}

// seal returns version ‖ encapsulated key ‖ ciphertext and tag.
func seal(to sealKey, owner uuid.UUID, plaintext []byte) ([]byte, error) {
	_, kdf, aead := suite()
	enc, sender, err := hpke.NewSender(to.key, kdf, aead, info(to.name))
	if err != nil {
		return nil, err
	}
	ciphertext, err := sender.Seal(owner[:], plaintext)
	if err != nil {
		return nil, err
	}
	sealed := make([]byte, 0, 1+len(enc)+len(ciphertext))
	sealed = append(sealed, version1)
	sealed = append(sealed, enc...)
	return append(sealed, ciphertext...), nil
}

// Open decrypts what Seal returned for the same site and owner. A key that is not held is an error of kind
// NotFound with CodeNoOpenKey: another worker, or this one with the key added, may succeed. Everything else
// that keeps a seal from opening (altered, cut short, moved from another credential or site, written by a
// newer release) is of kind Invalid with CodeSealBroken. The plaintext is the caller's, to wipe after use.
func (k *OpenKeys) Open(site, keyID string, owner uuid.UUID, sealed []byte) ([]byte, error) {
	name := keyName{site: site, id: keyID}
	key, ok := k.keys[name]
	if !ok {
		return nil, fleet.Errorf(fleet.NotFound, "this process holds no open key %q of site %q", keyID, site).
			WithCode(CodeNoOpenKey)
	}
	plaintext, err := open(key, name, owner, sealed)
	if err != nil {
		return nil, fleet.Wrap(err, fleet.Invalid, "the secret does not open: it was altered, or sealed for something else").
			WithCode(CodeSealBroken)
	}
	return plaintext, nil
}

// Reseal opens a seal as Open does and seals what it held anew, for the same site and owner, to the public half of the
// first of the site's own open keys. Nobody can make it seal to another key: no public key comes from outside. It returns
// the ID of that key. The plaintext does not leave the call.
func (k *OpenKeys) Reseal(site, keyID string, owner uuid.UUID, sealed []byte) (newID string, anew []byte, err error) {
	plaintext, err := k.Open(site, keyID, owner, sealed)
	if err != nil {
		return "", nil, err
	}
	defer clear(plaintext)
	newID, _ = k.CurrentKey(site) // there is one: a key of the site has just opened
	anew, err = seal(sealKey{name: keyName{site: site, id: newID}, key: k.first[site]}, owner, plaintext)
	if err != nil {
		return "", nil, fmt.Errorf("sealing anew for site %s: %w", site, err)
	}
	return newID, anew, nil
}

func open(key hpke.PrivateKey, name keyName, owner uuid.UUID, sealed []byte) ([]byte, error) {
	if len(sealed) < 1+encBytes+tagBytes || len(sealed) > 1+encBytes+MaxPlaintext+tagBytes {
		return nil, fmt.Errorf("a seal of %d bytes", len(sealed))
	}
	if sealed[0] != version1 {
		return nil, fmt.Errorf("a seal of version %d", sealed[0])
	}
	_, kdf, aead := suite()
	recipient, err := hpke.NewRecipient(sealed[1:1+encBytes], key, kdf, aead, info(name))
	if err != nil {
		return nil, errors.New("the encapsulated key is not acceptable")
	}
	return recipient.Open(owner[:], sealed[1+encBytes:])
}

// info binds a seal to its format, its site and its key. Names hold no NUL, so no two pairs look alike.
func info(name keyName) []byte {
	return []byte("rollcall credential\x00" + string(rune(version1)) + "\x00" + name.site + "\x00" + name.id)
}
