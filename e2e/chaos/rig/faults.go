package rig

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"syscall"
	"time"

	"github.com/rollcallhq/rollcall/e2e/chaos/plan"
)

// A Done is a fault that was done, or left out.
type Done struct {
	plan.Fault

	Began   time.Time     `json:"began"`
	Ended   time.Time     `json:"ended"` // when whatever it broke had been put together again
	Skipped string        `json:"skipped,omitempty"`
	After   time.Duration `json:"after"` // from its end until a task ended while work waited; see Recovery
	err     error
}

// do does the faults at their times, and returns when the last one has ended and everything has been started again.
func (r *rig) do(ctx context.Context, faults []plan.Fault) ([]Done, error) {
	began := time.Now()
	done := make([]Done, len(faults))
	places := map[string]*sync.Mutex{} // a target may be late; the next fault on it waits
	var work sync.WaitGroup
	for i, f := range faults {
		pause(ctx, time.Until(began.Add(f.At)))
		if ctx.Err() != nil {
			break
		}
		place := f.Target + f.Server
		if places[place] == nil {
			places[place] = &sync.Mutex{}
		}
		mutex := places[place]
		work.Go(func() {
			mutex.Lock()
			defer mutex.Unlock()
			r.Log.InfoContext(ctx, "fault", "number", f.Number, "what", f.String())
			d := Done{Fault: f, Began: time.Now()}
			// A fault that has begun is brought to its end, or what it broke would stay broken.
			d.Skipped, d.err = r.undergo(context.WithoutCancel(ctx), f)
			d.Ended = time.Now()
			done[i] = d
		})
	}
	work.Wait()
	errs := []error{ctx.Err()}
	for _, d := range done {
		if d.err != nil {
			errs = append(errs, fmt.Errorf("fault %d, %s: %w", d.Number, d.Kind, d.err))
		}
	}
	return done, errors.Join(errs...)
}

// undergo does one fault and undoes it.
func (r *rig) undergo(ctx context.Context, f plan.Fault) (skipped string, err error) {
	ctx, cancel := context.WithTimeout(ctx, f.For+serverLimit)
	defer cancel()
	l, p := r.links[f.Target+" to "+f.Server], r.processes[f.Target]
	switch f.Kind {
	case plan.Kill:
		err = p.down(ctx, syscall.SIGKILL)
		pause(ctx, f.For)
		return "", errors.Join(err, p.start())
	case plan.Freeze:
		p.signal(syscall.SIGSTOP)
		pause(ctx, f.For)
		p.signal(syscall.SIGCONT)
	case plan.Cut:
		l.Cut()
	case plan.Hole:
		l.Hole()
		pause(ctx, f.For)
		l.Heal()
	case plan.RedisRestart:
		return "", errors.Join(r.redis.stop(ctx), r.redis.start(ctx))
	case plan.RedisWipe:
		return "", errors.Join(r.redis.wipe(ctx), r.redis.start(ctx))
	case plan.PostgresRestart, plan.PostgresStop:
		err = r.postgres.stop(ctx)
		pause(ctx, f.For)
		return "", errors.Join(err, r.postgres.start(ctx))
	case plan.PostgresCrash:
		return "", errors.Join(r.postgres.crash(ctx), r.postgres.start(ctx))
	case plan.DiskFull:
		return r.fillDisk(ctx, f.For)
	}
	return "", nil
}

// fillDisk leaves PostgreSQL without room. What it does then is its own affair: it refuses writes, or gives up. In the
// second case it is started again when there is room, as an operator would.
func (r *rig) fillDisk(ctx context.Context, d time.Duration) (skipped string, err error) {
	if r.disk.kind == "" {
		return r.disk.reason, nil
	}
	empty, err := r.disk.full()
	if err != nil {
		return "", err
	}
	pause(ctx, d)
	empty()
	for !r.postgres.down() {
		if err := r.ping(ctx); err == nil {
			return "", nil
		}
		pause(ctx, 100*time.Millisecond)
		if ctx.Err() != nil {
			return "", fmt.Errorf("waiting for PostgreSQL: %w", ctx.Err())
		}
	}
	r.Log.InfoContext(ctx, "postgresql gave up on the full disk")
	return "", errors.Join(r.postgres.buried(ctx), r.postgres.start(ctx))
}
