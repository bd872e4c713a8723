package remote

import (
	"bytes"
	"crypto/rsa"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"

	"golang.org/x/crypto/ssh"

	"github.com/rollcallhq/rollcall/pkg/fleet"
)

// The kinds of credentials.
const (
	KindNone       = "none" // nothing is offered: only the way to the login is tried
	KindPrivateKey = "private_key"
	KindPassword   = "password"
)

const (
	maxPrivateKey = 32 << 10 // bytes of PEM; RSA with 8,192 bits needs 6.5 kB
	maxPassphrase = 4 << 10
	minRSABits    = 2048
	maxRSABits    = 8192 // one signature costs 50 ms there; past that a login is a way to burn our time
)

// A Credential is what opens one host for one user. It prints, logs and marshals as its kind and user name only.
// Exactly one thing is ever offered: the key, or the password.
type Credential struct {
	Kind       string // KindPrivateKey, KindPassword or KindNone
	Username   string
	PrivateKey []byte // PEM, for KindPrivateKey
	Passphrase []byte // of the private key; empty if it is not encrypted
	Password   []byte // for KindPassword
}

// String returns the kind and the user name.
func (c Credential) String() string { return c.Kind + " of " + c.Username }

// Format prints what String returns, whatever the verb: %d and %#v would print the secret bytes.
func (c Credential) Format(s fmt.State, _ rune) { _, _ = io.WriteString(s, c.String()) }

// LogValue returns the kind and the user name.
func (c Credential) LogValue() slog.Value {
	return slog.GroupValue(slog.String("kind", c.Kind), slog.String("username", c.Username))
}

// MarshalJSON returns the kind and the user name.
func (c Credential) MarshalJSON() ([]byte, error) {
	return json.Marshal(map[string]string{"kind": c.Kind, "username": c.Username})
}

// ValidatePrivateKey checks that key is a private key which Dial can use, opened by passphrase if it is encrypted,
// and returns the fingerprint of its public half (SHA256:…). A refusal is an error of kind Invalid naming the field
// private_key or passphrase; it never echoes what was given.
func ValidatePrivateKey(key, passphrase []byte) (publicFingerprint string, err error) {
	signer, err := parseSigner(key, passphrase)
	if err != nil {
		return "", err
	}
	return ssh.FingerprintSHA256(signer.PublicKey()), nil
}

// parseSigner reads a private key and restricts it to signatures that are still safe.
func parseSigner(key, passphrase []byte) (ssh.Signer, error) {
	if len(key) > maxPrivateKey {
		return nil, fleet.InvalidField("private_key", "longer than %d bytes", maxPrivateKey)
	}
	if len(passphrase) > maxPassphrase {
		return nil, fleet.InvalidField("passphrase", "longer than %d bytes", maxPassphrase)
	}
	signer, err := openPrivateKey(key, passphrase)
	if err != nil {
		return nil, err
	}
	if err := checkRSASize(signer.PublicKey()); err != nil {
		return nil, err
	}
	algorithms := signatureAlgorithms(signer.PublicKey().Type())
	multi, ok := signer.(ssh.AlgorithmSigner)
	if !ok {
		return nil, fleet.InvalidField("private_key", "keys of this algorithm cannot be used")
	}
	restricted, err := ssh.NewSignerWithAlgorithms(multi, algorithms)
	if err != nil || !slices.Contains(ssh.SupportedAlgorithms().PublicKeyAuths, algorithms[0]) { // DSA is the one
		return nil, fleet.InvalidField("private_key", "keys of this algorithm cannot be used; make an ed25519 key")
	}
	return restricted, nil
}

// openPrivateKey decodes the key. Errors of the decoder are not passed on: some of them quote what they read.
func openPrivateKey(key, passphrase []byte) (ssh.Signer, error) {
	signer, err := ssh.ParsePrivateKey(key)
	if err == nil {
		return signer, nil
	}
	if _, missing := errors.AsType[*ssh.PassphraseMissingError](err); !missing {
		return nil, fleet.InvalidField("private_key", "%s", whyUnreadable(key))
	}
	if len(passphrase) == 0 {
		return nil, fleet.InvalidField("passphrase", "the private key is encrypted and needs its passphrase")
	}
	signer, err = ssh.ParsePrivateKeyWithPassphrase(key, passphrase)
	if err != nil {
		return nil, fleet.InvalidField("passphrase", "it does not open the private key")
	}
	return signer, nil
}

func whyUnreadable(key []byte) string {
	switch trimmed := bytes.TrimSpace(key); {
	case len(trimmed) == 0:
		return "it is empty"
	case bytes.HasPrefix(trimmed, []byte("PuTTY-User-Key-File")):
		return "it is in PuTTY's format; export it as an OpenSSH key"
	case bytes.HasPrefix(trimmed, []byte("ssh-")), bytes.HasPrefix(trimmed, []byte("ecdsa-")),
		bytes.Contains(trimmed, []byte("PUBLIC KEY")):
		return "it is a public key; give the private one"
	case bytes.Contains(trimmed, []byte("BEGIN ENCRYPTED PRIVATE KEY")):
		return "encrypted PKCS #8 is not read; convert it with ssh-keygen -p"
	case !bytes.Contains(trimmed, []byte("PRIVATE KEY-----")):
		return "it is not a private key in PEM form"
	}
	return "it is damaged or of an algorithm that is not supported"
}

func checkRSASize(public ssh.PublicKey) error {
	crypto, ok := public.(ssh.CryptoPublicKey)
	if !ok {
		return nil
	}
	key, ok := crypto.CryptoPublicKey().(*rsa.PublicKey)
	if !ok {
		return nil
	}
	if bits := key.N.BitLen(); bits < minRSABits || bits > maxRSABits {
		return fleet.InvalidField("private_key", "an RSA key must have %d to %d bits, this one has %d", minRSABits, maxRSABits, bits)
	}
	return nil
}
