package simulate

import (
	"encoding/binary"
	"encoding/json"
	"math"

	"github.com/rollcallhq/rollcall/pkg/fleet"
)

// A Planted is one fact of a host that differs between one of its executions and the one before.
type Planted struct {
	Execution int64  // the first that tells After; at least 2
	Type      string // of the report that tells the fact
	Path      string // of the fact among the report's facts, in canonical form, such as filesystems."/srv".options

	// Before and After are canonical JSON; nil where there was, or is, nothing. They are not to be changed.
	Before, After json.RawMessage
}

// Planted returns what has drifted on the host of that name up to now, in the order of its executions: what a run of
// all built-in types sees when it is compared with the one before. It is derived anew at each call, nothing of it is
// kept. A host of an unknown name has nothing.
func (f *Fleet) Planted(name string) []Planted {
	h := f.host(name)
	if h == nil {
		return nil
	}
	return h.planted(h.executions.Load())
}

// wholeDrift is the rate of a host that drifts between any two executions.
const wholeDrift = 1 << 32

// A drift is how the facts of a host change over its executions. What was planted when follows from these numbers,
// so that a host needs no other state than the count of its executions.
type drift struct {
	rate  int64 // the share of executions that bring a drift, of wholeDrift
	phase int64 // from 0 to wholeDrift, so that not all hosts drift at the same execution
	first int64 // the fact that changes first, of driftingFacts
	each  int64 // how many facts change at once
	facts int64 // how many there are
}

// newDrift returns how the host of that number drifts.
func newDrift(o Options, number int) drift {
	random := derive(o.Seed, "drift", number)
	facts := int64(len(driftingFacts()))
	return drift{
		rate:  int64(math.Round(o.Drift * wholeDrift)),
		phase: int64(binary.BigEndian.Uint32(random)),
		first: int64(random[4]) % facts, each: int64(max(o.DriftFacts, 1)), facts: facts,
	}
}

// checkDrift refuses what newDrift does not understand.
func checkDrift(o Options) error {
	if !(o.Drift >= 0 && o.Drift <= 1) { // also what is not a number
		return fleet.InvalidField("drift", "must be from 0 to 1")
	}
	if most := len(driftingFacts()); o.DriftFacts < 0 || o.DriftFacts > most {
		return fleet.InvalidField("drift_facts", "must be from 1 to %d", most)
	}
	return nil
}

// count returns how many facts have changed from the first execution to that one. Each fact counts as often as it
// changed.
func (d drift) count(execution int64) int64 {
	if execution <= 1 {
		return 0
	}
	return ((d.rate*execution+d.phase)/wholeDrift - (d.rate+d.phase)/wholeDrift) * d.each
}

// change returns which fact was the nth to change, counted from 0, and how often it had changed before.
func (d drift) change(n int64) (fact, times int64) {
	return (d.first + n) % d.facts, n / d.facts
}

// times returns how often a fact has changed when count of them have: they take turns.
func (d drift) times(fact, count int64) int64 {
	turn := (fact - d.first + d.facts) % d.facts
	return (count + d.facts - 1 - turn) / d.facts
}

// driftedAt returns the facts that drift as they are at that execution.
func (h *host) driftedAt(execution int64) drifted {
	var f drifted
	count := h.drift.count(execution)
	for i, fact := range driftingFacts() {
		fact.plant(&f, h, h.drift.times(int64(i), count))
	}
	return f
}

// planted returns what has drifted up to that execution.
func (h *host) planted(last int64) []Planted {
	var list []Planted
	facts := driftingFacts()
	for execution := int64(2); execution <= last; execution++ {
		for n := h.drift.count(execution - 1); n < h.drift.count(execution); n++ {
			i, times := h.drift.change(n)
			values := facts[i].values(h)
			of := int64(len(values))
			list = append(list, Planted{
				Execution: execution, Type: facts[i].reportType, Path: facts[i].path(h),
				Before: values[times%of], After: values[(times+1)%of],
			})
		}
	}
	return list
}
