package command_test

import (
	"context"
	"encoding/csv"
	"encoding/json"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rollcallhq/rollcall/pkg/storetest"
	"github.com/rollcallhq/rollcall/rollcall/internal/command"
)

const adminPassword = "correct horse battery"

// startUp runs everything in this process, with three simulated hosts of which each changes a fact between two
// collections, and returns where it answers.
func startUp(t *testing.T) string {
	t.Helper()
	database, data := storetest.Empty(t), t.TempDir() // they outlive what runs on them
	ctx, stop := context.WithCancel(t.Context())
	var stdout, stderr safeBuffer
	ended := make(chan int, 1)
	go func() {
		ended <- command.Run(ctx, command.Invocation{
			Args:    []string{"up", "--http", "127.0.0.1:0", "--grpc", "127.0.0.1:0", "--data", data, "--simulate", "3", "--drift", "100%"},
			Environ: []string{"DATABASE_URL=" + database, "ROLLCALL_ADMIN_PASSWORD=" + adminPassword, "PATH=" + os.Getenv("PATH")},
			Stdout:  &stdout, Stderr: &stderr, Version: "test",
		})
	}()
	t.Cleanup(func() {
		stop()
		if status := <-ended; status != 0 {
			t.Errorf("up ended with the status %d: %s", status, stderr.String())
		}
	})
	address := regexp.MustCompile(`Rollcall is at (http://\S+) `)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	limit := time.NewTimer(2 * time.Minute)
	defer limit.Stop()
	for {
		if found := address.FindStringSubmatch(stderr.String()); found != nil {
			return found[1]
		}
		select {
		case <-tick.C:
		case status := <-ended:
			ended <- status
			t.Fatalf("up ended with the status %d: %s", status, stderr.String())
		case <-limit.C:
			t.Fatalf("up did not come up: %s%s", stdout.String(), stderr.String())
		}
	}
}

