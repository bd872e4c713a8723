package store_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/rollcallhq/rollcall/pkg/fleet"
	"github.com/rollcallhq/rollcall/pkg/store"
	"github.com/rollcallhq/rollcall/pkg/storetest"
)

func TestThreeProcessesMigrateAtOnce(t *testing.T) {
	t.Parallel()
	dsn := emptyDatabase(t)
	app, _ := role(t, dsn)
	pool := openPool(t, dsn)

	if err := store.New(pool).CheckServing(t.Context()); fleet.KindOf(err) != fleet.Unavailable || !strings.Contains(err.Error(), "schema is missing") {
		t.Errorf("CheckServing of an empty database = %v, want the schema missing", err)
	}
	impatient, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	told := 0
	if err := store.WaitForMigration(impatient, pool, func(error) { told++ }); !errors.Is(err, context.DeadlineExceeded) || told == 0 {
		t.Errorf("WaitForMigration of an empty database = %v, told %d times", err, told)
	}

	var all sync.WaitGroup
	errs := make([]error, 4)
	patient, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	all.Go(func() { errs[3] = store.WaitForMigration(patient, pool, nil) })
	for i := range 3 {
		all.Go(func() { errs[i] = store.Migrate(t.Context(), dsn, app) })
	}
	all.Wait()
	if err := errors.Join(errs...); err != nil {
		t.Fatalf("migrating thrice at once: %v", err)
	}
	expected, err := store.ExpectedMigration()
	if err != nil {
		t.Fatal(err)
	}
	if got := ask[int32](t, pool, "select version from schema_version"); got != expected || expected == 0 {
		t.Errorf("version = %d, want %d", got, expected)
	}
	exec(t, pool, "update schema_version set version = version + 7")
	if err := store.Migrate(t.Context(), dsn, app); err != nil {
		t.Errorf("migrating a newer schema: %v", err)
	}
	if got := ask[int32](t, pool, "select version from schema_version"); got != expected+7 {
		t.Errorf("a newer schema was moved to %d", got)
	}
	if err := store.New(pool).CheckServing(t.Context()); err != nil {
		t.Errorf("CheckServing of a newer schema = %v, want it served", err)
	}
	exec(t, pool, "update schema_version set version = 1")
	if err := store.New(pool).CheckServing(t.Context()); fleet.KindOf(err) != fleet.Unavailable || !strings.Contains(err.Error(), "is at migration 1") {
		t.Errorf("CheckServing of an older schema = %v", err)
	}
}

func TestMigrateSaysWhatIsWrong(t *testing.T) {
	t.Parallel()
	if err := store.Migrate(t.Context(), "postgres://%zz", ""); err == nil {
		t.Error("a DSN that cannot be read was accepted")
	}
	err := store.Migrate(t.Context(), "postgres://nobody:x@127.0.0.1:1/x", "")
	if fleet.KindOf(err) != fleet.Unavailable || fleet.CodeOf(err) != store.CodeDatabaseUnavailable {
		t.Errorf("Migrate without a server = %v (%s), want Unavailable", err, fleet.CodeOf(err))
	}
}

// sqlState returns the SQLSTATE of err.
func sqlState(err error) string {
	if e, ok := errors.AsType[*pgconn.PgError](err); ok {
		return e.Code
	}
	return ""
}

func TestTheApplicationsRoleMayWorkButNotAlterTheAuditLog(t *testing.T) {
	t.Parallel()
	const insufficientPrivilege = "42501"
	dsn := storetest.Database(t)
	owner := openPool(t, dsn)
	name, asRole := role(t, dsn)
	if err := store.Migrate(t.Context(), dsn, name); err != nil {
		t.Fatal(err)
	}
	pool := openPool(t, asRole)
	s := store.New(pool)

	if err := s.CheckServing(t.Context()); err != nil {
		t.Errorf("CheckServing: %v", err)
	}
	if err := s.CheckStorage(t.Context(), time.Now()); err != nil {
		t.Errorf("CheckStorage: %v", err)
	}
	workThrough(t, s)
	far := time.Now().AddDate(3, 0, 0)
	if err := s.MakePartition(t.Context(), "report_rows", far); err != nil {
		t.Errorf("making a partition: %v", err)
	}
	if missing, err := s.MissingPartitions(t.Context(), far); err != nil || len(missing) != len(store.PartitionedTables())-1 {
		t.Errorf("missing after making one = %v, %v", missing, err)
	}

	month := time.Now().UTC().Format("2006_01")
	for _, sql := range []string{
		"update audit_logs set actor = 'nobody'",
		"delete from audit_logs",
		"truncate audit_logs",
		"delete from audit_logs_" + month,
		"update audit_logs_" + month + " set actor = 'nobody'",
		"drop table audit_logs",
		"drop table report_rows_" + month,
		"delete from report_types",
		"update cluster set epoch = gen_random_uuid()",
		"update schema_version set version = 0",
		"create table mine (x int)",
		"alter table hosts add column x int",
	} {
		if _, err := pool.Exec(t.Context(), sql); sqlState(err) != insufficientPrivilege {
			t.Errorf("%s = %v, want it refused", sql, err)
		}
	}
	if n := ask[int](t, owner, "select count(*) from audit_logs"); n == 0 {
		t.Error("the role's work has left no audit entry")
	}
	stranger, asStranger := role(t, dsn)
	_ = stranger
	if _, err := openPool(t, asStranger).Exec(t.Context(), "select make_partition('report_rows', '2031-01-01')"); sqlState(err) != insufficientPrivilege {
		t.Errorf("a stranger's make_partition = %v, want it refused", err)
	}
}

