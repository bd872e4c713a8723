package account

import (
	"context"
	"time"

	"github.com/rollcallhq/rollcall/pkg/ephemeral"
	"github.com/rollcallhq/rollcall/pkg/fleet"
)

// A LimitError says that somebody asked too often. It wraps a *fleet.Error of kind Exhausted with RetryAfter, which is
// in whole seconds.
type LimitError struct {
	Allowance ephemeral.Allowance // for the RateLimit headers
	err       *fleet.Error
}

// NewLimitError returns the error about an event that was not allowed.
func NewLimitError(a ephemeral.Allowance) *LimitError {
	wait := a.RetryAfter.Truncate(time.Second) + time.Second // rounded up: sooner is too soon
	return &LimitError{
		Allowance: a,
		err:       fleet.Errorf(fleet.Exhausted, "too many attempts; try again in %s", wait).WithRetryAfter(wait),
	}
}

// Error returns the message, which is safe to show.
func (e *LimitError) Error() string { return e.err.Error() }

// Unwrap returns the *fleet.Error.
func (e *LimitError) Unwrap() error { return e.err }

func (s *Service) count(ctx context.Context, key string, limit ephemeral.Limit) error {
	allowance, err := s.sessions.Allow(ctx, key, limit)
	if fleet.KindOf(err) == fleet.Unavailable {
		return fleet.Wrap(err, fleet.Unavailable, "the session store does not answer; try again").
			WithCode(ephemeral.CodeSessionStoreUnavailable).WithRetryAfter(time.Second)
	}
	if err != nil {
		return err
	}
	if !allowance.Allowed {
		return NewLimitError(allowance)
	}
	return nil
}
