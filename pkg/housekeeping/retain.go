package housekeeping

import (
	"context"
	"errors"
	"time"

	"github.com/google/uuid"

	"github.com/rollcallhq/rollcall/pkg/fleet"
	"github.com/rollcallhq/rollcall/pkg/store"
)

// workersKept is how long workers are remembered that have not been seen, workersSeen within which time one must have been
// to count, resealsKept how long it is told which seals a collection sealed anew, and answersAtOnce how many answers and
// reseals are forgotten.
const (
	workersKept   = 24 * time.Hour
	resealsKept   = 90 * day
	workersSeen   = time.Minute
	answersAtOnce = 10_000
)

// retain drops the months whose time is over, then removes periods that no report belongs to any more, and what is kept
// shorter. One table that is in use does not keep the others from being dropped.
func (k *Keeper) retain(ctx context.Context, lease store.JobLease) (map[string]any, error) {
	now, err := k.Store.Now(ctx)
	if err != nil {
		return nil, err
	}
	relations, err := k.Store.Relations(ctx)
	if err != nil {
		return nil, err
	}
	details := map[string]any{}
	var dropped []string
	var failures []error
	oldest := cutoffOf(k.Retention.Reports, now)
	for _, r := range relations {
		if r.Month.IsZero() {
			continue
		}
		period, part := k.Retention.kept(r.Table)
		if !r.End().After(cutoffOf(period, now)) {
			err := k.dropMonth(ctx, lease, r, part)
			if err == nil {
				dropped = append(dropped, r.Name)
				continue
			}
			if errors.Is(err, store.ErrLeaseOver) || ctx.Err() != nil {
				return details, err
			}
			failures = append(failures, err)
		}
		if part == store.PartReports && r.Month.Before(oldest) {
			oldest = r.Month // reports of it are still there, and refer to contents
		}
	}
	if len(dropped) > 0 {
		details["dropped"] = dropped
	}
	b := k.budget(details)
	failures = append(failures, k.trimPeriods(ctx, lease, b, oldest))
	types, err := k.Store.TypeRetentions(ctx)
	failures = append(failures, err)
	for _, t := range types {
		failures = append(failures, k.trimType(ctx, lease, b, t.Type, now.AddDate(0, 0, -t.Days)))
	}
	return details, errors.Join(failures...)
}

// dropMonth detaches and drops a partition. Before that it notes since when its part is kept, and since when facts are
// known that its changes told of.
func (k *Keeper) dropMonth(ctx context.Context, lease store.JobLease, r store.Relation, part store.Part) error {
	err := k.Store.InJob(ctx, lease, func(tx *store.Store) error { return tx.RaiseFloor(ctx, part, "", r.End()) })
	if err != nil {
		return err
	}
	if part == store.PartChanges && !r.Detached {
		if err := k.noteBaselines(ctx, lease, r.Month); err != nil {
			return err
		}
	}
	if !r.Detached || r.Pending {
		if err := k.detach(ctx, lease, r); err != nil {
			return err
		}
	}
	return k.Store.InJob(ctx, lease, func(tx *store.Store) error {
		_, err := tx.DropPartition(ctx, r.Name)
		return err
	})
}

// detach detaches a partition: so that nobody waits if there is a role that may, or else again and again in moments in which
// nobody uses its table.
func (k *Keeper) detach(ctx context.Context, lease store.JobLease, r store.Relation) error {
	holds := func() error { return k.Store.InJob(ctx, lease, func(*store.Store) error { return nil }) }
	if err := holds(); err != nil {
		return err
	}
	if k.Owner != nil {
		owns, err := k.Owner.OwnsPartitions(ctx)
		if err != nil {
			return err
		}
		if owns {
			return k.Owner.DetachConcurrently(ctx, r)
		}
	}
	for try := 1; ; try++ {
		err := k.Store.InJob(ctx, lease, func(tx *store.Store) error {
			_, err := tx.DetachPartition(ctx, r.Name)
			return err
		})
		if !errors.Is(err, store.ErrPartitionBusy) || try >= k.pace.tries {
			return err
		}
		if err := pause(ctx, k.pace.busy); err != nil {
			return err
		}
	}
}

func (k *Keeper) noteBaselines(ctx context.Context, lease store.JobLease, month time.Time) error {
	return k.eachHosts(ctx, func(hosts []uuid.UUID) error {
		return k.Store.InJob(ctx, lease, func(tx *store.Store) error { return tx.NoteBaselines(ctx, hosts, month) })
	})
}

// eachHosts calls f with all hosts, some at a time.
func (k *Keeper) eachHosts(ctx context.Context, f func([]uuid.UUID) error) error {
	var after uuid.UUID
	for {
		hosts, err := k.Store.HostsAfter(ctx, fleet.Everything(), after, k.pace.hosts)
		if err != nil || len(hosts) == 0 {
			return err
		}
		if err := f(hosts); err != nil {
			return err
		}
		after = hosts[len(hosts)-1]
	}
}

// A budget bounds how long a run removes things, and counts what it removed.
type budget struct {
	k       *Keeper
	until   time.Time
	details map[string]any
}

func (k *Keeper) budget(details map[string]any) *budget {
	return &budget{k: k, until: time.Now().Add(k.pace.budget), details: details}
}

