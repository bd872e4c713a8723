package store_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/rollcallhq/rollcall/pkg/fleet"
	"github.com/rollcallhq/rollcall/pkg/store"
	"github.com/rollcallhq/rollcall/pkg/storetest"
)

// learn collects from everything and ends each task with the findings, all of them made at one moment.
func learn(t *testing.T, s *store.Store, at time.Time, findings ...fleet.Finding) {
	t.Helper()
	_, messages := collect(t, s)
	worker := aWorker(t, s)
	for _, m := range messages {
		e := ending(claim(t, s, m, worker.ID), fleet.TaskSucceeded, findings...)
		e.At = at
		end(t, s, e)
	}
}

// A period as it is stored, its times in microseconds since a moment of the test.
type period struct {
	Hash                [32]byte
	From, To, Confirmed int64
}

const open = -1 // the end of a period that has none

func periodsOf(t *testing.T, s *store.Store, host uuid.UUID, since time.Time) []period {
	t.Helper()
	rows, _ := store.DBOf(s).Query(t.Context(), `
		select content_hash, valid_from, valid_to, last_confirmed_at from fact_periods where host_id = $1 order by valid_from`, host)
	periods, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (period, error) {
		var hash []byte
		var from, confirmed time.Time
		var to *time.Time
		err := row.Scan(&hash, &from, &to, &confirmed)
		p := period{Hash: [32]byte(hash), From: from.Sub(since).Microseconds(), To: open, Confirmed: confirmed.Sub(since).Microseconds()}
		if to != nil {
			p.To = to.Sub(since).Microseconds()
		}
		return p, err
	})
	if err != nil {
		t.Fatal(err)
	}
	return periods
}

func TestPeriodsOfFacts(t *testing.T) {
	t.Parallel()
	old, changed := finding("os", `{"v":1}`, ""), finding("os", `{"v":2}`, "")
	partial := changed
	partial.Status = fleet.ReportPartial
	partialOld := old
	partialOld.Status = fleet.ReportPartial
	const ms = 1000 // microseconds
	type report struct {
		at int64 // milliseconds
		f  fleet.Finding
	}
	tests := []struct {
		name    string
		reports []report
		want    []period
		latest  int64 // milliseconds
	}{
		{"the first facts begin a period", []report{{0, old}}, []period{{old.ContentHash, 0, open, 0}}, 0},
		{"the same facts confirm it", []report{{0, old}, {5, old}}, []period{{old.ContentHash, 0, open, 5 * ms}}, 5},
		{"a late answer does not confirm backwards", []report{{0, old}, {5, old}, {3, old}}, []period{{old.ContentHash, 0, open, 5 * ms}}, 5},
		{
			"changed facts close it and begin the next where it ends",
			[]report{{0, old}, {5, old}, {7, changed}},
			[]period{{old.ContentHash, 0, 7 * ms, 5 * ms}, {changed.ContentHash, 7 * ms, open, 7 * ms}},
			7,
		},
		{
			"facts that come back begin a third period",
			[]report{{0, old}, {5, changed}, {7, old}},
			[]period{{old.ContentHash, 0, 5 * ms, 0}, {changed.ContentHash, 5 * ms, 7 * ms, 5 * ms}, {old.ContentHash, 7 * ms, open, 7 * ms}},
			7,
		},
		{
			"two changes in one millisecond still have an order",
			[]report{{0, old}, {0, changed}, {0, old}},
			[]period{{old.ContentHash, 0, 1, 0}, {changed.ContentHash, 1, 2, 0}, {old.ContentHash, 2, open, 0}},
			0,
		},
		{
			"a change on a clock that went back begins right after the former start",
			[]report{{5, old}, {2, changed}},
			[]period{{old.ContentHash, 5 * ms, 5*ms + 1, 5 * ms}, {changed.ContentHash, 5*ms + 1, open, 2 * ms}},
			5,
		},
		{
			"a partial report, which carries over what it could not tell, counts as any other",
			[]report{{0, old}, {5, partial}, {7, partialOld}},
			[]period{{old.ContentHash, 0, 5 * ms, 0}, {changed.ContentHash, 5 * ms, 7 * ms, 5 * ms}, {old.ContentHash, 7 * ms, open, 7 * ms}},
			7,
		},
		{"a partial report that agrees confirms", []report{{0, old}, {5, partialOld}}, []period{{old.ContentHash, 0, open, 5 * ms}}, 5},
		{"a partial report alone begins a period", []report{{5, partial}}, []period{{changed.ContentHash, 5 * ms, open, 5 * ms}}, 5},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := storetest.New(t)
			host := addHost(t, s, "web-1")
			start := time.Now().Truncate(time.Millisecond)
			for _, r := range tt.reports {
				learn(t, s, start.Add(time.Duration(r.at)*time.Millisecond), r.f)
			}
			got := periodsOf(t, s, host.ID, start)
			if fmt.Sprint(got) != fmt.Sprint(tt.want) {
				t.Errorf("periods:\n%v\nwant\n%v", got, tt.want)
			}
			latest, err := s.LatestOf(t.Context(), fleet.Everything(), []uuid.UUID{host.ID})
			if err != nil || len(latest[host.ID]) != 1 || latest[host.ID][0].CreatedAt.Sub(start).Milliseconds() != tt.latest {
				t.Errorf("latest = %+v, %v; want the one of %d ms", latest, err, tt.latest)
			}
			if n := ask[int](t, store.DBOf(s), "select count(*) from report_rows"); n != len(tt.reports) {
				t.Errorf("%d report rows, want each of %d", n, len(tt.reports))
			}
		})
	}
}

