package secret

import (
	"encoding/json"
	"fmt"
	"log/slog"

	"github.com/rollcallhq/rollcall/pkg/fleet"
)

// A Credential is the part of a credential that is sealed: of a private key the key in PEM form and, if it is
// encrypted, its passphrase, of a password the password. What is not needed is nil. It prints and logs as nothing
// but its name; only Encode tells what it holds.
type Credential struct {
	PrivateKey []byte
	Passphrase []byte
	Password   []byte
}

// plainCredential is a Credential as it is sealed. Bytes are base64 in it, so that any password survives.
type plainCredential struct {
	PrivateKey []byte `json:"private_key,omitempty"`
	Passphrase []byte `json:"passphrase,omitempty"`
	Password   []byte `json:"password,omitempty"`
}

// Encode returns what to seal. It is a secret: the caller wipes it after use.
func (c Credential) Encode() []byte {
	b, _ := json.Marshal(plainCredential(c)) //nolint:gosec,errchkjson // it is about to be sealed; three byte slices always have a JSON form
	return b
}

// DecodeCredential reads what Encode returned, once it has been opened. Anything else is an error of kind Invalid
// with CodeSealBroken, which quotes nothing of it.
func DecodeCredential(plaintext []byte) (Credential, error) {
	var c plainCredential
	if err := json.Unmarshal(plaintext, &c); err != nil {
		return Credential{}, fleet.Errorf(fleet.Invalid, "the opened secret is not a credential").WithCode(CodeSealBroken)
	}
	return Credential(c), nil
}

// Wipe overwrites the bytes that c refers to.
func (c Credential) Wipe() {
	clear(c.PrivateKey)
	clear(c.Passphrase)
	clear(c.Password)
}

// String returns a fixed text.
func (c Credential) String() string { return "[credential]" }

// Format prints what String returns, whatever the verb.
func (c Credential) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte(c.String())) }

// LogValue returns what String returns.
func (c Credential) LogValue() slog.Value { return slog.StringValue(c.String()) }

// MarshalJSON returns what String returns: a credential that ends up in an answer or a log by mistake says nothing.
func (c Credential) MarshalJSON() ([]byte, error) { return json.Marshal(c.String()) }
