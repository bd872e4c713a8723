package collection

import (
	"errors"
	"testing"
	"time"

	"github.com/rollcallhq/rollcall/pkg/collector"
	"github.com/rollcallhq/rollcall/pkg/fleet"
	"github.com/rollcallhq/rollcall/pkg/store"
)

// TestWhatIsTriedAgain holds the policy of every code: how often a host is tried, and that nothing is tried again for
// which the time is not enough.
func TestWhatIsTriedAgain(t *testing.T) {
	t.Parallel()
	w := NewWorker(WorkerConfig{})
	most := map[fleet.RetryClass]int{fleet.RetryLater: 3, fleet.RetryOnce: 2, fleet.RetryNever: 1}
	for _, info := range fleet.Codes() {
		for attempts := 1; attempts <= 4; attempts++ {
			claim := &store.Claim{Task: fleet.Task{Attempts: attempts}, Remaining: time.Minute}
			failed := learned{failure: fleet.Fail(info.Code, nil), began: time.Now()}
			delay, again := w.retryDelay(claim, failed)
			if want := info.Code != fleet.CodeCancelled && attempts < most[info.Retry]; again != want {
				t.Errorf("%s after %d attempts: again %v, want %v", info.Code, attempts, again, want)
			}
			least := time.Second << (attempts - 1)
			if again && (delay < least || delay >= 2*least) {
				t.Errorf("%s after %d attempts: again in %s, want %s to %s", info.Code, attempts, delay, least, 2*least)
			}
			claim.Remaining = least // which the delay alone takes
			if _, again := w.retryDelay(claim, failed); again {
				t.Errorf("%s with %s left: again", info.Code, least)
			}
		}
	}
	late := learned{failure: fleet.Fail(fleet.CodeTCPTimeout, nil), began: time.Now().Add(-57 * time.Second)}
	if _, again := w.retryDelay(&store.Claim{Task: fleet.Task{Attempts: 1}, Remaining: time.Minute}, late); !again {
		t.Error("with three seconds left after the attempt it is not tried again")
	}
	late.began = late.began.Add(-2 * time.Second)
	if _, again := w.retryDelay(&store.Claim{Task: fleet.Task{Attempts: 1}, Remaining: time.Minute}, late); again {
		t.Error("with one second left after the attempt it is tried again")
	}
	ours := learned{failure: fleet.Fail(fleet.CodeInternal, nil), blocked: true, began: time.Now()}
	if _, again := w.retryDelay(&store.Claim{Task: fleet.Task{Attempts: 9}, Remaining: time.Minute}, ours); !again {
		t.Error("what says nothing about the host is not tried again")
	}
	told := learned{failure: fleet.Fail(fleet.CodeTCPTimeout, nil), reports: []collector.Report{{}}, began: time.Now()}
	if _, again := w.retryDelay(&store.Claim{Task: fleet.Task{Attempts: 1}, Remaining: time.Minute}, told); again {
		t.Error("what was told in part is tried again")
	}
}

func TestTheLineOfAVerdict(t *testing.T) {
	t.Parallel()
	for want, v := range map[string]verdict{
		"succeeded 1.2s":                             {outcome: "succeeded"},
		"failed auth_failed 1.2s":                    {outcome: "failed", code: fleet.CodeAuthFailed},
		"retry 2/3 in 4.0s tcp_refused 1.2s":         {outcome: "retried", said: "retry 2/3 in 4.0s", code: fleet.CodeTCPRefused},
		"not stored: partial output_truncated 1.2s":  {outcome: "partial", code: fleet.CodeOutputTruncated, err: errors.New("down")},
		"taken over tcp_refused 1.2s":                verdict{said: "retry", code: fleet.CodeTCPRefused}.stored("retried", false, nil),
		"not stored: retry 2/3 in 4.0s timeout 1.2s": verdict{said: "retry 2/3 in 4.0s", code: "timeout"}.stored("retried", false, errors.New("down")),
	} {
		if got := v.line(1234 * time.Millisecond); got != want {
			t.Errorf("line = %q, want %q", got, want)
		}
	}
}
