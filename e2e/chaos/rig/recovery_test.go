package rig

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/rollcallhq/rollcall/e2e/chaos/plan"
)

// at is that many seconds after some moment.
func at(seconds float64) time.Time {
	return time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC).Add(time.Duration(seconds * float64(time.Second)))
}

func TestRecoveryCountsOnlyTimeInWhichWorkCouldBeDone(t *testing.T) {
	t.Parallel()
	fault := func(number int, ended float64) Done {
		return Done{Fault: plan.Fault{Number: number}, Began: at(ended - 1), Ended: at(ended)}
	}
	tests := []struct {
		name    string
		ends    []time.Time
		work    []Span
		outages []Span
		faults  []Done
		after   []time.Duration
		want    Recovery
	}{
		{
			name: "the next end counts",
			ends: []time.Time{at(1), at(4), at(9)}, work: []Span{{at(0), at(9)}},
			faults: []Done{fault(1, 2), fault(2, 5)}, after: []time.Duration{2 * time.Second, 4 * time.Second},
			want: Recovery{Longest: 4 * time.Second, Fault: 2, Gap: 5 * time.Second, GapAt: 4 * time.Second},
		},
		{
			name: "time without work does not",
			ends: []time.Time{at(1), at(9)}, work: []Span{{at(0), at(1)}, {at(7), at(9)}},
			faults: []Done{fault(1, 2)}, after: []time.Duration{2 * time.Second},
			want: Recovery{Longest: 2 * time.Second, Fault: 1, Gap: 2 * time.Second, GapAt: time.Second},
		},
		{
			name: "time without PostgreSQL does not",
			ends: []time.Time{at(1), at(9)}, work: []Span{{at(0), at(5)}, {at(4), at(9)}},
			outages: []Span{{at(3), at(6)}, {at(5), at(7)}},
			faults:  []Done{fault(1, 2), fault(2, 7)}, after: []time.Duration{3 * time.Second, 2 * time.Second},
			want: Recovery{Longest: 3 * time.Second, Fault: 1, Gap: 4 * time.Second, GapAt: time.Second},
		},
		{
			name: "a fault after the last end has nothing to recover",
			ends: []time.Time{at(1)}, work: []Span{{at(0), at(1)}},
			faults: []Done{fault(1, 2)}, after: []time.Duration{0},
		},
		{
			name: "work that never ends again is not a recovery",
			ends: []time.Time{at(1)}, work: []Span{{at(0), at(99)}},
			faults: []Done{fault(1, 2)}, after: []time.Duration{0},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			got := recovery(at(0), tt.ends, tt.work, tt.outages, tt.faults)
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("the recovery differs (-want +got):\n%s", diff)
			}
			for i, want := range tt.after {
				if after := tt.faults[i].After; after != want {
					t.Errorf("fault %d recovers after %s, want %s", i+1, after, want)
				}
			}
		})
	}
}
