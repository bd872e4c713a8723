package token_test

import (
	"bytes"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"github.com/rollcallhq/rollcall/pkg/fleet"
	"github.com/rollcallhq/rollcall/pkg/token"
)

var (
	now    = time.Date(2026, 11, 3, 9, 30, 0, 0, time.UTC)
	key    = bytes.Repeat([]byte("k"), 32)
	oldKey = bytes.Repeat([]byte("o"), 48)
)

func newSigner(tb testing.TB, key []byte, old ...[]byte) *token.Signer {
	tb.Helper()
	s, err := token.NewSigner(key, old...)
	if err != nil {
		tb.Fatalf("NewSigner: %v", err)
	}
	return s
}

func issue(tb testing.TB, s *token.Signer) (token.Access, string) {
	tb.Helper()
	a := token.Access{UserID: uuid.New(), SessionID: uuid.New()}
	signed, err := s.Issue(a, now)
	if err != nil {
		tb.Fatalf("Issue: %v", err)
	}
	return a, signed
}

func TestAccessRoundTrip(t *testing.T) {
	t.Parallel()
	s := newSigner(t, key)
	a, signed := issue(t, s)
	got, err := s.Verify(signed, now.Add(14*time.Minute))
	if err != nil {
		t.Fatal(err)
	}
	want := a
	want.IssuedAt, want.ExpiresAt = now, now.Add(token.AccessLifetime)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("Verify (-want +got):\n%s", diff)
	}
}

func TestAccessTime(t *testing.T) {
	t.Parallel()
	s := newSigner(t, key)
	_, signed := issue(t, s)
	tests := []struct {
		name string
		at   time.Duration // after the issue
		code string
	}{
		{"is accepted at once", 0, "ok"},
		{"is accepted on a clock 4 s behind", -4 * time.Second, "ok"},
		{"is refused on a clock a minute behind", -time.Minute, token.CodeTokenInvalid},
		{"is accepted in its last second", 15*time.Minute - time.Second, "ok"},
		{"is accepted 4 s later on a clock ahead", 15*time.Minute + 4*time.Second, "ok"},
		{"has expired after that", 15*time.Minute + 6*time.Second, token.CodeTokenExpired},
		{"has expired for good", 24 * time.Hour, token.CodeTokenExpired},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			_, err := s.Verify(signed, now.Add(tt.at))
			if got := fleet.CodeOf(err); got != tt.code {
				t.Errorf("Verify = %v (code %s), want code %s", err, got, tt.code)
			}
			if err != nil && fleet.KindOf(err) != fleet.Unauthenticated {
				t.Errorf("kind = %d, want Unauthenticated", fleet.KindOf(err))
			}
		})
	}
}

func TestAccessKeyRotation(t *testing.T) {
	t.Parallel()
	before, during, after := newSigner(t, oldKey), newSigner(t, key, oldKey), newSigner(t, key)
	_, signedBefore := issue(t, before)
	if _, err := during.Verify(signedBefore, now); err != nil {
		t.Errorf("a token of the old key while rotating = %v", err)
	}
	if _, err := after.Verify(signedBefore, now); fleet.CodeOf(err) != token.CodeTokenInvalid {
		t.Errorf("a token of the old key after rotating = %v", err)
	}
	_, signedDuring := issue(t, during)
	if _, err := after.Verify(signedDuring, now); err != nil {
		t.Errorf("a token issued while rotating is not of the new key: %v", err)
	}
}

// forge signs claims as an attacker or a foreign program would.
func forge(t *testing.T, method jwt.SigningMethod, key any, kid any, change func(jwt.MapClaims)) string {
	t.Helper()
	claims := jwt.MapClaims{
		"iss": "rollcall", "aud": "rollcall-api", "sub": uuid.NewString(), "sid": uuid.NewString(),
		"iat": now.Unix(), "exp": now.Add(time.Minute).Unix(),
	}
	change(claims)
	tok := jwt.NewWithClaims(method, claims)
	tok.Header["kid"] = kid
	signed, err := tok.SignedString(key)
	if err != nil {
		t.Fatal(err)
	}
	return signed
}

func kidOf(t *testing.T, signed string) string {
	t.Helper()
	tok, _, err := jwt.NewParser().ParseUnverified(signed, jwt.MapClaims{})
	if err != nil {
		t.Fatal(err)
	}
	kid, ok := tok.Header["kid"].(string)
	if !ok || kid == "" {
		t.Fatal("the token names no key")
	}
	return kid
}

