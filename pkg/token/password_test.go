package token_test

import (
	"context"
	"encoding/base64"
	"fmt"
	"regexp"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/crypto/argon2"

	"github.com/rollcallhq/rollcall/pkg/fleet"
	"github.com/rollcallhq/rollcall/pkg/token"
)

const password = "correct horse battery"

// phcOf makes a stored hash with other costs than today's.
func phcOf(memory, passes uint32, threads uint8, password string) string {
	salt := []byte("0123456789abcdef")
	encode := base64.RawStdEncoding.EncodeToString
	return fmt.Sprintf("$argon2id$v=19$m=%d,t=%d,p=%d$%s$%s", memory, passes, threads, encode(salt),
		encode(argon2.IDKey([]byte(password), salt, passes, memory, threads, 32)))
}

func TestPasswordRoundTrip(t *testing.T) {
	t.Parallel()
	p := token.NewPasswords(0)
	hash, err := p.Hash(t.Context(), password)
	if err != nil {
		t.Fatal(err)
	}
	if !regexp.MustCompile(`^\$argon2id\$v=19\$m=19456,t=2,p=1\$[A-Za-z0-9+/]{22}\$[A-Za-z0-9+/]{43}$`).MatchString(hash) {
		t.Errorf("hash = %q, which is no PHC string of the costs we promise", hash)
	}
	again, err := p.Hash(t.Context(), password)
	if err != nil || again == hash {
		t.Errorf("a second hash is %q, %v: no fresh salt", again, err)
	}
	tests := []struct {
		name           string
		hash, password string
		ok, rehash     bool
	}{
		{"the right password", hash, password, true, false},
		{"a wrong one", hash, password + "!", false, false},
		{"an empty one", hash, "", false, false},
		{"one that is far too long", hash, strings.Repeat("x", 1<<20), false, false},
		{"the right one under old costs", phcOf(8<<10, 1, 1, password), password, true, true},
		{"a wrong one under old costs", phcOf(8<<10, 1, 1, password), "no", false, false},
		{"a hash that others made, with more threads", phcOf(64, 3, 4, password), password, true, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			ok, rehash, err := p.Verify(t.Context(), tt.hash, tt.password)
			if ok != tt.ok || rehash != tt.rehash || err != nil {
				t.Errorf("Verify = %v, %v, %v, want %v, %v", ok, rehash, err, tt.ok, tt.rehash)
			}
		})
	}
}

func TestVerifyRefusesUnreadableHashes(t *testing.T) {
	t.Parallel()
	p := token.NewPasswords(1)
	good := phcOf(64, 1, 1, password)
	tests := []struct{ name, hash string }{
		{"nothing", ""},
		{"bcrypt", "$2a$10$N9qo8uLOickgx2ZMRZoMyeIjZAgcfl7p92ldGxad68LJZdL17lhWy"},
		{"argon2i", strings.Replace(good, "argon2id", "argon2i", 1)},
		{"another version", strings.Replace(good, "v=19", "v=16", 1)},
		{"no passes, which would panic", strings.Replace(good, "t=1", "t=0", 1)},
		{"no threads, which would panic", strings.Replace(good, "p=1", "p=0", 1)},
		{"terabytes of memory", strings.Replace(good, "m=64", "m=4294967295", 1)},
		{"more threads than a byte holds", strings.Replace(good, "p=1", "p=257", 1)},
		{"negative costs", strings.Replace(good, "m=64", "m=-64", 1)},
		{"costs in another order", strings.Replace(good, "m=64,t=1", "t=1,m=64", 1)},
		{"a missing cost", strings.Replace(good, ",p=1", "", 1)},
		{"a salt that is not base64", strings.Replace(good, "MDEy", "M!Ey", 1)},
		{"no hash, which would match anything", good[:strings.LastIndex(good, "$")+1]},
		{"a further field", good + "$x"},
		{"kilobytes", good + strings.Repeat("A", 4<<10)},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			ok, _, err := p.Verify(t.Context(), tt.hash, password)
			if ok || fleet.KindOf(err) != fleet.Internal {
				t.Errorf("Verify = %v, %v, want an Internal error", ok, err)
			}
			if err != nil && len(tt.hash) > 20 && strings.Contains(err.Error(), tt.hash[20:]) {
				t.Errorf("the error shows the hash: %v", err)
			}
		})
	}
}

