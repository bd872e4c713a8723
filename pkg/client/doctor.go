package client

import (
	"context"

	"github.com/rollcallhq/rollcall/pkg/wire"
)

// Doctor has the server look at its deployment: databases, queues, clocks. It is for admins who may see every host.
func (c *Client) Doctor(ctx context.Context) (wire.Diagnosis, error) {
	var d wire.Diagnosis
	return d, c.get(ctx, "/system/doctor", nil, &d)
}
