package client

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/rollcallhq/rollcall/pkg/wire"
)

// The defaults of the options.
const (
	defaultTimeout   = 30 * time.Second
	defaultRetries   = 3
	defaultRetryWait = 250 * time.Millisecond
	defaultPolling   = time.Second
	importTimeout    = 10 * time.Minute
)

// A Client calls one server. It is made by New and safe for concurrent use.
type Client struct {
	base      string // without a slash at its end
	http      *http.Client
	tokens    TokenSource // nil: requests say nothing of who asks
	userAgent string
	timeout   time.Duration
	retries   int
	retryWait time.Duration
	polling   time.Duration
	streams   streamTimes
}

// A TokenSource gives the tokens that a client sends. It must be safe for concurrent use.
type TokenSource interface {
	// Token returns the token to send. stale is the token that the server has just refused, and empty before the
	// first try: a source that knows no better one returns the same again, and the refusal stands.
	Token(ctx context.Context, stale string) (string, error)
}

// An Option changes a Client as it is made.
type Option func(*Client) error

// WithToken makes the client send an API token, or an access token until that expires.
func WithToken(token string) Option {
	return func(c *Client) error {
		if token == "" || strings.ContainsFunc(token, func(r rune) bool { return r <= ' ' || r > '~' }) {
			return errors.New("the token is empty or holds what no token holds")
		}
		c.tokens = staticToken(token)
		return nil
	}
}

// WithTokenSource makes the client ask source for a token before each request.
func WithTokenSource(source TokenSource) Option {
	return func(c *Client) error {
		c.tokens = source
		return nil
	}
}

// WithHTTPClient makes the client send its requests through h, for proxies, certificates or tracing. Its Timeout must
// be zero, because it would end streams; redirects are not followed, whatever it says.
func WithHTTPClient(h *http.Client) Option {
	return func(c *Client) error {
		if h.Timeout != 0 {
			return errors.New("the HTTP client has a Timeout, which would end streams; use WithTimeout")
		}
		own := *h
		c.http = &own
		return nil
	}
}

// WithUserAgent makes the client call itself name in the server's log.
func WithUserAgent(name string) Option {
	return func(c *Client) error {
		c.userAgent = name
		return nil
	}
}

// WithTimeout bounds each try of a call; the default is 30 s. Imports and streams have bounds of their own.
func WithTimeout(d time.Duration) Option {
	return func(c *Client) error {
		if d <= 0 {
			return errors.New("the timeout is not positive")
		}
		c.timeout = d
		return nil
	}
}

// WithRetries bounds how often a call that is safe to repeat is sent again (the default is 3 times), and sets the
// first pause before that (250 ms), which doubles each time. A server that asks for more than 30 s is not waited for.
func WithRetries(times int, wait time.Duration) Option {
	return func(c *Client) error {
		if times < 0 || wait < 0 {
			return errors.New("retries and their pause cannot be negative")
		}
		c.retries, c.retryWait = times, wait
		return nil
	}
}

// WithPolling sets how often what is watched or followed is asked for where its events cannot be had, and the first
// pause after a failure, which doubles each time; the default is 1 s.
func WithPolling(every time.Duration) Option {
	return func(c *Client) error {
		if every <= 0 {
			return errors.New("the pause between two polls is not positive")
		}
		c.polling = every
		return nil
	}
}

// New returns a client of the server at baseURL, such as https://rollcall.example.com. It sends nothing yet. A base
// that is no http or https URL, or holds a password or a query, is an error.
func New(baseURL string, options ...Option) (*Client, error) {
	base, err := checkBase(baseURL)
	if err != nil {
		return nil, err
	}
	c := &Client{
		base: base, http: &http.Client{}, userAgent: "rollcall-client", timeout: defaultTimeout,
		retries: defaultRetries, retryWait: defaultRetryWait, polling: defaultPolling, streams: defaultStreamTimes(),
	}
	for _, option := range options {
		if err := option(c); err != nil {
			return nil, fmt.Errorf("making a client of %s: %w", base, err)
		}
	}
	// A redirect would carry bodies, and with them secrets, to where nobody meant to send them.
	c.http.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return c, nil
}

func checkBase(text string) (string, error) {
	u, err := url.Parse(text)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.Opaque != "" {
		return "", errors.New("the server's address is not a URL such as http://127.0.0.1:8080")
	}
	if u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return "", errors.New("the server's address must hold no user, query or fragment")
	}
	return strings.TrimRight(u.String(), "/"), nil
}

// BaseURL returns the server's address without a slash at its end.
func (c *Client) BaseURL() string { return c.base }

// staticToken is a token that is never renewed.
type staticToken string

func (t staticToken) Token(context.Context, string) (string, error) { return string(t), nil }

// SignIn signs in and returns a client that stays signed in for as long as the session lives. Options that set tokens
// have no effect. Logout ends the session.
func SignIn(ctx context.Context, baseURL, username, password string, options ...Option) (*Client, error) {
	c, err := New(baseURL, options...)
	if err != nil {
		return nil, err
	}
	tokens, err := c.Login(ctx, username, password)
	if err != nil {
		return nil, err
	}
	anonymous := *c
	anonymous.tokens = nil
	s := &session{client: &anonymous, turn: make(chan struct{}, 1)}
	s.keep(tokens)
	c.tokens = s
	return c, nil
}

// refreshEarly is how long before its end an access token is replaced, so that none expires on its way.
const refreshEarly = 30 * time.Second

// A session is the tokens of somebody who has signed in, kept in memory.
type session struct {
	client *Client
	turn   chan struct{} // holds a value while somebody looks at what follows

	tokens  wire.Tokens
	expires time.Time
}

// Token returns the access token, a new one if it is stale or about to expire.
func (s *session) Token(ctx context.Context, stale string) (string, error) {
	select {
	case s.turn <- struct{}{}:
		defer func() { <-s.turn }()
	case <-ctx.Done():
		return "", ctx.Err()
	}
	if s.tokens.AccessToken != stale && time.Until(s.expires) > refreshEarly {
		return s.tokens.AccessToken, nil
	}
	fresh, err := s.client.Refresh(ctx, s.tokens.RefreshToken)
	if err != nil {
		return "", err
	}
	s.keep(fresh)
	return fresh.AccessToken, nil
}

func (s *session) keep(tokens wire.Tokens) {
	s.tokens, s.expires = tokens, time.Now().Add(time.Duration(tokens.ExpiresIn)*time.Second)
}
