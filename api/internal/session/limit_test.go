package session_test

import (
	"context"
	"net/http"
	"strconv"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/google/uuid"

	"github.com/rollcallhq/rollcall/api/internal/session"
	"github.com/rollcallhq/rollcall/pkg/ephemeral"
	"github.com/rollcallhq/rollcall/pkg/fleet"
)

// A pair is two replicas' limiters on one Redis, all with one clock.
type pair struct {
	redis *miniredis.Miniredis
	now   time.Time
	each  [2]*session.Limiter
}

func newPair(t *testing.T, rates session.Rates) *pair {
	t.Helper()
	p := &pair{redis: miniredis.RunT(t), now: time.Unix(1_800_000_000, 250_000_000)}
	p.redis.SetTime(p.now)
	for i := range p.each {
		client, err := ephemeral.Open("redis://"+p.redis.Addr(), ephemeral.Options{})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = client.Close() })
		p.each[i] = session.NewLimiter(ephemeral.New(client), rates, func() time.Time { return p.now })
	}
	return p
}

// allowed returns how many of n requests, which go to the replicas in turn, are allowed.
func (p *pair) allowed(t *testing.T, n int, actor fleet.Actor) int {
	t.Helper()
	count := 0
	for i := range n {
		a, err := p.each[i%2].Allow(t.Context(), actor)
		if kind := fleet.KindOf(err); kind != fleet.OK && kind != fleet.Exhausted {
			t.Fatal(err)
		}
		if err == nil {
			count++
		}
		if a.Limit > 0 && a.Allowed != (err == nil) {
			t.Fatalf("%+v with %v", a, err)
		}
	}
	return count
}

func user(id uuid.UUID) fleet.Actor {
	return fleet.Actor{Kind: fleet.ActorUser, ID: id, UserID: &id, Name: "ann", Role: fleet.Viewer}
}

func tokenOf(owner uuid.UUID) fleet.Actor {
	return fleet.Actor{Kind: fleet.ActorToken, ID: fleet.NewID(), UserID: &owner, Name: "ci", Role: fleet.Viewer}
}

func TestTwoReplicasAllowNoMoreThanOne(t *testing.T) {
	t.Parallel()
	p := newPair(t, session.Rates{Account: 10, Token: 4})
	if got := p.allowed(t, 60, fleet.Actor{Address: "192.0.2.1"}); got != 20 {
		t.Errorf("%d refused requests of one address were let through, want 20", got)
	}
	if got := p.allowed(t, 60, fleet.Actor{Address: "2001:db8::1"}) + p.allowed(t, 60, fleet.Actor{Address: "2001:db8::2"}); got != 20 {
		t.Errorf("%d of one /64, want 20", got)
	}
	ann, bob := fleet.NewID(), fleet.NewID()
	if got := p.allowed(t, 20, tokenOf(ann)); got != 4 {
		t.Errorf("%d of one token, want 4", got)
	}
	if got := p.allowed(t, 20, tokenOf(ann)) + p.allowed(t, 20, user(ann)) + p.allowed(t, 20, tokenOf(ann)); got != 6 {
		t.Errorf("%d of her other tokens and sessions, want the 6 that the first token left", got)
	}
	if got := p.allowed(t, 20, user(bob)); got != 10 {
		t.Errorf("%d of another user, want 10", got)
	}
	p.now = p.now.Add(500 * time.Millisecond)
	p.redis.SetTime(p.now)
	if got := p.allowed(t, 20, user(ann)); got != 5 {
		t.Errorf("%d half a second later, want 5", got)
	}
}

