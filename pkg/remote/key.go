package remote

import (
	"encoding/base64"
	"errors"
	"slices"
	"strings"

	"golang.org/x/crypto/ssh"

	"github.com/rollcallhq/rollcall/pkg/fleet"
)

// maxKeyBlob bounds a public key in wire form; RSA with 16,384 bits, the largest that is read, needs 2.1 kB.
const maxKeyBlob = 16 << 10

// A Key is a public key, mostly the host key that a host has shown. Its zero value is no key.
type Key struct {
	Algorithm   string // of the key, not of a signature: ssh-ed25519, ecdsa-sha2-nistp256, ssh-rsa …
	Blob        []byte // SSH wire form
	Fingerprint string // SHA256:… without padding, as ssh-keygen -l prints it
}

// ParseKey reads a public key in SSH wire form. What is not one is an error of kind Invalid.
func ParseKey(blob []byte) (Key, error) {
	if len(blob) > maxKeyBlob {
		return Key{}, fleet.InvalidField("key", "longer than %d bytes", maxKeyBlob)
	}
	public, err := ssh.ParsePublicKey(blob)
	if err != nil {
		return Key{}, fleet.InvalidField("key", "not a public key in SSH wire form")
	}
	return newKey(public), nil
}

// ParseAuthorizedLine reads a public key as it stands in a .pub file or in authorized_keys: algorithm, base64 and
// perhaps a comment, without options. Anything else is an error of kind Invalid.
func ParseAuthorizedLine(line string) (Key, error) {
	fields := strings.Fields(line)
	if len(fields) < 2 || len(line) > 2*maxKeyBlob {
		return Key{}, fleet.InvalidField("key", "expected an algorithm and the key in base64")
	}
	blob, err := base64.StdEncoding.DecodeString(fields[1])
	if err != nil {
		return Key{}, fleet.InvalidField("key", "its second word is not base64")
	}
	key, err := ParseKey(blob)
	if err != nil {
		return Key{}, err
	}
	if key.Algorithm != fields[0] {
		return Key{}, fleet.InvalidField("key", "it says %q and holds a key of another algorithm", printable(fields[0], 64))
	}
	return key, nil
}

func newKey(public ssh.PublicKey) Key {
	return Key{Algorithm: public.Type(), Blob: public.Marshal(), Fingerprint: ssh.FingerprintSHA256(public)}
}

// AuthorizedLine returns the key as authorized_keys and .pub files hold it: algorithm and base64, with neither
// comment nor newline.
func (k Key) AuthorizedLine() string {
	return k.Algorithm + " " + base64.StdEncoding.EncodeToString(k.Blob)
}

// hostKeyAlgorithms returns what to accept as a host key signature, best first. The algorithms of the keys that are
// trusted already come first: the server picks our first one that it has, and a host with several keys would
// otherwise show one that nobody has seen and look like an impostor. The others follow, so that a reinstalled host
// is met as a changed key and not as a failed negotiation.
func hostKeyAlgorithms(known []string) []string {
	secure := secureHostKeyAlgorithms()
	preferred := make([]string, 0, len(secure))
	for _, algorithm := range known {
		for _, signature := range signatureAlgorithms(algorithm) {
			if slices.Contains(secure, signature) && !slices.Contains(preferred, signature) {
				preferred = append(preferred, signature)
			}
		}
	}
	for _, signature := range secure {
		if !slices.Contains(preferred, signature) {
			preferred = append(preferred, signature)
		}
	}
	return preferred
}

// signatureAlgorithms returns how a key of the algorithm may sign: RSA keys by SHA-2 only.
func signatureAlgorithms(algorithm string) []string {
	if algorithm == ssh.KeyAlgoRSA {
		return []string{ssh.KeyAlgoRSASHA512, ssh.KeyAlgoRSASHA256}
	}
	return []string{algorithm}
}

// secureHostKeyAlgorithms returns the plain (not certificate) host key algorithms, ed25519 first.
func secureHostKeyAlgorithms() []string {
	first := []string{
		ssh.KeyAlgoED25519, ssh.KeyAlgoECDSA256, ssh.KeyAlgoECDSA384, ssh.KeyAlgoECDSA521,
		ssh.KeyAlgoRSASHA512, ssh.KeyAlgoRSASHA256,
	}
	supported := ssh.SupportedAlgorithms().HostKeys
	all := slices.DeleteFunc(first, func(a string) bool { return !slices.Contains(supported, a) })
	for _, algorithm := range supported {
		if !strings.Contains(algorithm, "-cert-") && !slices.Contains(all, algorithm) {
			all = append(all, algorithm)
		}
	}
	return all
}

// errOtherKey ends a connection whose host shows another key when keys are exchanged anew.
var errOtherKey = errors.New("the host changed its key within the connection")
