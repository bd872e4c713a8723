package token

import (
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"golang.org/x/crypto/argon2"
)

// A phc is an argon2id hash with its salt and costs, as the PHC string format writes it.
type phc struct {
	argonParams
	salt, hash []byte
}

// The bounds of what is read back: a row that was tampered with must not cost gigabytes or panic.
const (
	maxMemory  = 256 << 10 // KiB
	maxTime    = 16
	maxThreads = 16
	minSalt    = 8
	minHash    = 16
	maxField   = 64 // bytes of salt and hash
	maxPHC     = 512
)

// String returns $argon2id$v=19$m=…,t=…,p=…$salt$hash.
func (h phc) String() string {
	encode := base64.RawStdEncoding.EncodeToString
	return fmt.Sprintf("$argon2id$v=%d$m=%d,t=%d,p=%d$%s$%s",
		argon2.Version, h.memory, h.time, h.threads, encode(h.salt), encode(h.hash))
}

// parsePHC reads what String writes. Its errors never hold the hash.
func parsePHC(s string) (phc, error) {
	if len(s) > maxPHC {
		return phc{}, errors.New("too long for a password hash")
	}
	parts := strings.Split(s, "$")
	if len(parts) != 6 || parts[0] != "" || parts[1] != "argon2id" {
		return phc{}, errors.New("not an argon2id hash")
	}
	if parts[2] != "v="+strconv.Itoa(argon2.Version) {
		return phc{}, errors.New("not argon2 version 1.3")
	}
	params, err := parseCosts(parts[3])
	if err != nil {
		return phc{}, err
	}
	decode := base64.RawStdEncoding.Strict().DecodeString
	salt, saltErr := decode(parts[4])
	hash, hashErr := decode(parts[5])
	if saltErr != nil || len(salt) < minSalt || len(salt) > maxField {
		return phc{}, errors.New("the salt cannot be read")
	}
	if hashErr != nil || len(hash) < minHash || len(hash) > maxField {
		return phc{}, errors.New("the hash cannot be read")
	}
	return phc{argonParams: params, salt: salt, hash: hash}, nil
}

func parseCosts(s string) (argonParams, error) {
	parts := strings.Split(s, ",")
	if len(parts) != 3 {
		return argonParams{}, errors.New("not three costs")
	}
	memory, err1 := parseCost(parts[0], "m=", maxMemory)
	passes, err2 := parseCost(parts[1], "t=", maxTime)
	threads, err3 := parseCost(parts[2], "p=", maxThreads)
	if err := errors.Join(err1, err2, err3); err != nil {
		return argonParams{}, err
	}
	return argonParams{memory: memory, time: passes, threads: uint8(threads)}, nil //nolint:gosec // at most maxThreads
}

func parseCost(s, prefix string, most uint32) (uint32, error) {
	digits, ok := strings.CutPrefix(s, prefix)
	v, err := strconv.ParseUint(digits, 10, 32)
	if !ok || err != nil || v < 1 || v > uint64(most) {
		return 0, fmt.Errorf("the cost %s is not 1 to %d", strings.TrimSuffix(prefix, "="), most)
	}
	return uint32(v), nil
}
