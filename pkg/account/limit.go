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

// limitLogin counts a sign-in, before anything is looked at: the limit is on guesses, right ones included, or else
// many at once would all be made before the first of them has failed.
func (s *Service) limitLogin(ctx context.Context, name string, from Client) error {
	address := limitAddress(from.Address)
	if err := s.count(ctx, "login_address:"+address, s.options.PerAddress); err != nil {
		return err
	}
	return s.count(ctx, accountKey(name, address), s.options.PerAccount)
}

// forgiveLogin forgets the guesses at an account from an address once the right password has come from there, so that
// scripts that sign in often are not taken for guessers. The address as a whole stays counted.
func (s *Service) forgiveLogin(ctx context.Context, name string, from Client) {
	if err := s.sessions.Forgive(ctx, accountKey(name, limitAddress(from.Address))); err != nil {
		s.log.WarnContext(ctx, "a sign-in stays counted", "error", err)
	}
}

func accountKey(name, address string) string { return "login_account:" + address + ":" + name }

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
