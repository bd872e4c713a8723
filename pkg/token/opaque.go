package token

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"hash/crc32"
	"math/big"
	"strings"

	"github.com/google/uuid"
)

const (
	// APITokenPrefix begins every API token, so that people and secret scanners recognize one.
	APITokenPrefix = "rc_"
	// RefreshTokenPrefix begins every refresh token.
	RefreshTokenPrefix = "rcr_"
	// ResetTokenPrefix begins every token of a one-time link with which a user sets a password.
	ResetTokenPrefix = "rcp_"

	randomBytes   = 32
	randomDigits  = 43 // base62 digits of 32 bytes
	checkDigits   = 6  // base62 digits of a CRC-32
	base62Digits  = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
	apiTokenBytes = len(APITokenPrefix) + randomDigits + checkDigits
)

// NewAPIToken makes an API token of 256 random bits. plain is shown to its owner once; hash is what is stored
// and looked up. SHA-256 is enough for a secret that nobody can guess.
func NewAPIToken() (plain string, hash []byte) {
	var secret [randomBytes]byte
	_, _ = rand.Read(secret[:]) // never fails: crypto/rand ends the process where there is no randomness
	body := base62(new(big.Int).SetBytes(secret[:]), randomDigits)
	plain = APITokenPrefix + body + checksum(body)
	return plain, hashOf(plain)
}

// HashAPIToken returns the hash to look plain up by. ok is false for what cannot be one of our tokens, a
// mistyped one included, which needs no look at the database.
func HashAPIToken(plain string) (hash []byte, ok bool) {
	rest, ok := strings.CutPrefix(plain, APITokenPrefix)
	if !ok || len(plain) != apiTokenBytes {
		return nil, false
	}
	body, check := rest[:randomDigits], rest[randomDigits:]
	if strings.Trim(body, base62Digits) != "" || check != checksum(body) {
		return nil, false
	}
	return hashOf(plain), true
}

// NewRefreshToken makes a token that renews the access to session. plain goes to the client, hash is stored
// with the session.
func NewRefreshToken(session uuid.UUID) (plain string, hash []byte) {
	raw := make([]byte, len(session)+randomBytes)
	copy(raw, session[:])
	_, _ = rand.Read(raw[len(session):]) // never fails, as above
	plain = RefreshTokenPrefix + base64.RawURLEncoding.EncodeToString(raw)
	return plain, hashOf(plain)
}

// ParseRefreshToken returns the session that plain claims to renew and the hash to compare with the stored
// one. ok is false for what cannot be one of our tokens. The claim is worth nothing until the hash was compared.
func ParseRefreshToken(plain string) (session uuid.UUID, hash []byte, ok bool) {
	encoded, ok := strings.CutPrefix(plain, RefreshTokenPrefix)
	if !ok || len(encoded) != base64.RawURLEncoding.EncodedLen(len(session)+randomBytes) {
		return uuid.Nil, nil, false
	}
	raw, err := base64.RawURLEncoding.Strict().DecodeString(encoded)
	if err != nil || len(raw) != len(session)+randomBytes {
		return uuid.Nil, nil, false
	}
	copy(session[:], raw)
	return session, hashOf(plain), true
}

func hashOf(plain string) []byte {
	sum := sha256.Sum256([]byte(plain))
	return sum[:]
}

func checksum(body string) string {
	return base62(new(big.Int).SetUint64(uint64(crc32.ChecksumIEEE([]byte(body)))), checkDigits)
}

// base62 writes n with exactly width digits, leading zeros included. n is changed.
func base62(n *big.Int, width int) string {
	out := make([]byte, width)
	base, digit := big.NewInt(int64(len(base62Digits))), new(big.Int)
	for i := width - 1; i >= 0; i-- {
		n.DivMod(n, base, digit)
		out[i] = base62Digits[digit.Int64()]
	}
	return string(out)
}

// NewResetToken makes the token of a one-time link, of 256 random bits. plain is shown once; hash is what is stored and
// looked up.
func NewResetToken() (plain string, hash []byte) {
	var raw [randomBytes]byte
	_, _ = rand.Read(raw[:]) // never fails, as above
	plain = ResetTokenPrefix + base64.RawURLEncoding.EncodeToString(raw[:])
	return plain, hashOf(plain)
}

// HashResetToken returns the hash to look plain up by. ok is false for what cannot be one of our tokens.
func HashResetToken(plain string) (hash []byte, ok bool) {
	encoded, ok := strings.CutPrefix(plain, ResetTokenPrefix)
	if !ok || len(encoded) != base64.RawURLEncoding.EncodedLen(randomBytes) {
		return nil, false
	}
	if _, err := base64.RawURLEncoding.Strict().DecodeString(encoded); err != nil {
		return nil, false
	}
	return hashOf(plain), true
}
