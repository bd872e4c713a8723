package wire

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"time"

	"github.com/google/uuid"

	"github.com/rollcallhq/rollcall/pkg/fleet"
)

// A Credential is what lets us into hosts, without its secret: that goes in and never comes out.
type Credential struct {
	ID          uuid.UUID `json:"id" format:"uuid"`
	Name        string    `json:"name"`
	Kind        string    `json:"kind" enum:"private_key,password,certificate,agent"`
	Username    string    `json:"username"`
	Fingerprint *string   `json:"fingerprint" doc:"of the public key; null for passwords"`
	Sites       []string  `json:"sites" nullable:"false" doc:"whose workers can open it"`
	Version     int64     `json:"version" doc:"one more with each change; the ETag"`
	CreatedAt   time.Time `json:"created_at"`
	UpdatedAt   time.Time `json:"updated_at"`
}

// A CredentialInput is a credential as it is added. Its secrets print and log as nothing.
type CredentialInput struct {
	Name        string   `json:"name" example:"fleet-key"`
	Kind        string   `json:"kind" enum:"private_key,password,certificate,agent" doc:"certificate and agent are not supported yet"`
	Username    string   `json:"username" example:"rollcall"`
	PrivateKey  *Secret  `json:"private_key,omitempty" nullable:"true" writeOnly:"true" doc:"PEM, for the kind private_key"`
	Passphrase  *Secret  `json:"passphrase,omitempty" nullable:"true" writeOnly:"true" doc:"of the private key, if it is encrypted"`
	Password    *Secret  `json:"password,omitempty" nullable:"true" writeOnly:"true" doc:"for the kind password"`
	Certificate *Secret  `json:"certificate,omitempty" nullable:"true" writeOnly:"true" doc:"not supported yet"`
	Sites       []string `json:"sites,omitempty" nullable:"true" doc:"whose workers can open it; the default is [\"default\"]"`
}

// A CredentialPatch changes a credential (RFC 7396). A secret that is given replaces the earlier one as a whole.
type CredentialPatch struct {
	Name        *string  `json:"name,omitempty"`
	Kind        *string  `json:"kind,omitempty" enum:"private_key,password,certificate,agent" doc:"another kind needs its secret with it"`
	Username    *string  `json:"username,omitempty"`
	PrivateKey  *Secret  `json:"private_key,omitempty" nullable:"true" writeOnly:"true"`
	Passphrase  *Secret  `json:"passphrase,omitempty" nullable:"true" writeOnly:"true" doc:"only together with private_key"`
	Password    *Secret  `json:"password,omitempty" nullable:"true" writeOnly:"true"`
	Certificate *Secret  `json:"certificate,omitempty" nullable:"true" writeOnly:"true" doc:"not supported yet"`
	Sites       []string `json:"sites,omitempty" nullable:"true" doc:"a further site needs the secret with it, because it cannot be read back"`
}

// A Secret is a text that prints and logs as nothing. It has a JSON form, because the client has to send it.
type Secret string

// String returns a fixed text.
func (Secret) String() string { return "[secret]" }

// Format prints what String returns, whatever the verb.
func (s Secret) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte(s.String())) }

// LogValue returns what String returns.
func (s Secret) LogValue() slog.Value { return slog.StringValue(s.String()) }

// MarshalJSON returns the secret itself.
func (s Secret) MarshalJSON() ([]byte, error) { return json.Marshal(string(s)) }

// Bytes returns a copy of the secret; nil for nil and the empty text.
func (s *Secret) Bytes() []byte {
	if s == nil || *s == "" {
		return nil
	}
	return []byte(*s)
}

// CredentialView returns c as the API shows it.
func CredentialView(c fleet.Credential) Credential {
	return Credential{
		ID: c.ID, Name: c.Name, Kind: string(c.Kind), Username: c.Username, Fingerprint: orNull(c.Fingerprint),
		Sites: orNone(c.Sites), Version: c.Version, CreatedAt: utc(c.CreatedAt), UpdatedAt: utc(c.UpdatedAt),
	}
}
