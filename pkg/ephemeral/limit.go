package ephemeral

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"time"

	"github.com/go-redis/redis_rate/v10"

	"github.com/rollcallhq/rollcall/pkg/fleet"
)

// A Limit is how many events may happen in a period, over all replicas. They may happen all at once; then the
// allowance grows back evenly over the period.
type Limit struct {
	Events int           // 1 to 1,000,000
	Period time.Duration // 1 ms to 24 h
}

// PerSecond is a limit of n events a second.
func PerSecond(n int) Limit { return Limit{Events: n, Period: time.Second} }

// PerMinute is a limit of n events a minute.
func PerMinute(n int) Limit { return Limit{Events: n, Period: time.Minute} }

func (l Limit) valid() bool {
	return l.Events >= 1 && l.Events <= 1_000_000 && l.Period >= time.Millisecond && l.Period <= 24*time.Hour
}

// An Allowance is the answer to one event.
type Allowance struct {
	Allowed    bool
	Limit      int           // events per period
	Remaining  int           // events that would be allowed right now
	RetryAfter time.Duration // until the next event is allowed; 0 if this one is
	ResetAfter time.Duration // until the whole limit is there again
}

const maxLimitKeyBytes = 128

// Allow counts one event under key, which names the limit and whom it is for, such as login:192.0.2.7. It may
// be of any length and content. A limit outside its bounds is an error of kind Invalid. When Redis does not
// answer the error is of kind Unavailable, and whether to go on without a limit is the caller's decision.
func (s *Store) Allow(ctx context.Context, key string, limit Limit) (Allowance, error) {
	if !limit.valid() {
		return Allowance{}, fleet.Errorf(fleet.Invalid, "a rate limit of %d events per %s cannot be kept", limit.Events, limit.Period)
	}
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	res, err := s.limiter.Allow(ctx, limitKey(key), redis_rate.Limit{
		Rate: limit.Events, Burst: limit.Events, Period: limit.Period,
	})
	if err != nil {
		return Allowance{}, unavailable(err)
	}
	return Allowance{
		Allowed: res.Allowed > 0, Limit: limit.Events, Remaining: res.Remaining,
		RetryAfter: max(0, res.RetryAfter), ResetAfter: max(0, res.ResetAfter),
	}, nil
}

// Forgive forgets the events of the key, as if none had happened.
func (s *Store) Forgive(ctx context.Context, key string) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	if err := s.limiter.Reset(ctx, limitKey(key)); err != nil {
		return unavailable(err)
	}
	return nil
}

// limitKey bounds a key, which may hold what a stranger typed.
func limitKey(key string) string {
	if len(key) > maxLimitKeyBytes {
		sum := sha256.Sum256([]byte(key))
		key = hex.EncodeToString(sum[:])
	}
	return keyPrefix + key
}
