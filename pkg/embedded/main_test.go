//go:build unix

package embedded

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/redis/go-redis/v9"
	"go.uber.org/goleak"

	"github.com/rollcallhq/rollcall/pkg/needs"
)

// roleVariable makes the test binary one of the programs in this file instead of a test.
const roleVariable = "ROLLCALL_EMBEDDED_TEST_ROLE"

func TestMain(m *testing.M) {
	if role, ok := os.LookupEnv(roleVariable); ok {
		os.Exit(play(role, os.Getenv("ROLLCALL_EMBEDDED_TEST_DIR")))
	}
	goleak.VerifyTestMain(m)
}

// A scene is what a program of this file says when it is ready.
type scene struct {
	PID      int
	Postgres int // process number
	Redis    int
	URL      string
	RedisURL string
	Err      string
}

// play does what the role says, prints the scene, and stays until its standard input ends.
func play(role, dir string) int {
	s := scene{PID: os.Getpid()}
	ctx := context.Background()
	var err error
	switch role {
	case "servers":
		err = playServers(ctx, dir, &s)
	case "lock":
		var l *DirLock
		if l, err = Lock(dir); err == nil {
			err = l.Announce("http://127.0.0.1:8080")
		}
	case "shared":
		s.URL, err = SharedForTests(ctx)
	default:
		err = errors.New("no such role: " + role)
	}
	if err != nil {
		s.Err = err.Error()
	}
	if err := json.NewEncoder(os.Stdout).Encode(s); err != nil {
		return 1
	}
	_, _ = io.Copy(io.Discard, os.Stdin)
	return 0
}

func playServers(ctx context.Context, dir string, s *scene) error {
	p, err := StartPostgres(ctx, PostgresOptions{Dir: dir})
	if err != nil {
		return err
	}
	r, err := StartRedis(ctx, RedisOptions{Dir: dir})
	if err != nil {
		return err
	}
	s.Postgres, s.URL, s.RedisURL = p.server.cmd.Process.Pid, p.URL(), r.URL()
	if !r.InProcess() {
		s.Redis = r.server.cmd.Process.Pid
	}
	return nil
}

// A program is a copy of the test binary that plays a role.
type program struct {
	scene
	cmd   *exec.Cmd
	stdin io.WriteCloser
}

// launch starts a program and waits for its scene.
func launch(t *testing.T, role, dir string, env ...string) *program {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(self)
	cmd.Env = append(os.Environ(), append([]string{roleVariable + "=" + role, "ROLLCALL_EMBEDDED_TEST_DIR=" + dir}, env...)...)
	cmd.Stderr = os.Stderr
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	p := &program{cmd: cmd, stdin: stdin}
	t.Cleanup(func() { p.kill() })
	line, err := bufio.NewReader(stdout).ReadString('\n')
	if err != nil {
		t.Fatalf("the %s program said nothing: %v", role, err)
	}
	if err := json.Unmarshal([]byte(line), &p.scene); err != nil {
		t.Fatalf("the %s program said %q: %v", role, line, err)
	}
	if p.Err != "" {
		t.Fatalf("the %s program: %s", role, p.Err)
	}
	return p
}

// kill is kill -9.
func (p *program) kill() {
	_ = p.cmd.Process.Kill()
	_ = p.cmd.Wait()
}

// leave lets the program end by itself.
func (p *program) leave(t *testing.T) {
	t.Helper()
	_ = p.stdin.Close()
	if err := p.cmd.Wait(); err != nil {
		t.Errorf("the program ended with %v", err)
	}
}

// scratch returns a directory that the servers' accounts can reach, unlike t.TempDir for root.
func scratch(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "rollcall-embedded-*") //nolint:usetesting // see above
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	resolved, err := filepath.EvalSymlinks(dir)
	if err != nil {
		t.Fatal(err)
	}
	return resolved
}

// eventually waits until ok says true.
func eventually(t *testing.T, within time.Duration, what string, ok func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), within)
	defer cancel()
	if poll(ctx, 20*time.Millisecond, func() (bool, error) { return ok(), nil }) != nil {
		t.Fatalf("not within %s: %s", within, what)
	}
}

