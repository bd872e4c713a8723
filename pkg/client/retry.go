package client

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"
)

const (
	maxPause = 5 * time.Second  // of our own making
	maxAsked = 30 * time.Second // that a server may ask us to wait
)

// exchange sends the call until it is answered for good: again after a failed connection or a 503 that says when to
// come again, if it is safe to send it twice, and not more often than the client may.
func (c *Client) exchange(ctx context.Context, r call) (answer, error) {
	for tried := 0; ; tried++ {
		a, err := c.identified(ctx, r)
		wait, again := c.pause(r, tried, a, err)
		if !again {
			return a, err
		}
		if err := sleep(ctx, wait); err != nil {
			return answer{}, fmt.Errorf("%s %s: %w", r.method, r.path, err)
		}
	}
}

// pause returns how long to wait before the call is sent again, and whether it is at all.
func (c *Client) pause(r call, tried int, a answer, err error) (time.Duration, bool) {
	if !r.again || tried >= c.retries {
		return 0, false
	}
	own := min(c.retryWait<<min(tried, 10), maxPause)
	if err != nil {
		_, lost := errors.AsType[*TransportError](err)
		tooHard := r.stream && errors.Is(err, context.DeadlineExceeded) // and would be so again
		return own, lost && !tooHard
	}
	asked, said := retryAfter(a.header, time.Now())
	switch {
	case a.status == http.StatusServiceUnavailable && said && asked <= maxAsked:
		return max(asked, own), true
	case a.status == http.StatusConflict && tried > 0 && bytes.Contains(a.content, []byte(`"idempotency_in_progress"`)):
		return own, true // our own first try, whose connection we lost, is still under way
	}
	return 0, false
}

// sleep waits, or returns why ctx has ended.
func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
