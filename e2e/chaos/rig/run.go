package rig

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/rollcallhq/rollcall/e2e/chaos/ledger"
	"github.com/rollcallhq/rollcall/e2e/chaos/plan"
)

// A Result is what a run came to.
type Result struct {
	Seed     uint64         `json:"seed"`
	Hosts    int            `json:"hosts"`
	Gap      time.Duration  `json:"gap"`
	Disk     string         `json:"disk"` // what PostgreSQL's disk is, or why it has none of its own
	Took     time.Duration  `json:"took"`
	Faults   []Done         `json:"faults"`
	Load     LoadStats      `json:"load"`
	Verdict  ledger.Verdict `json:"verdict"`
	Refusals []string       `json:"refusals"` // answers that no fault explains
	Recovery Recovery       `json:"recovery"`
	Deaths   map[string]int `json:"deaths"` // processes that ended although nobody ended them
	Logs     string         `json:"logs"`
}

// OK reports whether nothing was lost, done twice, made up, or refused for no reason.
func (r Result) OK() bool { return r.Verdict.OK() && len(r.Refusals) == 0 }

// Run brings everything up, breaks it as the seed says while the client asks, lets it come to its end, and compares
// the ledgers. An error means that the run itself failed, not that anything was lost.
func Run(ctx context.Context, o Options) (result Result, err error) {
	r := &rig{Options: o}
	result = Result{Seed: o.Seed, Hosts: o.Hosts, Gap: o.Gap, Deaths: map[string]int{}}
	defer func() {
		if closed := r.close(ctx); err == nil && closed != nil {
			err = fmt.Errorf("ending the run: %w", closed)
		}
	}()
	began := time.Now()
	err = r.build(ctx)
	result.Logs = r.logs
	if err != nil {
		return result, err
	}
	o.Log.InfoContext(ctx, "everything is up", "duration", time.Since(began), "disk", r.disk.kind)
	result.Disk = r.disk.kind
	if r.disk.kind == "" {
		result.Disk = r.disk.reason
	}
	start := time.Now()
	if err := r.suffer(ctx, &result); err != nil {
		return result, err
	}
	if err := r.drain(ctx, &result); err != nil {
		return result, err
	}
	for name, p := range r.processes {
		if n := p.endedByItself(); n > 0 {
			result.Deaths[name] = n
		}
	}
	result.Took = time.Since(start)
	return result, r.judge(ctx, start, &result)
}

// suffer does the faults while the client asks.
func (r *rig) suffer(ctx context.Context, result *Result) error {
	open := &atomic.Int64{}
	c, err := newClient(r, open)
	if err != nil {
		return err
	}
	group, ctx := errgroup.WithContext(ctx)
	asking, enough := context.WithCancel(ctx)
	defer enough()
	group.Go(func() error { r.watch(asking, open, c.looked); return nil })
	group.Go(func() error { return c.run(asking) })
	group.Go(func() error {
		defer enough()
		faults := plan.Draw(plan.Options{Seed: r.Seed, Faults: r.Faults, Processes: names(), Gap: r.Gap})
		var err error
		result.Faults, err = r.do(ctx, faults)
		return err
	})
	err = group.Wait()
	result.Load = c.stats
	result.Refusals = c.refusals
	return err
}

// drain waits until everything has ended. What has not, within the limit, is the judge's.
func (r *rig) drain(ctx context.Context, result *Result) error {
	for _, p := range r.processes {
		p.signal(syscall.SIGCONT)
	}
	for _, l := range r.links {
		l.Heal()
	}
	began := time.Now()
	limited, cancel := context.WithTimeout(ctx, r.Drain)
	defer cancel()
	said := time.Now()
	err := eventually(limited, 200*time.Millisecond, func() error {
		tasks, collections, err := r.left(limited)
		if err == nil && collections+tasks > 0 {
			err = fmt.Errorf("%d collections and %d tasks are open", collections, tasks)
		}
		if err != nil && time.Since(said) > 5*time.Second {
			said = time.Now()
			r.Log.InfoContext(ctx, "waiting for the end of everything", "reason", err)
		}
		return err
	})
	result.Recovery.Drained = time.Since(began)
	if err != nil && ctx.Err() == nil {
		r.Log.WarnContext(ctx, "not everything has ended", "reason", err)
		return nil
	}
	return ctx.Err()
}

// judge ends the processes, so that nothing moves any more, and compares the ledgers.
func (r *rig) judge(ctx context.Context, start time.Time, result *Result) error {
	for _, p := range r.processes {
		limited, cancel := context.WithTimeout(ctx, serverLimit)
		err := p.down(limited, syscall.SIGTERM)
		cancel()
		if err != nil {
			return err
		}
	}
	accepted, err := readAccepted(filepath.Join(r.Dir, acceptedFile))
	if err != nil {
		return err
	}
	books, err := r.books(ctx, accepted)
	if err != nil {
		return err
	}
	result.Verdict = ledger.Compare(books)
	ends, work, err := r.progress(ctx)
	if err != nil {
		return err
	}
	var outages []Span
	for _, f := range result.Faults {
		if f.Target == plan.Postgres && f.Skipped == "" {
			outages = append(outages, Span{f.Began, f.Ended})
		}
	}
	drained := result.Recovery.Drained
	result.Recovery = recovery(start, ends, work, outages, result.Faults)
	result.Recovery.Drained = drained
	if len(result.Faults) < r.Faults {
		return errors.New("not all faults were done")
	}
	return nil
}
