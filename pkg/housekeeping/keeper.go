package housekeeping

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/rollcallhq/rollcall/pkg/fleet"
	"github.com/rollcallhq/rollcall/pkg/store"
)

const (
	leaseFor    = 30 * time.Second
	lookEvery   = 5 * time.Second
	overdueBy   = 15 * time.Second // that long after it was due, a job has been forgotten by whoever should tell of it
	endTimeout  = 5 * time.Second
	runBudget   = 10 * time.Minute // of a job that removes in batches; the next run goes on
	removeBatch = 5000
	hostBatch   = 200
	sealBatch   = 10_000 // entries of the audit log under one seal
	batchPause  = 50 * time.Millisecond
	busyPause   = 5 * time.Second // between two attempts to detach a partition that is in use
	busyTries   = 12
	unusedAge   = 48 * time.Hour
	sampleKeep  = 10 * day
)

// Queues is what a Keeper does about Redis.
type Queues interface {
	// Keep makes the sites' queues known and clears up after schedulers that died; it returns how many traces it removed.
	Keep(ctx context.Context, sites []string) (int, error)
}

// KeeperConfig is what a Keeper needs.
type KeeperConfig struct {
	Config
	Owner   *store.Store // a pool of the role that owns the tables, with time to wait; nil: there is none
	Queues  Queues       // nil: Redis is left alone
	Holder  string       // what this process is called in the leases
	Metrics prometheus.Registerer
}

// A Keeper does the jobs. Any number of them may run, in any number of processes.
type Keeper struct {
	KeeperConfig
	service *Service
	runs    *prometheus.CounterVec
	gauges  *gauges
	pace    pace
}

// A pace is how fast a Keeper goes. Tests go faster.
type pace struct {
	lease, look, overdue, pause, busy, budget, unused time.Duration

	batch, hosts, tries, sealed int
}

// NewKeeper returns a Keeper.
func NewKeeper(c KeeperConfig) *Keeper {
	c.Retention = c.Retention.withDefaults()
	k := &Keeper{
		KeeperConfig: c, service: New(c.Config), gauges: newGauges(c.Metrics),
		pace: pace{
			lease: leaseFor, look: lookEvery, overdue: overdueBy, pause: batchPause, busy: busyPause, budget: runBudget, unused: unusedAge,
			batch: removeBatch, hosts: hostBatch, tries: busyTries, sealed: sealBatch,
		},
		runs: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "rollcall_housekeeping_runs_total", Help: "Runs of housekeeping jobs by this process, by job and outcome: ok, unfinished, failed, interrupted, lost.",
		}, []string{"job", "outcome"}),
	}
	if c.Metrics != nil {
		c.Metrics.MustRegister(k.runs)
	}
	return k
}

