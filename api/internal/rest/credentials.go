package rest

import (
	"context"
	"encoding/json"
	"net/http"

	"github.com/rollcallhq/rollcall/api/internal/session"
	"github.com/rollcallhq/rollcall/pkg/fleet"
	"github.com/rollcallhq/rollcall/pkg/inventory"
	"github.com/rollcallhq/rollcall/pkg/secret"
	"github.com/rollcallhq/rollcall/pkg/wire"
)

const credentialsPath = "/credentials"

func (s *server) registerCredentials() {
	register(s, operation{
		id: "listCredentials", method: http.MethodGet, path: credentialsPath, tag: "credentials", summary: "List credentials, by name", role: fleet.Viewer,
	}, s.listCredentials)
	register(s, operation{
		id: "createCredential", method: http.MethodPost, path: credentialsPath, tag: "credentials", summary: "Add a credential", role: fleet.Admin,
		status: http.StatusCreated, description: "The secret is sealed to the current key of each of the sites, and only their workers can open it.",
	}, s.createCredential)
	register(s, operation{
		id: "getCredential", method: http.MethodGet, path: credentialsPath + "/{id}", tag: "credentials", summary: "One credential", role: fleet.Viewer,
	}, s.getCredential)
	register(s, operation{
		id: "updateCredential", method: http.MethodPatch, path: credentialsPath + "/{id}", tag: "credentials", summary: "Change a credential", role: fleet.Admin,
		description: "A secret that is given replaces the earlier one as a whole.",
	}, s.updateCredential)
	register(s, operation{
		id: "deleteCredential", method: http.MethodDelete, path: credentialsPath + "/{id}", tag: "credentials", summary: "Delete a credential", role: fleet.Admin,
		description: "One that hosts use is refused.",
	}, s.deleteCredential)
	s.registerSeals()
}

func (s *server) listCredentials(ctx context.Context, in *Paged) (*body[wire.List[wire.Credential]], error) {
	creds, next, err := s.Inventory.Credentials(ctx, session.Actor(ctx), in.page())
	if err != nil {
		return nil, err
	}
	return answer(wire.ListOf(creds, next, wire.CredentialView)), nil
}

type createCredentialInput struct{ Body wire.CredentialInput }

func (s *server) createCredential(ctx context.Context, in *createCredentialInput) (*made[wire.Credential], error) {
	if err := unsupported("certificate", in.Body.Certificate != nil); err != nil {
		return nil, err
	}
	given := inventory.NewCredential{
		Name: in.Body.Name, Kind: fleet.CredentialKind(in.Body.Kind), Username: in.Body.Username, Sites: in.Body.Sites,
		Secret: secret.Credential{
			PrivateKey: in.Body.PrivateKey.Bytes(), Passphrase: in.Body.Passphrase.Bytes(), Password: in.Body.Password.Bytes(),
		},
	}
	defer given.Secret.Wipe()
	c, err := s.Inventory.AddCredential(ctx, session.Actor(ctx), given)
	if err != nil {
		return nil, err
	}
	return &made[wire.Credential]{
		Location: prefix + credentialsPath + "/" + c.ID.String(), ETag: etagOf(c.Version), Body: wire.CredentialView(c),
	}, nil
}

func (s *server) getCredential(ctx context.Context, in *ByID) (*versioned[wire.Credential], error) {
	c, err := s.Inventory.Credential(ctx, session.Actor(ctx), in.ID)
	return credentialBody(c, err)
}

func credentialBody(c fleet.Credential, err error) (*versioned[wire.Credential], error) {
	if err != nil {
		return nil, err
	}
	return &versioned[wire.Credential]{ETag: etagOf(c.Version), Body: wire.CredentialView(c)}, nil
}

type updateCredentialInput struct {
	ByID
	IfMatch
	Body    wire.CredentialPatch
	RawBody []byte `contentType:"application/merge-patch+json"`
}

func (s *server) updateCredential(ctx context.Context, in *updateCredentialInput) (*versioned[wire.Credential], error) {
	version, err := in.version()
	if err != nil {
		return nil, err
	}
	change, err := in.change()
	if err != nil {
		return nil, err
	}
	if change.Secret != nil {
		defer change.Secret.Wipe()
	}
	c, err := s.Inventory.UpdateCredential(ctx, session.Actor(ctx), in.ID, version, change)
	return credentialBody(c, err)
}

// change returns what the patch says. A null takes a field back to its default, which only sites have.
func (in *updateCredentialInput) change() (inventory.CredentialChange, error) {
	var given map[string]json.RawMessage
	if err := json.Unmarshal(in.RawBody, &given); err != nil {
		return inventory.CredentialChange{}, fleet.Wrap(err, fleet.Invalid, "the patch is not an object")
	}
	for _, field := range []string{"name", "kind", "username"} {
		if string(given[field]) == "null" {
			return inventory.CredentialChange{}, fleet.InvalidField(field, "it cannot be removed")
		}
	}
	b := in.Body
	if err := unsupported("certificate", b.Certificate != nil); err != nil {
		return inventory.CredentialChange{}, err
	}
	change := inventory.CredentialChange{Name: b.Name, Username: b.Username, Sites: b.Sites}
	if string(given["sites"]) == "null" {
		change.Sites = []string{fleet.DefaultSite}
	}
	if b.Kind != nil {
		change.Kind = new(fleet.CredentialKind(*b.Kind))
	}
	if b.PrivateKey != nil || b.Passphrase != nil || b.Password != nil {
		change.Secret = &secret.Credential{PrivateKey: b.PrivateKey.Bytes(), Passphrase: b.Passphrase.Bytes(), Password: b.Password.Bytes()}
	}
	return change, nil
}

func (s *server) deleteCredential(ctx context.Context, in *deleteInput) (*none, error) {
	version, err := in.version()
	if err != nil {
		return nil, err
	}
	return &none{}, s.Inventory.RemoveCredential(ctx, session.Actor(ctx), in.ID, version)
}
