package client

import (
	"context"
	"io"
	"iter"
	"net/http"
	"net/url"
	"strconv"

	"github.com/google/uuid"

	"github.com/rollcallhq/rollcall/pkg/wire"
)

// MaxImportHosts is how many hosts the server takes in one import.
const MaxImportHosts = 10_000

// MaxImportBytes is how much the server takes in one import.
const MaxImportBytes = 64 << 20

// A HostQuery picks hosts; the zero value picks all that the caller may see.
type HostQuery struct {
	Selector string // such as env=prod and role in (web,db)
	Search   string // part of a name or an address
	Site     string
	Status   string // how fresh: fresh, stale, failing, never or disabled
	Code     string // why they are failing, such as auth_failed
}

// Hosts returns hosts by name, fetched page by page. An error ends them.
func (c *Client) Hosts(ctx context.Context, q HostQuery, options ...CallOption) iter.Seq2[wire.Host, error] {
	query := url.Values{}
	set(query, "selector", q.Selector)
	set(query, "q", q.Search)
	set(query, "site", q.Site)
	set(query, "status", q.Status)
	set(query, "code", q.Code)
	return pages[wire.Host](ctx, c, "/hosts", query, options)
}

// Host returns one host.
func (c *Client) Host(ctx context.Context, id uuid.UUID) (wire.Host, error) {
	var host wire.Host
	return host, c.get(ctx, "/hosts/"+id.String(), nil, &host)
}

// HostByName returns the host of that name. One that does not exist, or that the caller may not see, is an *Error with
// the status 404.
func (c *Client) HostByName(ctx context.Context, name string) (wire.Host, error) {
	var found wire.List[wire.Host]
	if err := c.get(ctx, "/hosts", url.Values{"selector": {"name=" + quoted(name)}, "limit": {"1"}}, &found); err != nil {
		return wire.Host{}, err
	}
	if len(found.Items) > 0 {
		return found.Items[0], nil
	}
	return wire.Host{}, &Error{Method: http.MethodGet, Path: prefix + "/hosts", Problem: wire.Problem{
		Status: http.StatusNotFound, Title: http.StatusText(http.StatusNotFound), Code: "not_found",
		Detail: "there is no host " + strconv.Quote(name),
	}}
}

// quoted returns a value as selectors quote it: a backslash escapes quotes and itself, and nothing else.
func quoted(value string) string {
	var b []byte
	for i := range len(value) {
		if value[i] == '"' || value[i] == '\\' {
			b = append(b, '\\')
		}
		b = append(b, value[i])
	}
	return `"` + string(b) + `"`
}

// AddHost adds a host.
func (c *Client) AddHost(ctx context.Context, in wire.HostInput, options ...CallOption) (wire.Host, error) {
	var host wire.Host
	return host, c.post(ctx, "/hosts", in, &host, options)
}

// UpdateHost changes what patch says of a host.
func (c *Client) UpdateHost(ctx context.Context, id uuid.UUID, patch wire.HostPatch, options ...CallOption) (wire.Host, error) {
	var host wire.Host
	return host, c.patch(ctx, "/hosts/"+id.String(), patch, &host, options)
}

// RetireHost takes a host out of use. Its reports stay, and its name is free again.
func (c *Client) RetireHost(ctx context.Context, id uuid.UUID, options ...CallOption) error {
	return c.remove(ctx, "/hosts/"+id.String(), options)
}

// ImportHosts adds and updates hosts from NDJSON: one host object per line, with its credential_id or an inline
// credential; at most MaxImportHosts lines and MaxImportBytes, which are read into memory. Lines that cannot be used
// are refused in the result and do not stop the others. With dryRun nothing is stored. Importing the same twice changes
// nothing.
func (c *Client) ImportHosts(ctx context.Context, lines io.Reader, dryRun bool) (wire.ImportResult, error) {
	var result wire.ImportResult
	content, err := io.ReadAll(io.LimitReader(lines, MaxImportBytes+1)) // one byte more is for the server to refuse
	if err != nil {
		return result, err
	}
	r := c.newCall(http.MethodPost, "/hosts/import", nil)
	r.content, r.timeout, r.again = content, max(importTimeout, c.timeout), true
	r.header.Set("Content-Type", "application/x-ndjson")
	r.query.Set("format", "ndjson")
	if dryRun {
		r.query.Set("dry_run", "true")
	}
	return result, c.do(ctx, r, &result)
}

// HostKeys returns the SSH keys that a host has shown.
func (c *Client) HostKeys(ctx context.Context, host uuid.UUID) ([]wire.HostKey, error) {
	return listed[wire.HostKey](ctx, c, "/hosts/"+host.String()+"/host-keys", nil)
}

// TrustHostKey trusts a key; reason is kept in the audit log and may be empty. Trusting a key that took the place of
// another revokes the trusted ones of its algorithm.
func (c *Client) TrustHostKey(ctx context.Context, host, key uuid.UUID, reason string, options ...CallOption) (wire.HostKey, error) {
	return c.decide(ctx, host, key, "trust", reason, options)
}

// RevokeHostKey revokes a key; reason is kept in the audit log and may be empty. A host that shows a revoked key is
// offered no credential.
func (c *Client) RevokeHostKey(ctx context.Context, host, key uuid.UUID, reason string, options ...CallOption) (wire.HostKey, error) {
	return c.decide(ctx, host, key, "revoke", reason, options)
}

func (c *Client) decide(ctx context.Context, host, key uuid.UUID, verb, reason string, options []CallOption) (wire.HostKey, error) {
	var decision wire.HostKeyDecision
	if reason != "" {
		decision.Reason = &reason
	}
	var decided wire.HostKey
	return decided, c.post(ctx, "/hosts/"+host.String()+"/host-keys/"+key.String()+"/"+verb, decision, &decided, options)
}
