package ephemeral_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/rollcallhq/rollcall/pkg/ephemeral"
	"github.com/rollcallhq/rollcall/pkg/fleet"
)

func TestAllow(t *testing.T) {
	t.Parallel()
	for _, b := range backends() {
		t.Run(b.name, func(t *testing.T) {
			t.Parallel()
			s := b.open(t)
			limit := ephemeral.PerMinute(5)
			for i := range 5 {
				got, err := s.Allow(t.Context(), "login:192.0.2.7", limit)
				if err != nil || !got.Allowed || got.Limit != 5 || got.Remaining != 4-i || got.RetryAfter != 0 {
					t.Fatalf("event %d = %+v, %v", i+1, got, err)
				}
			}
			got, err := s.Allow(t.Context(), "login:192.0.2.7", limit)
			if err != nil || got.Allowed || got.Remaining != 0 {
				t.Errorf("event 6 = %+v, %v, want it refused", got, err)
			}
			if got.RetryAfter <= 0 || got.RetryAfter > 12*time.Second || got.ResetAfter <= got.RetryAfter || got.ResetAfter > time.Minute {
				t.Errorf("after event 6 retry in %s and reset in %s, want up to 12 s and a minute", got.RetryAfter, got.ResetAfter)
			}
			if got, err := s.Allow(t.Context(), "login:192.0.2.8", limit); err != nil || !got.Allowed {
				t.Errorf("the neighbour's first event = %+v, %v", got, err)
			}
		})
	}
}

func TestAllowGrowsBack(t *testing.T) {
	t.Parallel()
	for _, b := range backends() {
		t.Run(b.name, func(t *testing.T) {
			t.Parallel()
			s := b.open(t)
			limit := ephemeral.PerSecond(2)
			for range 3 {
				if _, err := s.Allow(t.Context(), "k", limit); err != nil {
					t.Fatal(err)
				}
			}
			eventually(t, func(ctx context.Context) error {
				if got, err := s.Allow(ctx, "k", limit); err != nil || !got.Allowed {
					return fmt.Errorf("%+v, %w", got, err)
				}
				return nil
			})
		})
	}
}

func TestAllowTakesAnyKey(t *testing.T) {
	t.Parallel()
	for _, b := range backends() {
		t.Run(b.name, func(t *testing.T) {
			t.Parallel()
			s := b.open(t)
			long := strings.Repeat("x", 1<<20)
			for _, key := range []string{"", "a b\r\nc", "{", "\xff\x00", long + "1", long + "2"} {
				got, err := s.Allow(t.Context(), key, ephemeral.PerMinute(1))
				if err != nil || !got.Allowed {
					t.Errorf("Allow of a key of %d bytes = %+v, %v, want its own allowance", len(key), got, err)
				}
			}
		})
	}
}

func TestAllowRefusesImpossibleLimits(t *testing.T) {
	t.Parallel()
	_, s := open(t, "redis://127.0.0.1:1")
	for _, limit := range []ephemeral.Limit{{}, ephemeral.PerSecond(0), ephemeral.PerMinute(-1), {Events: 1}, {Events: 1, Period: -1}, {Events: 1 << 30, Period: time.Second}} {
		if _, err := s.Allow(t.Context(), "k", limit); fleet.KindOf(err) != fleet.Invalid {
			t.Errorf("Allow with %+v = %v, want Invalid", limit, err)
		}
	}
}