func TestContentsAreStoredOnce(t *testing.T) {
	t.Parallel()
	s := storetest.New(t)
	db := store.DBOf(s)
	for i := range 3 {
		addHost(t, s, fmt.Sprintf("web-%d", i))
	}
	now := time.Now()
	learn(t, s, now, finding("os", `{"id":"debian"}`, `{"up":1}`), finding("cpu", `{"cores":2}`, `{"load":1}`))
	learn(t, s, now.Add(time.Second), finding("os", `{"id":"debian"}`, `{"up":2}`), finding("cpu", `{"cores":2}`, `{"load":2}`))
	for table, want := range map[string]int{
		"report_contents": 2, "fact_periods": 6, "report_rows": 12, "report_metrics": 12, "latest_reports": 6,
	} {
		if n := ask[int](t, db, "select count(*) from "+table); n != want {
			t.Errorf("%s has %d rows, want %d", table, n, want)
		}
	}
	if torn := ask[int](t, db, `
		select count(*) from report_rows where created_at <> date_trunc('milliseconds', created_at)
			or (extract(epoch from created_at) * 1000)::bigint <> ('x' || left(replace(id::text, '-', ''), 12))::bit(48)::bigint`); torn != 0 {
		t.Errorf("%d reports are not found by the millisecond of their ID", torn)
	}
}

