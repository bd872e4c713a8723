package client

import (
	"context"
	"iter"
	"net/url"
	"time"

	"github.com/rollcallhq/rollcall/pkg/wire"
)

// An AuditQuery selects entries of the audit log. The zero value selects all of it.
type AuditQuery struct {
	Actor    string    // exactly, such as user:admin
	Action   string    // exactly, or a beginning such as host.*
	Resource string    // a type, or type:id
	Outcome  string    // ok or denied
	Address  string    // or a network
	Since    time.Time // inclusive; zero: since ever
	Until    time.Time // exclusive; zero: without end
}

// Audit returns entries of the audit log, newest first. It is for admins who may see all hosts.
func (c *Client) Audit(ctx context.Context, q AuditQuery, options ...CallOption) iter.Seq2[wire.AuditEntry, error] {
	query := url.Values{}
	set(query, "actor", q.Actor)
	set(query, "action", q.Action)
	set(query, "resource", q.Resource)
	set(query, "outcome", q.Outcome)
	set(query, "address", q.Address)
	setTime(query, "since", q.Since)
	setTime(query, "until", q.Until)
	return pages[wire.AuditEntry](ctx, c, "/audit", query, options)
}

// AuditSeals returns the chain of seals over the audit log, oldest first.
func (c *Client) AuditSeals(ctx context.Context, options ...CallOption) iter.Seq2[wire.AuditSeal, error] {
	return pages[wire.AuditSeal](ctx, c, "/audit/seals", url.Values{}, options)
}
