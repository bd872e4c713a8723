package token

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/google/uuid"

	"github.com/rollcallhq/rollcall/pkg/fleet"
)

const (
	// AccessLifetime is how long an access token is accepted after it was issued.
	AccessLifetime = 15 * time.Minute
	// MinKeyBytes is the shortest signing key.
	MinKeyBytes = 32

	// CodeTokenExpired is the code of the error about a token that was good once: the caller may refresh it.
	CodeTokenExpired = "token_expired"
	// CodeTokenInvalid is the code of the error about a token that was never good, or whose key is gone.
	CodeTokenInvalid = "token_invalid"

	issuer         = "rollcall"
	audience       = "rollcall-api"
	leeway         = 5 * time.Second // how far the clocks of two replicas may differ
	maxAccessBytes = 4 << 10         // ours have some 400
)

// Access is what an access token says. It names no role on purpose: a role that is taken away is gone at the
// next request and not when the token expires.
type Access struct {
	UserID    uuid.UUID
	SessionID uuid.UUID
	IssuedAt  time.Time // set by Verify; whole seconds
	ExpiresAt time.Time // set by Verify; whole seconds
}

type accessClaims struct {
	jwt.RegisteredClaims
	SessionID uuid.UUID `json:"sid"`
}

// A Signer issues and verifies access tokens. It is safe for concurrent use and never prints its keys.
type Signer struct {
	current string            // ID of the key that signs
	keys    map[string][]byte // by ID
}

// NewSigner returns a Signer that signs with key and also accepts what was signed with the old ones, so that
// a key is replaced without signing anybody out. A key shorter than MinKeyBytes is an error of kind Invalid.
// The keys are copied.
func NewSigner(key []byte, old ...[]byte) (*Signer, error) {
	s := &Signer{current: keyID(key), keys: make(map[string][]byte, 1+len(old))}
	for i, k := range append([][]byte{key}, old...) {
		if len(k) < MinKeyBytes {
			return nil, fleet.Errorf(fleet.Invalid, "%s has %d bytes, and at least %d are needed", keyTitle(i), len(k), MinKeyBytes)
		}
		s.keys[keyID(k)] = slices.Clone(k)
	}
	return s, nil
}

func keyTitle(i int) string {
	if i == 0 {
		return "the signing key"
	}
	return fmt.Sprintf("old signing key %d", i)
}

// keyID names a key without telling anything about it.
func keyID(key []byte) string {
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte("rollcall signing key id"))
	return hex.EncodeToString(mac.Sum(nil)[:8])
}

// Issue returns a token for a that is accepted until AccessLifetime after now. IssuedAt and ExpiresAt of a
// are ignored; an access without user or session is an error of kind Invalid.
func (s *Signer) Issue(a Access, now time.Time) (string, error) {
	if a.UserID == uuid.Nil || a.SessionID == uuid.Nil {
		return "", fleet.Errorf(fleet.Invalid, "an access token needs a user and a session")
	}
	t := jwt.NewWithClaims(jwt.SigningMethodHS256, accessClaims{
		RegisteredClaims: jwt.RegisteredClaims{
			Issuer:    issuer,
			Audience:  jwt.ClaimStrings{audience},
			Subject:   a.UserID.String(),
			IssuedAt:  jwt.NewNumericDate(now),
			ExpiresAt: jwt.NewNumericDate(now.Add(AccessLifetime)),
		},
		SessionID: a.SessionID,
	})
	t.Header["kid"] = s.current
	signed, err := t.SignedString(s.keys[s.current])
	if err != nil {
		return "", fmt.Errorf("signing an access token: %w", err)
	}
	return signed, nil
}

// Verify returns what a token says if one of the keys signed it, it was made for this API and has not
// expired at now. Every error is of kind Unauthenticated, with CodeTokenExpired where refreshing helps and
// CodeTokenInvalid otherwise. Whether the session still lives is not looked at.
func (s *Signer) Verify(token string, now time.Time) (Access, error) {
	if len(token) > maxAccessBytes {
		return Access{}, invalidToken(fmt.Errorf("a token of %d bytes", len(token)))
	}
	parser := jwt.NewParser(
		jwt.WithValidMethods([]string{jwt.SigningMethodHS256.Alg()}),
		jwt.WithIssuer(issuer),
		jwt.WithAudience(audience),
		jwt.WithExpirationRequired(),
		jwt.WithIssuedAt(),
		jwt.WithLeeway(leeway),
		jwt.WithStrictDecoding(),
		jwt.WithTimeFunc(func() time.Time { return now }),
	)
	var claims accessClaims
	_, err := parser.ParseWithClaims(token, &claims, s.keyOf)
	if errors.Is(err, jwt.ErrTokenExpired) {
		return Access{}, fleet.Wrap(err, fleet.Unauthenticated, "the access token has expired").WithCode(CodeTokenExpired)
	}
	if err != nil {
		return Access{}, invalidToken(err)
	}
	user, err := uuid.Parse(claims.Subject)
	if err != nil || user == uuid.Nil || claims.SessionID == uuid.Nil || claims.IssuedAt == nil {
		return Access{}, invalidToken(errors.New("a token without user, session or time of issue"))
	}
	return Access{
		UserID: user, SessionID: claims.SessionID,
		IssuedAt: claims.IssuedAt.UTC(), ExpiresAt: claims.ExpiresAt.UTC(),
	}, nil
}

// keyOf finds the key that t says it was signed with.
func (s *Signer) keyOf(t *jwt.Token) (any, error) {
	id, isText := t.Header["kid"].(string)
	key, ok := s.keys[id]
	if !isText || !ok {
		return nil, errors.New("the signing key is not known")
	}
	return key, nil
}

// invalidToken does not tell its reader why, which only a forger would profit from; cause is for the log.
func invalidToken(cause error) error {
	return fleet.Wrap(cause, fleet.Unauthenticated, "the access token is not valid").WithCode(CodeTokenInvalid)
}

// String counts the keys and shows none.
func (s Signer) String() string { return fmt.Sprintf("[%d signing keys]", len(s.keys)) }

// Format prints the count under every verb, so that none of fmt's reaches the keys.
func (s Signer) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte(s.String())) }

// LogValue counts the keys and shows none.
func (s Signer) LogValue() slog.Value { return slog.StringValue(s.String()) }
