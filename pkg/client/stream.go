package client

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"net/http"
	"time"
)

var (
	errTooLong = errors.New("a line is too long")
	errNoEnd   = errors.New("something between us and the server does not pass on where an answer ends, so that half of one would look like a whole one")
)

// A body is that of an answer that is read as it comes: it may take as long as it likes, but not fall silent.
type body struct {
	ctx     context.Context //nolint:containedctx // of the answer, which outlives the call that opens it
	cancel  context.CancelCauseFunc
	silence time.Duration
	timer   *time.Timer // runs while something is waited for, and not while the reader is busy
	from    io.ReadCloser
}

// newBody returns the body of a request that is about to be sent.
func newBody(ctx context.Context, silence time.Duration) *body {
	ctx, cancel := context.WithCancelCause(ctx)
	timer := time.AfterFunc(silence, func() { cancel(context.DeadlineExceeded) })
	return &body{ctx: ctx, cancel: cancel, silence: silence, timer: timer}
}

// Read reads what has come, and waits for it as long as the silence may last.
func (b *body) Read(p []byte) (int, error) {
	b.timer.Reset(b.silence)
	defer b.timer.Stop()
	n, err := b.from.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		err = b.why(err)
	}
	return n, err
}

// why returns what made err of a wait: the silence, if it was that.
func (b *body) why(err error) error {
	if cause := context.Cause(b.ctx); cause != nil {
		return cause
	}
	return err
}

// Close ends the answer, read or not.
func (b *body) Close() error {
	b.timer.Stop()
	b.cancel(nil)
	if b.from == nil {
		return nil
	}
	return b.from.Close()
}

// begin sends the call once and leaves the body of its answer to be read if it is a good one, by whoever closes it. The
// timeout of the call bounds each silence.
func (c *Client) begin(ctx context.Context, r call, token string) (answer, error) {
	b := newBody(ctx, r.timeout)
	res, err := c.send(b.ctx, r, token) //nolint:bodyclose,contextcheck // it is closed with b, whose context is one of ctx
	if err != nil {
		_ = b.Close()
		return answer{}, c.failed(ctx, r, b.why(err))
	}
	b.timer.Stop()
	b.from = res.Body
	a := answer{status: res.StatusCode, header: res.Header}
	switch {
	case a.status != http.StatusOK:
		defer func() { _ = b.Close() }()
		a.content, err = c.whole(ctx, r, b)
		return a, err
	case !tellsItsEnd(res):
		_ = b.Close()
		return answer{}, fmt.Errorf("%s %s: %w", r.method, r.path, errNoEnd)
	}
	a.body = b
	return a, nil
}

// tellsItsEnd reports whether the end of an answer differs from a connection that was lost: in HTTP/1 an answer of an
// unknown length that is not in chunks ends with its connection, however that does.
func tellsItsEnd(res *http.Response) bool {
	return res.ProtoMajor > 1 || res.ContentLength >= 0 || len(res.TransferEncoding) > 0 || res.Uncompressed
}

// lines returns the lines of r, which are good until the next one; empty ones mean nothing. Each has at most so many
// bytes and ends with a newline, or else an error is the last pair.
func lines(r io.Reader, most int) iter.Seq2[[]byte, error] {
	return func(yield func([]byte, error) bool) {
		s := bufio.NewScanner(r)
		s.Buffer(nil, most)
		s.Split(func(data []byte, atEOF bool) (int, []byte, error) {
			advance, line, err := bufio.ScanLines(data, false)
			if advance == 0 && atEOF && len(data) > 0 {
				err = io.ErrUnexpectedEOF // unless there was another one before
			}
			return advance, line, err
		})
		for s.Scan() {
			if len(s.Bytes()) > 0 && !yield(s.Bytes(), nil) {
				return
			}
		}
		err := s.Err()
		if errors.Is(err, bufio.ErrTooLong) {
			err = fmt.Errorf("%w: it has more than %d bytes", errTooLong, most)
		}
		if err != nil {
			yield(nil, err)
		}
	}
}
