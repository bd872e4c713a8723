package housekeeping_test

import (
	"context"
	"log/slog"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/rollcallhq/rollcall/pkg/await"
	"github.com/rollcallhq/rollcall/pkg/fleet"
	"github.com/rollcallhq/rollcall/pkg/housekeeping"
	"github.com/rollcallhq/rollcall/pkg/settings"
	"github.com/rollcallhq/rollcall/pkg/store"
	"github.com/rollcallhq/rollcall/pkg/storetest"
)

// A rig is a database and who keeps it in order.
type rig struct {
	*testing.T
	owner *pgxpool.Pool
	app   *pgxpool.Pool // of a role that owns nothing; the owner's unless asked for
	store *store.Store
}

func newRig(t *testing.T, asApp bool) *rig {
	t.Helper()
	dsn := storetest.Database(t)
	r := &rig{T: t, owner: pool(t, dsn)}
	r.app = r.owner
	if asApp {
		r.app = pool(t, appRole(t, dsn, r.owner))
	}
	r.store = store.New(r.app)
	return r
}

func pool(t *testing.T, dsn string) *pgxpool.Pool {
	t.Helper()
	p, err := store.OpenPool(t.Context(), dsn, store.Options{Name: "test", MaxConns: 10})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Close)
	return p
}

// appRole makes a role with the application's rights and returns the address under which it comes.
func appRole(t *testing.T, dsn string, owner *pgxpool.Pool) string {
	t.Helper()
	name := "keep_" + uuid.NewString()[:8]
	if _, err := owner.Exec(t.Context(), "create role "+name+" login password 'secret'"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if _, err := owner.Exec(context.WithoutCancel(t.Context()), "grant "+name+" to current_user; drop owned by "+name+" cascade; drop role "+name); err != nil {
			t.Errorf("dropping the role: %v", err)
		}
	})
	if err := store.Migrate(t.Context(), dsn, name); err != nil {
		t.Fatal(err)
	}
	u, err := url.Parse(dsn)
	if err != nil {
		t.Fatal(err)
	}
	u.User = url.UserPassword(name, "secret")
	return u.String()
}

func (r *rig) keeper(changes ...func(*housekeeping.KeeperConfig)) *housekeeping.Keeper {
	r.Helper()
	c := housekeeping.KeeperConfig{
		Config: housekeeping.Config{Store: r.store, Log: slog.New(slog.DiscardHandler)}, Owner: store.New(r.app), Holder: "test:" + uuid.NewString()[:4],
	}
	for _, change := range changes {
		change(&c)
	}
	k := housekeeping.NewKeeper(c)
	housekeeping.Hasten(k, 2*time.Second, 20*time.Millisecond)
	return k
}

func (r *rig) do(k *housekeeping.Keeper, job string) {
	r.Helper()
	r.exec("delete from housekeeping_jobs where job = $1", job)
	line, err := k.Do(r.Context(), job)
	if err != nil || !strings.HasPrefix(line, "ok in ") {
		r.Fatalf("%s = %q, %v", job, line, err)
	}
}

func (r *rig) exec(sql string, args ...any) {
	r.Helper()
	if _, err := r.owner.Exec(r.Context(), sql, args...); err != nil {
		r.Fatalf("%s: %v", sql, err)
	}
}

func ask[T any](r *rig, sql string, args ...any) T {
	r.Helper()
	var v T
	if err := r.owner.QueryRow(r.Context(), sql, args...).Scan(&v); err != nil {
		r.Fatalf("%s: %v", sql, err)
	}
	return v
}

// months returns which of the partitions there are, attached or not.
func (r *rig) months(table string) []string {
	r.Helper()
	rows, _ := r.owner.Query(r.Context(), `select right(relname, 7) from pg_class where relkind = 'r' and relname ~ ('^' || $1 || '_[0-9]{4}_[0-9]{2}$') order by 1`, table)
	months, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		r.Fatal(err)
	}
	return months
}

// ago returns the first moment of the month so many months ago.
func ago(months int) time.Time {
	now := time.Now().UTC()
	return time.Date(now.Year(), now.Month()-time.Month(months), 1, 0, 0, 0, 0, time.UTC)
}

func named(times ...time.Time) []string {
	var names []string
	for _, at := range times {
		names = append(names, at.Format("2006_01"))
	}
	return names
}

