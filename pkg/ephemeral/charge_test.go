package ephemeral_test

import (
	"testing"
	"time"

	"github.com/rollcallhq/rollcall/pkg/ephemeral"
	"github.com/rollcallhq/rollcall/pkg/fleet"
)

func TestAllowAllCountsAgainstAllOrNone(t *testing.T) {
	t.Parallel()
	for _, b := range backends() {
		t.Run(b.name, func(t *testing.T) {
			t.Parallel()
			s, other := b.open(t), ephemeral.Charge{Key: "token 2", Limit: ephemeral.PerMinute(3)}
			token, sum := ephemeral.Charge{Key: "token 1", Limit: ephemeral.PerMinute(3)}, ephemeral.Charge{Key: "sum", Limit: ephemeral.PerMinute(5)}
			steps := []struct {
				name             string
				charges          []ephemeral.Charge
				allowed          bool
				limit, remaining int
			}{
				{"the first", []ephemeral.Charge{token, sum}, true, 3, 2},
				{"the second", []ephemeral.Charge{token, sum}, true, 3, 1},
				{"the last of the token", []ephemeral.Charge{token, sum}, true, 3, 0},
				{"one too many of the token", []ephemeral.Charge{token, sum}, false, 3, 0},
				{"another token, which has the refused one's place", []ephemeral.Charge{other, sum}, true, 5, 1},
				{"the last of the account", []ephemeral.Charge{other, sum}, true, 5, 0},
				{"one too many of the account, from a token that has one left", []ephemeral.Charge{other, sum}, false, 5, 0},
				{"the token alone, which was not charged for that", []ephemeral.Charge{other}, true, 3, 0},
				{"nothing", nil, false, 0, 0},
			}
			for _, step := range steps {
				got, err := s.AllowAll(t.Context(), "ann", step.charges...)
				if err != nil || got.Allowed != step.allowed || got.Limit != step.limit || got.Remaining != step.remaining {
					t.Fatalf("%s = %+v, %v", step.name, got, err)
				}
				if refused := len(step.charges) > 0 && !step.allowed; refused != (got.RetryAfter > 0) || got.RetryAfter > 20*time.Second || got.ResetAfter > time.Minute {
					t.Errorf("%s: retry after %s, reset after %s", step.name, got.RetryAfter, got.ResetAfter)
				}
			}
			if got, err := s.AllowAll(t.Context(), "bob", sum); err != nil || got.Remaining != 4 {
				t.Errorf("another group = %+v, %v", got, err)
			}
		})
	}
}

func TestAllowAllSaysWhenRedisDoesNotAnswer(t *testing.T) {
	t.Parallel()
	_, s := open(t, "redis://127.0.0.1:1")
	if _, err := s.AllowAll(t.Context(), "g", ephemeral.Charge{Key: "k", Limit: ephemeral.PerSecond(1)}); fleet.KindOf(err) != fleet.Unavailable {
		t.Errorf("without Redis = %v", err)
	}
	if _, err := s.AllowAll(t.Context(), "g", ephemeral.Charge{Key: "k"}); fleet.KindOf(err) != fleet.Invalid {
		t.Errorf("without a limit = %v", err)
	}
}
