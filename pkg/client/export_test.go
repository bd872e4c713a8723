package client

import "time"

// WithSilence sets how long a stream may say nothing.
func WithSilence(first, later time.Duration) Option {
	return func(c *Client) error {
		c.streams.first, c.streams.later = first, later
		return nil
	}
}

// WithStreamAgain sets when events that could not be had are tried again.
func WithStreamAgain(after time.Duration) Option {
	return func(c *Client) error {
		c.streams.again = after
		return nil
	}
}

// WithAnswerSilence sets how long an answer that is read as it comes may say nothing.
func WithAnswerSilence(most time.Duration) Option {
	return func(c *Client) error {
		c.streams.answer = most
		return nil
	}
}