func TestWhatIsAbsentIsNull(t *testing.T) {
	t.Parallel()
	s := storetest.New(t)
	db := store.DBOf(s)
	host := addHost(t, s, "web-1", func(h *fleet.Host) { h.Labels = nil })
	bare := finding("os", `{"id":"debian"}`, "")
	whole := finding("cpu", `{"cores":2}`, "")
	whole.Unavailable = map[string]string{}
	cut := finding("memory", `{"total":2}`, `{}`)
	cut.Unavailable, cut.Status = map[string]string{"swap": "timeout"}, fleet.ReportPartial
	learn(t, s, time.Now(), bare, whole, cut)
	for what, want := range map[string]int{
		"hosts where labels = '{}'": 1,
		"task_history where error_code is null and error_details is null and report_errors is null": 1,
		"report_rows where unavailable is null":                                                     2,
		`report_rows where unavailable = '{"swap": "timeout"}'`:                                     1,
		"report_metrics":                                                                              1,
		"report_metrics where metrics = '{}'":                                                         1,
		"report_rows where task_id is null or collection_id is null":                                  0,
		"host_status where state = 'succeeded' and error_code is null and failures = 0":               1,
		"hosts where machine_id is null and credential_id is null and jump_host_id is null":           1,
		"collections where skipped = '[]' and host_ids is null and counts is null and errors is null": 1,
		"collections where max_parallel is null and requested_by is null and schedule_id is null":     1,
		"workers where sites = '{default}'":                                                           1,
		"report_contents where jsonb_typeof(facts) = 'object'":                                        3,
		"fact_periods where valid_to is null and report_id in (select id from report_rows)":           3,
		"latest_reports l where exists (select from report_rows r where r.id = l.report_id)":          3,
		"report_rows where (select created_at from collections) <= created_at + interval '1 minute'":  3,
	} {
		if n := ask[int](t, db, "select count(*) from "+what); n != want {
			t.Errorf("%d %s, want %d", n, what, want)
		}
	}
	reports, err := s.LatestReports(t.Context(), fleet.Everything(), host.ID, "")
	if err != nil || len(reports) != 3 {
		t.Fatalf("reports = %v, %v", reports, err)
	}
	if os, memory := reports[0], reports[2]; os.Metrics != nil || os.Unavailable != nil || os.ConfirmedAt == nil ||
		memory.Unavailable["swap"] != "timeout" || memory.Status != fleet.ReportPartial || memory.ConfirmedAt == nil {
		t.Errorf("read back: %+v and %+v", os, memory)
	}
}

func TestWhyATaskFailedIsStored(t *testing.T) {
	t.Parallel()
	s := storetest.New(t)
	host := addHost(t, s, "web-1")
	for round, state := range []fleet.TaskState{fleet.TaskFailed, fleet.TaskFailed, fleet.TaskCancelled, fleet.TaskPartial} {
		c, messages := collect(t, s)
		e := ending(claim(t, s, messages[0], aWorker(t, s).ID), state)
		e.Failure = fleet.Fail(fleet.CodeTCPRefused, nil, "phase", "connect")
		e.ReportErrors = map[string]fleet.Code{"os": fleet.CodeParseFailed}
		e.MachineID = fmt.Sprintf("machine-%d", round)
		end(t, s, e)
		tasks, _, err := s.Tasks(t.Context(), fleet.Everything(), c.ID, store.TaskFilter{State: state, Code: fleet.CodeTCPRefused}, fleet.Page{})
		if err != nil || len(tasks) != 1 || tasks[0].Details["phase"] != "connect" || tasks[0].ReportErrors["os"] != fleet.CodeParseFailed || tasks[0].FinishedAt == nil {
			t.Errorf("tasks = %+v, %v", tasks, err)
		}
		statuses, err := s.HostStatuses(t.Context(), fleet.Everything(), []uuid.UUID{host.ID})
		if err != nil {
			t.Fatal(err)
		}
		st := statuses[host.ID]
		switch round {
		case 0, 1, 2: // cancelling says nothing about the host
			if st.State != fleet.TaskFailed || st.Failures != min(round+1, 2) || st.SucceededAt != nil || st.Code != fleet.CodeTCPRefused {
				t.Errorf("after round %d: %+v", round, st)
			}
		case 3:
			if st.State != fleet.TaskPartial || st.Failures != 0 || st.SucceededAt == nil {
				t.Errorf("after a partial task: %+v", st)
			}
		}
	}
	if h, err := s.Host(t.Context(), fleet.Everything(), host.ID); err != nil || h.MachineID != "machine-0" {
		t.Errorf("machine ID = %q, %v; want the first one learned", h.MachineID, err)
	}
}

