package plan_test

import (
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/rollcallhq/rollcall/e2e/chaos/plan"
)

func processes() []string {
	return []string{"api-1", "api-2", "worker-1", "worker-2", "worker-3", "scheduler-1", "scheduler-2"}
}

func draw(seed uint64, n int) []plan.Fault {
	return plan.Draw(plan.Options{Seed: seed, Faults: n, Processes: processes(), Gap: 2 * time.Second})
}

func TestTheSameSeedGivesTheSameFaults(t *testing.T) {
	t.Parallel()
	first, again := draw(7, 200), draw(7, 200)
	if !reflect.DeepEqual(first, again) {
		t.Error("two plans of one seed differ")
	}
	if reflect.DeepEqual(first, draw(8, 200)) {
		t.Error("the plans of two seeds are the same")
	}
	if short := draw(7, 20); !reflect.DeepEqual(first[:20], short) {
		t.Error("a short plan is not the beginning of a long one")
	}
}

func TestTwentyFaultsHaveEveryKind(t *testing.T) {
	t.Parallel()
	for seed := range uint64(20) {
		var kinds []plan.Kind
		for _, f := range draw(seed, 20) {
			kinds = append(kinds, f.Kind)
		}
		for _, kind := range plan.Kinds() {
			if !slices.Contains(kinds, kind) {
				t.Errorf("seed %d has no %s", seed, kind)
			}
		}
	}
}

func TestFaultsComeInOrderAndNeverTwoOnOneTarget(t *testing.T) {
	t.Parallel()
	for seed := range uint64(20) {
		until := map[string]time.Duration{}
		before, together := time.Duration(0), 0
		for i, f := range draw(seed, 300) {
			if f.Number != i+1 || f.At < before || f.Target == "" {
				t.Fatalf("seed %d: %v comes after %v", seed, f, before)
			}
			if f.At == before {
				together++
			}
			before = f.At
			place := f.Target + f.Server
			if f.At < until[place] {
				t.Errorf("seed %d: %v begins before the one before it on the same target has ended at %v", seed, f, until[place])
			}
			until[place] = f.At + f.For
		}
		if together < 20 {
			t.Errorf("seed %d: only %d of 300 faults begin together with another", seed, together)
		}
	}
}

func TestEveryProcessIsATarget(t *testing.T) {
	t.Parallel()
	met := map[string]int{}
	for _, f := range draw(1, 200) {
		met[f.Target]++
	}
	for _, name := range append(processes(), plan.Postgres, plan.Redis) {
		if met[name] < 5 {
			t.Errorf("%s is the target of %d of 200 faults", name, met[name])
		}
	}
}
