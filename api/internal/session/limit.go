package session

import (
	"context"
	"errors"
	"net/http"
	"net/netip"
	"strconv"
	"sync"
	"time"

	"github.com/rollcallhq/rollcall/pkg/account"
	"github.com/rollcallhq/rollcall/pkg/ephemeral"
	"github.com/rollcallhq/rollcall/pkg/fleet"
)

const (
	strangersPerSecond = 20     // refused requests from one address, or one IPv6 /64
	strangersKnown     = 10_000 // addresses told apart within a second; all others count as one
)

// A Limiter bounds how often an actor may ask, over all replicas, and how often an address may be refused, which each
// replica counts for itself, so that guessing costs no Redis. A nil Limiter allows everything. It is safe for
// concurrent use.
type Limiter struct {
	shared    *ephemeral.Store
	perSecond int
	now       func() time.Time

	mu     sync.Mutex
	second int64          // that counts is about, in Unix time
	counts map[string]int // refusals, by address
}

// NewLimiter returns a Limiter that allows perSecond requests a second and actor; 0 or less means any number. now is
// its clock; nil is time.Now.
func NewLimiter(shared *ephemeral.Store, perSecond int, now func() time.Time) *Limiter {
	if now == nil {
		now = time.Now
	}
	return &Limiter{shared: shared, perSecond: perSecond, now: now, counts: map[string]int{}}
}

// Allow counts a request of the actor or, if it is nobody, one from its address that was refused. One too many is an
// *account.LimitError. While Redis is down actors are not counted: a limit that nobody can keep must not be the reason
// why nothing works.
func (l *Limiter) Allow(ctx context.Context, actor fleet.Actor) error {
	if l == nil {
		return nil
	}
	if actor.Kind == "" {
		return l.stranger(actor.Address)
	}
	if l.perSecond <= 0 || l.shared == nil {
		return nil
	}
	allowance, err := l.shared.Allow(ctx, "actor:"+string(actor.Kind)+":"+actor.ID.String(), ephemeral.PerSecond(l.perSecond))
	if fleet.KindOf(err) == fleet.Unavailable {
		return nil
	}
	if err != nil {
		return err
	}
	if !allowance.Allowed {
		return account.NewLimitError(allowance)
	}
	return nil
}

func (l *Limiter) stranger(address string) error {
	now := l.now()
	key := network(address)
	l.mu.Lock()
	defer l.mu.Unlock()
	if second := now.Unix(); second != l.second {
		l.second = second
		clear(l.counts)
	}
	if _, known := l.counts[key]; !known && len(l.counts) >= strangersKnown {
		key = "" // where also those without an address are counted
	}
	l.counts[key]++
	if l.counts[key] <= strangersPerSecond {
		return nil
	}
	left := time.Unix(l.second+1, 0).Sub(now)
	return account.NewLimitError(ephemeral.Allowance{Limit: strangersPerSecond, RetryAfter: left, ResetAfter: left})
}

// network returns what an address is counted as: whoever has one IPv6 address usually has the whole /64.
func network(address string) string {
	ip, err := netip.ParseAddr(address)
	if err != nil {
		return ""
	}
	if ip = ip.Unmap(); ip.Is6() {
		if prefix, err := ip.Prefix(64); err == nil {
			return prefix.String()
		}
	}
	return ip.String()
}

// LimitHeaders adds RateLimit-Limit, RateLimit-Remaining, RateLimit-Reset and Retry-After, times in seconds, where err
// says that somebody asked too often.
func LimitHeaders(h http.Header, err error) {
	limit, ok := errors.AsType[*account.LimitError](err)
	if !ok {
		return
	}
	h.Set("RateLimit-Limit", strconv.Itoa(limit.Allowance.Limit))
	h.Set("RateLimit-Remaining", strconv.Itoa(limit.Allowance.Remaining))
	h.Set("RateLimit-Reset", seconds(limit.Allowance.ResetAfter))
	if e, ok := errors.AsType[*fleet.Error](err); ok {
		h.Set("Retry-After", seconds(e.RetryAfter))
	}
}

// seconds rounds up: who comes back sooner comes too soon.
func seconds(d time.Duration) string {
	return strconv.FormatInt(int64((d+time.Second-1)/time.Second), 10)
}