// workThrough walks the main road with whatever rights s has.
func workThrough(t *testing.T, s *store.Store) {
	t.Helper()
	host := addHost(t, s, "web-1")
	err := s.InTx(t.Context(), func(tx *store.Store) error {
		return tx.Audit(t.Context(), fleet.System(), fleet.AuditEntry{Action: "host.create", ResourceType: "host", ResourceID: host.ID.String()})
	})
	if err != nil {
		t.Fatal(err)
	}
	_, messages := collect(t, s)
	if err := s.MarkDispatched(t.Context(), messages); err != nil {
		t.Fatal(err)
	}
	worker := aWorker(t, s)
	end(t, s, ending(claim(t, s, messages[0], worker.ID), fleet.TaskSucceeded, finding("os", `{"id":"debian"}`, `{"uptime_seconds":1}`)))
	if done, err := s.FinishCollections(t.Context(), nil, 10); err != nil || len(done) != 1 {
		t.Fatalf("FinishCollections = %v, %v", done, err)
	}
	if err := s.RemoveWorker(t.Context(), worker.ID); err != nil {
		t.Fatal(err)
	}
	reports, err := s.LatestReports(t.Context(), fleet.Everything(), host.ID, "")
	if err != nil || len(reports) != 1 {
		t.Fatalf("reports = %v, %v", reports, err)
	}
}

func TestChecksOfADatabaseThatCannotServe(t *testing.T) {
	t.Parallel()
	s, pool := storetest.Pool(t)
	now := time.Now().UTC()
	next := time.Date(now.Year(), now.Month()+1, 1, 0, 0, 0, 0, time.UTC)

	exec(t, pool, "drop table changes_"+next.Format("2006_01"))
	if err := s.CheckStorage(t.Context(), now); fleet.KindOf(err) != fleet.Unavailable || !strings.Contains(err.Error(), "next month's partition is missing for [changes]") {
		t.Errorf("CheckStorage without next month's changes = %v", err)
	}
	if err := s.MakePartitions(t.Context(), now); err != nil {
		t.Fatal(err)
	}
	if err := s.CheckStorage(t.Context(), now); err != nil {
		t.Errorf("CheckStorage with all partitions = %v", err)
	}
	exec(t, pool, "drop table report_rows_"+now.Format("2006_01"))
	if err := s.CheckStorage(t.Context(), now); fleet.KindOf(err) != fleet.Unavailable || !strings.Contains(err.Error(), "this month's partition is missing for [report_rows]") {
		t.Errorf("CheckStorage without this month's reports = %v", err)
	}
	if err := s.MakePartitions(t.Context(), now); err != nil {
		t.Fatal(err)
	}

	database := ask[string](t, pool, "select current_database()")
	exec(t, pool, "alter database "+database+" set default_transaction_read_only = on")
	pool.Reset()
	if err := s.CheckServing(t.Context()); fleet.KindOf(err) != fleet.Unavailable || !strings.Contains(err.Error(), "read-only") {
		t.Errorf("CheckServing of a read-only database = %v", err)
	}
	if err := s.CheckStorage(t.Context(), now); fleet.KindOf(err) != fleet.Unavailable {
		t.Errorf("CheckStorage of a read-only database = %v", err)
	}
	exec(t, pool, "begin; set transaction read write; alter database "+database+" set default_transaction_read_only = off; commit")
	pool.Reset()
	if err := s.CheckStorage(t.Context(), now); err != nil {
		t.Errorf("CheckStorage afterwards = %v", err)
	}
	if n := ask[int](t, pool, "select count(*) from report_rows"); n != 0 {
		t.Errorf("the checks left %d rows", n)
	}
}