// closedPort returns a port of loopback at which nothing listens.
func closedPort(t *testing.T) string {
	t.Helper()
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	_, port, err := net.SplitHostPort(l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	return port
}

// cell returns a cell of the first row of CSV.
func (r result) cell(t *testing.T, column string) string {
	t.Helper()
	rows, err := csv.NewReader(strings.NewReader(r.stdout)).ReadAll()
	if err != nil || len(rows) < 2 {
		t.Fatalf("no row in %q: %v", r.stdout, err)
	}
	for i, name := range rows[0] {
		if name == column {
			return rows[1][i]
		}
	}
	t.Fatalf("no column %s in %v", column, rows[0])
	return ""
}

// A road is a user on the way through the commands, on the real thing.
type road struct {
	user
	t  *testing.T
	at string // the server
}

// rc runs a command.
func (r road) rc(args ...string) result { return r.run(r.t.Context(), "", args...) }

// TestTheRoad uses the commands in the order in which somebody new would.
func TestTheRoad(t *testing.T) {
	t.Parallel()
	r := road{t: t, at: startUp(t), user: newUser(t)}
	r.run(t.Context(), "not the password\n", "login", r.at, "--password-stdin").must(t, 1, "user name or password is wrong")
	r.run(t.Context(), adminPassword+"\n", "login", r.at, "--password-stdin").must(t, 0, "as admin (admin)")
	r.rc("whoami", "-o", "json").must(t, 0, `"role": "admin"`)
	r.doctor()
	for _, part := range []func(){r.hosts, r.imports, r.credentials, r.collect, r.collections, r.reports, r.changes, r.pasts, r.query, r.follow, r.hostKeys, r.schedules, r.tokens, r.users} {
		part()
	}
	r.expire(t) // a session outlives its access token
	r.rc("hosts", "ls").must(t, 0, "localhost")
	r.rc("whoami").must(t, 0)
	r.rc("logout").must(t, 0, "Signed out of "+r.at)
	r.rc("hosts", "ls").must(t, 1, "nobody is signed in")
}

func (r road) hosts() {
	r.rc("hosts", "ls").must(r.t, 0, "localhost", "sim-0001", "sim-0003", "fresh")
	r.rc("hosts", "ls", "--status", "never").must(r.t, 0)
	r.rc("hosts", "ls", "--code", "auth_failed").must(r.t, 0)
	r.rc("sites", "ls").must(r.t, 0, "default", "served")
	r.rc("sites", "workers").must(r.t, 0, "default")
	r.rc("freshness", "sim-0001", "--status", "fresh").must(r.t, 0, "sim-0001", "never", "fresh")
	r.rc("hosts", "ls", "simulated=true", "--q", "0002", "-o", "csv").must(r.t, 0, "sim-0002,127.0.0.1,")
	r.rc("hosts", "ls", "env =").must(r.t, 1, "position 6", "A selector is")
	r.rc("hosts", "add", "dead", "127.0.0.1", "--port", closedPort(r.t), "-l", "env=test", "-l", "note=a,b").must(r.t, 0, "Added dead")
	r.rc("hosts", "add", "dead").must(r.t, 1, "exists already")
	id := r.rc("hosts", "show", "dead", "-o", "csv").must(r.t, 0, `"env=test,note=a,b"`).cell(r.t, "id")
	r.rc("hosts", "show", id).must(r.t, 0, "dead", "tofu")
	r.rc("hosts", "show", "nobody").must(r.t, 1, "rollcall hosts ls")
	r.rc("hosts", "add", "bad name", "x", "--port", "99999").must(r.t, 1, "name:", "port:")
}

func (r road) imports() {
	file := filepath.Join(r.t.TempDir(), "hosts.ndjson")
	lines := `{"name":"imp-1","address":"192.0.2.1","enabled":false}` + "\n" + `{"name":"imp 2","address":"192.0.2.1"}` + "\n" + "nonsense\n"
	if err := os.WriteFile(file, []byte(lines), 0o600); err != nil {
		r.t.Fatal(err)
	}
	r.rc("hosts", "import", file, "--dry-run").must(r.t, 3, "1 created, 0 updated, 0 unchanged, 2 refused. Nothing was stored.")
	r.rc("hosts", "show", "imp-1").must(r.t, 1)
	r.run(r.t.Context(), lines, "hosts", "import", "-").must(r.t, 3, "1 created", "imp 2", "not JSON")
	r.rc("hosts", "import", file, "-o", "csv").must(r.t, 3, "1,imp-1,unchanged")
	r.rc("hosts", "rm", "imp-1", "nobody").must(r.t, 3, "Retired imp-1", "1 of 2")
}

func (r road) credentials() {
	r.run(r.t.Context(), "s3cret-of-hosts\n", "credentials", "add", "old", "-u", "root", "--password-stdin").must(r.t, 0, "Added old")
	r.rc("hosts", "add", "uses-old", "-c", "old", "--disabled").must(r.t, 0)
	r.rc("credentials", "ls").must(r.t, 0, "old", "password", "root")
	r.rc("credentials", "rm", "old").must(r.t, 1, "hosts use this credential")
	r.rc("hosts", "rm", "uses-old").must(r.t, 0)
	r.rc("credentials", "rm", "old").must(r.t, 0, "Deleted old")
	r.rc("credentials", "add", "c", "-u", "root", "--private-key", os.Args[0]).must(r.t, 1)
}

func (r road) collect() {
	r.rc("collect", "simulated=true", "--dry-run").must(r.t, 0, "3 hosts would be asked for os,")
	r.rc("collect", "simulated=true", "--wait", "-t", "os,cpu").must(r.t, 0, "succeeded: 3 of 3 hosts collected")
	r.rc("collect", "name=dead or simulated=true", "--wait", "-t", "os", "--deadline", "2s").must(r.t, 3, "1 × tcp_refused", "Hosts: dead", "What to do")
	r.rc("collect", "name=dead", "--wait", "--deadline", "2s").must(r.t, 1, "brought nothing")
	r.rc("collect", "name=nobody").must(r.t, 1, "no enabled host")
	r.rc("collect", "*", "-t", "weather").must(r.t, 1, "report type")
}

func (r road) collections() {
	id := r.rc("collections", "ls", "--limit", "1", "-o", "csv").must(r.t, 0).cell(r.t, "id")
	r.rc("collections", "show", id).must(r.t, 0, "failed", "tcp_refused")
	r.rc("collections", "show", id, "--tasks", "--state", "failed", "--code", "tcp_refused").must(r.t, 0, "dead")
	r.rc("collections", "show", id, "--tasks", "--code", "nonsense").must(r.t, 1, "no such code")
	r.rc("collections", "watch", id).must(r.t, 1)
	r.rc("collections", "cancel", id).must(r.t, 1, "ended already")
	r.rc("collections", "retry", id, "--wait", "-o", "json").must(r.t, 1, `"tcp_refused": 1`)
	r.rc("collections", "show", "0199a1b2-0000-7000-8000-000000000001").must(r.t, 1, "no such collection")
}

func (r road) reports() {
	id := r.rc("reports", "ls", "sim-0001", "-t", "os", "--limit", "1", "-o", "csv").must(r.t, 0).cell(r.t, "id")
	var report struct{ Host, Type string }
	if err := json.Unmarshal([]byte(r.rc("reports", "show", id, "-o", "json").must(r.t, 0).stdout), &report); err != nil || report.Host != "sim-0001" || report.Type != "os" {
		r.t.Errorf("got %v, %v", report, err)
	}
	r.rc("reports", "show", "sim-0001", "memory").must(r.t, 0, "facts ", "metrics ")
	r.rc("reports", "show", "dead", "os").must(r.t, 1, "no report of this type yet", "rollcall collect")
	r.rc("reports", "show", "sim-0001").must(r.t, 2, "a type such as os")
	r.rc("reports", "ls", "--until", "2001-01-01T00:00:00Z").must(r.t, 0, "There are none.")
	r.rc("reports", "ls", "--since", "1h", "-t", "os").must(r.t, 0, "sim-0001", "localhost")
}

// changes looks at what the simulated hosts have changed by now, which follows from their seed.
func (r road) changes() {
	r.rc("collect", "simulated=true", "--wait").must(r.t, 0)
	r.rc("changes", "sim-0001", "-p", "hugepages").must(r.t, 0, "sim-0001  memory  hugepages.total  0 → 64\n")
	r.rc("changes", "--group", "-s", "simulated=true", "-p", "huge*.total").must(r.t, 0, "memory  hugepages.total  0 → 64  on 1 host (sim-0001)\n")
	since := r.rc("changes", "--since", "1h", "-o", "csv").must(r.t, 0, ",sim-0001,memory,hugepages.total,changed,0,64,")
	if all := r.rc("changes", "-n", "0", "-o", "csv").must(r.t, 0); all.stdout != since.stdout {
		r.t.Errorf("of the last hour are\n%s\nand ever were\n%s", since.stdout, all.stdout)
	}
	r.rc("changes", "--until", "2001-01-01").must(r.t, 0, "There are none.")
	r.rc("changes", "-t", "weather").must(r.t, 1, "no such type")
	r.rc("changes", "-p", "a..b").must(r.t, 1, "A path is names joined by dots")
	r.rc("changes", "-s", "env =").must(r.t, 1, "A selector is")
}

// pasts looks at hosts as they were.
func (r road) pasts() {
	r.rc("reports", "show", "sim-0001", "memory", "--since", "-o", "csv").must(r.t, 0, "part,path,value,since\n", "facts,hugepages.total,64,20")
	lines := strings.Split(strings.TrimSpace(r.rc("reports", "ls", "sim-0001", "-t", "memory", "--limit", "0", "-o", "ndjson").must(r.t, 0).stdout), "\n")
	var first struct {
		ID        string
		CreatedAt time.Time `json:"created_at"`
	}
	if err := json.Unmarshal([]byte(lines[len(lines)-1]), &first); err != nil {
		r.t.Fatal(err)
	}
	then := first.CreatedAt.Format(time.RFC3339Nano)
	r.rc("reports", "show", "sim-0001", "memory", "--as-of", then, "-o", "csv").must(r.t, 0, "facts,hugepages.total,0\n")
	r.rc("reports", "show", "sim-0001", "os", "--as-of", "2001-01-01").must(r.t, 1, "sim-0001 had no report of type os yet at 2001-01-01 00:00:00Z")

	r.rc("diff", first.ID).must(r.t, 0, "hugepages.total  0 → 64\n")
	r.rc("diff", "sim-0001", "memory", "--from", then).must(r.t, 0, "0 → 64")
	r.rc("diff", "sim-0001", "memory", "--from", then, "--to", then).must(r.t, 0, "no differences")
	r.rc("diff", "sim-0001", "os").must(r.t, 1, "had no report of type os yet")
	r.rc("diff", "sim-0001", "sim-0003", "--type", "os").must(r.t, 0, "sim-0001 → sim-0003")
	r.rc("diff", "sim-0001", "sim-0003").must(r.t, 1, "say which reports with --type")

	r.rc("reports", "history", "sim-0001", "memory", "hugepages.total", "-o", "csv").must(r.t, 0, "true,64,20", "true,0,20")
	r.rc("reports", "history", "sim-0001", "memory", "huge.total").must(r.t, 1, "there is no fact at huge.total", "hugepages.total")
	r.rc("reports", "metrics", "sim-0001", "memory", "available").must(r.t, 0, "available\nTIME  ")
	r.rc("reports", "metrics", "sim-0001", "memory", "availabel").must(r.t, 1, "there is no metric at availabel")
}

// query asks for facts of all hosts, whose numbers of pages the changes have gone through.
func (r road) query() {
	pages := []string{"query", "memory", "hugepages.total", "-s", "simulated=true"}
	with := func(more ...string) []string { return append(slices.Clone(pages), more...) }
	cells := regexp.MustCompile(`HOST      hugepages.total\nsim-0001  64\nsim-0002  \d+\nsim-0003  \d+\n$`)
	if now := r.rc(pages...).must(r.t, 0); !cells.MatchString(now.stdout) || now.stderr != "" {
		r.t.Errorf("got\n%s%s\nwant %s", now.stdout, now.stderr, cells)
	}
	rows := strings.Split(strings.TrimSpace(r.rc(with("-o", "ndjson")...).must(r.t, 0).stdout), "\n")
	var row struct{ Since time.Time }
	if err := json.Unmarshal([]byte(rows[0]), &row); err != nil || len(rows) != 3 {
		r.t.Fatalf("got %q, %v; want a line for each host", rows, err)
	}
	before := row.Since.Add(-time.Microsecond).Format(time.RFC3339Nano)
	r.rc(with("--as-of", before)...).must(r.t, 0, "sim-0001  0")
	r.rc(with("--as-of", "2001-01-01")...).must(r.t, 0, "There are none.")
	r.rc(with("--as-of", "now")...).must(r.t, 0, "CONFIRMED", "sim-0001  64")
	r.rc(with("-o", "csv")...).must(r.t, 0, "host,host_id,confirmed_at,hugepages.total\nsim-0001,", "Z,64\n")
	r.rc("query", "memory", "huge.total", "-s", "name=sim-0001").must(r.t, 0, "No host has anything at huge.total; sim-0001 has hugepages.total")
	r.rc("query", "os", "-s", "name=sim-0001").must(r.t, 0, "sim-0001  kernel.release")
	r.rc("query", "os", "").must(r.t, 0, "localhost", `"kernel":{`)
	r.rc("query", "weather").must(r.t, 1, "no such type")
	r.rc("query", "os", "-s", "env =").must(r.t, 1, "A selector is")
	r.rc(append([]string{"query", "os"}, strings.Fields(strings.Repeat("a ", 51))...)...).must(r.t, 1, "at most 50 paths")
}

// follow looks on while something changes.
func (r road) follow() {
	ctx, stop := context.WithCancel(r.t.Context())
	defer stop()
	var stdout, stderr safeBuffer
	ended := make(chan int, 1)
	go func() {
		ended <- command.Run(ctx, command.Invocation{
			Args: []string{"changes", "sim-0003", "-f", "-n", "1", "-o", "ndjson"}, Environ: r.environ, Stdout: &stdout, Stderr: &stderr, Version: "test",
		})
	}()
	eventually(r.t, stdout.String, "\n")
	r.rc("collect", "name=sim-0003", "--wait").must(r.t, 0)
	eventually(r.t, stdout.String, `"path":"vulnerabilities.spec_store_bypass","kind":"changed"`)
	stop()
	if status := <-ended; status != 0 || stderr.String() != "" {
		r.t.Errorf("following ended with the status %d: %s", status, stderr.String())
	}
	for line := range strings.Lines(stdout.String()) {
		if !json.Valid([]byte(line)) {
			r.t.Errorf("%q is no line of NDJSON", line)
		}
	}
}

func (r road) hostKeys() {
	fingerprint := r.rc("host-keys", "ls", "sim-0002", "-o", "csv").must(r.t, 0, "trusted").cell(r.t, "fingerprint")
	r.rc("host-keys", "trust", "sim-0002").must(r.t, 1, "no key of the host waits")
	r.rc("host-keys", "revoke", "sim-0002", fingerprint, "--reason", "a drill").must(r.t, 0, "is revoked")
	r.rc("host-keys", "ls", "sim-0002").must(r.t, 0, "a drill")
	r.rc("collect", "name=sim-0002", "--wait").must(r.t, 1, "hostkey_revoked")
}

func (r road) schedules() {
	r.rc("schedules", "add", "hourly", "@every 1h", "simulated=true and not name=sim-0002", "-t", "os").must(r.t, 0, "Added hourly", "due in")
	r.rc("schedules", "add", "bad", "x y", "*").must(r.t, 1, "cron")
	r.rc("schedules", "ls").must(r.t, 0, "hourly", "@every 1h")
	r.rc("schedules", "next", "hourly", "-n", "2", "-o", "csv").must(r.t, 0, "due_at")
	r.rc("schedules", "firings", "hourly").must(r.t, 0, "There are none.")
	r.rc("schedules", "run", "hourly", "--wait").must(r.t, 0, "2 of 2 hosts collected")
	r.rc("schedules", "add", "late", "0 3 * * *", "*", "--timezone", "Europe/Berlin", "--jitter", "10m", "--overlap", "queue", "--misfire", "skip",
		"--blackout", "sat,sun 22:00-06:00", "--blackout", "2030-01-01T00:00:00Z/2030-01-02T00:00:00Z", "--ends", "2040-01-01T00:00:00Z", "--disabled").must(r.t, 0, "It pauses")
	r.rc("schedules", "show", "late").must(r.t, 0, "sat,sun 22:00-06:00", "2030-01-01T00:00:00Z/2030-01-02T00:00:00Z", "10m0s", "queue", "Europe/Berlin")
	r.rc("schedules", "ls", "--paused").must(r.t, 0, "late")
	r.rc("schedules", "resume", "late").must(r.t, 0, "late goes on")
	r.rc("schedules", "set", "late", "--blackout", "none", "--ends", "never", "--cron", "@every 1h", "--jitter", "0").must(r.t, 0, "Changed late", "due in")
	r.rc("schedules", "show", "late", "-o", "json").must(r.t, 0, `"blackouts": []`, `"ends_at": null`, `"jitter_seconds": 0`, `"overlap": "queue"`)
	r.rc("schedules", "set", "late", "--jitter", "2h").must(r.t, 1, "shortest time between two moments")
	r.rc("schedules", "set", "late", "--jitter", "soon").must(r.t, 1, "--jitter takes")
	r.rc("schedules", "set", "late", "--blackout", "whenever").must(r.t, 1, "--blackout takes")
	r.rc("schedules", "pause", "late", "nobody").must(r.t, 3, "late pauses", "rollcall schedules ls")
	r.rc("schedules", "rm", "hourly", "nobody").must(r.t, 3, "Deleted hourly", "rollcall schedules ls")
}

func (r road) tokens() {
	token := strings.TrimSpace(r.rc("tokens", "create", "ci", "--expires", "30d").must(r.t, 0).stdout)
	ci := r.with("ROLLCALL_URL="+r.at, "ROLLCALL_TOKEN="+token)
	ci.run(r.t.Context(), "", "whoami").must(r.t, 0, "ci", "token")
	ci.run(r.t.Context(), "", "logout").must(r.t, 2, "ROLLCALL_TOKEN")
	r.rc("tokens", "ls").must(r.t, 0, "ci", "in 29d")
	r.rc("tokens", "revoke", "ci").must(r.t, 0, "Revoked ci")
	ci.run(r.t.Context(), "", "whoami").must(r.t, 1, "not valid")
}

func (r road) users() {
	ctx := r.t.Context()
	link := strings.TrimSpace(r.rc("users", "add", "ann", "--role", "operator", "--selector", "env=test").must(r.t, 0, "Added ann", "good once").stdout)
	if !strings.HasPrefix(link, r.at+"/reset#rcp_") {
		r.t.Fatalf("the link is %q", link)
	}
	r.run(ctx, "correct horse battery\n", "users", "add", "bob", "--role", "viewer", "--password-stdin").must(r.t, 0, "Added bob")
	r.rc("users", "add", "ann", "--role", "viewer").must(r.t, 1, "exists already")
	r.rc("users", "ls").must(r.t, 0, "ann", "operator", "env=test", "bob", "admin")
	r.rc("users", "set", "bob").must(r.t, 2, "--role or --selector")
	r.rc("users", "set", "bob", "--role", "operator", "--selector", "site=eu").must(r.t, 0, "operator of site=eu")
	r.rc("users", "set", "bob", "--selector", "*").must(r.t, 0, "operator of all hosts")
	r.rc("users", "show", "bob", "-o", "json").must(r.t, 0, `"role": "operator"`, `"selector": null`)
	r.rc("users", "disable", "admin").must(r.t, 1, "own account")

	bob := newUser(r.t)
	bob.run(ctx, "correct horse battery\n", "login", r.at, "-u", "bob", "--password-stdin").must(r.t, 0, "as bob")
	bob.run(ctx, "correct horse battery\n", "passwd", "--password-stdin").must(r.t, 2, "two lines")
	bob.run(ctx, "wrong horse battery\nanother horse battery\n", "passwd", "--password-stdin").must(r.t, 1, "is wrong")
	bob.run(ctx, "correct horse battery\nanother horse battery\n", "passwd", "--password-stdin").must(r.t, 0, "Changed your password")
	bob.run(ctx, "", "sessions", "ls").must(r.t, 0, "127.0.0.1")
	bob.run(ctx, "", "sessions", "revoke").must(r.t, 2, "--others")
	bob.run(ctx, "", "sessions", "revoke", "--others").must(r.t, 0, "Ended them")
	r.rc("users", "sessions", "bob").must(r.t, 0, "127.0.0.1")
	bob.run(ctx, "", "tokens", "create", "deploy").must(r.t, 0)
	r.rc("tokens", "ls", "--user", "bob").must(r.t, 0, "deploy")
	bob.run(ctx, "", "tokens", "ls", "--user", "ann").must(r.t, 1, "admin")
	r.rc("tokens", "revoke", "--user", "bob", "deploy").must(r.t, 0, "Revoked deploy")
	r.rc("tokens", "ls", "--user", "bob").must(r.t, 0, "There are none.")
	r.rc("tokens", "ls", "--user", "nobody").must(r.t, 1, "rollcall users ls")
	r.rc("users", "sessions", "bob", "nonsense").must(r.t, 2, "--revoke")
	r.rc("users", "sessions", "bob", "nonsense", "--revoke").must(r.t, 2, "not the ID of a session")
	r.rc("users", "sessions", "bob", "--revoke").must(r.t, 0, "Ended the sessions of bob")
	bob.run(ctx, "", "whoami").must(r.t, 1)
	r.rc("users", "reset", "bob").must(r.t, 0, "/reset#rcp_")
	r.rc("users", "disable", "bob").must(r.t, 0, "Disabled bob")
	r.rc("users", "enable", "bob").must(r.t, 0, "Enabled bob")
	r.rc("users", "rm", "ann", "bob").must(r.t, 0, "Deleted ann", "Deleted bob")
	r.rc("users", "show", "bob").must(r.t, 1, "rollcall users ls")
}
