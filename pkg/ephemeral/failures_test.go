package ephemeral_test

import (
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/rollcallhq/rollcall/pkg/ephemeral"
	"github.com/rollcallhq/rollcall/pkg/fleet"
)

func backoff() ephemeral.Backoff {
	return ephemeral.Backoff{Free: 2, First: time.Second, Most: 5 * time.Second, Forget: time.Minute}
}

func guess(t *testing.T, s *ephemeral.Store, at time.Time, tallies ...ephemeral.Tally) ephemeral.Guess {
	t.Helper()
	g, err := s.Guess(t.Context(), at, "ann", tallies...)
	if err != nil {
		t.Fatal(err)
	}
	return g
}

func TestGuessesWaitLongerAndLonger(t *testing.T) {
	t.Parallel()
	for _, b := range backends() {
		t.Run(b.name, func(t *testing.T) {
			t.Parallel()
			s := b.open(t)
			tally := ephemeral.Tally{Key: "k", Backoff: backoff()}
			start := time.Now()
			now := start
			steps := []struct {
				name    string
				after   time.Duration // the step before
				refused bool
				wait    time.Duration
			}{
				{"the first is free", 0, false, 0},
				{"the second too", 0, false, 0},
				{"the third makes others wait a second", 0, false, time.Second},
				{"which they do", 100 * time.Millisecond, true, 900 * time.Millisecond},
				{"and asking does not prolong it", 0, true, 900 * time.Millisecond},
				{"the fourth makes them wait for two", 900 * time.Millisecond, false, 2 * time.Second},
				{"the fifth for four", 2 * time.Second, false, 4 * time.Second},
				{"the sixth for the most there is", 4 * time.Second, false, 5 * time.Second},
				{"and so does the seventh", 5 * time.Second, false, 5 * time.Second},
				{"a clock that went back does not lock for longer", -time.Hour, true, 5 * time.Second},
				{"two quiet minutes after it has ended, two are forgotten", time.Hour + 5*time.Second + 2*time.Minute, false, 4 * time.Second},
				{"half an hour later all are", 30 * time.Minute, false, 0},
			}
			for _, step := range steps {
				now = now.Add(step.after)
				waits, err := s.Waits(t.Context(), now, "ann", tally)
				g := guess(t, s, now, tally)
				if err != nil || (waits[0] > 0) != g.Refused || g.Refused && waits[0] != g.Wait {
					t.Errorf("%s: before it there was a wait of %v, %v", step.name, waits, err)
				}
				if g.Refused != step.refused || g.Wait != step.wait || g.Waits[0] != step.wait || g.Wait > 0 && g.Free != 2 {
					t.Errorf("%s: got %+v", step.name, g)
				}
			}
			if g := guess(t, s, start, ephemeral.Tally{Key: "other", Backoff: backoff()}); g.Refused || g.Wait != 0 {
				t.Errorf("the neighbour: got %+v", g)
			}
		})
	}
}

func TestAGuessIsCountedInAllTalliesOrNone(t *testing.T) {
	t.Parallel()
	for _, b := range backends() {
		t.Run(b.name, func(t *testing.T) {
			t.Parallel()
			s, now := b.open(t), time.Now()
			strict, loose := ephemeral.Tally{Key: "strict", Backoff: backoff()}, ephemeral.Tally{Key: "loose", Backoff: backoff()}
			strict.Backoff.Free = 0
			if g := guess(t, s, now, strict, loose); g.Refused || g.Waits[0] != time.Second || g.Waits[1] != 0 || g.Free != 0 {
				t.Fatalf("the first: got %+v", g)
			}
			for range 5 {
				if g := guess(t, s, now, strict, loose); !g.Refused || g.Wait != time.Second {
					t.Fatalf("while one of them has a wait: got %+v", g)
				}
			}
			if g := guess(t, s, now, loose); g.Refused || g.Wait != 0 {
				t.Errorf("refused guesses were counted: %+v", g)
			}
			if g := guess(t, s, now, loose); g.Wait != time.Second {
				t.Errorf("the third of the other tally: %+v", g)
			}
		})
	}
}