func TestWithoutRedisEachReplicaKeepsTheBoundsForItself(t *testing.T) {
	t.Parallel()
	p := newPair(t, session.Rates{Account: 10, Token: 4})
	p.redis.Close()
	ann := fleet.NewID()
	if got := p.allowed(t, 60, fleet.Actor{Address: "192.0.2.1"}); got != 2*20 {
		t.Errorf("%d refused requests of one address were let through, want 20 by each", got)
	}
	if got := p.allowed(t, 60, tokenOf(ann)); got != 2*4 {
		t.Errorf("%d of one token, want 4 by each", got)
	}
	if got := p.allowed(t, 60, user(ann)); got != 2*6 {
		t.Errorf("%d of her sessions, want the 6 that are left, by each", got)
	}
	p.now = p.now.Add(time.Second)
	if got := p.allowed(t, 2, user(ann)); got != 2 {
		t.Errorf("%d a second later, want 2", got)
	}
	if err := p.redis.Restart(); err != nil {
		t.Fatal(err)
	}
	p.redis.SetTime(p.now)
	if got := p.allowed(t, 60, user(fleet.NewID())); got != 2*10 {
		t.Errorf("%d while Redis is not asked again, want 10 by each", got)
	}
	p.now = p.now.Add(2 * time.Second)
	p.redis.SetTime(p.now)
	if got := p.allowed(t, 60, user(ann)); got != 10 {
		t.Errorf("%d when Redis is back, want 10", got)
	}
}

func TestACallerWhoGoesDoesNotMakeRedisLookSilent(t *testing.T) {
	t.Parallel()
	p := newPair(t, session.Rates{Account: 10})
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	for range 5 {
		_, _ = p.each[0].Allow(gone, user(fleet.NewID()))
	}
	if got := p.allowed(t, 40, user(fleet.NewID())); got != 10 {
		t.Errorf("%d of both replicas, want 10: one of them has stopped asking Redis", got)
	}
}

func TestALimiterKnowsABoundedNumberOfStrangers(t *testing.T) {
	t.Parallel()
	now := time.Unix(1_800_000_000, 0)
	l := session.NewLimiter(nil, session.Rates{}, func() time.Time { return now })
	refused := 0
	for i := range 10_100 {
		_, err := l.Allow(t.Context(), fleet.Actor{Address: "10.0." + strconv.Itoa(i/250) + "." + strconv.Itoa(i%250)})
		if err != nil {
			refused++
		}
	}
	if refused != 100-20 {
		t.Errorf("%d of the hundred too many were refused, want all but 20", refused)
	}
	var none *session.Limiter
	if a, err := none.Allow(t.Context(), fleet.Actor{}); err != nil || a.Limit != 0 {
		t.Errorf("no limiter: %+v, %v", a, err)
	}
}

func TestCountedAnswersSayWhatIsLeft(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	now := time.Now().Truncate(time.Second) // sessions live by the same clock
	b.redis.SetTime(now)
	b.limit(t, session.NewLimiter(b.shared, session.Rates{Account: 3}, func() time.Time { return now }))
	bearer := "Authorization: Bearer " + b.login(t).Access
	for _, want := range []struct {
		status    int
		remaining string
		wait      string
	}{{http.StatusOK, "2", ""}, {http.StatusOK, "1", ""}, {http.StatusOK, "0", ""}, {http.StatusTooManyRequests, "0", "1"}} {
		got := b.ask(t, "", request("GET", "/", bearer))
		if got.status != want.status || got.header.Get("RateLimit-Limit") != "3" || got.header.Get("RateLimit-Remaining") != want.remaining ||
			got.header.Get("RateLimit-Reset") != "1" || got.header.Get("Retry-After") != want.wait {
			t.Errorf("got %d %v, want %+v", got.status, got.header, want)
		}
	}
	if got := b.ask(t, "", request("GET", "/", "Authorization: Bearer x")); got.header.Get("RateLimit-Remaining") != "19" {
		t.Errorf("a stranger is told %v", got.header)
	}
	if got := b.ask(t, "", request("GET", "/")); got.header.Get("RateLimit-Limit") != "" {
		t.Errorf("who is not counted is told %v", got.header)
	}
}
