package account

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"strings"

	"github.com/google/uuid"
)

// cookiePrefix begins every cookie secret, so that one that turns up somewhere is recognized.
const cookiePrefix = "rcs_"

const cookieBytes = 32

// newCookieSecret makes the secret of a browser's session, of 256 random bits, and the ID of that session.
func newCookieSecret() (secret string, id uuid.UUID) {
	var raw [cookieBytes]byte
	_, _ = rand.Read(raw[:]) // never fails: crypto/rand ends the process where there is no randomness
	return cookiePrefix + base64.RawURLEncoding.EncodeToString(raw[:]), cookieSession(raw[:])
}

// parseCookieSecret returns the ID of the session whose secret this is. ok is false for what cannot be one.
func parseCookieSecret(secret string) (id uuid.UUID, ok bool) {
	encoded, ok := strings.CutPrefix(secret, cookiePrefix)
	if !ok || len(encoded) != base64.RawURLEncoding.EncodedLen(cookieBytes) {
		return uuid.Nil, false
	}
	raw, err := base64.RawURLEncoding.Strict().DecodeString(encoded)
	if err != nil {
		return uuid.Nil, false
	}
	return cookieSession(raw), true
}

// cookieSession derives the ID of a session from its secret: whoever has the secret finds the session, and the ID,
// which stands in the audit log, leads nobody to the secret. It is a UUIDv8 (RFC 9562, section 5.8) of 122 bits of
// SHA-256, and so is never the UUIDv7 of a session with tokens.
func cookieSession(raw []byte) uuid.UUID {
	sum := sha256.Sum256(append([]byte("rollcall session cookie\x00"), raw...))
	var id uuid.UUID
	copy(id[:], sum[:])
	id[6] = id[6]&0x0f | 0x80
	id[8] = id[8]&0x3f | 0x80
	return id
}
