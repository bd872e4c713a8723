package doctor_test

import (
	"context"
	"errors"
	"log/slog"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/rollcallhq/rollcall/api/internal/doctor"
	"github.com/rollcallhq/rollcall/pkg/embedded" //nolint:depguard // the tests set a Redis of their own wrongly
	"github.com/rollcallhq/rollcall/pkg/ephemeral"
	"github.com/rollcallhq/rollcall/pkg/fleet"
	"github.com/rollcallhq/rollcall/pkg/needs"
	"github.com/rollcallhq/rollcall/pkg/store"
	"github.com/rollcallhq/rollcall/pkg/storetest"
)

// A ward is a deployment to be looked at: a database and a Redis of the test's own.
type ward struct {
	t      *testing.T
	config doctor.Config
	exec   func(sql string, args ...any)
}

func newWard(t *testing.T, redis embedded.RedisOptions) *ward {
	t.Helper()
	s, pool := storetest.Pool(t)
	w := &ward{t: t, config: doctor.Config{Store: s, PoolSize: 5, QueueLimit: 1000, Log: slog.New(slog.DiscardHandler)}}
	w.exec = func(sql string, args ...any) {
		t.Helper()
		if _, err := pool.Exec(t.Context(), sql, args...); err != nil {
			t.Fatalf("%s: %v", sql, err)
		}
	}
	server, err := embedded.StartRedis(t.Context(), redis)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Stop(context.WithoutCancel(t.Context())) })
	w.redisAt(server.URL())
	return w
}

func (w *ward) redisAt(address string) {
	w.t.Helper()
	client, err := ephemeral.Open(address, ephemeral.Options{})
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { _ = client.Close() })
	w.config.Redis = ephemeral.New(client)
}

// set changes a setting of the Redis.
func (w *ward) set(address, name, value string) {
	w.t.Helper()
	client, err := ephemeral.Open(address, ephemeral.Options{})
	if err != nil {
		w.t.Fatal(err)
	}
	defer func() { _ = client.Close() }()
	if err := client.ConfigSet(w.t.Context(), name, value).Err(); err != nil {
		w.t.Fatal(err)
	}
}

// look returns what was found, by name.
func (w *ward) look() map[string]doctor.Finding {
	w.t.Helper()
	findings, err := doctor.New(w.config).Diagnose(w.t.Context())
	if err != nil || len(findings) < 12 {
		w.t.Fatalf("Diagnose = %v, %v", findings, err)
	}
	found := map[string]doctor.Finding{}
	for _, f := range findings {
		if (f.Status == doctor.OK) != (f.Cure == "") || !strings.HasSuffix(f.Detail, ".") || f.Cure != "" && !strings.HasSuffix(f.Cure, ".") {
			w.t.Errorf("%+v: want sentences, and a cure of whatever is not well", f)
		}
		found[f.Name] = f
	}
	return found
}

// finds holds a finding against its status and parts of its text.
func (w *ward) finds(name string, status doctor.Status, parts ...string) {
	w.t.Helper()
	f := w.look()[name]
	if f.Status != status {
		w.t.Errorf("%s is %+v, want %s", name, f, status)
	}
	for _, part := range parts {
		if !strings.Contains(f.Detail+" "+f.Cure, part) {
			w.t.Errorf("%s says %q and %q, want %q", name, f.Detail, f.Cure, part)
		}
	}
}

// worker stores a worker that was heard of so long ago, and returns its ID.
func (w *ward) worker(silent time.Duration, version string, sites ...string) string {
	w.t.Helper()
	id := fleet.NewID().String()
	w.exec("insert into workers (id, host, version, sites, slots, seen_at) values ($1, 'w', $2, $3, 10, now() - $4::interval)", id, version, sites, silent)
	return id
}

