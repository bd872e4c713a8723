package store_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/rollcallhq/rollcall/pkg/fleet"
	"github.com/rollcallhq/rollcall/pkg/store"
	"github.com/rollcallhq/rollcall/pkg/storetest"
)

// partitionsOf returns the months that have a partition of the table, such as 2031_05.
func partitionsOf(t *testing.T, db store.DBTX, table string) []string {
	t.Helper()
	rows, _ := db.Query(t.Context(), `
		select replace(c.relname, $1 || '_', '') from pg_inherits i join pg_class c on c.oid = i.inhrelid
		where i.inhparent = $1::regclass order by 1`, table)
	months, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		t.Fatal(err)
	}
	return months
}

func TestPartitionsAreMadeThreeMonthsAhead(t *testing.T) {
	t.Parallel()
	s, pool := storetest.Pool(t)
	now := time.Date(2031, time.November, 30, 23, 59, 59, 0, time.FixedZone("west", -2*60*60)) // December in UTC
	for range 2 {                                                                              // the second time finds all of them
		if err := s.MakePartitions(t.Context(), now); err != nil {
			t.Fatal(err)
		}
	}
	for _, table := range store.PartitionedTables() {
		months := slices.DeleteFunc(partitionsOf(t, pool, table), func(m string) bool { return m < "2031" })
		if want := []string{"2031_12", "2032_01", "2032_02", "2032_03"}; !slices.Equal(months, want) {
			t.Errorf("%s has %v, want %v", table, months, want)
		}
	}
	for month, want := range map[time.Month]int{time.December: 0, time.November: len(store.PartitionedTables())} {
		missing, err := s.MissingPartitions(t.Context(), time.Date(2031, month, 15, 0, 0, 0, 0, time.UTC))
		if err != nil || len(missing) != want {
			t.Errorf("missing in %s = %v, %v; want %d", month, missing, err, want)
		}
	}
	if err := s.MakePartition(t.Context(), "hosts", now); err == nil || !strings.Contains(err.Error(), "not partitioned by month") {
		t.Errorf("a partition of hosts = %v, want it refused", err)
	}
	indexes := ask[int](t, pool, `select count(*) from pg_index where indrelid = 'report_rows_2031_12'::regclass and indisvalid`)
	if want := ask[int](t, pool, `select count(*) from pg_index where indrelid = 'report_rows'::regclass`); indexes != want {
		t.Errorf("the partition has %d indexes, its table %d", indexes, want)
	}
	if attached := ask[int](t, pool, `
		select count(*) from pg_inherits where inhrelid in (select indexrelid from pg_index where indrelid = 'report_rows_2031_12'::regclass)`); attached != indexes {
		t.Errorf("%d of %d indexes belong to those of the table", attached, indexes)
	}
}

func TestAnInsertThatMeetsNoPartitionMakesIt(t *testing.T) {
	t.Parallel()
	s, pool := storetest.Pool(t)
	host := addHost(t, s, "web-1")
	far := time.Date(2033, time.May, 31, 23, 59, 59, 0, time.UTC)
	c := aCollection()
	c.ID = fleet.NewIDAt(far)
	c.ExpiresAt = far
	c, err := s.AddCollection(t.Context(), fleet.Everything(), c, selector(t, "*"))
	if err != nil {
		t.Fatal(err)
	}
	messages, err := s.Outbox(t.Context(), &c.ID, 1)
	if err != nil || len(messages) != 1 {
		t.Fatalf("outbox = %v, %v", messages, err)
	}
	e := ending(claim(t, s, messages[0], aWorker(t, s).ID), fleet.TaskSucceeded, finding("os", `{"id":"debian"}`, `{"load":1}`))
	e.At = far.Add(time.Hour) // the reports lie in another month than the task
	end(t, s, e)
	if done, err := s.FinishCollections(t.Context(), &c.ID, 1); err != nil || len(done) != 1 {
		t.Fatalf("FinishCollections = %v, %v", done, err)
	}
	for table, want := range map[string]string{
		"report_rows": "2033_06", "report_metrics": "2033_06", "task_history": "2033_05", "collection_history": "2033_05",
	} {
		if months := partitionsOf(t, pool, table); !slices.Contains(months, want) {
			t.Errorf("%s has %v, want %s made", table, months, want)
		}
	}
	reports, err := s.LatestReports(t.Context(), fleet.Everything(), host.ID, "os")
	if err != nil || len(reports) != 1 || string(reports[0].Metrics) != `{"load": 1}` {
		t.Errorf("reports = %+v, %v", reports, err)
	}
}

