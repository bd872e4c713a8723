package bench_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/rollcallhq/rollcall/pkg/fleet"
	"github.com/rollcallhq/rollcall/pkg/store"
)

const (
	reportsPerSecond = 500 // that arrive while partitions come and go
	oldRows          = 20_000
	maxMonths        = 60 // that come and go: five years
)

// BenchmarkHousekeeping stores 500 reports a second and measures how long one task with five of them takes, from the moment
// it arrives to its commit: with nothing else going on, and while partitions of report_rows are attached, detached in either
// way and dropped without a pause. A transaction that reads the table is open most of the time. Each phase lasts as long as
// ROLLCALL_BENCH_HOUSEKEEPING (1,000) tasks take at that pace. It measures one round, whatever b.N is.
func BenchmarkHousekeeping(b *testing.B) {
	h := newHistory(b, size(b, "ROLLCALL_BENCH_HOUSEKEEPING", 1000))
	h.sweep(b)
	owner := store.New(h.pool)
	stop := h.readsOn(b)
	defer stop()
	old := oldMonths{first: time.Date(1990, 1, 1, 0, 0, 0, 0, time.UTC)}

	baseline := h.phase(b, "nothing else", nil)
	for _, p := range []struct {
		name   string
		before func(context.Context) error
		does   func(context.Context) error
	}{
		{"attach", nil, func(ctx context.Context) error { return h.attach(ctx, &old) }},
		{"detach concurrently", func(ctx context.Context) error { return h.fill(ctx, &old) }, func(ctx context.Context) error {
			return old.detach(len(old.made)-old.half, func(name string) error {
				return owner.DetachConcurrently(ctx, store.Relation{Table: "report_rows", Name: name})
			})
		}},
		{"detach as the application", nil, func(ctx context.Context) error {
			err := old.detach(len(old.made), func(name string) error {
				_, err := h.store.DetachPartition(ctx, name)
				return err
			})
			if errors.Is(err, store.ErrPartitionBusy) {
				old.refused++
				return pauseFor(ctx, 200*time.Millisecond)
			}
			return err
		}},
		{"drop", nil, func(ctx context.Context) error {
			if len(old.detached) == 0 {
				return errNoMore
			}
			_, err := h.store.DropPartition(ctx, old.detached[0])
			old.detached = old.detached[1:]
			return err
		}},
	} {
		b.Run(p.name, func(b *testing.B) {
			old.half = len(old.made) / 2
			old.refused = 0
			if p.before != nil {
				check(b, true, p.before(b.Context()))
			}
			took := h.phase(b, p.name, p.does)
			b.ReportMetric(took.p99.Seconds()*1000-baseline.p99.Seconds()*1000, "ms-p99-rise")
			if old.refused > 0 {
				b.Logf("%d times somebody used the table, and it gave way", old.refused)
			}
		})
	}
}

// errNoMore ends what a phase does beside storing.
var errNoMore = errors.New("nothing more to do")

// oldMonths are partitions that come and go.
type oldMonths struct {
	first    time.Time
	n        int
	made     []string // attached
	detached []string
	half     int // how many are left for the second way to detach
	refused  int
}

// detach detaches the first that is attached in the way that is given, unless none is left.
func (o *oldMonths) detach(left int, how func(name string) error) error {
	if left <= 0 {
		return errNoMore
	}
	if err := how(o.made[0]); err != nil {
		return err
	}
	o.made, o.detached = o.made[1:], append(o.detached, o.made[0])
	return nil
}

// attach makes a month's partition.
func (h *history) attach(ctx context.Context, old *oldMonths) error {
	if old.n == maxMonths {
		return errNoMore
	}
	month := old.first.AddDate(0, old.n, 0)
	if err := h.store.MakePartition(ctx, "report_rows", month); err != nil {
		return err
	}
	old.n++
	old.made = append(old.made, "report_rows_"+month.Format("2006_01"))
	return nil
}

