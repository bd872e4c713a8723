package account_test

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/rollcallhq/rollcall/pkg/account"
	"github.com/rollcallhq/rollcall/pkg/ephemeral"
	"github.com/rollcallhq/rollcall/pkg/fleet"
)

// after makes others wait a minute after one failure more than free.
func after(free int) ephemeral.Backoff {
	return ephemeral.Backoff{Free: free, First: time.Minute, Most: time.Minute, Forget: time.Hour}
}

// lenient never makes anybody wait.
func lenient() account.Lockout {
	return account.Lockout{Pair: after(10_000), Address: after(10_000), Account: after(10_000)}
}

func from(address string) account.Client { return account.Client{Address: address} }

// waitOf returns how long a refused sign-in has to wait, rounded up to seconds, or 0 if err is not about that.
func waitOf(t *testing.T, err error) time.Duration {
	t.Helper()
	if fleet.KindOf(err) != fleet.Exhausted {
		return 0
	}
	limit, ok := errors.AsType[*account.LimitError](err)
	if !ok || limit.Allowance.RetryAfter <= 0 || limit.Allowance.Remaining != 0 || limit.Allowance.Limit < 1 {
		t.Fatalf("a refusal without its numbers: %#v", err)
	}
	return (limit.Allowance.RetryAfter + time.Second - 1).Truncate(time.Second)
}

func TestFailedSignInsDoubleTheWait(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"ann", "nobody"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, account.Options{Lockout: account.Lockout{Account: after(1000)}})
			b.addUser(t, "ann", fleet.Viewer, "")
			guess := func(text string) error {
				_, err := b.Login(t.Context(), name, text, home())
				return err
			}
			for range 5 {
				wantError(t, guess("wrong"), fleet.Unauthenticated, account.CodeInvalidCredentials)
			}
			for _, seconds := range []time.Duration{1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 900, 900} {
				want := seconds * time.Second //nolint:durationcheck // a number of them
				wantError(t, guess("wrong"), fleet.Unauthenticated, account.CodeInvalidCredentials)
				for range 3 { // asking does not prolong it
					if got := waitOf(t, guess(password)); got != want {
						t.Fatalf("locked for %s, want %s", got, want)
					}
				}
				b.forward(want)
			}
			err := guess(password)
			if name == "nobody" {
				wantError(t, err, fleet.Unauthenticated, account.CodeInvalidCredentials)
				return
			}
			if err != nil {
				t.Fatalf("the right password after the wait: %v", err)
			}
			for range 5 { // all is forgiven
				wantError(t, guess("wrong"), fleet.Unauthenticated, account.CodeInvalidCredentials)
			}
			if err := guess(password); err != nil {
				t.Errorf("the right password after as many failures as are free: %v", err)
			}
		})
	}
}

func TestTheBeginningOfALockIsAudited(t *testing.T) {
	t.Parallel()
	b := newBench(t, account.Options{Lockout: account.Lockout{Pair: after(1), Address: after(1)}})
	b.addUser(t, "ann", fleet.Viewer, "")
	for range 9 {
		_, _ = b.Login(t.Context(), "ann", "wrong", home())
	}
	denied := entry{Actor: "user:ann", Action: "auth.login", Outcome: "denied", Reason: "wrong_password", Address: "192.0.2.7", HasUser: true}
	wantAudited(t, b, denied, denied, entry{Actor: "user:ann", Action: "auth.lockout", Outcome: "denied", Address: "192.0.2.7", HasUser: true})
	var waits string
	err := b.pool.QueryRow(t.Context(), "select details->>'wait_seconds' from audit_logs where action = 'auth.lockout'").Scan(&waits)
	if err != nil || waits != `{"address": 60, "account_and_address": 60}` {
		t.Errorf("the entry says %s, %v", waits, err)
	}
}

// What a distributed attack on an account does to its owner.
func TestAStrangerCannotKeepAnOwnerOut(t *testing.T) {
	t.Parallel()
	b := newBench(t, account.Options{})
	b.addUser(t, "ann", fleet.Admin, "")
	_, _ = b.login(t, "ann") // from home
	attack := func() (longest time.Duration) {
		for i := range 60 {
			_, err := b.Login(t.Context(), "ann", "wrong", from(fmt.Sprintf("198.51.100.%d", i)))
			longest = max(longest, waitOf(t, err))
			b.forward(time.Second)
		}
		return longest
	}
	attack()
	if longest := attack(); longest > 30*time.Second || longest < 20*time.Second {
		t.Errorf("locked for %s, want it to end at half a minute", longest)
	}
	_, err := b.Login(t.Context(), "ann", password, from("203.0.113.1"))
	if wait := waitOf(t, err); wait == 0 {
		t.Errorf("the attack has not locked the account for new addresses: %v", err)
	}
	if _, err := b.Login(t.Context(), "ann", password, home()); err != nil {
		t.Errorf("the owner from where she has signed in before: %v", err)
	}
	b.forward(31 * time.Second)
	if _, err := b.Login(t.Context(), "ann", password, from("203.0.113.1")); err != nil {
		t.Errorf("the owner from elsewhere, half a minute later: %v", err)
	}
}