// errBudget ends a run that has more to do.
var errBudget = errors.New("more to remove than fits into one run; the next one goes on")

// batches removes until there is nothing left, a batch in a transaction at a time, and pauses between.
func (b *budget) batches(ctx context.Context, lease store.JobLease, what string, remove func(tx *store.Store, limit int) (int, error)) error {
	for {
		n := 0
		err := b.k.Store.InJob(ctx, lease, func(tx *store.Store) error {
			var err error
			n, err = remove(tx, b.k.pace.batch)
			return err
		})
		if err != nil {
			return err
		}
		if n > 0 {
			before, _ := b.details[what].(int)
			b.details[what] = before + n
		}
		if n < b.k.pace.batch {
			return nil
		}
		if time.Now().After(b.until) {
			return errBudget
		}
		if err := pause(ctx, b.k.pace.pause); err != nil {
			return err
		}
	}
}

// trimPeriods removes periods of facts that were over before all reports that are still there.
func (k *Keeper) trimPeriods(ctx context.Context, lease store.JobLease, b *budget, before time.Time) error {
	return b.batches(ctx, lease, "periods", func(tx *store.Store, limit int) (int, error) {
		n, err := tx.RemovePeriods(ctx, "", before, limit)
		if err == nil && n > 0 {
			err = tx.RaiseFloor(ctx, store.PartFacts, "", before)
		}
		return n, err
	})
}

// trimType removes what is older of a type that is kept shorter. Periods come last: reports of all hosts must be gone
// before.
func (k *Keeper) trimType(ctx context.Context, lease store.JobLease, b *budget, reportType string, before time.Time) error {
	removals := []struct {
		what   string
		part   store.Part
		remove func(tx *store.Store, hosts []uuid.UUID, limit int) (int, error)
	}{
		{"reports", store.PartReports, func(tx *store.Store, hosts []uuid.UUID, limit int) (int, error) {
			return tx.RemoveReportsOfType(ctx, hosts, reportType, before, limit)
		}},
		{"metrics", store.PartMetrics, func(tx *store.Store, hosts []uuid.UUID, limit int) (int, error) {
			return tx.RemoveMetricsOfType(ctx, hosts, reportType, before, limit)
		}},
		{"changes", store.PartChanges, func(tx *store.Store, hosts []uuid.UUID, limit int) (int, error) {
			return tx.RemoveChangesOfType(ctx, hosts, reportType, before, limit)
		}},
	}
	err := k.eachHosts(ctx, func(hosts []uuid.UUID) error {
		for _, r := range removals {
			err := b.batches(ctx, lease, r.what, func(tx *store.Store, limit int) (int, error) {
				n, err := r.remove(tx, hosts, limit)
				if err == nil && n > 0 {
					err = tx.RaiseFloor(ctx, r.part, reportType, before)
				}
				return n, err
			})
			if err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	return b.batches(ctx, lease, "periods", func(tx *store.Store, limit int) (int, error) {
		n, err := tx.RemovePeriods(ctx, reportType, before, limit)
		if err == nil && n > 0 {
			err = tx.RaiseFloor(ctx, store.PartFacts, reportType, before)
		}
		return n, err
	})
}

// contents removes contents that nobody refers to.
func (k *Keeper) contents(ctx context.Context, lease store.JobLease) (map[string]any, error) {
	details := map[string]any{}
	until := time.Now().Add(k.pace.budget)
	var after []byte
	for total := 0; ; {
		unused, next, err := k.Store.UnusedContents(ctx, k.pace.unused, after, min(k.pace.batch, 500))
		if err != nil {
			return details, err
		}
		err = k.Store.InJob(ctx, lease, func(tx *store.Store) error {
			n, err := tx.RemoveContents(ctx, unused, k.pace.unused)
			total += n
			return err
		})
		if total > 0 {
			details["contents"] = total
		}
		if err != nil || next == nil {
			return details, err
		}
		if time.Now().After(until) {
			return details, errBudget
		}
		if err := pause(ctx, k.pace.pause); err != nil {
			return details, err
		}
		after = next
	}
}

func (k *Keeper) forget(ctx context.Context) (map[string]any, error) {
	n, err := k.Store.ForgetExpiredAnswers(ctx, answersAtOnce)
	reseals, err2 := k.Store.ForgetReseals(ctx, resealsKept, answersAtOnce)
	details := map[string]any{}
	if n > 0 {
		details["answers"] = n
	}
	if reseals > 0 {
		details["reseals"] = reseals
	}
	return details, errors.Join(err, err2, k.Store.ForgetWorkers(ctx, workersKept))
}

// queues looks after Redis.
func (k *Keeper) queues(ctx context.Context) (map[string]any, error) {
	if k.Queues == nil {
		return nil, nil
	}
	workers, err := k.Store.Workers(ctx, workersSeen)
	if err != nil {
		return nil, err
	}
	sites := []string{fleet.DefaultSite}
	for _, worker := range workers {
		sites = append(sites, worker.Sites...)
	}
	n, err := k.Queues.Keep(ctx, sites)
	if n == 0 {
		return nil, err
	}
	return map[string]any{"traces_of_dead_schedulers": n}, err
}

// pause waits for d, or until ctx ends.
func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-timer.C:
		return nil
	}
}
