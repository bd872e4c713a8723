package bench_test

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/rollcallhq/rollcall/pkg/collection"
	"github.com/rollcallhq/rollcall/pkg/fleet"
	"github.com/rollcallhq/rollcall/pkg/schedule"
	"github.com/rollcallhq/rollcall/pkg/store"
	"github.com/rollcallhq/rollcall/pkg/storetest"
	"github.com/rollcallhq/rollcall/scheduler/beat"
)

// BenchmarkSchedules keeps ROLLCALL_BENCH_SCHEDULES (100,000) schedules and measures how late
// ROLLCALL_BENCH_FIRINGS (1,000) of them are collected: spread over a minute, all due at one instant, and with one of two
// replicas gone in the middle of it. It measures one round of each, whatever b.N is.
func BenchmarkSchedules(b *testing.B) {
	s, pool := storetest.Pool(b)
	n, firings := size(b, "ROLLCALL_BENCH_SCHEDULES", 100_000), size(b, "ROLLCALL_BENCH_FIRINGS", 1000)
	furnishSchedules(b, s, pool, n)
	b.Run("spread", func(b *testing.B) { fireSchedules(b, s, pool, firings, time.Minute, false) })
	b.Run("at once", func(b *testing.B) { fireSchedules(b, s, pool, firings, 0, false) })
	b.Run("replica gone", func(b *testing.B) { fireSchedules(b, s, pool, firings, 10*time.Second, true) })
	b.Run("page", func(b *testing.B) {
		for b.Loop() {
			found, _, err := s.Schedules(b.Context(), fleet.Everything(), store.ScheduleFilter{}, fleet.Page{Limit: 100})
			check(b, len(found) == 100, err)
		}
	})
}

func furnishSchedules(b *testing.B, s *store.Store, pool *pgxpool.Pool, n int) {
	b.Helper()
	owner := fleet.User{ID: fleet.NewID(), Username: "root", PasswordHash: "x", Role: fleet.Admin}
	check(b, true, s.AddUser(b.Context(), owner))
	_, err := s.AddHost(b.Context(), fleet.Host{
		ID: fleet.NewID(), Name: "web-1", Address: "192.0.2.1", Port: 22, Site: fleet.DefaultSite, Connection: fleet.ConnectionSSH, Enabled: true,
	})
	check(b, true, err)
	_, err = pool.Exec(b.Context(), `
		insert into schedules (id, name, cron, timezone, selector, report_types, overlap, owner_id, next_at)
		select gen_random_uuid(), 's-' || i, '30 2 * * *', 'Europe/Berlin', 'name=web-1', '{os}', 'allow', $1, now() + interval '1 day' + i * interval '1 second'
		from generate_series(1, $2::int) i`, owner.ID, n)
	check(b, true, err)
	_, err = pool.Exec(b.Context(), "vacuum analyze schedules")
	check(b, true, err)
}

func fireSchedules(b *testing.B, s *store.Store, pool *pgxpool.Pool, firings int, over time.Duration, oneGoes bool) {
	b.Helper()
	if _, err := pool.Exec(b.Context(), "truncate firings, tasks, collections"); err != nil {
		b.Fatal(err)
	}
	_, err := pool.Exec(b.Context(), `
		with chosen as (select id, row_number() over () as i from (select id from schedules where next_at > now() + interval '1 hour' limit $1) c)
		update schedules s set next_at = now() + interval '2 s' + (i - 1) * $2::interval / $1 from chosen where s.id = chosen.id`, firings, over)
	check(b, true, err)
	ctx, cancel := context.WithCancel(b.Context())
	defer cancel()
	ended := make(chan error, 2)
	log := slog.New(slog.DiscardHandler)
	replicas := []context.CancelFunc{}
	for range 2 {
		mine, stop := context.WithCancel(ctx)
		replicas = append(replicas, stop)
		collections := collection.New(collection.Config{Store: s, Log: log})
		go func() { ended <- schedule.New(beat.Schedules(s, collections, log)).Run(mine) }()
	}
	for tick := time.NewTicker(100 * time.Millisecond); ; <-tick.C {
		var fired int
		check(b, true, pool.QueryRow(b.Context(), "select count(*) from firings").Scan(&fired))
		if oneGoes && fired > firings/3 {
			replicas[0]() // its transactions are undone where they are
		}
		if fired >= firings {
			tick.Stop()
			break
		}
	}
	cancel()
	check(b, true, errors.Join(<-ended, <-ended))
	rows, _ := pool.Query(b.Context(), "select extract(epoch from fired_at - due_at)::float8 * 1000 from firings where collection_id is not null order by 1")
	late, err := pgx.CollectRows(rows, pgx.RowTo[float64])
	check(b, len(late) == firings, err)
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(late[len(late)/2], "p50-ms")
	b.ReportMetric(late[len(late)*99/100], "p99-ms")
	b.ReportMetric(slices.Max(late), "max-ms")
}
