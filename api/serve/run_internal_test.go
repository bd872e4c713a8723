package serve

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"

	"github.com/rollcallhq/rollcall/pkg/telemetry"
)

// TestNotReadyBeforeTheDoorsOpen holds that whoever waits for readiness is not answered "starting" afterwards.
func TestNotReadyBeforeTheDoorsOpen(t *testing.T) {
	t.Parallel()
	down := errors.New("down")
	var database, redis error
	var open atomic.Bool
	checks := whenOpen(&open, []telemetry.Check{
		{Name: "database", Check: func(context.Context) (string, error) { return "", database }},
		{Name: "redis", Check: func(context.Context) (string, error) { return "", redis }},
	})
	ask := func(i int) error {
		_, err := checks[i].Check(t.Context())
		return err
	}
	if err := ask(0); !errors.Is(err, errStarting) {
		t.Errorf("a database that is not prepared: %v", err)
	}
	database, redis = down, down
	if err := ask(0); !errors.Is(err, down) {
		t.Errorf("a database that is down: %v", err)
	}
	open.Store(true)
	if err := ask(0); !errors.Is(err, down) {
		t.Errorf("a database that goes down later: %v", err)
	}
	if database, redis = nil, nil; ask(0) != nil || ask(1) != nil {
		t.Errorf("when everything is there: %v, %v", ask(0), ask(1))
	}
}
