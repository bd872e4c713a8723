package client

import (
	"context"
	"iter"

	"github.com/google/uuid"

	"github.com/rollcallhq/rollcall/pkg/wire"
)

// Seals returns how many credentials are sealed to which key, by site and key.
func (c *Client) Seals(ctx context.Context) ([]wire.SealCount, error) {
	return listed[wire.SealCount](ctx, c, "/credentials/seals", nil)
}

// Reseal asks for the credentials to be sealed anew to their sites' current keys, and returns the collection that ends when
// that is done.
func (c *Client) Reseal(ctx context.Context, in wire.ResealInput, options ...CallOption) (wire.Collection, error) {
	var collection wire.Collection
	return collection, c.post(ctx, "/credentials/reseal", in, &collection, options)
}

// Reseals returns what became of each seal of a collection of kind reseal, fetched page by page. An error ends them.
func (c *Client) Reseals(ctx context.Context, collection uuid.UUID, options ...CallOption) iter.Seq2[wire.Reseal, error] {
	return pages[wire.Reseal](ctx, c, "/collections/"+collection.String()+"/reseals", nil, options)
}
