package client

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"mime"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/google/uuid"
)

const (
	prefix    = "/api/v1"
	maxAnswer = 64 << 20 // bytes of an answer; a page of reports is the largest
	jsonType  = "application/json"
	mergeType = "application/merge-patch+json"

	idempotencyHeader = "Idempotency-Key"
)

// A CallOption changes one call.
type CallOption func(*call)

// IdempotencyKey names the request, so that it is done once however often it is sent with this key within a day: 1 to
// 255 printable ASCII characters. Without it calls that create or start something make one up each time.
func IdempotencyKey(key string) CallOption {
	return func(c *call) { c.header.Set(idempotencyHeader, key) }
}

// IfMatch makes a change or removal happen only if the thing still has that Version; otherwise it is refused with the
// status 412.
func IfMatch(version int64) CallOption {
	return func(c *call) { c.header.Set("If-Match", `"`+strconv.FormatInt(version, 10)+`"`) }
}

// PageSize sets how many items of a list are fetched at once, 1 to 1,000; the server's default is 100.
func PageSize(n int) CallOption {
	return func(c *call) { c.query.Set("limit", strconv.Itoa(n)) }
}

// A call is one request, before it is sent.
type call struct {
	method  string
	path    string // below the base URL
	query   url.Values
	header  http.Header
	content []byte // of the body; nil: none
	timeout time.Duration
	again   bool // whether it is safe to send it twice
	open    bool // whether it says nothing of who asks
	stream  bool // whether a good answer is read as it comes; the timeout is then for each silence
}

// newCall returns a call below /api/v1. What it is safe to send again follows from the method, and for a POST from the
// Idempotency-Key.
func (c *Client) newCall(method, path string, options []CallOption) call {
	r := call{method: method, path: prefix + path, query: url.Values{}, header: http.Header{}, timeout: c.timeout}
	for _, option := range options {
		option(&r)
	}
	r.again = method == http.MethodGet || r.header.Get(idempotencyHeader) != ""
	return r
}

// keyed gives the call an Idempotency-Key unless it has one.
func (r *call) keyed() {
	if r.header.Get(idempotencyHeader) == "" {
		r.header.Set(idempotencyHeader, uuid.NewString())
	}
	r.again = true
}

// withBody gives the call a JSON body.
func (r *call) withBody(media string, body any) error {
	content, err := json.Marshal(body)
	if err != nil {
		return fmt.Errorf("encoding the body of %s %s: %w", r.method, r.path, err)
	}
	r.content = content
	r.header.Set("Content-Type", media)
	return nil
}

// An answer is what came back, read whole unless it has a body.
type answer struct {
	status  int
	header  http.Header
	content []byte
	body    *body // of a good answer that is read as it comes; else nil
}

func (c *Client) get(ctx context.Context, path string, query url.Values, out any) error {
	r := c.newCall(http.MethodGet, path, nil)
	maps.Copy(r.query, query)
	return c.do(ctx, r, out)
}

// post sends what may happen only once: it carries an Idempotency-Key.
func (c *Client) post(ctx context.Context, path string, body, out any, options []CallOption) error {
	r := c.newCall(http.MethodPost, path, options)
	r.keyed()
	if body != nil {
		if err := r.withBody(jsonType, body); err != nil {
			return err
		}
	}
	return c.do(ctx, r, out)
}

func (c *Client) patch(ctx context.Context, path string, body, out any, options []CallOption) error {
	r := c.newCall(http.MethodPatch, path, options)
	if err := r.withBody(mergeType, body); err != nil {
		return err
	}
	return c.do(ctx, r, out)
}

func (c *Client) remove(ctx context.Context, path string, options []CallOption) error {
	return c.do(ctx, c.newCall(http.MethodDelete, path, options), nil)
}

// do makes the call and reads its answer into out, unless that is nil.
func (c *Client) do(ctx context.Context, r call, out any) error {
	a, err := c.exchange(ctx, r)
	if err != nil {
		return err
	}
	if a.status/100 != 2 {
		return errorOf(r, a)
	}
	if out == nil {
		return nil
	}
	if !isMedia(a.header, jsonType) {
		return errorOf(r, a)
	}
	if err := json.Unmarshal(a.content, out); err != nil {
		return fmt.Errorf("reading the answer to %s %s: %w", r.method, r.path, err)
	}
	return nil
}

func isMedia(h http.Header, want string) bool {
	media, _, err := mime.ParseMediaType(h.Get("Content-Type"))
	return err == nil && media == want
}

// identified makes one try, and a second one if the token was refused and there is a better one: what is refused for
// its token has not been done, so that any call may be sent again.
func (c *Client) identified(ctx context.Context, r call) (answer, error) {
	if r.open || c.tokens == nil {
		return c.try(ctx, r, "")
	}
	token, err := c.tokens.Token(ctx, "")
	if err != nil {
		return answer{}, err
	}
	a, err := c.try(ctx, r, token)
	if err != nil || a.status != http.StatusUnauthorized {
		return a, err
	}
	fresh, err := c.tokens.Token(ctx, token)
	if err != nil || fresh == token {
		return a, err
	}
	return c.try(ctx, r, fresh)
}

// try sends the call once and reads the answer, unless that is read as it comes.
func (c *Client) try(ctx context.Context, r call, token string) (answer, error) {
	if r.stream {
		return c.begin(ctx, r, token)
	}
	tryCtx, cancel := context.WithTimeout(ctx, r.timeout)
	defer cancel()
	res, err := c.send(tryCtx, r, token)
	if err != nil {
		return answer{}, c.failed(ctx, r, err)
	}
	defer func() { _ = res.Body.Close() }()
	content, err := c.whole(ctx, r, res.Body)
	return answer{status: res.StatusCode, header: res.Header, content: content}, err
}

// whole reads the whole of an answer.
func (c *Client) whole(ctx context.Context, r call, body io.Reader) ([]byte, error) {
	content, err := io.ReadAll(io.LimitReader(body, maxAnswer+1))
	if err != nil {
		return nil, c.failed(ctx, r, err)
	}
	if len(content) > maxAnswer {
		return nil, fmt.Errorf("reading the answer to %s %s: it has more than %d MiB", r.method, r.path, maxAnswer>>20)
	}
	return content, nil
}

// send sends the call once. The caller closes the body of the response.
func (c *Client) send(ctx context.Context, r call, token string) (*http.Response, error) {
	var body io.Reader
	if r.content != nil {
		body = bytes.NewReader(r.content)
	}
	address := c.base + r.path
	if len(r.query) > 0 {
		address += "?" + r.query.Encode()
	}
	req, err := http.NewRequestWithContext(ctx, r.method, address, body)
	if err != nil {
		return nil, err
	}
	maps.Copy(req.Header, r.header)
	req.Header.Set("User-Agent", c.userAgent)
	if req.Header.Get("Accept") == "" {
		req.Header.Set("Accept", jsonType)
	}
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	return c.http.Do(req)
}

// failed returns the error of a call that got no answer; ctx is the caller's.
func (c *Client) failed(ctx context.Context, r call, err error) error {
	if ctx.Err() != nil {
		return fmt.Errorf("%s %s: %w", r.method, r.path, ctx.Err())
	}
	if u, ok := errors.AsType[*url.Error](err); ok {
		err = u.Err // without the address, which TransportError says
	}
	if errors.Is(err, context.DeadlineExceeded) {
		err = fmt.Errorf("nothing within %s: %w", r.timeout, err)
	}
	return &TransportError{BaseURL: c.base, Err: explained(err)}
}