func TestAFencedEndStoresNothing(t *testing.T) {
	t.Parallel()
	s := storetest.New(t)
	host := addHost(t, s, "web-1")
	_, messages := collect(t, s)
	c := claim(t, s, messages[0], aWorker(t, s).ID)
	for name, spoil := range map[string]func(*store.Lease){
		"another epoch":  func(l *store.Lease) { l.Epoch++ },
		"another worker": func(l *store.Lease) { l.WorkerID = fleet.NewID() },
		"another task":   func(l *store.Lease) { l.TaskID = fleet.NewID() },
	} {
		e := ending(c, fleet.TaskFailed, finding("os", `{"id":"debian"}`, `{"up":1}`))
		e.MachineID = "machine"
		spoil(&e.Lease)
		if held, err := s.EndTask(t.Context(), e); err != nil || held {
			t.Errorf("%s: held %v, %v", name, held, err)
		}
		if held, err := s.RetryTask(t.Context(), e.Lease, 0, fleet.Fail(fleet.CodeInternal, nil), ""); err != nil || held {
			t.Errorf("%s: retry held %v, %v", name, held, err)
		}
		if held, err := s.ReleaseTask(t.Context(), e.Lease, ""); err != nil || held {
			t.Errorf("%s: release held %v, %v", name, held, err)
		}
	}
	for _, table := range []string{
		"report_contents", "report_rows", "report_metrics", "latest_reports", "fact_periods", "host_status", "task_history",
		"hosts where machine_id is not null",
	} {
		if n := ask[int](t, store.DBOf(s), "select count(*) from "+table); n != 0 {
			t.Errorf("%d rows in %s, want none", n, table)
		}
	}
	end(t, s, ending(c, fleet.TaskSucceeded, finding("os", `{"id":"debian"}`, `{"up":1}`)))
	if reports, err := s.LatestReports(t.Context(), fleet.Everything(), host.ID, "os"); err != nil || len(reports) != 1 {
		t.Errorf("the holder's end: %v, %v", reports, err)
	}
}

func TestAnEndThatCannotBeStoredLeavesTheTaskAsItIs(t *testing.T) {
	t.Parallel()
	s, _ := storetest.Pool(t)
	addHost(t, s, "web-1")
	c, messages := collect(t, s)
	claimed := claim(t, s, messages[0], aWorker(t, s).ID)
	held, err := s.EndTask(t.Context(), ending(claimed, fleet.TaskSucceeded,
		finding("cpu", `{"cores":2}`, ""), finding("os", `{"name":"\u0000"}`, "")))
	if err == nil || held || fleet.KindOf(err) != fleet.Internal {
		t.Fatalf("facts that jsonb refuses: held %v, %v", held, err)
	}
	tasks, _, err := s.Tasks(t.Context(), fleet.Everything(), c.ID, store.TaskFilter{}, fleet.Page{})
	if err != nil || len(tasks) != 1 || tasks[0].State != fleet.TaskRunning {
		t.Errorf("tasks = %+v, %v; want the task running", tasks, err)
	}
	unknown := finding("nonesuch", `{}`, "")
	if held, err := s.EndTask(t.Context(), ending(claimed, fleet.TaskSucceeded, unknown)); err == nil || held {
		t.Errorf("a report of a type that the database does not know: held %v, %v; want an error, not a lost report", held, err)
	}
	end(t, s, ending(claimed, fleet.TaskFailed))
}

