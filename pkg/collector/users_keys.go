package collector

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"maps"
	"math/bits"
	"slices"
	"strings"
)

type sshKeyFacts struct {
	Type        string   `json:"type"` // as in ssh-ed25519
	Bits        *int64   `json:"bits"`
	Fingerprint string   `json:"fingerprint_sha256"` // as ssh-keygen -l prints it
	Comment     *string  `json:"comment"`
	Options     []string `json:"options"` // sorted; of those that may hold a secret only the names
	File        string   `json:"file"`
}

// maxKeys bounds the keys of one account.
const maxKeys = 2000

// setKeys fills in the keys that may log in, and returns where sshd looks for them.
func setKeys(r *reader, users map[string]userFacts) []string {
	const field = "ssh_keys"
	k := keyReader{users: users, unknown: map[string]string{}, rest: ReasonDenied}
	for line := range strings.Lines(r.exact("keys", "users.*."+field)) {
		k.read(strings.TrimRight(line, "\n"))
	}
	if k.file != "" { // its end is missing
		k.unknown[k.user] = ReasonTimedOut
	}
	if reason := r.reasonFor("keys"); reason != "" {
		k.rest = reason
	}
	if k.bad > 0 {
		r.warn(fmt.Sprintf("section keys: %d lines are no keys", k.bad))
	}
	for name, user := range users {
		if k.rest != "" && len(user.SSHKeys) == 0 && k.unknown[name] == "" {
			k.unknown[name] = k.rest
		}
		if k.unknown[name] != "" {
			user.SSHKeys = nil
			users[name] = user
		}
	}
	lackEach(r, k.unknown, field)
	if k.patterns == nil {
		r.lack(ReasonToolMissing, "authorized_keys_files")
		return nil
	}
	return sortedSet(k.patterns)
}

// A keyReader reads the section keys line by line.
type keyReader struct {
	users    map[string]userFacts
	patterns []string
	unknown  map[string]string // why the keys of a user are not known
	rest     string            // why those of everybody are not of whom nothing has been told
	bad      int               // lines that are no keys

	user, file string // whose file is being read; "" for none
}

// read reads one line.
func (k *keyReader) read(line string) {
	word, rest, _ := strings.Cut(line, "\t")
	switch word {
	case "#awk":
		k.rest = ReasonToolMissing
	case "left":
		k.rest = ReasonTimedOut
	case "done":
		k.rest = ""
	case "patterns":
		k.patterns = strings.Fields(strings.ReplaceAll(rest, `"`, ""))
	case "far":
		k.unknown[rest] = ReasonNotAsked
	case "denied":
		k.unknown[rest] = ReasonNoPermission
	case "file":
		k.user, k.file, _ = strings.Cut(rest, "\t")
	case "bad":
		k.bad++
	case "end":
		switch status := number(rest); {
		case status == nil, *status > 123:
			k.unknown[k.user] = ReasonTimedOut
		case *status != 0:
			k.unknown[k.user] = ReasonDenied
		}
		k.user, k.file = "", ""
	case "key":
		k.add(strings.SplitN(rest, "\t", 4))
	}
}

// add adds a key of the file that is being read: its options, type, body and comment.
func (k *keyReader) add(fields []string) {
	user, known := k.users[k.user]
	if !known || len(fields) != 4 || len(user.SSHKeys) >= maxKeys {
		return
	}
	blob, err := base64.StdEncoding.DecodeString(fields[2])
	length, ok := keyBits(fields[1], blob)
	if err != nil || !ok {
		k.bad++
		return
	}
	sum := sha256.Sum256(blob)
	key := sshKeyFacts{
		Type: fields[1], Bits: length, Fingerprint: "SHA256:" + base64.RawStdEncoding.EncodeToString(sum[:]),
		Comment: text(fields[3]), Options: keyOptions(fields[0]), File: k.file,
	}
	name := key.Fingerprint
	for i := 2; ; i++ { // the same key may be there with other options, or in another file
		if _, taken := user.SSHKeys[name]; !taken {
			break
		}
		name = fmt.Sprintf("%s:%d", key.Fingerprint, i)
	}
	user.SSHKeys[name] = key
}

// keyOptions reads options as the host has tidied them: each after a comma, a value in braces, which are empty where it
// has been left out.
func keyOptions(list string) []string {
	var options []string
	for list != "" {
		list = strings.TrimPrefix(list, ",")
		end := strings.IndexAny(list, ",{")
		option := list
		if end >= 0 {
			option = list[:end]
		}
		list = list[len(option):]
		if value, found := strings.CutPrefix(list, "{"); found {
			inside, after, _ := strings.Cut(value, "}")
			if list = after; inside != "" {
				option += inside
			} else {
				option = strings.TrimSuffix(option, "=")
			}
		}
		if option != "" {
			options = append(options, option)
		}
	}
	return sortedSet(options)
}

// keyBits returns how long a public key is, where that can be told, and whether it is one of that type.
func keyBits(kind string, blob []byte) (*int64, bool) {
	name, rest := nextString(blob)
	if string(name) != kind || len(rest) == 0 {
		return nil, false
	}
	first, rest := nextString(rest)
	switch kind {
	case "ssh-rsa":
		modulus, _ := nextString(rest)
		return integerBits(modulus), true
	case "ssh-dss":
		return integerBits(first), true
	case "ssh-ed25519", "sk-ssh-ed25519@openssh.com":
		return new(int64(256)), true
	}
	sizes := map[string]int64{"nistp256": 256, "nistp384": 384, "nistp521": 521}
	if size, known := sizes[string(first)]; known {
		return &size, true
	}
	return nil, true
}

// nextString returns the first string of the wire form of SSH and what follows it; nil if there is none.
func nextString(b []byte) (s, rest []byte) {
	if len(b) < 4 {
		return nil, nil
	}
	n := binary.BigEndian.Uint32(b)
	if int64(n) > int64(len(b)-4) {
		return nil, nil
	}
	return b[4 : 4+n], b[4+n:]
}

// integerBits returns how many bits a big-endian integer has; nil if it is zero.
func integerBits(b []byte) *int64 {
	for i, v := range b {
		if v != 0 {
			return new(int64(len(b)-i-1)*8 + int64(bits.Len8(v)))
		}
	}
	return nil
}

// sortedNames returns the keys of m in their order.
func sortedNames[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