func TestTheTransactionThatMetNoPartitionIsRunAgainAsAWhole(t *testing.T) {
	t.Parallel()
	s, _ := storetest.Pool(t)
	due := time.Date(2034, time.January, 1, 0, 0, 0, 0, time.UTC)
	calls := 0
	err := s.InTx(t.Context(), func(tx *store.Store) error {
		calls++
		addHost(t, tx, "only-once") // fails the test if the first run were not rolled back
		return tx.InTx(t.Context(), func(nested *store.Store) error {
			_, err := nested.RecordFirings(t.Context(), []fleet.Firing{{ScheduleID: fleet.NewID(), DueAt: due}})
			return err
		})
	})
	if err != nil || calls != 2 {
		t.Errorf("InTx = %v after %d calls, want a second call to succeed", err, calls)
	}
	refusal := fleet.Errorf(fleet.Conflict, "no")
	if err := s.InTx(t.Context(), func(tx *store.Store) error { calls++; addHost(t, tx, "gone"); return refusal }); !errors.Is(err, refusal) || calls != 3 {
		t.Errorf("a function's own error = %v after %d calls, want it once", err, calls)
	}
	if _, err := s.HostByName(t.Context(), fleet.Everything(), "gone"); fleet.KindOf(err) != fleet.NotFound {
		t.Errorf("what the failed transaction wrote = %v, want it rolled back", err)
	}
}

func TestManyMakersOfOnePartitionDoNotClash(t *testing.T) {
	t.Parallel()
	s, pool := storetest.Pool(t)
	due := time.Date(2035, time.July, 4, 0, 0, 0, 0, time.UTC)
	errs := make([]error, 12)
	var all sync.WaitGroup
	for i := range errs {
		all.Go(func() {
			errs[i] = s.InTx(t.Context(), func(tx *store.Store) error {
				_, err := tx.RecordFirings(t.Context(), []fleet.Firing{{ScheduleID: fleet.NewID(), DueAt: due}})
				return err
			})
		})
	}
	all.Wait()
	if err := errors.Join(errs...); err != nil {
		t.Error(err)
	}
	if n := ask[int](t, pool, "select count(*) from firings_2035_07"); n != len(errs) {
		t.Errorf("%d firings, want %d", n, len(errs))
	}
}

func TestAPartitionIsDroppedOnlyOnceDetached(t *testing.T) {
	t.Parallel()
	s, pool := storetest.Pool(t)
	if err := s.MakePartition(t.Context(), "changes", time.Date(2030, 2, 28, 0, 0, 0, 0, time.UTC)); err != nil {
		t.Fatal(err)
	}
	drop := func(child string) (dropped bool, err error) {
		err = pool.QueryRow(t.Context(), "select drop_partition($1)", child).Scan(&dropped)
		return dropped, err
	}
	if _, err := drop("changes_2030_02"); err == nil || !strings.Contains(err.Error(), "still attached") {
		t.Errorf("dropping an attached partition = %v", err)
	}
	exec(t, pool, "alter table changes detach partition changes_2030_02 concurrently")
	if dropped, err := drop("changes_2030_02"); err != nil || !dropped {
		t.Errorf("dropping a detached partition = %v, %v", dropped, err)
	}
	if dropped, err := drop("changes_2030_02"); err != nil || dropped {
		t.Errorf("dropping it again = %v, %v", dropped, err)
	}
	for _, table := range []string{"hosts", "changes", "changes_2030_02; drop table hosts", "pg_class"} {
		if _, err := drop(table); err == nil || !strings.Contains(err.Error(), "not a partition by month") {
			t.Errorf("dropping %s = %v, want it refused", table, err)
		}
	}
}

func TestADatabaseThatIsGoneIsUnavailable(t *testing.T) {
	t.Parallel()
	s, pool := storetest.Pool(t)
	ended, cancel := context.WithTimeout(t.Context(), 0)
	defer cancel()
	for name, err := range map[string]error{
		"a deadline that is over": s.Ping(ended),
		"a statement that is ended": s.InTx(t.Context(), func(*store.Store) error {
			_, err := pool.Exec(t.Context(), "set statement_timeout = 1; select pg_sleep(5)")
			return err
		}),
		"a server that is not there":  store.New(openPool(t, "postgres://x:y@127.0.0.1:1/z")).Ping(t.Context()),
		"a host name that is unknown": store.New(openPool(t, "postgres://x:y@nowhere.invalid/z")).Ping(t.Context()),
	} {
		if fleet.KindOf(err) != fleet.Unavailable || fleet.CodeOf(err) != store.CodeDatabaseUnavailable {
			t.Errorf("%s = %v (%s), want Unavailable", name, err, fleet.CodeOf(err))
		}
	}
	if err := s.Ping(t.Context()); err != nil {
		t.Errorf("Ping = %v", err)
	}
	if now, err := s.Now(t.Context()); err != nil || time.Since(now).Abs() > time.Minute {
		t.Errorf("Now = %v, %v", now, err)
	}
}

func TestThePasswordOfADatabaseURLIsNotShown(t *testing.T) {
	t.Parallel()
	for dsn, want := range map[string]string{
		"postgres://u:geheim@db:5432/x?sslmode=require": "postgres://u:xxxxx@db:5432/x?sslmode=require",
		"host=db password=geheim":                       "(a DSN that is not a URL)",
		"postgres://u:ge heim@db/x":                     "(a DSN that is not a URL)",
	} {
		if got := store.RedactURL(dsn); got != want {
			t.Errorf("RedactURL(%s) = %s, want %s", dsn, got, want)
		}
	}
}
