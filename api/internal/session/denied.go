package session

import (
	"cmp"
	"context"
	"log/slog"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/go-chi/chi/v5"
	"github.com/go-chi/chi/v5/middleware"

	"github.com/rollcallhq/rollcall/pkg/account"
	"github.com/rollcallhq/rollcall/pkg/fleet"
)

// ActionDenied is the action of the audit entries about requests that were refused.
const ActionDenied = "access.denied"

const (
	deniedKnown  = 1000 // attempts told apart; all others count as one
	deniedEvery  = 5 * time.Second
	deniedPeriod = time.Minute
	deniedWait   = 5 * time.Second // for the audit log, when the process stops
	deniedOthers = "others"
)

// DeniedWriter writes entries to the audit log, all of them or none.
type DeniedWriter func(ctx context.Context, entries []DeniedEntry) error

// A DeniedEntry is what one actor was refused within a minute.
type DeniedEntry struct {
	Actor fleet.Actor // without a kind: nobody is known, and Address is the network that asked
	Entry fleet.AuditEntry
}

// Denials counts refused requests by actor, route and minute, so that ten thousand of them are one entry of the audit
// log and not ten thousand. What it holds is bounded. A nil Denials counts nothing. It is safe for concurrent use.
type Denials struct {
	now func() time.Time

	mu     sync.Mutex
	counts map[deniedKey]*denied
}

type deniedKey struct {
	minute             int64 // since 1970
	actor, route, code string
}

// denied is what was counted under a key.
type denied struct {
	actor       fleet.Actor
	count       int64
	first, last time.Time
}

// NewDenials returns Denials. now is its clock; nil is time.Now.
func NewDenials(now func() time.Time) *Denials {
	if now == nil {
		now = time.Now
	}
	return &Denials{now: now, counts: map[deniedKey]*denied{}}
}

// Note counts a request to the route that was refused with err, if err says that the actor may not, or asks too often. Who
// shows nothing at all is only asked to sign in; and the service of accounts writes of each wrong password itself.
func (d *Denials) Note(actor fleet.Actor, route string, err error) {
	code := fleet.CodeOf(err)
	switch fleet.KindOf(err) {
	case fleet.Forbidden, fleet.Exhausted:
	case fleet.Unauthenticated:
		if code == fleet.Unauthenticated.DefaultCode() || code == account.CodeInvalidCredentials {
			return
		}
	default:
		return
	}
	d.count(actor, route, code)
}

func (d *Denials) count(actor fleet.Actor, route, code string) {
	if d == nil {
		return
	}
	now := d.now()
	who := actor.String() + " " + actor.ID.String()
	if actor.Kind == "" {
		actor = fleet.Actor{Address: account.Network(actor.Address)}
		who = actor.Address
	} else if address, ok := parseAddress(actor.Address); ok {
		actor.Address = address.String()
	} else {
		actor.Address = ""
	}
	actor.Key = ""
	d.mu.Lock()
	defer d.mu.Unlock()
	key := deniedKey{now.Unix() / int64(deniedPeriod/time.Second), who, route, code}
	if _, known := d.counts[key]; !known && len(d.counts) >= deniedKnown {
		key, actor = deniedKey{route: deniedOthers, code: deniedOthers}, fleet.Actor{} // of whichever minute
	}
	c := d.counts[key]
	if c == nil {
		c = &denied{actor: actor, first: now}
		d.counts[key] = c
	}
	c.count++
	c.last = now
}

// Run writes each minute's refusals when the minute is over, until ctx ends. What cannot be written is kept for the next
// attempt. What is left in the end is for Flush.
func (d *Denials) Run(ctx context.Context, write DeniedWriter, log *slog.Logger) error {
	tick := time.NewTicker(deniedEvery)
	defer tick.Stop()
	for failing := false; ; {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		err := d.flush(ctx, write, false)
		if err != nil && !failing && ctx.Err() == nil {
			log.WarnContext(ctx, "denied attempts not in the audit log yet", "error", err)
		}
		failing = err != nil
	}
}

