package session

import (
	"context"
	"errors"
	"net/http"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/google/uuid"

	"github.com/rollcallhq/rollcall/pkg/account"
	"github.com/rollcallhq/rollcall/pkg/ephemeral"
	"github.com/rollcallhq/rollcall/pkg/fleet"
)

const (
	strangersPerSecond = 20 // refused requests from one address, or one IPv6 /64

	// withoutRedis is how long Redis is not asked again once it has not answered: while it hangs, nobody is held up for
	// the sake of counting.
	withoutRedis = time.Second
)

// Rates are how many requests a second are allowed; 0 or less means any number.
type Rates struct {
	Account int // of all sessions and API tokens of one user together
	Token   int // of one API token, within what its user has
}

// A Limiter bounds how often an actor may ask and how often an address may be refused, over all replicas. Strangers are
// counted in this process first, so that who guesses costs no exchange with Redis any more once he is refused. While
// Redis does not answer, this process keeps the same bounds for itself. A nil Limiter allows everything. It is safe for
// concurrent use.
type Limiter struct {
	shared    *ephemeral.Store // nil: this process counts alone
	rates     Rates
	now       func() time.Time
	silent    atomic.Int64 // until when Redis is not asked, in Unix nanoseconds
	strangers *window
	actors    *window // those who ask while Redis does not answer
}

// NewLimiter returns a Limiter. now is its clock; nil is time.Now.
func NewLimiter(shared *ephemeral.Store, rates Rates, now func() time.Time) *Limiter {
	if now == nil {
		now = time.Now
	}
	return &Limiter{shared: shared, rates: rates, now: now, strangers: newWindow(), actors: newWindow()}
}

// Allow counts a request of the actor or, if it is nobody, one from its address that was refused. It returns what is
// left, with a Limit of 0 if nothing was counted. One too many is an *account.LimitError.
func (l *Limiter) Allow(ctx context.Context, actor fleet.Actor) (ephemeral.Allowance, error) {
	if l == nil {
		return ephemeral.Allowance{}, nil
	}
	if actor.Kind == "" {
		return l.stranger(ctx, account.Network(actor.Address))
	}
	group, charges := l.charges(actor)
	if len(charges) == 0 {
		return ephemeral.Allowance{}, nil
	}
	return decide(l.count(ctx, group, charges, func() ephemeral.Allowance { return l.actors.count(l.now(), charges) }))
}

// charges returns what a request of the actor counts against: its own bound, if it is an API token, and that of its user
// in sum.
func (l *Limiter) charges(actor fleet.Actor) (group string, charges []ephemeral.Charge) {
	user := actor.ID
	if actor.UserID != nil {
		user = *actor.UserID
	}
	if actor.Kind == fleet.ActorToken && l.rates.Token > 0 {
		charges = append(charges, ephemeral.Charge{Key: "token:" + actor.ID.String(), Limit: ephemeral.PerSecond(l.rates.Token)})
	}
	if user != uuid.Nil && l.rates.Account > 0 {
		charges = append(charges, ephemeral.Charge{Key: "account:" + user.String(), Limit: ephemeral.PerSecond(l.rates.Account)})
	}
	return user.String(), charges
}

// stranger counts a refused request from a network: here first, and with the other replicas what is still allowed here.
func (l *Limiter) stranger(ctx context.Context, network string) (ephemeral.Allowance, error) {
	charges := []ephemeral.Charge{{Key: "stranger:" + network, Limit: ephemeral.PerSecond(strangersPerSecond)}}
	here := l.strangers.count(l.now(), charges)
	if !here.Allowed {
		return decide(here, nil)
	}
	all, err := l.count(ctx, charges[0].Key, charges, func() ephemeral.Allowance { return here })
	if all.Allowed && all.Remaining > here.Remaining {
		all = here
	}
	return decide(all, err)
}

// count counts the charges in Redis, or elsewhere while that does not answer: a limit that nobody can share must neither
// be the reason why nothing works nor be gone.
func (l *Limiter) count(ctx context.Context, group string, charges []ephemeral.Charge, elsewhere func() ephemeral.Allowance) (ephemeral.Allowance, error) {
	if l.shared == nil || l.now().UnixNano() < l.silent.Load() {
		return elsewhere(), nil
	}
	allowance, err := l.shared.AllowAll(ctx, group, charges...)
	if fleet.KindOf(err) == fleet.Unavailable {
		if ctx.Err() == nil { // else it was the caller who went, or the whole request that took too long
			l.silent.Store(l.now().Add(withoutRedis).UnixNano())
		}
		return elsewhere(), nil
	}
	return allowance, err
}

// decide turns what is not allowed into an error.
func decide(a ephemeral.Allowance, err error) (ephemeral.Allowance, error) {
	if err == nil && !a.Allowed {
		err = account.NewLimitError(a)
	}
	return a, err
}

// The names of the headers about limits; gRPC has them as metadata.
const (
	headerLimit     = "RateLimit-Limit"
	headerRemaining = "RateLimit-Remaining"
	headerReset     = "RateLimit-Reset"
)

// AllowanceHeaders returns RateLimit-Limit, RateLimit-Remaining and RateLimit-Reset, in seconds, by name; nothing for an
// allowance with the Limit 0, which says that nothing was counted.
func AllowanceHeaders(a ephemeral.Allowance) map[string]string {
	if a.Limit == 0 {
		return nil
	}
	return map[string]string{
		headerLimit: strconv.Itoa(a.Limit), headerRemaining: strconv.Itoa(a.Remaining), headerReset: seconds(a.ResetAfter),
	}
}

// SetAllowance sets the headers about limits, in place of those that were set before.
func SetAllowance(h http.Header, a ephemeral.Allowance) {
	for name, value := range AllowanceHeaders(a) {
		h.Set(name, value)
	}
}

// LimitHeaders adds the headers about limits and Retry-After, in seconds, where err says that somebody asked too often.
func LimitHeaders(h http.Header, err error) {
	limit, ok := errors.AsType[*account.LimitError](err)
	if !ok {
		return
	}
	SetAllowance(h, limit.Allowance)
	if e, ok := errors.AsType[*fleet.Error](err); ok {
		h.Set("Retry-After", seconds(e.RetryAfter))
	}
}

// seconds rounds up: who comes back sooner comes too soon.
func seconds(d time.Duration) string {
	return strconv.FormatInt(int64((d+time.Second-1)/time.Second), 10)
}