func TestMonthsAreDroppedWhenTheirTimeIsOver(t *testing.T) {
	t.Parallel()
	for name, asApp := range map[string]bool{"by the owner": false, "by the application's role": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, asApp)
			k := r.keeper(func(c *housekeeping.KeeperConfig) {
				c.Retention = housekeeping.Retention{Reports: settings.Months(3), Metrics: settings.Days(10)}
			})
			old := []int{20, 14, 13, 5, 4, 3, 2}
			for _, table := range store.PartitionedTables() {
				for _, months := range old {
					if err := r.store.MakePartition(t.Context(), table, ago(months)); err != nil {
						t.Fatal(err)
					}
				}
			}
			ahead := named(ago(0), ago(-1), ago(-2), ago(-3))
			r.exec("insert into report_rows (id, created_at, host_id, report_type, status, content_hash) select uuid_v7($1), $1, gen_random_uuid(), 1, 'ok', 'x'", ago(3))
			r.do(k, housekeeping.JobRetention)
			for table, want := range map[string][]string{
				"report_rows":    slices.Concat(named(ago(3), ago(2)), ahead),
				"changes":        slices.Concat(named(ago(3), ago(2)), ahead),
				"firings":        slices.Concat(named(ago(3), ago(2)), ahead),
				"task_history":   slices.Concat(named(ago(3), ago(2)), ahead),
				"report_metrics": metricsMonths(ahead),
				"audit_logs":     slices.Concat(named(ago(13), ago(5), ago(4), ago(3), ago(2)), ahead),
			} {
				if got := r.months(table); !slices.Equal(got, want) {
					t.Errorf("%s has %v, want %v", table, got, want)
				}
			}
			if n := ask[int](r, "select count(*) from report_rows"); n != 1 {
				t.Errorf("%d reports of the oldest kept month, want the one", n)
			}
			since, err := r.store.KeptSince(t.Context(), store.PartReports, "os")
			if err != nil || !since.Equal(ago(3)) {
				t.Errorf("reports are kept since %s, %v; want %s", since, err, ago(3))
			}
			r.do(k, housekeeping.JobRetention) // nothing is left to do
			if got := r.months("report_rows"); !slices.Contains(got, ago(0).Format("2006_01")) {
				t.Errorf("report_rows has %v afterwards", got)
			}
		})
	}
}

// metricsMonths returns which months of metrics are kept for ten days: the last one too, while it is not ten days over.
func metricsMonths(ahead []string) []string {
	if time.Now().UTC().AddDate(0, 0, -10).Before(ago(0)) {
		return slices.Concat(named(ago(1)), ahead)[1:] // it was never made
	}
	return ahead
}

func TestARetentionThatNobodySetKeepsThirteenMonths(t *testing.T) {
	t.Parallel()
	r := newRig(t, false)
	for _, months := range []int{15, 14, 13, 1} {
		if err := r.store.MakePartition(t.Context(), "report_rows", ago(months)); err != nil {
			t.Fatal(err)
		}
	}
	r.do(r.keeper(), housekeeping.JobRetention)
	if got, want := r.months("report_rows"), named(ago(13), ago(1), ago(0), ago(-1), ago(-2), ago(-3)); !slices.Equal(got, want) {
		t.Errorf("report_rows has %v, want %v", got, want)
	}
}

func TestAPartitionInUseIsTriedAgain(t *testing.T) {
	t.Parallel()
	r := newRig(t, true)
	if err := r.store.MakePartition(t.Context(), "changes", ago(20)); err != nil {
		t.Fatal(err)
	}
	reader, err := r.owner.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := reader.Exec(t.Context(), "select from changes limit 1"); err != nil {
		t.Fatal(err)
	}
	k := r.keeper()
	housekeeping.Tries(k, 2)
	if line, err := k.Do(t.Context(), housekeeping.JobRetention); err == nil || !strings.HasPrefix(line, "failed") {
		t.Errorf("with a reader = %q, %v", line, err)
	}
	if reason := ask[string](r, "select error from housekeeping_jobs where job = 'retention'"); !strings.Contains(reason, "in use") {
		t.Errorf("noted = %q", reason)
	}
	housekeeping.Tries(k, 10_000)
	done := make(chan struct{})
	go func() { defer close(done); r.do(k, housekeeping.JobRetention) }()
	await.Until(t, "the job is under way", func() bool {
		return ask[int](r, "select count(*) from housekeeping_jobs where holder is not null") == 1
	})
	_ = reader.Rollback(t.Context())
	<-done
	if got := r.months("changes"); slices.Contains(got, ago(20).Format("2006_01")) {
		t.Errorf("changes still has %v", got)
	}
}