func TestVerifyRefuses(t *testing.T) {
	t.Parallel()
	s := newSigner(t, key)
	_, good := issue(t, s)
	kid := kidOf(t, good)
	unchanged := func(jwt.MapClaims) {}
	with := func(name string, value any) string {
		return forge(t, jwt.SigningMethodHS256, key, kid, func(c jwt.MapClaims) { c[name] = value })
	}
	without := func(name string) string {
		return forge(t, jwt.SigningMethodHS256, key, kid, func(c jwt.MapClaims) { delete(c, name) })
	}
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	header := func(algorithm, kid string) string {
		return base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"` + algorithm + `","typ":"JWT","kid":"` + kid + `"}`))
	}
	parts := strings.Split(good, ".")
	payload := base64.RawURLEncoding.EncodeToString([]byte(`{"iss":"rollcall","aud":"rollcall-api"}`))

	if _, err := s.Verify(forge(t, jwt.SigningMethodHS256, key, kid, unchanged), now); err != nil {
		t.Fatalf("the forgery that the cases vary is not good to begin with: %v", err)
	}
	tests := []struct {
		name  string
		token string
	}{
		{"nothing", ""},
		{"something that is no token", "rc_abc"},
		{"another key", forge(t, jwt.SigningMethodHS256, oldKey, kid, unchanged)},
		{"an unknown key ID", forge(t, jwt.SigningMethodHS256, key, "nope", unchanged)},
		{"a key ID that is a number", forge(t, jwt.SigningMethodHS256, key, 7, unchanged)},
		{"the algorithm none", forge(t, jwt.SigningMethodNone, jwt.UnsafeAllowNoneSignatureType, kid, unchanged)},
		{"the algorithm HS512 with the right key", forge(t, jwt.SigningMethodHS512, key, kid, unchanged)},
		{"another issuer", with("iss", "elsewhere")},
		{"another audience", with("aud", "other-api")},
		{"no audience", without("aud")},
		{"no expiry", without("exp")},
		{"no time of issue", without("iat")},
		{"no user", without("sub")},
		{"a user that is no UUID", with("sub", "admin")},
		{"the nil user", with("sub", uuid.Nil.String())},
		{"no session", without("sid")},
		{"a session that is no UUID", with("sid", "x")},
		{"an exchanged payload", parts[0] + "." + payload + "." + parts[2]},
		{"a missing signature", parts[0] + "." + parts[1] + "."},
		{"a time that it is not valid before", with("nbf", now.Add(time.Minute).Unix())},
		{"a time of issue in the future", with("iat", now.Add(time.Minute).Unix())},
		{"no time of issue that is a number", with("iat", "now")},
		{"the algorithm RS256", forge(t, jwt.SigningMethodRS256, rsaKey, kid, unchanged)},
		{"none, spelled otherwise", header("nOnE", kid) + "." + parts[1] + "."},
		{"HS256, spelled otherwise", header("hs256", kid) + "." + parts[1] + "." + parts[2]},
		{"a signature cut short", good[:len(good)-1]},
		{"a payload cut short", parts[0] + "." + parts[1][:len(parts[1])-2] + "." + parts[2]},
		{"a fourth part", good + ".e30"},
		{"space around it", " " + good},
		{"a megabyte", strings.Repeat("a", 1<<20)},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			got, err := s.Verify(tt.token, now)
			if fleet.KindOf(err) != fleet.Unauthenticated || fleet.CodeOf(err) != token.CodeTokenInvalid {
				t.Errorf("Verify = %+v, %v (kind %d, code %s)", got, err, fleet.KindOf(err), fleet.CodeOf(err))
			}
			if fleet.MessageOf(err) != "the access token is not valid" {
				t.Errorf("the message tells a forger %q", fleet.MessageOf(err))
			}
		})
	}
}

func TestSignerRefusesShortKeys(t *testing.T) {
	t.Parallel()
	for _, keys := range [][][]byte{{nil}, {make([]byte, 31)}, {key, make([]byte, 31)}} {
		if _, err := token.NewSigner(keys[0], keys[1:]...); fleet.KindOf(err) != fleet.Invalid {
			t.Errorf("NewSigner with %d keys, the last of %d bytes = %v, want Invalid", len(keys), len(keys[len(keys)-1]), err)
		}
	}
	if _, err := newSigner(t, key).Issue(token.Access{UserID: uuid.New()}, now); fleet.KindOf(err) != fleet.Invalid {
		t.Errorf("a token without session = %v, want Invalid", err)
	}
}

func TestSignerNeverPrintsKeys(t *testing.T) {
	t.Parallel()
	s := newSigner(t, key, oldKey)
	var log bytes.Buffer
	slog.New(slog.NewTextHandler(&log, nil)).Info("signer", "pointer", s, "value", *s)
	for _, verb := range []string{"%v", "%+v", "%#v", "%d", "%x", "%s"} {
		fmt.Fprintf(&log, verb+verb, s, *s)
	}
	printed := log.String()
	if n := strings.Count(printed, "[2 signing keys]"); n != 14 {
		t.Errorf("printed a count %d times out of 14: %s", n, printed)
	}
	if strings.Contains(printed, "kkk") || strings.Contains(printed, "107") || strings.Contains(printed, "6b6b") {
		t.Errorf("printed a key: %s", printed)
	}
}

func FuzzVerify(f *testing.F) {
	s := newSigner(f, key)
	// The same in every process of the fuzzer.
	good, err := s.Issue(token.Access{UserID: uuid.UUID{15: 1}, SessionID: uuid.UUID{15: 2}}, now)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	f.Add("a.b.c")
	f.Fuzz(func(t *testing.T, signed string) {
		if _, err := s.Verify(signed, now); err == nil && signed != good {
			t.Errorf("accepted %q", signed)
		}
	})
}
