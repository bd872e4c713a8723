package rpc

import (
	"context"
	"sync"
	"time"

	"github.com/rollcallhq/rollcall/pkg/fleet"
)

// A poller lets any number of callers ask the same question again and again at the cost of one: an answer serves
// everybody who asks within maxAge of it. Errors serve only those who were waiting for them. It is safe for
// concurrent use.
type poller[K comparable, V any] struct {
	maxAge time.Duration

	mu      sync.Mutex
	answers map[K]*answer[V]
	swept   time.Time
}

// An answer is being looked for until done is closed, and does not change after.
type answer[V any] struct {
	done  chan struct{}
	at    time.Time
	value V
	err   error
}

const (
	askTimeout = 5 * time.Second // for one question
	sweepAfter = 10 * time.Second
)

func newPoller[K comparable, V any](maxAge time.Duration) *poller[K, V] {
	return &poller[K, V]{maxAge: maxAge, answers: map[K]*answer[V]{}, swept: time.Now()}
}

// get returns the answer under key, asking for it if there is none of late. What ask returns is shared: nobody may
// change it. ask does not end with ctx, because others may wait for it, but in askTimeout.
func (p *poller[K, V]) get(ctx context.Context, key K, ask func(context.Context) (V, error)) (V, error) {
	a, mine := p.answer(key)
	if mine {
		p.settle(ctx, key, a, ask)
	}
	select {
	case <-a.done:
		return a.value, a.err
	case <-ctx.Done():
		var none V
		return none, ctx.Err()
	}
}

// answer returns the answer under key; if mine, the caller has to settle it.
func (p *poller[K, V]) answer(key K) (a *answer[V], mine bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.sweep()
	if a, ok := p.answers[key]; ok && !p.stale(a) {
		return a, false
	}
	a = &answer[V]{done: make(chan struct{})}
	p.answers[key] = a
	return a, true
}

func (p *poller[K, V]) settle(ctx context.Context, key K, a *answer[V], ask func(context.Context) (V, error)) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), askTimeout)
	defer cancel()
	a.err = fleet.Errorf(fleet.Unavailable, "nobody found out; ask again") // stays only where ask panics
	defer func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		a.at = time.Now()
		close(a.done)
		if a.err != nil && p.answers[key] == a {
			delete(p.answers, key)
		}
	}()
	a.value, a.err = ask(ctx)
}

// stale reports whether a is too old to serve. It is called with the lock held.
func (p *poller[K, V]) stale(a *answer[V]) bool {
	select {
	case <-a.done:
		return time.Since(a.at) >= p.maxAge
	default:
		return false // being looked for
	}
}

// sweep forgets what nobody will be served any more. It is called with the lock held.
func (p *poller[K, V]) sweep() {
	if time.Since(p.swept) < sweepAfter {
		return
	}
	p.swept = time.Now()
	for key, a := range p.answers {
		if p.stale(a) {
			delete(p.answers, key)
		}
	}
}

// scopeKey tells apart who sees what.
type scopeKey string

func keyOf(scope fleet.Scope) scopeKey {
	switch {
	case scope.SeesNothing():
		return ""
	case scope.Selector() == nil:
		return "everything"
	default:
		return scopeKey("selector " + scope.Selector().String())
	}
}
