package inventory

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"strings"
	"unicode/utf8"

	"github.com/google/uuid"

	"github.com/rollcallhq/rollcall/pkg/fleet"
)

// A hostLine is a line of an NDJSON import. What is absent or null takes its default for a new host and is kept of
// one that exists.
type hostLine struct {
	Name         string            `json:"name"`
	Address      *string           `json:"address"`
	Port         *int              `json:"port"`
	Site         *string           `json:"site"`
	Labels       map[string]string `json:"labels"`
	CredentialID *uuid.UUID        `json:"credential_id"`
	Credential   *credentialLine   `json:"credential"`
	Connection   *fleet.Connection `json:"connection"`
	JumpHostID   *uuid.UUID        `json:"jump_host_id"`
	SSH          sshLine           `json:"ssh"`
	Enabled      *bool             `json:"enabled"`
}

type sshLine struct {
	Become             *fleet.Become        `json:"become"`
	BecomeCredentialID *uuid.UUID           `json:"become_credential_id"`
	HostKeyPolicy      *fleet.HostKeyPolicy `json:"host_key_policy"`
	Algorithms         *string              `json:"algorithms"`
	KeepaliveSeconds   *int                 `json:"keepalive_seconds"`
}

// A credentialLine is the credential that a line brings along.
type credentialLine struct {
	Name       string               `json:"name"`
	Kind       fleet.CredentialKind `json:"kind"`
	Username   string               `json:"username"`
	PrivateKey string               `json:"private_key"`
	Passphrase string               `json:"passphrase"`
	Password   string               `json:"password"`
}

// decodeLine reads a line. Its errors name fields and never quote values; what could be read of the line is returned
// beside them.
func decodeLine(line []byte) (hostLine, error) {
	var given hostLine
	if !utf8.Valid(line) { // encoding/json would put U+FFFD in place of what it cannot read, in a password, too
		return given, fleet.Errorf(fleet.Invalid, "the line is not UTF-8").WithCode("malformed_json")
	}
	d := json.NewDecoder(bytes.NewReader(line))
	d.DisallowUnknownFields()
	if err := d.Decode(&given); err != nil {
		return given, lineError(err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return given, fleet.Errorf(fleet.Invalid, "a line is one JSON object and nothing else").WithCode("malformed_json")
	}
	if given.Credential != nil && given.CredentialID != nil {
		return given, fleet.InvalidField("credential", "give credential or credential_id, not both")
	}
	return given, nil
}

func lineError(err error) error {
	if e, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
		field := e.Field
		if field == "" {
			return fleet.Errorf(fleet.Invalid, "a line is one JSON object").WithCode("malformed_json")
		}
		return fleet.InvalidField(field, "the value has the wrong type")
	}
	if name, ok := strings.CutPrefix(err.Error(), "json: unknown field "); ok {
		field := strings.Trim(name, `"`)
		if len(field) > 64 {
			field = field[:64]
		}
		return fieldError(strings.ToValidUTF8(field, ""), "unknown_field", "there is no such field")
	}
	if _, ok := errors.AsType[*json.SyntaxError](err); ok || errors.Is(err, io.ErrUnexpectedEOF) {
		return fleet.Errorf(fleet.Invalid, "the line is not JSON").WithCode("malformed_json")
	}
	return fleet.Errorf(fleet.Invalid, "a value of the line cannot be read, such as an ID that is no UUID")
}

// apply returns h with what the line says.
func (l hostLine) apply(h fleet.Host) fleet.Host {
	h.Name = l.Name
	given(&h.Address, l.Address)
	given(&h.Port, l.Port)
	given(&h.Site, l.Site)
	given(&h.Connection, l.Connection)
	given(&h.Enabled, l.Enabled)
	given(&h.SSH.Become, l.SSH.Become)
	given(&h.SSH.HostKeyPolicy, l.SSH.HostKeyPolicy)
	given(&h.SSH.Algorithms, l.SSH.Algorithms)
	if l.Labels != nil {
		h.Labels = l.Labels
	}
	if l.CredentialID != nil {
		h.CredentialID = l.CredentialID
	}
	if l.JumpHostID != nil {
		h.JumpHostID = l.JumpHostID
	}
	if l.SSH.BecomeCredentialID != nil {
		h.SSH.BecomeCredentialID = l.SSH.BecomeCredentialID
	}
	if l.SSH.KeepaliveSeconds != nil {
		h.SSH.KeepaliveSeconds = l.SSH.KeepaliveSeconds
	}
	return h
}

func given[T any](field *T, value *T) {
	if value != nil {
		*field = *value
	}
}
