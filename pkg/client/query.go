package client

import (
	"context"
	"encoding/json"
	"fmt"
	"iter"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/rollcallhq/rollcall/pkg/facts"
	"github.com/rollcallhq/rollcall/pkg/wire"
)

const (
	rowsType = "application/x-ndjson"
	maxRow   = 64 << 20 // bytes of what was asked for of one host
)

// A FactQuery says which facts of which hosts to read.
type FactQuery struct {
	Type     string    // of the reports
	Select   []string  // paths, such as kernel.release; the empty path, or none, is all facts of the type
	Selector string    // such as env=prod, of the hosts as they are labelled now; empty: of all hosts
	AsOf     time.Time // as the facts stood then; zero: now
}

// values returns the query as it is sent: with each path in its canonical form, in which a comma can only be inside of
// quotes.
func (q FactQuery) values() (url.Values, error) {
	paths := make([]string, len(q.Select))
	for i, text := range q.Select {
		path, err := facts.ParsePath(text)
		if err != nil {
			return nil, fmt.Errorf("reading what to select, %q: %w", text, err)
		}
		paths[i] = path.String()
	}
	query := url.Values{}
	query.Set("type", q.Type)
	set(query, "select", strings.Join(paths, ","))
	set(query, "selector", q.Selector)
	setTime(query, "as_of", q.AsOf)
	return query, nil
}

// Query returns facts of each host that has any of the type, by the hosts' names. They are yielded as they arrive, are
// not kept, and have no bound on their number or on the time that they take; a server that falls silent for two minutes
// is given up. The Values of a row are under the canonical forms of the selected paths, which is what facts.Path.String
// returns; all facts are under the empty string.
//
// An error is the last pair; without one the answer was whole. One that broke off is never taken up again: what was
// yielded is a part of it, and some hosts are missing.
func (c *Client) Query(ctx context.Context, q FactQuery) iter.Seq2[wire.QueryRow, error] {
	return func(yield func(wire.QueryRow, error) bool) {
		r := c.newCall(http.MethodGet, "/query", nil)
		r.header.Set("Accept", rowsType)
		r.timeout, r.stream = c.streams.answer, true
		var err error
		if r.query, err = q.values(); err == nil {
			err = c.readRows(ctx, r, func(row wire.QueryRow) bool { return yield(row, nil) })
		}
		if err != nil {
			yield(wire.QueryRow{}, err)
		}
	}
}

// readRows passes on the rows of an answer until its end, or until nobody wants more, which is no error.
func (c *Client) readRows(ctx context.Context, r call, pass func(wire.QueryRow) bool) error {
	a, err := c.exchange(ctx, r)
	if err != nil {
		return err
	}
	if a.body == nil {
		return errorOf(r, a)
	}
	defer func() { _ = a.body.Close() }()
	if !isMedia(a.header, rowsType) {
		return errorOf(r, a)
	}
	n := 0
	for line, err := range lines(a.body, maxRow) {
		if err != nil {
			return fmt.Errorf("the answer broke off after %d hosts: %w", n, c.failed(ctx, r, err))
		}
		var row wire.QueryRow
		if err := json.Unmarshal(line, &row); err != nil {
			return fmt.Errorf("reading the answer to %s %s after %d hosts: %w", r.method, r.path, n, err)
		}
		if !pass(row) {
			return nil
		}
		n++
	}
	return nil
}