func TestCheckPassword(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, password string
		want           fleet.Kind
	}{
		{"12 letters", "abcdefghijkl", fleet.OK},
		{"11 letters", "abcdefghijk", fleet.Invalid},
		{"12 umlauts", strings.Repeat("ü", 12), fleet.OK},
		{"11 umlauts, which are 22 bytes", strings.Repeat("ü", 11), fleet.Invalid},
		{"1024 bytes", strings.Repeat("x", 1024), fleet.OK},
		{"1025 bytes", strings.Repeat("x", 1025), fleet.Invalid},
		{"bytes that are no text", strings.Repeat("\xff", 20), fleet.Invalid},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			err := token.CheckPassword(tt.password)
			if fleet.KindOf(err) != tt.want {
				t.Errorf("CheckPassword = %v, want kind %d", err, tt.want)
			}
			if err != nil && (len(fleet.FieldsOf(err)) != 1 || fleet.FieldsOf(err)[0].Field != "password") {
				t.Errorf("the error names the fields %v, want password", fleet.FieldsOf(err))
			}
		})
	}
	if _, err := token.NewPasswords(1).Hash(t.Context(), "short"); fleet.KindOf(err) != fleet.Invalid {
		t.Errorf("Hash of a short password = %v, want Invalid", err)
	}
}

func TestPasswordsEndWithTheContext(t *testing.T) {
	t.Parallel()
	p := token.NewPasswords(1)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, hashErr := p.Hash(ctx, password)
	_, _, verifyErr := p.Verify(ctx, phcOf(64, 1, 1, password), password)
	for _, err := range []error{hashErr, verifyErr, p.VerifyUnknown(ctx, password)} {
		if fleet.KindOf(err) != fleet.Unavailable || fleet.CodeOf(err) != token.CodePasswordsBusy {
			t.Errorf("error after the end of the context = %v (code %s)", err, fleet.CodeOf(err))
		}
	}
}

func TestPasswordsWaitForATurn(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := token.NewPasswords(1)
		giveBack := p.TakeTurnForTest()
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		defer cancel()
		start := time.Now()
		_, err := p.Hash(ctx, password)
		if fleet.CodeOf(err) != token.CodePasswordsBusy || time.Since(start) != 3*time.Second {
			t.Errorf("without a turn Hash = %v after %s, want it to give up after 3s", err, time.Since(start))
		}
		var wg sync.WaitGroup
		wg.Go(func() {
			if _, err := p.Hash(t.Context(), password); err != nil {
				t.Errorf("Hash with a turn = %v", err)
			}
		})
		synctest.Wait() // the call is waiting now
		giveBack()
		wg.Wait()
	})
}

//nolint:paralleltest // it measures time, so it runs while the parallel tests of the package wait
func TestUnknownUsersTakeAsLong(t *testing.T) {
	p := token.NewPasswords(1)
	hash, err := p.Hash(t.Context(), password)
	if err != nil {
		t.Fatal(err)
	}
	// The shortest of several, taken in turns, is the least disturbed by the neighbours on the machine.
	known, unknown := time.Hour, time.Hour
	for range 7 {
		start := time.Now()
		if ok, _, err := p.Verify(t.Context(), hash, "wrong password"); ok || err != nil {
			t.Fatalf("Verify = %v, %v", ok, err)
		}
		known, start = min(known, time.Since(start)), time.Now()
		if err := p.VerifyUnknown(t.Context(), "wrong password"); err != nil {
			t.Fatal(err)
		}
		unknown = min(unknown, time.Since(start))
	}
	if ratio := float64(unknown) / float64(known); ratio < 0.5 || ratio > 2 {
		t.Errorf("a known user takes %s and an unknown one %s", known, unknown)
	}
}
