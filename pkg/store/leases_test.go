package store_test

import (
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/rollcallhq/rollcall/pkg/await"
	"github.com/rollcallhq/rollcall/pkg/store"
	"github.com/rollcallhq/rollcall/pkg/storetest"
)

func takeJob(t *testing.T, s *store.Store, c store.JobClaim) *store.JobLease {
	t.Helper()
	if c.For == 0 {
		c.For = time.Minute
	}
	lease, err := s.TakeJob(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	return lease
}

func TestAJobIsDoneByOneProcessAtATime(t *testing.T) {
	t.Parallel()
	s, _ := storetest.Pool(t)
	var taken atomic.Int64
	var all sync.WaitGroup
	for range 16 {
		all.Go(func() {
			lease, err := s.TakeJob(t.Context(), store.JobClaim{Job: "sweep", Holder: "p", For: time.Minute})
			if err != nil {
				t.Errorf("TakeJob = %v", err)
			}
			if lease != nil {
				taken.Add(1)
			}
		})
	}
	all.Wait()
	if taken.Load() != 1 {
		t.Errorf("%d processes took the job, want one", taken.Load())
	}
}

func TestAHolderThatWasPausedDoesNoHarm(t *testing.T) {
	t.Parallel()
	s, pool := storetest.Pool(t)
	paused := takeJob(t, s, store.JobClaim{Job: "drop", Holder: "paused"})
	if other := takeJob(t, s, store.JobClaim{Job: "drop", Holder: "other"}); other != nil {
		t.Fatalf("a held job was taken: %+v", other)
	}
	if err := s.RenewJob(t.Context(), *paused, time.Minute); err != nil {
		t.Errorf("RenewJob = %v", err)
	}
	exec(t, pool, "update housekeeping_jobs set until = clock_timestamp() - interval '1 second'") // as if it had slept
	if err := s.RenewJob(t.Context(), *paused, time.Minute); !errors.Is(err, store.ErrLeaseOver) {
		t.Errorf("renewing a lease that ran out = %v", err)
	}
	other := takeJob(t, s, store.JobClaim{Job: "drop", Holder: "other"})
	if other == nil || other.Fence <= paused.Fence {
		t.Fatalf("the next lease = %+v after %+v", other, paused)
	}
	harm := s.InJob(t.Context(), *paused, func(*store.Store) error { t.Error("it did harm"); return nil })
	if !errors.Is(harm, store.ErrLeaseOver) {
		t.Errorf("InJob of the paused one = %v", harm)
	}
	if err := s.EndJob(t.Context(), *paused, "", nil); !errors.Is(err, store.ErrLeaseOver) {
		t.Errorf("EndJob of the paused one = %v", err)
	}
	if err := s.LeaveJob(t.Context(), *paused); err != nil {
		t.Error(err)
	}
	if err := s.InJob(t.Context(), *other, func(tx *store.Store) error { return tx.Ping(t.Context()) }); err != nil {
		t.Errorf("InJob of the holder = %v", err)
	}
}

func TestAJobIsNotTakenOverInTheMiddleOfAStep(t *testing.T) {
	t.Parallel()
	s, pool := storetest.Pool(t)
	lease := takeJob(t, s, store.JobClaim{Job: "drop", Holder: "slow", For: 200 * time.Millisecond})
	err := s.InJob(t.Context(), *lease, func(tx *store.Store) error {
		await.Until(t, "the lease has run out", func() bool {
			return ask[bool](t, pool, "select until < clock_timestamp() from housekeeping_jobs")
		})
		if other := takeJob(t, s, store.JobClaim{Job: "drop", Holder: "eager"}); other != nil {
			t.Error("it was taken over within a step")
		}
		return tx.Ping(t.Context())
	})
	if err != nil {
		t.Error(err)
	}
	if other := takeJob(t, s, store.JobClaim{Job: "drop", Holder: "eager"}); other == nil {
		t.Error("it was not taken over after the step")
	}
}

func TestWhenAJobIsDue(t *testing.T) {
	t.Parallel()
	s, pool := storetest.Pool(t)
	lease := takeJob(t, s, store.JobClaim{Job: "make", Holder: "a", Age: time.Hour})
	if err := s.EndJob(t.Context(), *lease, "", map[string]any{"made": 3}); err != nil {
		t.Fatal(err)
	}
	if again := takeJob(t, s, store.JobClaim{Job: "make", Holder: "b", Age: time.Hour}); again != nil {
		t.Error("a job that was just done was taken again")
	}
	exec(t, pool, "update housekeeping_jobs set done_at = clock_timestamp() - interval '61 minutes'")
	lease = takeJob(t, s, store.JobClaim{Job: "make", Holder: "b", Age: time.Hour})
	if lease == nil {
		t.Fatal("a job that is due was not taken")
	}
	if err := s.EndJob(t.Context(), *lease, "it broke", nil); err != nil {
		t.Fatal(err)
	}
	jobs, err := s.Jobs(t.Context())
	if err != nil || len(jobs) != 1 || jobs[0].Failures != 1 || jobs[0].Error != "it broke" || jobs[0].Holder != "" || time.Since(*jobs[0].DoneAt) < time.Hour {
		t.Errorf("Jobs = %+v, %v", jobs, err)
	}
	if again := takeJob(t, s, store.JobClaim{Job: "make", Holder: "c", Age: time.Hour}); again != nil {
		t.Error("a job that failed just now was taken again at once")
	}
	exec(t, pool, "update housekeeping_jobs set ended_at = clock_timestamp() - interval '16 seconds'")
	lease = takeJob(t, s, store.JobClaim{Job: "make", Holder: "c", Age: time.Hour})
	if lease == nil {
		t.Fatal("a job that failed was never tried again")
	}
	if err := s.LeaveJob(t.Context(), *lease); err != nil {
		t.Fatal(err)
	}
	if lease = takeJob(t, s, store.JobClaim{Job: "make", Holder: "d", Age: time.Hour}); lease == nil {
		t.Error("a job that was left was not taken")
	}
}
