package rig

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"regexp"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/rollcallhq/rollcall/e2e/chaos/ledger"
)

// connect connects to PostgreSQL past all links.
func (r *rig) connect(ctx context.Context) (*pgx.Conn, error) {
	config, err := pgx.ParseConfig(r.postgres.url())
	if err != nil {
		return nil, fmt.Errorf("reading the address of the database: %w", err)
	}
	config.ConnectTimeout = 5 * time.Second
	config.RuntimeParams["application_name"] = "chaos"
	conn, err := pgx.ConnectConfig(ctx, config)
	if err != nil {
		return nil, fmt.Errorf("connecting to the database: %w", err)
	}
	return conn, nil
}

// ask runs f on a connection of its own, within the limit.
func (r *rig) ask(ctx context.Context, limit time.Duration, f func(context.Context, *pgx.Conn) error) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	conn, err := r.connect(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()
	return f(ctx, conn)
}

// ping reports whether PostgreSQL takes writes.
func (r *rig) ping(ctx context.Context) error {
	return r.ask(ctx, 2*time.Second, func(ctx context.Context, conn *pgx.Conn) error {
		_, err := conn.Exec(ctx, "select pg_current_xact_id()")
		return err
	})
}

// watch keeps open at the number of open tasks until ctx ends.
func (r *rig) watch(ctx context.Context, open *atomic.Int64, looked func()) {
	tick := time.NewTicker(500 * time.Millisecond)
	defer tick.Stop()
	for {
		n, _, err := r.left(ctx)
		if err == nil {
			open.Store(int64(n))
			looked()
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// left returns how many tasks and collections are open.
func (r *rig) left(ctx context.Context) (tasks, collections int, err error) {
	err = r.ask(ctx, 5*time.Second, func(ctx context.Context, conn *pgx.Conn) error {
		return conn.QueryRow(ctx, "select (select count(*) from tasks), (select count(*) from collections)").Scan(&tasks, &collections)
	})
	return tasks, collections, err
}

// mark finds the client's number in the selector of a collection.
func mark() *regexp.Regexp { return regexp.MustCompile(marker + `!=r(\d+)`) }

// books reads the ledgers of the hosts and of the database, and puts the client's beside them.
func (r *rig) books(ctx context.Context, accepted []ledger.Accepted) (ledger.Books, error) {
	b := ledger.Books{Client: accepted, Hosts: map[string]int64{}}
	text, err := get(ctx, r.counts, 30*time.Second)
	if err != nil {
		return b, fmt.Errorf("reading the hosts' counts: %w", err)
	}
	lines := bufio.NewScanner(bytes.NewReader(text))
	for lines.Scan() {
		var count struct {
			Name       string `json:"name"`
			Executions int64  `json:"executions"`
		}
		if err := json.Unmarshal(lines.Bytes(), &count); err != nil {
			return b, fmt.Errorf("reading the hosts' counts: %w", err)
		}
		b.Hosts[count.Name] = count.Executions
	}
	if len(b.Hosts) != r.Hosts {
		return b, fmt.Errorf("reading the hosts' counts: %d of %d", len(b.Hosts), r.Hosts)
	}
	err = r.ask(ctx, 2*time.Minute, func(ctx context.Context, conn *pgx.Conn) error { return readDatabase(ctx, conn, &b.Database) })
	if err != nil {
		return b, fmt.Errorf("reading the database: %w", err)
	}
	return b, nil
}

func readDatabase(ctx context.Context, conn *pgx.Conn, d *ledger.Database) error {
	marks := mark()
	rows, _ := conn.Query(ctx, `
		select id, coalesce(selector, ''), true, state, report_types, total, null::jsonb from collections
		union all
		select id, coalesce(selector, ''), false, state, report_types, total, counts from collection_history`)
	var err error
	d.Collections, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (ledger.Collection, error) {
		var c ledger.Collection
		var selector string
		err := row.Scan(&c.ID, &selector, &c.Open, &c.State, &c.Types, &c.Total, &c.Counts)
		if found := marks.FindStringSubmatch(selector); found != nil {
			c.Request, _ = strconv.Atoi(found[1]) // digits
		}
		return c, err
	})
	if err != nil {
		return err
	}
	rows, _ = conn.Query(ctx, `
		select t.id, t.collection_id, coalesce(h.name, t.host_id::text), t.open, t.state, t.attempts, t.code, t.failed from (
			select id, collection_id, host_id, true as open, state, attempts, coalesce(error_code, '') as code, '{}'::text[] as failed from tasks
			union all
			select id, collection_id, host_id, false, state, attempts, coalesce(error_code, ''),
				array(select jsonb_object_keys(case jsonb_typeof(report_errors) when 'object' then report_errors else '{}' end))
			from task_history
		) t left join hosts h on h.id = t.host_id`)
	d.Tasks, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (ledger.Task, error) {
		var t ledger.Task
		err := row.Scan(&t.ID, &t.Collection, &t.Host, &t.Open, &t.State, &t.Attempts, &t.Code, &t.Failed)
		return t, err
	})
	if err != nil {
		return err
	}
	rows, _ = conn.Query(ctx, `
		select coalesce(r.task_id, '00000000-0000-0000-0000-000000000000'), t.name from report_rows r join report_types t on t.id = r.report_type`)
	d.Reports, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (ledger.Report, error) {
		var report ledger.Report
		err := row.Scan(&report.Task, &report.Type)
		return report, err
	})
	if err != nil {
		return err
	}
	return conn.QueryRow(ctx, `
		select (select count(*) from changes), (
			select count(*) from fact_periods a join fact_periods b
			on a.host_id = b.host_id and a.report_type = b.report_type and a.valid_from < b.valid_from
			and b.valid_from < coalesce(a.valid_to, 'infinity'))`).Scan(&d.Changes, &d.Overlaps)
}

// progress reads when tasks ended, and when there was work to do.
func (r *rig) progress(ctx context.Context) (ends []time.Time, work []Span, err error) {
	err = r.ask(ctx, time.Minute, func(ctx context.Context, conn *pgx.Conn) error {
		rows, _ := conn.Query(ctx, "select finished_at from task_history order by 1")
		var err error
		if ends, err = pgx.CollectRows(rows, pgx.RowTo[time.Time]); err != nil {
			return err
		}
		rows, _ = conn.Query(ctx, "select created_at, coalesce(finished_at, now()) from collection_history union all select created_at, now() from collections")
		work, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (Span, error) {
			var s Span
			err := row.Scan(&s.From, &s.To)
			return s, err
		})
		return err
	})
	return ends, work, err
}
