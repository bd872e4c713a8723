package token_test

import (
	"bytes"
	"regexp"
	"strings"
	"testing"

	"github.com/google/uuid"

	"github.com/rollcallhq/rollcall/pkg/token"
)

func TestAPITokenRoundTrip(t *testing.T) {
	t.Parallel()
	form := regexp.MustCompile(`^rc_[0-9A-Za-z]{49}$`)
	seen := map[string]bool{}
	for range 200 {
		plain, hash := token.NewAPIToken()
		if !form.MatchString(plain) || seen[plain] || len(hash) != 32 {
			t.Fatalf("token %q, seen before %v, hash of %d bytes", plain, seen[plain], len(hash))
		}
		seen[plain] = true
		again, ok := token.HashAPIToken(plain)
		if !ok || !bytes.Equal(again, hash) {
			t.Fatalf("HashAPIToken(%q) = %x, %v, want %x", plain, again, ok, hash)
		}
		if bytes.Contains(hash, []byte(plain[:8])) {
			t.Fatal("the hash shows the token")
		}
	}
}

func TestHashAPITokenRefuses(t *testing.T) {
	t.Parallel()
	plain, _ := token.NewAPIToken()
	swapped := []byte(plain)
	for i := 10; i < 40; i++ { // the first two neighbours that differ
		if swapped[i] != swapped[i+1] {
			swapped[i], swapped[i+1] = swapped[i+1], swapped[i]
			break
		}
	}
	tests := []struct{ name, plain string }{
		{"nothing", ""},
		{"the prefix alone", "rc_"},
		{"another prefix", "xx_" + plain[3:]},
		{"a token cut short", plain[:len(plain)-1]},
		{"a token with a line break", plain + "\n"},
		{"two letters exchanged", string(swapped)},
		{"a wrong checksum", plain[:len(plain)-6] + "000000"},
		{"a letter outside the alphabet", plain[:20] + "-" + plain[21:]},
		{"a megabyte", "rc_" + strings.Repeat("0", 1<<20)},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if hash, ok := token.HashAPIToken(tt.plain); ok || hash != nil {
				t.Errorf("HashAPIToken(%.60q) = %x, %v, want it refused", tt.plain, hash, ok)
			}
		})
	}
}

func TestRefreshTokenRoundTrip(t *testing.T) {
	t.Parallel()
	session := uuid.New()
	plain, hash := token.NewRefreshToken(session)
	second, secondHash := token.NewRefreshToken(session)
	if plain == second || bytes.Equal(hash, secondHash) {
		t.Error("two refresh tokens of one session are equal")
	}
	got, gotHash, ok := token.ParseRefreshToken(plain)
	if !ok || got != session || !bytes.Equal(gotHash, hash) {
		t.Errorf("ParseRefreshToken = %s, %x, %v, want %s, %x", got, gotHash, ok, session, hash)
	}
	if _, ok := token.HashAPIToken(plain); ok {
		t.Error("a refresh token passes for an API token")
	}
}

func TestParseRefreshTokenRefuses(t *testing.T) {
	t.Parallel()
	plain, _ := token.NewRefreshToken(uuid.New())
	api, _ := token.NewAPIToken()
	for _, bad := range []string{"", "rcr_", api, plain[1:], plain + "A", plain[:len(plain)-1], plain[:30] + "\n" + plain[31:], plain[:30] + "+" + plain[31:]} {
		if _, _, ok := token.ParseRefreshToken(bad); ok {
			t.Errorf("ParseRefreshToken(%q) was accepted", bad)
		}
	}
}

func FuzzOpaqueTokens(f *testing.F) {
	api, _ := token.NewAPIToken()
	refresh, _ := token.NewRefreshToken(uuid.New())
	f.Add(api)
	f.Add(refresh)
	f.Fuzz(func(t *testing.T, s string) {
		if hash, ok := token.HashAPIToken(s); ok && (len(hash) != 32 || !strings.HasPrefix(s, "rc_")) {
			t.Errorf("accepted %q as an API token", s)
		}
		if _, hash, ok := token.ParseRefreshToken(s); ok && (len(hash) != 32 || len(s) != 68) {
			t.Errorf("accepted %q as a refresh token", s)
		}
	})
}

func TestResetTokens(t *testing.T) {
	t.Parallel()
	plain, hash := token.NewResetToken()
	if got, ok := token.HashResetToken(plain); !ok || !bytes.Equal(got, hash) || !strings.HasPrefix(plain, token.ResetTokenPrefix) {
		t.Errorf("HashResetToken = %x, %v, want %x", got, ok, hash)
	}
	if other, _ := token.NewResetToken(); other == plain {
		t.Error("two tokens are alike")
	}
	api, _ := token.NewAPIToken()
	refresh, _ := token.NewRefreshToken(uuid.New())
	for _, bad := range []string{"", token.ResetTokenPrefix, plain[:len(plain)-1], plain + "A", " " + plain, api, refresh, strings.Replace(plain, "rcp_", "rc_", 1), plain[:len(plain)-2] + "=="} {
		if _, ok := token.HashResetToken(bad); ok {
			t.Errorf("HashResetToken(%q) was accepted", bad)
		}
	}
}