func TestAGuessIsTakenBack(t *testing.T) {
	t.Parallel()
	for _, b := range backends() {
		t.Run(b.name, func(t *testing.T) {
			t.Parallel()
			s, now := b.open(t), time.Now()
			tally := ephemeral.Tally{Key: "k", Backoff: backoff()}
			take := func(g ephemeral.Guess) {
				t.Helper()
				if err := s.Take(t.Context(), g); err != nil {
					t.Fatal(err)
				}
			}
			for range 10 { // as somebody who is always right
				g := guess(t, s, now, tally)
				if g.Refused || g.Wait != 0 {
					t.Fatalf("got %+v", g)
				}
				take(g)
			}
			guess(t, s, now, tally)
			guess(t, s, now, tally)
			third := guess(t, s, now, tally)
			take(guess(t, s, now, tally)) // refused: nothing to take back
			if g := guess(t, s, now, tally); !g.Refused {
				t.Errorf("taking a refused guess back has opened the lock: %+v", g)
			}
			take(third)
			if g := guess(t, s, now, tally); g.Refused || g.Wait != time.Second {
				t.Errorf("after the third was taken back the next is not the third: %+v", g)
			}
			later := now.Add(time.Second)
			fourth := guess(t, s, later, tally)
			take(third) // late: what others have counted since stays
			if g := guess(t, s, later, tally); !g.Refused || g.Wait != fourth.Wait {
				t.Errorf("a late answer has opened another's lock: %+v", g)
			}
			for range 20 { // at the most, where the count has ended, being right does not lower it
				later = later.Add(time.Minute)
				guess(t, s, later.Add(-55*time.Second), tally)
			}
			g := guess(t, s, later, tally)
			take(g)
			if again := guess(t, s, later, tally); again.Wait != g.Wait || again.Refused {
				t.Errorf("being right once has made the wait %s instead of %s", again.Wait, g.Wait)
			}
			if err := s.ForgetFailures(t.Context(), "ann", "k"); err != nil {
				t.Fatal(err)
			}
			if g := guess(t, s, later, tally); g.Refused || g.Wait != 0 {
				t.Errorf("after all were forgotten: %+v", g)
			}
		})
	}
}

func TestGuessesAtOnceAreCounted(t *testing.T) {
	t.Parallel()
	for _, b := range backends() {
		t.Run(b.name, func(t *testing.T) {
			t.Parallel()
			s, now := b.open(t), time.Now()
			var allowed atomic.Int64
			var wg sync.WaitGroup
			for range 30 {
				wg.Go(func() {
					g, err := s.Guess(t.Context(), now, "ann", ephemeral.Tally{Key: "k", Backoff: backoff()})
					if err != nil {
						t.Error(err)
					}
					if !g.Refused {
						allowed.Add(1)
					}
				})
			}
			wg.Wait()
			if allowed.Load() != 3 {
				t.Errorf("%d of 30 were allowed, want 3", allowed.Load())
			}
		})
	}
}

func TestWhoIsKnown(t *testing.T) {
	t.Parallel()
	s := backends()[0].open(t)
	known := func(group, key string) bool {
		t.Helper()
		ok, err := s.Known(t.Context(), group, key)
		if err != nil {
			t.Fatal(err)
		}
		return ok
	}
	if err := s.SetKnown(t.Context(), "ann", "home", time.Hour); err != nil {
		t.Fatal(err)
	}
	if !known("ann", "home") || known("ann", "elsewhere") || known("bob", "home") {
		t.Error("somebody else is known")
	}
}

func TestGuessesOfAnyName(t *testing.T) {
	t.Parallel()
	for _, b := range backends() {
		t.Run(b.name, func(t *testing.T) {
			t.Parallel()
			s := b.open(t)
			long := strings.Repeat("x", 1<<20)
			strict := backoff()
			strict.Free = 0
			for _, name := range []string{"", "}", "{", "a b\r\nc", "\xff\x00", long + "1", long + "2"} {
				g, err := s.Guess(t.Context(), time.Now(), name, ephemeral.Tally{Key: name, Backoff: strict}, ephemeral.Tally{Key: name + "'", Backoff: strict})
				if err != nil || g.Refused || g.Wait != time.Second {
					t.Errorf("a name of %d bytes: %+v, %v", len(name), g, err)
				}
			}
		})
	}
}

func TestGuessingNeedsRedisAndBounds(t *testing.T) {
	t.Parallel()
	_, s := open(t, "redis://127.0.0.1:1")
	tally := ephemeral.Tally{Key: "k", Backoff: backoff()}
	_, known := s.Known(t.Context(), "ann", "home")
	_, counted := s.Guess(t.Context(), time.Now(), "ann", tally)
	_, waits := s.Waits(t.Context(), time.Now(), "ann", tally)
	for name, err := range map[string]error{
		"Guess": counted, "Waits": waits, "Known": known, "SetKnown": s.SetKnown(t.Context(), "ann", "home", time.Hour),
		"ForgetFailures": s.ForgetFailures(t.Context(), "ann", "k"),
	} {
		if fleet.KindOf(err) != fleet.Unavailable || fleet.CodeOf(err) != ephemeral.CodeSessionStoreUnavailable {
			t.Errorf("%s without Redis: %v", name, err)
		}
	}
	for _, change := range []func(*ephemeral.Backoff){
		func(b *ephemeral.Backoff) { b.Free = -1 },
		func(b *ephemeral.Backoff) { b.First = 0 },
		func(b *ephemeral.Backoff) { b.Most = b.First - 1 },
		func(b *ephemeral.Backoff) { b.Most = 48 * time.Hour },
		func(b *ephemeral.Backoff) { b.Forget = 0 },
	} {
		bad := tally
		change(&bad.Backoff)
		if _, err := s.Guess(t.Context(), time.Now(), "ann", bad); fleet.KindOf(err) != fleet.Invalid {
			t.Errorf("Guess with %+v: %v, want Invalid", bad.Backoff, err)
		}
	}
	if g, err := s.Guess(t.Context(), time.Now(), "ann"); err != nil || g.Refused {
		t.Errorf("a guess without tallies: %+v, %v", g, err)
	}
}