// gone says that no process of that number is there, not even one that only waits to be buried.
func gone(pid int) bool {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return !alive(pid)
	}
	_, state, _ := strings.Cut(string(text), ") ")
	return strings.HasPrefix(state, "Z")
}

func startPostgres(t *testing.T, o PostgresOptions) *Postgres {
	t.Helper()
	if o.Log == nil {
		o.Log = slog.New(slog.NewTextHandler(t.Output(), nil))
	}
	p, err := StartPostgres(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { stop(t, p) })
	return p
}

func startRedis(t *testing.T, o RedisOptions) *Redis {
	t.Helper()
	if o.Log == nil {
		o.Log = slog.New(slog.NewTextHandler(t.Output(), nil))
	}
	r, err := StartRedis(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { stop(t, r) })
	return r
}

func stop(t *testing.T, server interface{ Stop(context.Context) error }) {
	t.Helper()
	if err := server.Stop(context.WithoutCancel(t.Context())); err != nil {
		t.Error(err)
	}
}

// query runs one statement and returns its only value as text; "" if it has none.
func query(t *testing.T, url, sql string) string {
	t.Helper()
	got, err := tryQuery(t.Context(), url, sql)
	if err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
	return got
}

func tryQuery(ctx context.Context, url, sql string) (string, error) {
	conn, err := pgx.Connect(ctx, url)
	if err != nil {
		return "", err
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()
	var got any
	err = conn.QueryRow(ctx, sql).Scan(&got)
	if errors.Is(err, pgx.ErrNoRows) {
		return "", nil
	}
	return fmt.Sprint(got), err
}

// redisClient returns a client that is closed when the test ends.
func redisClient(t *testing.T, url string) *redis.Client {
	t.Helper()
	o, err := redis.ParseURL(url)
	if err != nil {
		t.Fatal(err)
	}
	o.MaintNotificationsConfig = nil
	client := redis.NewClient(o)
	t.Cleanup(func() { _ = client.Close() })
	return client
}

// uidsOf returns the real, effective, saved and file system user IDs of a process.
func uidsOf(t *testing.T, pid int) []string {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		needs.Lacking(t, "no /proc here: %v", err)
	}
	for line := range strings.Lines(string(text)) {
		if after, ok := strings.CutPrefix(line, "Uid:"); ok {
			return strings.Fields(after)
		}
	}
	t.Fatalf("no Uid line for process %d", pid)
	return nil
}

func needRoot(t *testing.T) {
	t.Helper()
	needs.Root(t, "start servers as somebody else") // as a plain user they run in the other tests
}

func needRedis(t *testing.T) {
	t.Helper()
	if _, err := findRedis(t.Context()); err != nil {
		needs.Lacking(t, "%v", err)
	}
}

// asNobody runs the named tests of this binary once more as the user nobody.
func asNobody(t *testing.T, pattern string) string {
	t.Helper()
	id, err := lookupAccount("nobody")
	if err != nil {
		needs.Lacking(t, "%v", err)
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	dir := scratch(t)
	// The go command keeps the binary where only its user can reach it.
	text, err := os.ReadFile(self)
	if err != nil {
		t.Fatal(err)
	}
	binary := filepath.Join(dir, "embedded.test")
	if err := os.WriteFile(binary, text, 0o755); err != nil {
		t.Fatal(err)
	}
	home := filepath.Join(dir, "home")
	if err := errors.Join(os.Chmod(dir, 0o755), os.Mkdir(home, 0o755), os.Chown(home, id.uid, id.gid)); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), binary, "-test.run="+pattern, "-test.v", "-test.timeout=3m")
	cmd.Dir = home
	cmd.Env = []string{"HOME=" + home, "TMPDIR=" + home, "PATH=" + os.Getenv("PATH")}
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(id.uid), Gid: uint32(id.gid)}}
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("as nobody: %v\n%s", err, out)
	}
	return string(out)
}

func newTextLogger(w io.Writer) *slog.Logger { return slog.New(slog.NewTextHandler(w, nil)) }

func fmtPID(p *process) string { return strconv.Itoa(p.cmd.Process.Pid) }
