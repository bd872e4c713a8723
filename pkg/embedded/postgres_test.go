//go:build unix

package embedded

import (
	"context"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rollcallhq/rollcall/pkg/fleet"
	"github.com/rollcallhq/rollcall/pkg/needs"
)

func TestServersPostgresKeepsDataPasswordAndAddress(t *testing.T) {
	t.Parallel()
	dir := scratch(t)
	first := startPostgres(t, PostgresOptions{Dir: dir})
	query(t, first.URL(), "CREATE TABLE kept AS SELECT 42 AS answer")
	stop(t, first)
	select {
	case <-first.Done():
	default:
		t.Error("Done is open after Stop")
	}
	if err := first.Wait(t.Context()); err != nil {
		t.Errorf("Wait after Stop = %v", err)
	}
	stop(t, first) // harmless

	second := startPostgres(t, PostgresOptions{Dir: dir})
	if got := query(t, second.URL(), "SELECT answer FROM kept"); got != "42" {
		t.Errorf("after a restart the table holds %q, want 42", got)
	}
	if first.URL() != second.URL() {
		t.Errorf("the address changed from %s to %s", first.URL(), second.URL())
	}
	for _, name := range []string{"postgres.password", "postgres.log", "postgres.port"} {
		info, err := os.Stat(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		if info.Mode().Perm() != 0o600 {
			t.Errorf("%s has mode %04o, want 0600", name, info.Mode().Perm())
		}
	}
}

func TestPostgresIsPrivate(t *testing.T) {
	t.Parallel()
	dir := scratch(t)
	p := startPostgres(t, PostgresOptions{Dir: dir, Ephemeral: true, Settings: map[string]string{"work_mem": "5MB", "max_connections": "33"}})
	for setting, want := range map[string]string{
		"listen_addresses": "127.0.0.1", "password_encryption": "scram-sha-256", "timezone": "UTC",
		"work_mem": "5MB", "max_connections": "33", "fsync": "off",
	} {
		if got := query(t, p.URL(), "SELECT current_setting('"+setting+"')"); got != want {
			t.Errorf("%s = %q, want %q", setting, got, want)
		}
	}
	if got := query(t, p.URL(), "SELECT rolsuper::text || rolcreatedb::text FROM pg_roles WHERE rolname = current_user"); got != "falsetrue" {
		t.Errorf("superuser and createdb = %s, want false and true", got)
	}
	wrong := strings.Replace(p.URL(), p.cluster.password, "guessed", 1)
	if _, err := tryQuery(t.Context(), wrong, "SELECT 1"); err == nil || !strings.Contains(err.Error(), "28P01") {
		t.Errorf("a wrong password gives %v, want SQLSTATE 28P01", err)
	}
	root := strings.Replace(p.URL(), "//rollcall:", "//postgres:", 1)
	if _, err := tryQuery(t.Context(), root, "SELECT 1"); err == nil {
		t.Error("the superuser can log in")
	}
	for _, where := range []string{"/tmp", "/var/run/postgresql", dir, p.cluster.data} {
		if found, _ := filepath.Glob(filepath.Join(where, ".s.PGSQL."+strconv.Itoa(p.port)+"*")); len(found) > 0 {
			t.Errorf("there are sockets: %v", found)
		}
	}
}

func TestServersPostgresNeverRunsAsRoot(t *testing.T) {
	t.Parallel()
	p := startPostgres(t, PostgresOptions{Dir: scratch(t), Ephemeral: true})
	for _, uid := range uidsOf(t, p.server.cmd.Process.Pid) {
		if uid == "0" {
			t.Fatal("the server runs as root")
		}
	}
	if os.Geteuid() == 0 && p.cluster.id.account == "" {
		t.Errorf("the server has no account of its own although its directory is reachable")
	}
}

func TestPostgresBelowAClosedDirectoryOfRootRunsInANamespace(t *testing.T) {
	t.Parallel()
	needRoot(t)
	closed := scratch(t) // 0700 and root's, like /root
	dir := filepath.Join(closed, "data")
	var logged strings.Builder
	p := startPostgres(t, PostgresOptions{Dir: dir, Log: newTextLogger(&logged)})
	if !p.cluster.id.namespace {
		t.Fatalf("identity = %+v, want a namespace", p.cluster.id)
	}
	pid := p.server.cmd.Process.Pid
	mine, err := os.Readlink("/proc/self/ns/user")
	if err != nil {
		t.Fatal(err)
	}
	its, err := os.Readlink("/proc/" + strconv.Itoa(pid) + "/ns/user")
	if err != nil {
		t.Fatal(err)
	}
	if its == mine {
		t.Error("the server is in our user namespace: it runs as root")
	}
	if !strings.Contains(logged.String(), "cannot pass through "+closed) {
		t.Errorf("the log does not say which directory is closed:\n%s", logged.String())
	}
	query(t, p.URL(), "CREATE TABLE kept AS SELECT 42 AS answer")
	stop(t, p)

	// Once the way is open, an account takes over, with the data.
	if err := os.Chmod(closed, 0o711); err != nil {
		t.Fatal(err)
	}
	p = startPostgres(t, PostgresOptions{Dir: dir})
	if p.cluster.id.account == "" {
		t.Errorf("identity = %+v, want an account", p.cluster.id)
	}
	if got := query(t, p.URL(), "SELECT answer FROM kept"); got != "42" {
		t.Errorf("after the change of accounts the table holds %q, want 42", got)
	}
}

func TestServersAKilledParentLeavesNothingAndLosesNothing(t *testing.T) {
	t.Parallel()
	dir := scratch(t)
	for round := range 2 {
		p := launch(t, "servers", dir)
		want := strconv.Itoa(round)
		if round == 0 {
			query(t, p.URL, "CREATE TABLE rounds (n int)")
		}
		if got := query(t, p.URL, "SELECT count(*)::text FROM rounds"); got != want {
			t.Fatalf("round %d: %s rows, want %s", round, got, want)
		}
		query(t, p.URL, "INSERT INTO rounds VALUES (1) RETURNING n")
		p.kill()
		if round == 0 {
			continue // the next round starts while the servers of this one may still be stopping
		}
		eventually(t, 10*time.Second, "the servers of a killed parent end", func() bool {
			return gone(p.Postgres) && (p.Redis == 0 || gone(p.Redis))
		})
	}
}

func TestServersEverythingKilledAtOnceLosesNothing(t *testing.T) {
	t.Parallel()
	dir := scratch(t)
	p := launch(t, "servers", dir)
	query(t, p.URL, "CREATE TABLE kept AS SELECT 42 AS answer")
	key := redisClient(t, p.RedisURL)
	if err := key.Set(t.Context(), "kept", "42", 0).Err(); err != nil {
		t.Fatal(err)
	}
	for _, pid := range []int{p.PID, p.Postgres, p.Redis} {
		if pid != 0 {
			_ = syscall.Kill(pid, syscall.SIGKILL)
		}
	}
	p.kill()
	if _, err := os.Stat(filepath.Join(dir, "pg"+majorIn(t, dir), "postmaster.pid")); err != nil {
		t.Errorf("the crash left no postmaster.pid, so this test proves nothing: %v", err)
	}
	again := startPostgres(t, PostgresOptions{Dir: dir})
	if got := query(t, again.URL(), "SELECT answer FROM kept"); got != "42" {
		t.Errorf("after the crash the table holds %q, want 42", got)
	}
	if p.Redis == 0 {
		return
	}
	r := startRedis(t, RedisOptions{Dir: dir})
	if got, err := redisClient(t, r.URL()).Get(t.Context(), "kept").Result(); got != "42" {
		t.Errorf("after the crash Redis holds %q, %v, want 42", got, err)
	}
}

func TestASecondServerOverOneDirectoryIsRefused(t *testing.T) {
	t.Parallel()
	dir := scratch(t)
	startPostgres(t, PostgresOptions{Dir: dir})
	startRedis(t, RedisOptions{Dir: dir})
	if _, err := StartPostgres(t.Context(), PostgresOptions{Dir: dir}); fleet.KindOf(err) != fleet.Conflict {
		t.Errorf("a second PostgreSQL gives %v, want a Conflict", err)
	}
	if _, err := StartRedis(t.Context(), RedisOptions{Dir: dir}); fleet.KindOf(err) != fleet.Conflict {
		t.Errorf("a second Redis gives %v, want a Conflict", err)
	}
}

func TestTwoDirectoriesLiveSideBySide(t *testing.T) {
	t.Parallel()
	a, b := startPostgres(t, PostgresOptions{Dir: scratch(t)}), startPostgres(t, PostgresOptions{Dir: scratch(t)})
	query(t, a.URL(), "CREATE TABLE mine AS SELECT 'a' AS name")
	query(t, b.URL(), "CREATE TABLE mine AS SELECT 'b' AS name")
	if got := query(t, a.URL(), "SELECT name FROM mine") + query(t, b.URL(), "SELECT name FROM mine"); got != "ab" {
		t.Errorf("the two servers hold %q, want ab", got)
	}
}

func TestPostgresThatDiesByItselfIsNoticed(t *testing.T) {
	t.Parallel()
	p := startPostgres(t, PostgresOptions{Ephemeral: true})
	temp := p.temp
	_ = syscall.Kill(p.server.cmd.Process.Pid, syscall.SIGKILL)
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if err := p.Wait(ctx); fleet.KindOf(err) != fleet.Unavailable || !strings.Contains(err.Error(), "signal: killed") {
		t.Errorf("Wait = %v, want that it was killed", err)
	}
	stop(t, p)
	if _, err := os.Stat(temp); !os.IsNotExist(err) {
		t.Errorf("the temporary directory is still there: %v", err)
	}
}

func TestPostgresDirectoryThatDoesNotFitIsLeftAlone(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, dir, version string
		kind               fleet.Kind
		says               string
	}{
		{"data of a version that is not installed", "pg9", "9\n", fleet.Unavailable, "PostgreSQL 9, which wrote the data"},
		{"data of another version than its name says", "pg15", "14\n", fleet.Conflict, `"14", not of 15`},
		{"data without a version", "pg15", "", fleet.Conflict, "left alone"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			dir := scratch(t)
			data := filepath.Join(dir, tt.dir)
			if err := os.Mkdir(data, 0o700); err != nil {
				t.Fatal(err)
			}
			precious := filepath.Join(data, "precious")
			if err := os.WriteFile(precious, []byte("x"), 0o600); err != nil {
				t.Fatal(err)
			}
			if tt.version != "" {
				if err := os.WriteFile(filepath.Join(data, "PG_VERSION"), []byte(tt.version), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			_, err := StartPostgres(t.Context(), PostgresOptions{Dir: dir, Source: SourceLocal})
			if fleet.KindOf(err) != tt.kind || !strings.Contains(err.Error(), tt.says) {
				t.Errorf("StartPostgres = %v, want kind %d and %q", err, tt.kind, tt.says)
			}
			if found, _ := filepath.Glob(filepath.Join(dir, "pg*")); len(found) != 1 {
				t.Errorf("there are now %v", found)
			}
			if _, err := os.Stat(precious); err != nil {
				t.Errorf("the data was touched: %v", err)
			}
		})
	}
}

func TestPostgresStartsOverWhatAnInterruptedSetUpLeft(t *testing.T) {
	t.Parallel()
	dir := scratch(t)
	b, ok := localBuild(t.Context(), 0)
	if !ok {
		needs.Lacking(t, "no local build of PostgreSQL")
	}
	left := filepath.Join(dir, "pg"+strconv.Itoa(b.major)+".init", "data")
	if err := os.MkdirAll(left, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(left, "PG_VERSION"), []byte("15\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	p := startPostgres(t, PostgresOptions{Dir: dir, Ephemeral: true})
	if got := query(t, p.URL(), "SELECT 1"); got != "1" {
		t.Errorf("SELECT 1 = %s", got)
	}
	if _, err := os.Stat(filepath.Dir(left)); !os.IsNotExist(err) {
		t.Errorf("the leftover is still there: %v", err)
	}
}

func TestPostgresWithALostPasswordGetsANewOne(t *testing.T) {
	t.Parallel()
	dir := scratch(t)
	p := startPostgres(t, PostgresOptions{Dir: dir, Ephemeral: true})
	before := p.URL()
	stop(t, p)
	if err := os.Remove(filepath.Join(dir, "postgres.password")); err != nil {
		t.Fatal(err)
	}
	p = startPostgres(t, PostgresOptions{Dir: dir, Ephemeral: true})
	if got := query(t, p.URL(), "SELECT 1"); got != "1" || p.URL() == before {
		t.Errorf("SELECT 1 = %s at %s, want 1 with another password than in %s", got, p.URL(), before)
	}
}

func TestPostgresTakesAnotherPortWhereItsOwnIsTaken(t *testing.T) {
	t.Parallel()
	dir := scratch(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	addr, _ := l.Addr().(*net.TCPAddr)
	if err := keepPort(filepath.Join(dir, "postgres.port"), addr.Port); err != nil {
		t.Fatal(err)
	}
	p := startPostgres(t, PostgresOptions{Dir: dir, Ephemeral: true})
	if p.port == addr.Port {
		t.Errorf("it took port %d, which is taken", p.port)
	}
	if got := query(t, p.URL(), "SELECT 1"); got != "1" {
		t.Errorf("SELECT 1 = %s", got)
	}
}

func TestPostgresSettingsAreChecked(t *testing.T) {
	t.Parallel()
	for name, says := range map[string]string{
		"listen_addresses":  "is set by Rollcall",
		"hba_file":          "is set by Rollcall",
		"port":              "is set by Rollcall",
		"work mem":          "not the name",
		"work_mem=1MB -c x": "not the name",
		"":                  "not the name",
	} {
		_, err := StartPostgres(t.Context(), PostgresOptions{Dir: scratch(t), Settings: map[string]string{name: "x"}})
		if fleet.KindOf(err) != fleet.Invalid || !strings.Contains(err.Error(), says) {
			t.Errorf("the setting %q gives %v, want Invalid and %q", name, err, says)
		}
	}
	if _, err := StartPostgres(t.Context(), PostgresOptions{}); fleet.KindOf(err) != fleet.Invalid {
		t.Errorf("no directory gives %v, want Invalid", err)
	}
}

func TestPostgresThatCannotStartSaysWhy(t *testing.T) {
	t.Parallel()
	dir := scratch(t)
	_, err := StartPostgres(t.Context(), PostgresOptions{Dir: dir, Ephemeral: true, Settings: map[string]string{"shared_buffers": "soup"}})
	if fleet.KindOf(err) != fleet.Unavailable || !strings.Contains(err.Error(), `"shared_buffers": "soup"`) {
		t.Errorf("StartPostgres = %v, want the server's own words", err)
	}
	// The failure gave everything back.
	startPostgres(t, PostgresOptions{Dir: dir, Ephemeral: true})
}

func TestPostgresStopsWhenTheTimeToStartIsUp(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	dir := scratch(t)
	p, err := StartPostgres(ctx, PostgresOptions{Dir: dir})
	if err == nil {
		stop(t, p)
		t.Fatal("it started in 200 ms; this test needs a shorter time")
	}
	startPostgres(t, PostgresOptions{Dir: dir, Ephemeral: true})
}

func TestServersRunAsAPlainUser(t *testing.T) {
	t.Parallel()
	needRoot(t)
	out := asNobody(t, "^TestServers")
	for _, name := range []string{
		"TestServersPostgresKeepsDataPasswordAndAddress", "TestServersAKilledParentLeavesNothingAndLosesNothing",
		"TestServersEverythingKilledAtOnceLosesNothing", "TestServersPostgresNeverRunsAsRoot",
	} {
		if !strings.Contains(out, "--- PASS: "+name) {
			t.Errorf("as nobody %s did not pass:\n%s", name, out)
		}
	}
}

// majorIn returns the version of the only cluster in dir.
func majorIn(t *testing.T, dir string) string {
	t.Helper()
	major, err := dataMajor(dir)
	if err != nil || major == 0 {
		t.Fatalf("dataMajor = %d, %v", major, err)
	}
	return strconv.Itoa(major)
}
