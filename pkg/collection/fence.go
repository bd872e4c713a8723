package collection

import (
	"context"
	"errors"
	"time"
)

// closeWhenFenced closes the connection soon after the worker has given itself up, however long the host would be asked
// to end what runs there: whoever takes the task over is to be alone with the host. It holds until it is called off.
func closeWhenFenced(ctx context.Context, c conn) (off func()) {
	over := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		if !errors.Is(context.Cause(ctx), errFenced) {
			return
		}
		soon := time.NewTimer(fencedGrace)
		defer soon.Stop()
		select {
		case <-over:
		case <-soon.C:
			_ = c.Close()
		}
	})
	return func() { close(over); stop() }
}
