package client

import (
	"context"
	"iter"
	"net/http"

	"github.com/google/uuid"

	"github.com/rollcallhq/rollcall/pkg/wire"
)

// Credentials returns credentials by name, without their secrets, fetched page by page. An error ends them.
func (c *Client) Credentials(ctx context.Context, options ...CallOption) iter.Seq2[wire.Credential, error] {
	return pages[wire.Credential](ctx, c, "/credentials", nil, options)
}

// Credential returns one credential, without its secret.
func (c *Client) Credential(ctx context.Context, id uuid.UUID) (wire.Credential, error) {
	var credential wire.Credential
	return credential, c.get(ctx, "/credentials/"+id.String(), nil, &credential)
}

// AddCredential adds a credential. It is sent once: with an Idempotency-Key the server would keep a hash of the secret
// for a day, and the name, which is unique, tells whether it was added.
func (c *Client) AddCredential(ctx context.Context, in wire.CredentialInput, options ...CallOption) (wire.Credential, error) {
	var credential wire.Credential
	r := c.newCall(http.MethodPost, "/credentials", options)
	if err := r.withBody(jsonType, in); err != nil {
		return credential, err
	}
	return credential, c.do(ctx, r, &credential)
}

// UpdateCredential changes what patch says of a credential. A secret that is given replaces the earlier one as a whole.
func (c *Client) UpdateCredential(ctx context.Context, id uuid.UUID, patch wire.CredentialPatch, options ...CallOption) (wire.Credential, error) {
	var credential wire.Credential
	return credential, c.patch(ctx, "/credentials/"+id.String(), patch, &credential, options)
}

// RemoveCredential deletes a credential; one that hosts use is refused.
func (c *Client) RemoveCredential(ctx context.Context, id uuid.UUID, options ...CallOption) error {
	return c.remove(ctx, "/credentials/"+id.String(), options)
}