// Run does what is overdue, whoever should have said so, until ctx ends.
func (k *Keeper) Run(ctx context.Context) error {
	tick := time.NewTicker(k.pace.look)
	defer tick.Stop()
	var failing time.Time
	var running sync.WaitGroup
	defer running.Wait()
	busy := newSet()
	for {
		err := k.look(ctx, &running, busy)
		if err != nil && ctx.Err() == nil && time.Since(failing) > time.Minute {
			failing = time.Now()
			k.Log.WarnContext(ctx, "round failed", "loop", "housekeeping", "error", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// look begins the jobs that are overdue.
func (k *Keeper) look(ctx context.Context, running *sync.WaitGroup, busy *set) error {
	now, err := k.Store.Now(ctx)
	if err != nil {
		return err
	}
	jobs, err := k.service.jobs(ctx)
	if err != nil {
		return err
	}
	relations, err := k.Store.Relations(ctx)
	if err != nil {
		return err
	}
	unsealed, err := k.Store.AuditBacklog(ctx)
	if err != nil {
		return err
	}
	k.gauges.set(monthsAhead(relations, now), jobs, unsealed)
	for _, j := range jobs {
		age := j.Every + min(k.pace.overdue, j.Every)
		if j.Holder != "" || j.DoneAt != nil && now.Sub(*j.DoneAt) < age || !busy.add(j.Name) {
			continue
		}
		running.Go(func() {
			defer busy.remove(j.Name)
			_, _ = k.do(ctx, j.Name, age)
		})
	}
	return nil
}

// Do does a job because somebody said that it is time, unless another process does it or has just done it. It returns a line
// about what came of it. An error has been logged and noted already.
func (k *Keeper) Do(ctx context.Context, job string) (string, error) {
	for _, j := range Jobs() {
		if j.Name == job {
			return k.do(ctx, job, j.Every/2)
		}
	}
	return "", fleet.Errorf(fleet.Invalid, "there is no housekeeping job of that name")
}

func (k *Keeper) do(ctx context.Context, job string, age time.Duration) (string, error) {
	lease, err := k.Store.TakeJob(ctx, store.JobClaim{Job: job, Holder: k.Holder, For: k.pace.lease, Age: age})
	if err != nil {
		return "", err
	}
	if lease == nil {
		return "not due, or another process does it", nil
	}
	began := time.Now()
	details, err := k.leased(ctx, *lease)
	outcome := k.end(ctx, *lease, details, err)
	k.runs.WithLabelValues(job, outcome).Inc()
	took := time.Since(began).Round(time.Millisecond)
	switch {
	case outcome == "failed":
		k.Log.WarnContext(ctx, "housekeeping failed", "job", job, "took", took, "error", err)
	case outcome != "ok" || len(details) > 0:
		k.Log.InfoContext(ctx, "housekeeping", "job", job, "outcome", outcome, "took", took, "details", details)
	}
	return fmt.Sprintf("%s in %s", outcome, took), err
}

// leased runs the job while it renews its lease. A lease that is lost ends the job.
func (k *Keeper) leased(ctx context.Context, lease store.JobLease) (map[string]any, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	var renewing sync.WaitGroup
	renewing.Go(func() {
		tick := time.NewTicker(k.pace.lease / 3)
		defer tick.Stop()
		renewed := time.Now()
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
			err := k.Store.RenewJob(ctx, lease, k.pace.lease)
			if err == nil {
				renewed = time.Now()
			}
			if errors.Is(err, store.ErrLeaseOver) || time.Since(renewed) > k.pace.lease {
				cancel(store.ErrLeaseOver)
				return
			}
		}
	})
	details, err := k.run(ctx, lease)
	if cause := context.Cause(ctx); err != nil && cause != nil {
		err = errors.Join(cause, err)
	}
	cancel(nil)
	renewing.Wait()
	return details, err
}

func (k *Keeper) run(ctx context.Context, lease store.JobLease) (map[string]any, error) {
	switch lease.Job {
	case JobPartitions:
		now, err := k.Store.Now(ctx)
		return nil, cmp.Or(err, k.Store.MakePartitions(ctx, now))
	case JobRetention:
		return k.retain(ctx, lease)
	case JobContents:
		return k.contents(ctx, lease)
	case JobStorage:
		relations, err := k.Store.Relations(ctx)
		if err != nil {
			return nil, err
		}
		return nil, k.Store.InJob(ctx, lease, func(tx *store.Store) error { return tx.AddSample(ctx, relations, sampleKeep) })
	case JobForget:
		return k.forget(ctx)
	case JobSeal:
		return k.seal(ctx, lease)
	case JobQueues:
		return k.queues(ctx)
	}
	return nil, fleet.Errorf(fleet.Invalid, "there is no housekeeping job of that name")
}

// end notes how the job went, also after ctx has ended, and returns the outcome.
func (k *Keeper) end(ctx context.Context, lease store.JobLease, details map[string]any, err error) string {
	ended := ctx.Err() != nil
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), endTimeout)
	defer cancel()
	if errors.Is(err, store.ErrLeaseOver) {
		return "lost"
	}
	if err != nil && ended {
		if err := k.Store.LeaveJob(ctx, lease); err != nil {
			k.Log.WarnContext(ctx, "lease not given back; it runs out", "job", lease.Job, "error", err)
		}
		return "interrupted"
	}
	failure, outcome := "", "ok"
	if err != nil {
		failure, outcome = shortened(err.Error()), "failed"
	}
	if errors.Is(err, errBudget) {
		outcome = "unfinished"
	}
	if err := k.Store.EndJob(ctx, lease, failure, details); err != nil {
		k.Log.WarnContext(ctx, "housekeeping not noted", "job", lease.Job, "error", err)
		return "lost"
	}
	return outcome
}

func shortened(text string) string {
	const most = 500
	if len(text) > most {
		return text[:most] + "…"
	}
	return text
}

// A set is names that are taken.
type set struct {
	mu    sync.Mutex
	names map[string]bool
}

func newSet() *set { return &set{names: map[string]bool{}} }

// add reports whether the name was free.
func (s *set) add(name string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	taken := s.names[name]
	s.names[name] = true
	return !taken
}

func (s *set) remove(name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.names, name)
}