// Flush writes everything that was counted, for when a process stops: also after ctx has ended, and for a few seconds.
func (d *Denials) Flush(ctx context.Context, write DeniedWriter) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), deniedWait)
	defer cancel()
	return d.flush(ctx, write, true)
}

// flush writes what was counted in minutes that are over, or everything.
func (d *Denials) flush(ctx context.Context, write DeniedWriter, everything bool) error {
	taken := d.take(everything)
	if len(taken) == 0 {
		return nil
	}
	keys := make([]deniedKey, 0, len(taken))
	for key := range taken {
		keys = append(keys, key)
	}
	slices.SortFunc(keys, func(a, b deniedKey) int { return taken[a].first.Compare(taken[b].first) })
	entries := make([]DeniedEntry, len(keys))
	for i, key := range keys {
		c := taken[key]
		entries[i] = DeniedEntry{Actor: c.actor, Entry: fleet.AuditEntry{
			Action: ActionDenied, Denied: true, ResourceType: "route", ResourceID: key.route,
			Details: map[string]any{
				"route": key.route, "code": key.code, "count": c.count,
				"first": c.first.UTC().Format(time.RFC3339Nano), "last": c.last.UTC().Format(time.RFC3339Nano),
			},
		}}
	}
	if err := write(ctx, entries); err != nil {
		d.giveBack(taken)
		return err
	}
	return nil
}

// take removes what is to be written.
func (d *Denials) take(everything bool) map[deniedKey]*denied {
	d.mu.Lock()
	defer d.mu.Unlock()
	over := d.now().Truncate(deniedPeriod)
	taken := map[deniedKey]*denied{}
	for key, c := range d.counts {
		if everything || c.first.Before(over) {
			taken[key] = c
			delete(d.counts, key)
		}
	}
	return taken
}

// giveBack adds what could not be written to what has been counted since.
func (d *Denials) giveBack(taken map[deniedKey]*denied) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for key, c := range taken {
		if _, known := d.counts[key]; !known && len(d.counts) >= deniedKnown {
			key, c.actor = deniedKey{route: deniedOthers, code: deniedOthers}, fleet.Actor{}
		}
		if since := d.counts[key]; since != nil {
			c.count += since.count
			if since.first.Before(c.first) {
				c.first = since.first
			}
			if since.last.After(c.last) {
				c.last = since.last
			}
		}
		d.counts[key] = c
	}
}

// A refusal is with what error a request was refused.
type refusal struct{ err error }

// Refused notes that the request is refused with err; only the first error counts.
func Refused(ctx context.Context, err error) {
	if c, ok := ctx.Value(callerKey{}).(caller); ok && c.refusal != nil && c.refusal.err == nil {
		c.refusal.err = err
	}
}

// watched serves a request of the caller and counts it if it was refused.
func (d *Denials) watched(next http.Handler, w http.ResponseWriter, r *http.Request, c caller, address string) {
	if d == nil {
		next.ServeHTTP(w, r)
		return
	}
	ww := middleware.NewWrapResponseWriter(w, r.ProtoMajor)
	defer func() {
		err := c.refusal.err
		switch status := ww.Status(); {
		case status != http.StatusUnauthorized && status != http.StatusForbidden && status != http.StatusTooManyRequests:
			return
		case err != nil:
		case status == http.StatusForbidden: // a page, which tells in its own words
			err = fleet.Errorf(fleet.Forbidden, "refused")
		case status == http.StatusTooManyRequests:
			err = fleet.Errorf(fleet.Exhausted, "refused")
		}
		actor := c.actor
		actor.Address = cmp.Or(actor.Address, address)
		d.Note(actor, routeOf(r), err)
	}()
	next.ServeHTTP(ww, r)
}

// routeOf returns the method and the pattern of the route, not what was asked for, which anybody can make up.
func routeOf(r *http.Request) string {
	method := r.Method
	switch method {
	case http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete, http.MethodOptions:
	default:
		method = "OTHER"
	}
	pattern := "/*"
	if route := chi.RouteContext(r.Context()); route != nil {
		pattern = cmp.Or(route.RoutePattern(), pattern)
	}
	return method + " " + pattern
}
