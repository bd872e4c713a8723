package settings

import (
	"errors"
	"fmt"
	"strings"
)

const (
	minKeyBytes    = 32
	minKeyVariety  = 8 // different bytes; a key out of a random generator has some 25
	exampleOfKeys  = "eu/hk-0123456789abcdef:BASE64"
	signingKeyForm = "at least 32 bytes without white space or comma"
)

// Secret returns a value that is never shown, or "" where there is none and it is not required. An empty example
// makes messages point to rollcall keygen.
func (r *Reader) Secret(name string, required bool, example, meaning string) string {
	v := Variable{Name: name, Example: example, Meaning: meaning, Required: required, Secret: true}
	return read(r, v, "", asIs)
}

// KeyList returns a list of seal or open keys, site/id:base64[,…], for package secret to parse; the caller hands
// its error to Refuse.
func (r *Reader) KeyList(name string, required bool, meaning string) string {
	return r.Secret(name, required, exampleOfKeys, meaning+" (site/id:base64, separated by commas; `rollcall keygen` prints them)")
}

// SigningKey returns the bytes of a key for signing: the value as it is written, at least 32 bytes without white
// space or comma, which are not one thing again and again. Nil means that there is none and it is not required.
func (r *Reader) SigningKey(name string, required bool, meaning string) []byte {
	return read(r, Variable{Name: name, Meaning: meaning, Required: required, Secret: true}, nil, parseSigningKey)
}

// SigningKeys returns the keys of a comma-separated list, each as SigningKey wants them, or nil.
func (r *Reader) SigningKeys(name, meaning string) [][]byte {
	return read(r, Variable{Name: name, Meaning: meaning, Secret: true}, nil, func(s string) ([][]byte, error) {
		var keys [][]byte
		for i, part := range strings.Split(s, ",") {
			key, err := parseSigningKey(strings.TrimSpace(part))
			if err != nil {
				return nil, fmt.Errorf("has a key, number %d, that %w", i+1, err)
			}
			keys = append(keys, key)
		}
		return keys, nil
	})
}

func parseSigningKey(s string) ([]byte, error) {
	if len(s) < minKeyBytes {
		return nil, fmt.Errorf("has %d bytes instead of %s", len(s), signingKeyForm)
	}
	if strings.ContainsAny(s, " \t\r\n,") {
		return nil, fmt.Errorf("is not %s", signingKeyForm)
	}
	seen := map[byte]bool{}
	for i := range len(s) {
		seen[s[i]] = true
	}
	if len(seen) < minKeyVariety {
		return nil, errors.New("is easy to guess: it has hardly any different characters")
	}
	return []byte(s), nil
}
