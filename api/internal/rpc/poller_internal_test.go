package rpc

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rollcallhq/rollcall/pkg/fleet"
)

func TestPollerAsksOnceForEverybody(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := newPoller[string, int](250 * time.Millisecond)
		asked := 0
		ask := func(ctx context.Context) (int, error) {
			asked++
			<-time.After(100 * time.Millisecond)
			return asked, ctx.Err()
		}
		var callers sync.WaitGroup
		for range 1000 {
			callers.Go(func() {
				for range 10 {
					if _, err := p.get(t.Context(), "a", ask); err != nil {
						t.Error(err)
					}
					<-time.After(250 * time.Millisecond)
				}
			})
		}
		callers.Wait()
		if asked > 12 {
			t.Errorf("1000 callers asking 10 times each have asked %d times", asked)
		}
	})
}

func TestPollerSharesNeitherKeysNorErrors(t *testing.T) {
	t.Parallel()
	p := newPoller[string, int](time.Hour)
	answer := func(v int, err error) func(context.Context) (int, error) {
		return func(context.Context) (int, error) { return v, err }
	}
	down := errors.New("down")
	for _, tt := range []struct {
		name, key string
		ask       func(context.Context) (int, error)
		want      int
		err       error
	}{
		{"an error reaches who asked", "a", answer(0, down), 0, down},
		{"and nobody after", "a", answer(1, nil), 1, nil},
		{"an answer serves the next one", "a", answer(2, nil), 1, nil},
		{"but not another key", "b", answer(3, nil), 3, nil},
	} {
		got, err := p.get(t.Context(), tt.key, tt.ask)
		if got != tt.want || !errors.Is(err, tt.err) {
			t.Errorf("%s: get = %d, %v, want %d, %v", tt.name, got, err, tt.want, tt.err)
		}
	}
}

func TestPollerOutlivesTheCallerWhoAsked(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := newPoller[string, int](time.Second)
		first, leave := context.WithCancel(t.Context())
		ask := func(ctx context.Context) (int, error) {
			select {
			case <-time.After(time.Second):
				return 1, nil
			case <-ctx.Done():
				return 0, ctx.Err()
			}
		}
		go func() { _, _ = p.get(first, "a", ask) }()
		synctest.Wait()
		leave()
		if got, err := p.get(t.Context(), "a", ask); got != 1 || err != nil {
			t.Errorf("get = %d, %v, want the answer that the first caller did not wait for", got, err)
		}
	})
}

func TestPollerForgets(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := newPoller[int, int](time.Second)
		for i := range 100 {
			_, _ = p.get(t.Context(), i, func(context.Context) (int, error) { return i, nil })
		}
		<-time.After(time.Minute)
		_, _ = p.get(t.Context(), 1000, func(context.Context) (int, error) { return 0, nil })
		if len(p.answers) != 1 {
			t.Errorf("%d answers are kept, want 1", len(p.answers))
		}
	})
}

func TestScopesThatSeeDifferentThingsShareNothing(t *testing.T) {
	t.Parallel()
	scopes := []fleet.Scope{{}, fleet.Everything()}
	for _, text := range []string{"env=prod", "env=test", "*"} {
		selector, err := fleet.ParseSelector(text)
		if err != nil {
			t.Fatal(err)
		}
		scopes = append(scopes, fleet.Actor{Kind: fleet.ActorUser, Role: fleet.Viewer, Selector: &selector}.Scope())
	}
	seen := map[scopeKey]int{}
	for i, scope := range scopes {
		if before, taken := seen[keyOf(scope)]; taken {
			t.Errorf("scopes %d and %d have the key %q", before, i, keyOf(scope))
		}
		seen[keyOf(scope)] = i
	}
}