func TestOneAddressCannotGuessAtManyAccounts(t *testing.T) {
	t.Parallel()
	b := newBench(t, account.Options{Lockout: account.Lockout{Address: after(6)}})
	b.addUser(t, "ann", fleet.Admin, "")
	b.addUser(t, "eve", fleet.Viewer, "")
	for i := range 7 {
		if _, err := b.Login(t.Context(), "eve", password, home()); err != nil { // an account of one's own buys nothing
			t.Fatalf("eve before guess %d: %v", i, err)
		}
		_, err := b.Login(t.Context(), fmt.Sprintf("user%d", i), password, home())
		wantError(t, err, fleet.Unauthenticated, account.CodeInvalidCredentials)
	}
	for _, name := range []string{"ann", "eve", "nobody"} {
		if _, err := b.Login(t.Context(), name, password, home()); waitOf(t, err) != time.Minute {
			t.Errorf("%s from there: %v, want a minute's wait", name, err)
		}
		if _, err := b.LoginCookie(t.Context(), name, password, home()); waitOf(t, err) != time.Minute {
			t.Errorf("%s from there in a browser: %v, want a minute's wait", name, err)
		}
	}
	if _, err := b.Login(t.Context(), "ann", password, from("192.0.2.8")); err != nil {
		t.Errorf("ann from elsewhere: %v", err)
	}
}

// A lock is per address: the refusals for one reason must not be counted for another.
func TestARefusedSignInCountsNowhere(t *testing.T) {
	t.Parallel()
	b := newBench(t, account.Options{Lockout: account.Lockout{Pair: after(1), Address: after(3), Account: after(3)}})
	b.addUser(t, "ann", fleet.Viewer, "")
	for range 2 {
		_, err := b.Login(t.Context(), "ann", "wrong", home())
		wantError(t, err, fleet.Unauthenticated, account.CodeInvalidCredentials)
	}
	for range 50 {
		_, err := b.Login(t.Context(), "ann", "wrong", home())
		wantError(t, err, fleet.Exhausted, "rate_limited")
	}
	for range 2 { // of four that are free at the address, two are left
		_, err := b.Login(t.Context(), "bob", "wrong", home())
		wantError(t, err, fleet.Unauthenticated, account.CodeInvalidCredentials)
	}
	if _, err := b.Login(t.Context(), "ann", password, from("192.0.2.8")); err != nil {
		t.Errorf("ann from elsewhere: %v", err)
	}
}

func TestGuessesAtOnceDoNotSlipThrough(t *testing.T) {
	t.Parallel()
	b := newBench(t, account.Options{Lockout: account.Lockout{Pair: after(4)}})
	b.addUser(t, "ann", fleet.Viewer, "")
	var looked, refused atomic.Int64
	var wg sync.WaitGroup
	for range 100 {
		wg.Go(func() {
			switch _, err := b.Login(t.Context(), "ann", "wrong", home()); fleet.KindOf(err) {
			case fleet.Unauthenticated:
				looked.Add(1)
			case fleet.Exhausted:
				refused.Add(1)
			default:
				t.Errorf("neither wrong nor refused: %v", err)
			}
		})
	}
	wg.Wait()
	if looked.Load() != 5 || refused.Load() != 95 {
		t.Errorf("%d passwords were looked at and %d refused, want 5 and 95", looked.Load(), refused.Load())
	}
}

func TestAGuessThatNobodyLookedAtIsNoFailure(t *testing.T) {
	t.Parallel()
	b := newBench(t, account.Options{Lockout: account.Lockout{Pair: after(0), Address: after(0), Account: after(0)}})
	busy := b.replica(t, account.Options{Lockout: account.Lockout{Pair: after(0), Address: after(0), Account: after(0)}, PasswordWait: time.Nanosecond})
	b.addUser(t, "ann", fleet.Viewer, "")
	for range 3 {
		_, err := busy.Login(t.Context(), "ann", password, home())
		wantError(t, err, fleet.Unavailable, "passwords_busy")
	}
	if _, err := b.Login(t.Context(), "ann", password, home()); err != nil {
		t.Errorf("after three that waited in vain: %v", err)
	}
}

// Ten thousand guesses, an attempt every 50 ms on the service's clock, so for more than eight minutes.
func TestABruteForceEndsLockedAndAudited(t *testing.T) {
	t.Parallel()
	b := newBench(t, account.Options{PerAddress: ephemeral.Limit{Events: 1_000_000, Period: time.Second}})
	b.addUser(t, "ann", fleet.Admin, "")
	looked, refused := 0, 0
	for i := range 10_000 {
		_, err := b.Login(t.Context(), "ann", fmt.Sprintf("guess %d", i), home())
		switch fleet.KindOf(err) {
		case fleet.Unauthenticated:
			looked++
		case fleet.Exhausted:
			refused++
		default:
			t.Fatalf("guess %d: %v", i, err)
		}
		b.forward(50 * time.Millisecond)
	}
	if looked < 6 || looked > 20 || looked+refused != 10_000 {
		t.Errorf("%d passwords were looked at and %d attempts refused", looked, refused)
	}
	_, err := b.Login(t.Context(), "ann", password, home())
	wait := waitOf(t, err)
	if wait == 0 {
		t.Fatalf("the right password while it is locked: %v", err)
	}
	counts := map[string]int{}
	for _, e := range b.audited(t) {
		if e.Address != "192.0.2.7" || e.Outcome != "denied" || e.Actor != "user:ann" || !e.HasUser {
			t.Errorf("an entry of somebody else: %+v", e)
		}
		counts[e.Action]++
	}
	if counts["auth.login"] != looked || counts["auth.lockout"] != looked-5 || len(counts) != 2 {
		t.Errorf("audited %v of %d guesses that were looked at", counts, looked)
	}
	if keys := strings.Join(b.redis.Keys(), " "); strings.Contains(keys+b.redis.Dump(), "ann") {
		t.Errorf("what was typed stands in Redis: %s", keys)
	}
	b.forward(wait)
	if _, err := b.Login(t.Context(), "ann", password, home()); err != nil {
		t.Errorf("the right password after the wait: %v", err)
	}
}