func TestWithoutTicksWhatIsOverdueIsDoneAllTheSame(t *testing.T) {
	t.Parallel()
	r := newRig(t, false)
	for _, table := range store.PartitionedTables() {
		r.exec("drop table " + table + "_" + ago(-3).Format("2006_01"))
	}
	registry := prometheus.NewPedanticRegistry()
	ctx, stop := context.WithCancel(t.Context())
	var running sync.WaitGroup
	for i := range 3 { // three replicas
		k := r.keeper(func(c *housekeeping.KeeperConfig) {
			if i == 0 {
				c.Metrics = registry
			}
		})
		running.Go(func() {
			if err := k.Run(ctx); err != nil {
				t.Errorf("Run = %v", err)
			}
		})
	}
	await.Until(t, "every job was done", func() bool {
		return ask[int](r, "select count(*) from housekeeping_jobs where done_at is not null") == len(housekeeping.Jobs())
	})
	await.Until(t, "the gauges show it", func() bool {
		return len(gathered(t, registry, "rollcall_housekeeping_success_age_seconds")) == len(housekeeping.Jobs())
	})
	stop()
	running.Wait()
	if n := ask[int64](r, "select max(fence) from housekeeping_jobs"); n != 1 {
		t.Errorf("a job was done %d times, want each once", n)
	}
	if missing, err := r.store.MissingPartitions(t.Context(), ago(-3)); err != nil || len(missing) > 0 {
		t.Errorf("missing = %v, %v", missing, err)
	}
	if months := gathered(t, registry, "rollcall_partition_months_ahead"); !slices.Equal(months, []float64{3}) {
		t.Errorf("months ahead = %v", months)
	}
}

// gathered returns the values of a gauge.
func gathered(t *testing.T, registry *prometheus.Registry, name string) []float64 {
	t.Helper()
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	var values []float64
	for _, family := range families {
		if family.GetName() != name {
			continue
		}
		for _, metric := range family.GetMetric() {
			values = append(values, metric.GetGauge().GetValue())
		}
	}
	return values
}

func TestAJobWhoseHolderDiedIsDoneByAnother(t *testing.T) {
	t.Parallel()
	r := newRig(t, false)
	lease, err := r.store.TakeJob(t.Context(), store.JobClaim{Job: housekeeping.JobForget, Holder: "dead", For: 300 * time.Millisecond})
	if err != nil || lease == nil {
		t.Fatalf("TakeJob = %v, %v", lease, err)
	}
	k := r.keeper()
	if line, err := k.Do(t.Context(), housekeeping.JobForget); err != nil || !strings.HasPrefix(line, "not due") {
		t.Errorf("while the holder seems alive = %q, %v", line, err)
	}
	await.Until(t, "the lease runs out and another does the job", func() bool {
		line, err := k.Do(t.Context(), housekeeping.JobForget)
		return err == nil && strings.HasPrefix(line, "ok")
	})
	if _, err := k.Do(t.Context(), "nothing"); fleet.KindOf(err) != fleet.Invalid {
		t.Errorf("a job that there is not = %v", err)
	}
}

// A stall is Queues that wait until they are told to go on, or until the job ends.
type stall struct {
	begun chan struct{}
	lost  chan error
}

func (s stall) Keep(ctx context.Context, _ []string) (int, error) {
	close(s.begun)
	<-ctx.Done()
	s.lost <- context.Cause(ctx)
	return 0, ctx.Err()
}

func TestAJobEndsWhenItsLeaseIsLost(t *testing.T) {
	t.Parallel()
	r := newRig(t, false)
	s := stall{begun: make(chan struct{}), lost: make(chan error, 1)}
	k := r.keeper(func(c *housekeeping.KeeperConfig) { c.Queues = s })
	housekeeping.Hasten(k, 300*time.Millisecond, time.Second)
	lines := make(chan string, 1)
	go func() {
		line, _ := k.Do(t.Context(), housekeeping.JobQueues)
		lines <- line
	}()
	<-s.begun
	r.exec("update housekeeping_jobs set fence = fence + 1, holder = 'another', until = now() + interval '1 hour'")
	if cause := <-s.lost; cause == nil || !strings.Contains(cause.Error(), "lease") {
		t.Errorf("it ended because of %v", cause)
	}
	if line := <-lines; !strings.HasPrefix(line, "lost") {
		t.Errorf("Do = %q", line)
	}
	if holder := ask[string](r, "select holder from housekeeping_jobs"); holder != "another" {
		t.Errorf("the job is held by %q", holder)
	}
}

func TestAJobThatIsInterruptedIsFreeAtOnce(t *testing.T) {
	t.Parallel()
	r := newRig(t, false)
	s := stall{begun: make(chan struct{}), lost: make(chan error, 1)}
	k := r.keeper(func(c *housekeeping.KeeperConfig) { c.Queues = s })
	ctx, stop := context.WithCancel(t.Context())
	lines := make(chan string, 1)
	go func() {
		line, _ := k.Do(ctx, housekeeping.JobQueues)
		lines <- line
	}()
	<-s.begun
	stop()
	if line := <-lines; !strings.HasPrefix(line, "interrupted") {
		t.Errorf("Do = %q", line)
	}
	if n := ask[int](r, "select count(*) from housekeeping_jobs where holder is null and failures = 0 and done_at is null"); n != 1 {
		t.Error("an interrupted job is not free, or counts as failed or done")
	}
}