// tasks stores n queued tasks at the site, that old, and changes them.
func (w *ward) tasks(n int, site string, age time.Duration, change string, args ...any) {
	w.t.Helper()
	w.exec("delete from tasks")
	w.exec(`insert into tasks (id, collection_id, created_at, host_id, site, priority, expires_at, dispatched_at)
		select gen_random_uuid(), gen_random_uuid(), now() - $3::interval, gen_random_uuid(), $2, 'bulk', now() + interval '1 day', now()
		from generate_series(1, $1::int)`, n, site, age)
	if change != "" {
		w.exec("update tasks set "+change, args...)
	}
}

func TestADeploymentThatIsWell(t *testing.T) {
	t.Parallel()
	w := newWard(t, embedded.RedisOptions{Dir: t.TempDir()})
	w.worker(0, "v1", "default")
	w.tasks(3, "default", time.Minute, "")
	for name, f := range w.look() {
		switch {
		case name == "database" && strings.Contains(f.Detail, "fsync"): // test servers do without
		case name == "connections": // there are those of other tests
		case name == "redis_persistence" && strings.Contains(f.Detail, "inside of a process"): // where no redis-server is installed
		case f.Status != doctor.OK:
			t.Errorf("%s: %+v", name, f)
		}
	}
	w.finds("database", w.look()["database"].Status, "PostgreSQL 1")
	w.finds("migrations", doctor.OK, "as expected")
	w.finds("queues", doctor.OK, "3 tasks wait, the oldest for 1m")
	w.finds("workers", doctor.OK, "1 worker with 10 slots at 1 site")
}

func TestWhatIsWrongWithTheWork(t *testing.T) {
	t.Parallel()
	w := newWard(t, embedded.RedisOptions{InProcess: true, Dir: t.TempDir()})
	w.finds("workers", doctor.Failed, "No worker is alive")
	w.finds("queues", doctor.OK, "No task waits")
	w.tasks(2, "mars", time.Minute, "")
	w.finds("queues", doctor.Failed, "no worker serves mars", "ROLLCALL_SITES")
	alive := w.worker(0, "v1", "default", "mars")
	w.finds("queues", doctor.OK, "2 tasks wait")
	w.tasks(2, "mars", time.Hour, "")
	w.finds("queues", doctor.Warning, "the oldest for 1h", "more workers")
	w.tasks(2, "mars", time.Hour, "not_before = now() + interval '1 minute'")
	w.finds("queues", doctor.OK, "No task waits")
	w.tasks(1000, "mars", time.Second, "")
	w.finds("queues", doctor.Warning, "from 1000 on bulk work is refused")
	w.worker(0, "v2", "default")
	w.finds("workers", doctor.Warning, "2 versions", "upgrade")

	w.tasks(4, "mars", time.Hour, "state = 'running', claimed_at = now(), worker_id = $1", alive)
	w.finds("stuck_tasks", doctor.OK, "4 run")
	w.tasks(3, "mars", time.Hour, "state = 'running', claimed_at = now() - interval '1 hour', worker_id = $1", w.worker(5*time.Minute, "v1", "default"))
	w.finds("stuck_tasks", doctor.Failed, "3 run on workers that have died", "scheduler")
	w.tasks(2, "mars", time.Hour, "state = 'running', claimed_at = now(), worker_id = $1, deadline_at = now() - interval '5 minutes'", alive)
	w.finds("stuck_tasks", doctor.Failed, "2 are past their deadline")
	w.tasks(5, "mars", 2*time.Minute, "dispatched_at = null")
	w.finds("stuck_tasks", doctor.Failed, "5 wait and have not been rung for")
	w.tasks(5, "mars", 10*time.Second, "dispatched_at = null")
	w.finds("stuck_tasks", doctor.OK)
}

