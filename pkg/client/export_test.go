package client

import "time"

// WithSilence sets how long a stream may say nothing.
func WithSilence(first, later time.Duration) Option {
	return func(c *Client) error {
		c.silence = streamSilence{first: first, later: later}
		return nil
	}
}