// fill stores rows in those that are attached, so that there is something to drop.
func (h *history) fill(ctx context.Context, old *oldMonths) error {
	for i, name := range old.made {
		_, err := h.pool.Exec(ctx, fmt.Sprintf(`
			insert into %s (id, created_at, host_id, report_type, status, content_hash)
			select gen_random_uuid(), $1, gen_random_uuid(), 1, 'ok', '\x00' from generate_series(1, $2)`, name), old.first.AddDate(0, i, 0), oldRows)
		if err != nil {
			return err
		}
	}
	return nil
}

// readsOn keeps a transaction open that has read the table, for a second at a time, until stop is called.
func (h *history) readsOn(b *testing.B) (stop func()) {
	b.Helper()
	ctx, cancel := context.WithCancel(b.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for ctx.Err() == nil {
			tx, err := h.pool.Begin(ctx)
			if err != nil {
				return
			}
			_, err = tx.Exec(ctx, "select count(*) from report_rows where created_at > now() - interval '1 hour'")
			if err == nil {
				err = pauseFor(ctx, time.Second)
			}
			_ = tx.Rollback(context.WithoutCancel(ctx))
			if err != nil || pauseFor(ctx, 300*time.Millisecond) != nil {
				return
			}
		}
	}()
	return func() { cancel(); <-ended }
}

func pauseFor(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}

// A spread is how long the tasks of a phase took.
type spread struct{ p50, p99, most time.Duration }

// phase stores a task of each host at the pace while does is done again and again beside it.
func (h *history) phase(b *testing.B, name string, does func(context.Context) error) spread {
	b.Helper()
	messages := h.messages(b)
	ctx, cancel := context.WithCancel(b.Context())
	done, beside := 0, make(chan error, 1)
	go func() {
		var err error
		for does != nil && ctx.Err() == nil && err == nil {
			if err = does(ctx); err == nil {
				done++
			}
		}
		beside <- err
	}()
	const pace = time.Second * 5 / reportsPerSecond
	took := make([]time.Duration, len(messages))
	failed := make([]error, len(messages))
	var wait sync.WaitGroup
	tick := time.NewTicker(pace)
	for i, m := range messages {
		due := <-tick.C
		wait.Go(func() {
			failed[i] = h.end(b, m)
			took[i] = time.Since(due)
		})
	}
	tick.Stop()
	wait.Wait()
	cancel()
	if err := <-beside; err != nil && !errors.Is(err, errNoMore) && !errors.Is(err, context.Canceled) && fleet.KindOf(err) != fleet.Unavailable {
		b.Fatalf("%s: %v", name, err)
	}
	check(b, true, errors.Join(failed...))
	slices.Sort(took)
	s := spread{took[len(took)/2], took[len(took)*99/100], took[len(took)-1]}
	b.Logf("%-26s %4d times beside %d tasks: p50 %s, p99 %s, max %s", name, done, len(took),
		s.p50.Round(100*time.Microsecond), s.p99.Round(100*time.Microsecond), s.most.Round(100*time.Microsecond))
	return s
}

// messages asks for a collection of all hosts and returns its messages.
func (h *history) messages(b *testing.B) []fleet.Message {
	b.Helper()
	everything, err := fleet.ParseSelector("*")
	check(b, true, err)
	c, err := h.store.AddCollection(b.Context(), fleet.Everything(), fleet.Collection{
		ID: fleet.NewID(), Kind: fleet.KindCollect, Actor: "user:bench", Selector: "*", ReportTypes: []string{"os", "cpu", "memory", "disks", "network"},
		Priority: fleet.PriorityBulk, Deadline: time.Minute, ExpiresAt: time.Now().Add(time.Hour),
	}, &everything)
	check(b, true, err)
	messages, err := h.store.Outbox(b.Context(), &c.ID, len(h.hosts))
	check(b, len(messages) == len(h.hosts), err)
	return messages
}