func TestWhatIsWrongWithTheDatabase(t *testing.T) {
	t.Parallel()
	w := newWard(t, embedded.RedisOptions{InProcess: true, Dir: t.TempDir()})
	w.config.PoolSize = 100_000
	w.worker(0, "v1", "default")
	if f := w.look()["connections"]; f.Status == doctor.OK || !strings.Contains(f.Cure, "ROLLCALL_DB_MAX_CONNS") {
		t.Errorf("processes that may open too many connections are found as %+v", f)
	}
	next := time.Date(time.Now().UTC().Year(), time.Now().UTC().Month()+1, 1, 0, 0, 0, 0, time.UTC)
	w.exec("drop table audit_logs_" + next.Format("2006_01"))
	w.finds("partitions", doctor.Warning, next.Format("January 2006"), "audit_logs", "scheduler")
	w.exec("drop table changes_" + time.Now().UTC().Format("2006_01"))
	w.finds("partitions", doctor.Failed, time.Now().UTC().Format("January 2006"), "changes")
	w.exec("update schema_version set version = version - 1")
	w.finds("migrations", doctor.Failed, "rollcall migrate")
	w.exec("update schema_version set version = version + 2")
	w.finds("migrations", doctor.Warning, "Upgrade this api")
	w.exec("drop table schema_version")
	w.finds("migrations", doctor.Failed, "There is no schema")
}

// TestSettingsOfTheDatabase asks over connections with settings of their own.
func TestSettingsOfTheDatabase(t *testing.T) {
	t.Parallel()
	w := newWard(t, embedded.RedisOptions{InProcess: true, Dir: t.TempDir()})
	database := storetest.Database(t)
	for _, tt := range []struct {
		setting, value string
		status         doctor.Status
		says           string
	}{
		{"default_transaction_read_only", "on", doctor.Failed, "read-only"},
		{"synchronous_commit", "off", doctor.Warning, "crash"},
	} {
		pool, err := store.OpenPool(t.Context(), withParameter(t, database, tt.setting, tt.value), store.Options{})
		if err != nil {
			t.Fatal(err)
		}
		w.config.Store = store.New(pool)
		w.finds("database", tt.status, tt.says)
		pool.Close()
	}
}

func withParameter(t *testing.T, address, name, value string) string {
	t.Helper()
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	q := u.Query()
	q.Set(name, value)
	u.RawQuery = q.Encode()
	return u.String()
}

func TestSettingsOfRedis(t *testing.T) {
	t.Parallel()
	server, err := embedded.StartRedis(t.Context(), embedded.RedisOptions{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Stop(context.WithoutCancel(t.Context())) })
	if server.InProcess() {
		needs.Lacking(t, "redis-server is missing: apt-get install --no-install-recommends redis-server")
	}
	w := newWard(t, embedded.RedisOptions{InProcess: true, Dir: t.TempDir()})
	w.finds("redis_persistence", doctor.Warning, "inside of a process", "Install redis-server")
	w.finds("redis_memory", doctor.OK)
	w.redisAt(server.URL())
	w.finds("redis", doctor.OK, "takes writes")
	w.finds("redis_persistence", doctor.OK, "is on")
	w.finds("redis_memory", doctor.OK, "forgets nothing")
	w.set(server.URL(), "maxmemory-policy", "allkeys-lru")
	w.finds("redis_memory", doctor.Warning, "allkeys-lru", "noeviction")
	w.set(server.URL(), "maxmemory", "100mb")
	w.finds("redis_memory", doctor.Failed, "allkeys-lru", "noeviction")
	w.set(server.URL(), "maxmemory-policy", "noeviction")
	w.finds("redis_memory", doctor.OK)
	w.set(server.URL(), "appendonly", "no")
	w.finds("redis_persistence", doctor.Warning, "append-only file is off", "appendonly yes")
}