// TestManyEndsOverSharedContents ends tasks of many hosts at once whose facts are the same, in any order: the rows of
// the contents are what they contend for.
func TestManyEndsOverSharedContents(t *testing.T) {
	t.Parallel()
	s, pool := storetest.Pool(t)
	const hosts, rounds = 24, 3
	for i := range hosts {
		addHost(t, s, fmt.Sprintf("web-%d", i))
	}
	worker := aWorker(t, s)
	kinds := []string{"os", "cpu", "memory", "disks", "network", "packages", "services", "users", "ports"}
	for round := range rounds {
		_, messages := collect(t, s)
		errs := make([]error, len(messages))
		var all sync.WaitGroup
		for i, m := range messages {
			var findings []fleet.Finding
			for _, n := range rand.Perm(len(kinds)) {
				findings = append(findings, finding(kinds[n], fmt.Sprintf(`{"round":%d}`, round), `{"load":1}`))
			}
			all.Go(func() {
				c, err := s.ClaimTask(t.Context(), m, worker.ID)
				if err != nil || c == nil {
					errs[i] = errors.Join(err, errors.New("not claimed"))
					return
				}
				held, err := s.EndTask(t.Context(), ending(c, fleet.TaskSucceeded, follow(t, s, c.Host.ID, findings)...))
				if err == nil && !held {
					err = errors.New("not held")
				}
				errs[i] = err
			})
		}
		all.Wait()
		if err := errors.Join(errs...); err != nil {
			t.Fatal(err)
		}
	}
	if n := ask[int](t, pool, "select count(*) from report_rows"); n != hosts*rounds*len(kinds) {
		t.Errorf("%d reports, want %d", n, hosts*rounds*len(kinds))
	}
	if n := ask[int](t, pool, "select count(*) from report_contents"); n != rounds*len(kinds) {
		t.Errorf("%d contents, want %d", n, rounds*len(kinds))
	}
	exec(t, pool, "select pg_stat_force_next_flush()")
	if n := ask[int](t, pool, "select deadlocks from pg_stat_database where datname = current_database()"); n != 0 {
		t.Errorf("%d deadlocks, want none", n)
	}
}

// TestTheSizeOfAnUnchangedReport holds the promise of at most 300 bytes, indexes included and metrics not.
func TestTheSizeOfAnUnchangedReport(t *testing.T) {
	t.Parallel()
	s, pool := storetest.Pool(t)
	addHost(t, s, "web-1")
	kinds := []string{"os", "cpu", "memory", "disks", "network", "packages", "services", "users", "ports"}
	var findings []fleet.Finding
	for _, kind := range kinds {
		findings = append(findings, finding(kind, `{"of":"`+kind+`"}`, ""))
	}
	_, messages := collect(t, s)
	end(t, s, ending(claim(t, s, messages[0], aWorker(t, s).ID), fleet.TaskSucceeded, findings...))
	// The same statement's rows, as many as a host has in two months; ending that many tasks would take minutes.
	const rows = 9 * 24 * 60
	const size = "select sum(pg_total_relation_size(inhrelid))::bigint from pg_inherits where inhparent = 'report_rows'::regclass"
	before := ask[int64](t, pool, size)
	exec(t, pool, `
		insert into report_rows (id, created_at, host_id, report_type, status, content_hash, unavailable, task_id, collection_id)
		select uuid_v7(at), at, r.host_id, r.report_type, r.status, r.content_hash, r.unavailable, gen_random_uuid(), r.collection_id
		from (select date_trunc('month', now()) + n * interval '1 second' as at from generate_series(1, $1::int / 9) n) x, report_rows r
		order by at`, rows)
	after := ask[int64](t, pool, size)
	perRow := float64(after-before) / rows
	t.Logf("an unchanged report takes %.0f bytes with its indexes", perRow)
	if perRow > 300 {
		t.Errorf("an unchanged report takes %.0f bytes, want at most 300", perRow)
	}
	learn(t, s, time.Now(), findings...)
	if n := ask[int](t, pool, "select count(*) from report_contents"); n != len(kinds) {
		t.Errorf("%d contents after an unchanged round, want %d", n, len(kinds))
	}
	if n := ask[int](t, pool, "select count(*) from fact_periods"); n != len(kinds) {
		t.Errorf("%d periods after an unchanged round, want %d", n, len(kinds))
	}
	hash := findings[0].ContentHash
	if n := ask[int](t, pool, "select count(*) from report_contents where content_hash = $1", hash[:]); n != 1 {
		t.Errorf("%d contents under the hash of the collector", n)
	}
}
