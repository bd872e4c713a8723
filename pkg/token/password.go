package token

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"fmt"
	"runtime"
	"time"
	"unicode/utf8"

	"golang.org/x/crypto/argon2"

	"github.com/rollcallhq/rollcall/pkg/fleet"
)

const (
	// MinPassword is the fewest characters of a new password.
	MinPassword = 12
	// MaxPassword is the most bytes of a password.
	MaxPassword = 1024

	// CodePasswordsBusy is the code of the error when there was no turn to hash before the context ended.
	CodePasswordsBusy = "passwords_busy"
)

// argonParams are the costs of one hash.
type argonParams struct {
	memory  uint32 // KiB
	time    uint32 // passes
	threads uint8
}

// current returns the costs of new hashes: the smallest recommended memory, because a login storm must not
// take the machine down; about 50 ms and 19 MiB each.
func current() argonParams { return argonParams{memory: 19 << 10, time: 2, threads: 1} }

const (
	saltBytes = 16
	hashBytes = 32
)

// Passwords hashes and verifies passwords with argon2id, a few at a time, because each takes 19 MiB and a
// processor for some 50 ms. It is safe for concurrent use.
type Passwords struct {
	turns chan struct{}
	dummy phc
}

// NewPasswords returns a Passwords that works on at most limit passwords at a time; 0 or less means as many
// as there are processors.
func NewPasswords(limit int) *Passwords {
	if limit <= 0 {
		limit = runtime.GOMAXPROCS(0)
	}
	dummy := phc{argonParams: current(), salt: make([]byte, saltBytes), hash: make([]byte, hashBytes)}
	_, _ = rand.Read(dummy.salt) // never fails: crypto/rand ends the process where there is no randomness
	_, _ = rand.Read(dummy.hash)
	return &Passwords{turns: make(chan struct{}, limit), dummy: dummy}
}

// CheckPassword returns an error of kind Invalid about the field password if it cannot be a new password: it
// needs MinPassword characters, at most MaxPassword bytes, and to be UTF-8.
func CheckPassword(password string) error {
	switch {
	case len(password) > MaxPassword:
		return fleet.InvalidField("password", "may have at most %d bytes", MaxPassword)
	case !utf8.ValidString(password):
		return fleet.InvalidField("password", "is not UTF-8 text")
	case utf8.RuneCountInString(password) < MinPassword:
		return fleet.InvalidField("password", "needs at least %d characters", MinPassword)
	}
	return nil
}

// Hash returns the hash to store for a new password, as a PHC string. A password that CheckPassword refuses is
// refused. It waits for its turn until ctx ends, which is an error of kind Unavailable.
func (p *Passwords) Hash(ctx context.Context, password string) (string, error) {
	if err := CheckPassword(password); err != nil {
		return "", err
	}
	h := phc{argonParams: current(), salt: make([]byte, saltBytes)}
	_, _ = rand.Read(h.salt) // never fails, as above
	if err := p.acquire(ctx); err != nil {
		return "", err
	}
	defer p.release()
	h.hash = h.derive(password, hashBytes)
	return h.String(), nil
}

// Verify reports whether password is the one that was hashed. needsRehash is set beside ok where the hash was
// made with other costs than today's, so that the caller may store a new one while the password is at hand. A
// wrong password is no error; a stored hash that cannot be read is one of kind Internal. It waits for its
// turn until ctx ends, which is an error of kind Unavailable.
func (p *Passwords) Verify(ctx context.Context, hash, password string) (ok, needsRehash bool, err error) {
	stored, err := parsePHC(hash)
	if err != nil {
		return false, false, fleet.Wrap(err, fleet.Internal, "a stored password hash cannot be read")
	}
	ok, err = p.verify(ctx, stored, password)
	return ok, ok && stored.argonParams != current(), err
}

// VerifyUnknown takes the time that Verify takes and finds nothing, for a user that does not exist: who
// measures the answer cannot tell such users from a wrong password.
func (p *Passwords) VerifyUnknown(ctx context.Context, password string) error {
	_, err := p.verify(ctx, p.dummy, password)
	return err
}

func (p *Passwords) verify(ctx context.Context, stored phc, password string) (bool, error) {
	if len(password) > MaxPassword {
		return false, nil // known or unknown, so the short way tells nothing
	}
	if err := p.acquire(ctx); err != nil {
		return false, err
	}
	defer p.release()
	derived := stored.derive(password, uint32(len(stored.hash))) //nolint:gosec // parsePHC allows at most 64
	return subtle.ConstantTimeCompare(derived, stored.hash) == 1, nil
}

func (p *Passwords) acquire(ctx context.Context) error {
	err := ctx.Err() // or else a free turn might be taken for a caller who has left
	if err == nil {
		select {
		case p.turns <- struct{}{}:
			return nil
		case <-ctx.Done():
			err = ctx.Err()
		}
	}
	return fleet.Wrap(fmt.Errorf("waiting to hash a password: %w", err), fleet.Unavailable, "too many sign-ins at once; try again").
		WithCode(CodePasswordsBusy).WithRetryAfter(time.Second)
}

func (p *Passwords) release() { <-p.turns }

func (h phc) derive(password string, size uint32) []byte {
	return argon2.IDKey([]byte(password), h.salt, h.time, h.memory, h.threads, size)
}
