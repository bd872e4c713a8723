package account

import (
	"context"
	"slices"
	"time"

	"github.com/rollcallhq/rollcall/pkg/ephemeral"
	"github.com/rollcallhq/rollcall/pkg/fleet"
)

// Lockout is how long failed sign-ins make others wait. Every failure beyond the free ones doubles the wait, in which
// attempts are refused with a *LimitError, the right password too, without looking at the password and without prolonging
// the wait. Names that no user has are counted like the others. An address is an IPv4 address or an IPv6 /64.
//
// The account over all addresses is what an attacker with many addresses runs into. He could keep its owner out with it,
// which is why its wait ends doubling early, and why it does not concern an address from which somebody has signed in to
// the account within the last 30 days: that one has only its own waits. The sessions that there are, API tokens and reset
// links go on in any case.
//
// The zero value of a field takes its default.
type Lockout struct {
	Pair    ephemeral.Backoff // one account from one address: 5 free, 1 s to 15 min, one forgotten in 15 min, all on success
	Address ephemeral.Backoff // one address at all accounts: 20 free, 1 s to 15 min, one forgotten in a minute
	Account ephemeral.Backoff // one account from all addresses: 20 free, 1 s to 30 s, one forgotten in a minute
}

func (l Lockout) withDefaults() Lockout {
	none := ephemeral.Backoff{}
	if l.Pair == none {
		l.Pair = ephemeral.Backoff{Free: 5, First: time.Second, Most: 15 * time.Minute, Forget: 15 * time.Minute}
	}
	if l.Address == none {
		l.Address = ephemeral.Backoff{Free: 20, First: time.Second, Most: 15 * time.Minute, Forget: time.Minute}
	}
	if l.Account == none {
		l.Account = ephemeral.Backoff{Free: 20, First: time.Second, Most: 30 * time.Second, Forget: time.Minute}
	}
	return l
}

// knownTime is how long an address is known to an account after a sign-in from there.
const knownTime = 30 * 24 * time.Hour

// The names of the tallies, in the audit log too.
const (
	tallyAddress = "address"
	tallyPair    = "account_and_address"
	tallyAccount = "account"
)

// A guess is an attempt at a password that was counted before it was looked at: at most it was wrong already.
type guess struct {
	name, address string
	byAddress     ephemeral.Guess
	byAccount     ephemeral.Guess
}

// guess counts an attempt at the password of a name or refuses it. The address comes first: who is refused for that has
// done nothing to the account. Attempts while it is locked are the many, so they are refused after reading alone.
func (s *Service) guess(ctx context.Context, name string, from Client) (guess, error) {
	g := guess{name: name, address: limitAddress(from.Address)}
	byAddress, byAccount, err := s.tallies(ctx, name, g.address)
	if err != nil {
		return guess{}, err
	}
	if err := s.count(ctx, "login_address:"+g.address, s.options.PerAddress); err != nil {
		return guess{}, err
	}
	g.byAddress, err = s.sessions.Guess(ctx, s.now(), addressGroup(g.address), byAddress)
	if err != nil {
		return guess{}, err
	}
	if g.byAddress.Refused {
		return guess{}, lockedError(g.byAddress.Wait, g.byAddress.Free)
	}
	g.byAccount, err = s.sessions.Guess(ctx, s.now(), accountGroup(name), byAccount...)
	if err != nil {
		return guess{}, err
	}
	if g.byAccount.Refused {
		s.take(ctx, g.byAddress)
		return guess{}, lockedError(g.byAccount.Wait, g.byAccount.Free)
	}
	return g, nil
}

// tallies returns those that an attempt counts in, or a *LimitError if one of them has a wait.
func (s *Service) tallies(ctx context.Context, name, address string) (byAddress ephemeral.Tally, byAccount []ephemeral.Tally, err error) {
	limits := s.options.Lockout
	byAddress = ephemeral.Tally{Key: tallyAddress, Backoff: limits.Address}
	byAccount = []ephemeral.Tally{{Key: pairKey(address), Backoff: limits.Pair}}
	known, err := s.sessions.Known(ctx, accountGroup(name), address)
	if err != nil {
		return byAddress, nil, err
	}
	if !known {
		byAccount = append(byAccount, ephemeral.Tally{Key: tallyAccount, Backoff: limits.Account})
	}
	waits, err := s.sessions.Waits(ctx, s.now(), addressGroup(address), byAddress)
	if err == nil && waits[0] > 0 {
		err = lockedError(waits[0], limits.Address.Free)
	}
	if err != nil {
		return byAddress, nil, err
	}
	waits, err = s.sessions.Waits(ctx, s.now(), accountGroup(name), byAccount...)
	if err != nil {
		return byAddress, nil, err
	}
	if wait := slices.Max(waits); wait > 0 {
		return byAddress, nil, lockedError(wait, byAccount[slices.Index(waits, wait)].Backoff.Free)
	}
	return byAddress, byAccount, nil
}

// forgive takes a guess back that was right, and with it the failures at the account from the address. The address stays
// counted for its other failures, or else an account of one's own would be a licence to guess at the others.
func (s *Service) forgive(ctx context.Context, g guess) {
	s.takeBack(ctx, g)
	ctx = context.WithoutCancel(ctx)
	err := s.sessions.ForgetFailures(ctx, accountGroup(g.name), pairKey(g.address))
	if err == nil {
		err = s.sessions.SetKnown(ctx, accountGroup(g.name), g.address, knownTime)
	}
	if err != nil {
		s.log.WarnContext(ctx, "failed sign-ins stay counted after a good one", "error", err)
	}
}

// takeBack takes back what a guess has counted, in all of its tallies.
func (s *Service) takeBack(ctx context.Context, g guess) {
	s.take(ctx, g.byAccount)
	s.take(ctx, g.byAddress)
}

// take does not heed the caller's leaving: who has the right password and no patience has not failed.
func (s *Service) take(ctx context.Context, g ephemeral.Guess) {
	if err := s.sessions.Take(context.WithoutCancel(ctx), g); err != nil {
		s.log.WarnContext(ctx, "a sign-in stays counted as a failed one", "error", err)
	}
}

// lockout returns the audit entry about the waits that a failed guess has begun, if it has.
func (g guess) lockout() (entry fleet.AuditEntry, begun bool) {
	waits := map[string]any{}
	note := func(name string, waited []time.Duration, i int) {
		if i < len(waited) && waited[i] > 0 {
			waits[name] = waited[i].Seconds()
		}
	}
	note(tallyAddress, g.byAddress.Waits, 0)
	note(tallyPair, g.byAccount.Waits, 0)
	note(tallyAccount, g.byAccount.Waits, 1)
	return fleet.AuditEntry{
		Action: "auth.lockout", Denied: true, ResourceType: "session", Details: map[string]any{"wait_seconds": waits},
	}, len(waits) > 0
}

// lockedError says that there is a wait, after more failures than are free.
func lockedError(wait time.Duration, free int) *LimitError {
	return NewLimitError(ephemeral.Allowance{Limit: max(1, free), RetryAfter: wait, ResetAfter: wait})
}

func addressGroup(address string) string { return "address:" + address }

func accountGroup(name string) string { return "account:" + name }

func pairKey(address string) string { return "address:" + address }