func TestEachCheckFailsOnItsOwn(t *testing.T) {
	t.Parallel()
	w := newWard(t, embedded.RedisOptions{InProcess: true, Dir: t.TempDir()})
	w.worker(0, "v1", "default")
	whole := w.config
	w.redisAt("redis://127.0.0.1:1/0")
	found := w.look()
	for _, name := range []string{"redis", "redis_persistence", "redis_memory"} {
		if f := found[name]; f.Status != doctor.Failed || !strings.Contains(f.Cure, "REDIS_URL") {
			t.Errorf("without Redis %s is %+v", name, f)
		}
	}
	if found["migrations"].Status != doctor.OK || found["workers"].Status != doctor.OK {
		t.Errorf("without Redis the others are %+v", found)
	}
	down, err := store.OpenPool(t.Context(), "postgres://u:hunter2@127.0.0.1:1/db", store.Options{ConnectTimeout: time.Second})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(down.Close)
	w.config = whole
	w.config.Store = store.New(down)
	found = w.look()
	for _, name := range []string{"database", "migrations", "connections", "partitions", "workers", "queues", "stuck_tasks", "clocks"} {
		if f := found[name]; f.Status != doctor.Failed || !strings.Contains(f.Cure, "DATABASE_URL") || strings.Contains(f.Detail, "hunter2") {
			t.Errorf("without PostgreSQL %s is %+v", name, f)
		}
	}
	if found["redis"].Status != doctor.OK || found["files"].Status == doctor.Failed {
		t.Errorf("without PostgreSQL the others are %+v", found)
	}
}

func TestFaultsOfAChecksOwn(t *testing.T) {
	t.Parallel()
	d := doctor.New(doctor.Config{Log: slog.New(slog.DiscardHandler)})
	f := d.One(t.Context(), func(context.Context) (doctor.Finding, error) { panic("secret") })
	if f.Status != doctor.Failed || f.Name != "own" || strings.Contains(f.Detail, "secret") {
		t.Errorf("a panic is %+v", f)
	}
	f = d.One(t.Context(), func(context.Context) (doctor.Finding, error) { return doctor.Finding{}, errors.New("secret") })
	if f.Status != doctor.Failed || f.Cure != "Do something." || strings.Contains(f.Detail, "secret") {
		t.Errorf("an unclassified error is %+v", f)
	}
	ended, end := context.WithCancel(t.Context())
	end()
	for range 20 { // whichever way it is chosen when both are ready
		findings, err := d.Diagnose(ended)
		if err == nil && doctor.Worst(findings) != doctor.Failed || err != nil && fleet.KindOf(err) != fleet.Unavailable {
			t.Errorf("for somebody who is gone: %v, %v", findings, err)
		}
	}
}

func TestReadings(t *testing.T) {
	t.Parallel()
	clock := func(skew, took time.Duration) doctor.Status { f, _ := doctor.JudgeClock(skew, took); return f.Status }
	files := func(used int, limit uint64) doctor.Status { f, _ := doctor.JudgeFiles(used, limit); return f.Status }
	for _, tt := range []struct {
		name      string
		got, want doctor.Status
	}{
		{"clocks that agree", clock(20*time.Millisecond, time.Millisecond), doctor.OK},
		{"a difference that may be the road's", clock(1200*time.Millisecond, time.Second), doctor.OK},
		{"a clock that is behind", clock(2*time.Second, time.Millisecond), doctor.Warning},
		{"a clock that is ahead", clock(-2*time.Second, time.Millisecond), doctor.Warning},
		{"a clock of another time", clock(-time.Hour, time.Millisecond), doctor.Failed},
		{"files enough", files(100, 20_000), doctor.OK},
		{"files enough, and nobody knows how many are open", files(-1, 20_000), doctor.OK},
		{"few files", files(100, 1024), doctor.Warning},
		{"files that are almost all open", files(17_000, 20_000), doctor.Failed},
		{"no finding", doctor.Worst(nil), doctor.OK},
		{"the worst of some", doctor.Worst([]doctor.Finding{{Status: doctor.OK}, {Status: doctor.Warning}, {Status: doctor.OK}}), doctor.Warning},
		{"the worst of all", doctor.Worst([]doctor.Finding{{Status: doctor.Warning}, {Status: doctor.Failed}, {Status: doctor.OK}}), doctor.Failed},
	} {
		if tt.got != tt.want {
			t.Errorf("%s: %s, want %s", tt.name, tt.got, tt.want)
		}
	}
	for version, want := range map[string]bool{"6.2.0": false, "6.0.16": true, "5.0.14": true, "7.0.15": false, "7": false, "nonsense": false} {
		if doctor.Older(version, 6, 2) != want {
			t.Errorf("Redis %s is older than 6.2: %v, want %v", version, !want, want)
		}
	}
}
