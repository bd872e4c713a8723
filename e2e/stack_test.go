package e2e_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/rollcallhq/rollcall/pkg/embedded"
	"github.com/rollcallhq/rollcall/pkg/simulate"
	"github.com/rollcallhq/rollcall/pkg/storetest"
)

// bin is where the binaries of this run are.
var bin string

func TestMain(m *testing.M) { os.Exit(run(m)) }

// run builds the binaries once, so that the tests meet what users run.
func run(m *testing.M) int {
	dir, err := os.MkdirTemp("", "rollcall-e2e-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer func() { _ = os.RemoveAll(dir) }()
	if err := os.Chmod(dir, 0o755); err != nil { // other accounts run the binaries as well
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	for _, name := range []string{"api", "worker", "scheduler", "rollcall"} {
		build := exec.Command("go", "build", "-o", filepath.Join(dir, name), "github.com/rollcallhq/rollcall/"+name)
		if out, err := build.CombinedOutput(); err != nil {
			fmt.Fprintf(os.Stderr, "building %s: %v\n%s", name, err, out)
			return 1
		}
	}
	bin = dir
	return m.Run()
}

// The secrets of a stack. They are made by keygen, once per stack.
type stack struct {
	t      *testing.T
	env    map[string]string
	http   string // base URL of the api
	grpc   string
	client *http.Client
	record *recorder
	token  string
	until  time.Time // when the token is given up for a new one
}

const adminPassword = "correct horse battery"

// newStack returns a stack with databases of its own and nothing running yet.
func newStack(t *testing.T) *stack {
	t.Helper()
	redis, err := embedded.RedisForTests(t.Context())
	if err != nil {
		t.Fatalf("starting Redis: %v", err)
	}
	t.Cleanup(func() { _ = redis.Stop(context.WithoutCancel(t.Context())) })
	s := &stack{t: t, env: map[string]string{
		"DATABASE_URL": storetest.Empty(t), "REDIS_URL": redis.URL(), "ROLLCALL_ADMIN_PASSWORD": adminPassword,
		"PATH": os.Getenv("PATH"), "HOME": t.TempDir(), "ROLLCALL_LOG_FORMAT": "json", "ROLLCALL_DRAIN": "0s",
		"ROLLCALL_HTTP_ADDR": freeAddr(t), "ROLLCALL_GRPC_ADDR": freeAddr(t),
	}}
	keys, err := exec.CommandContext(t.Context(), filepath.Join(bin, "rollcall"), "keygen").Output()
	if err != nil {
		t.Fatalf("making keys: %v", err)
	}
	for line := range strings.Lines(string(keys)) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), "=")
		s.env[name] = value
	}
	s.http, s.grpc = "http://"+s.env["ROLLCALL_HTTP_ADDR"], s.env["ROLLCALL_GRPC_ADDR"]
	s.record = &recorder{t: t, next: &http.Transport{}, used: map[string]int{}}
	s.client = &http.Client{
		Transport: s.record, Timeout: 30 * time.Second,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	return s
}

func freeAddr(t *testing.T) string {
	t.Helper()
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	return l.Addr().String()
}

// A process is one running binary.
type process struct {
	t    *testing.T
	name string
	cmd  *exec.Cmd
	ops  string // base URL of its health
	log  *safeBuffer
	done chan struct{}
}

// safeBuffer is a buffer that one goroutine fills while another reads it.
type safeBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *safeBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *safeBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

// start starts a binary with the stack's environment and the given changes to it.
func (s *stack) start(name string, changes map[string]string, args ...string) *process {
	s.t.Helper()
	env := map[string]string{}
	maps.Copy(env, s.env)
	ops := s.env["ROLLCALL_HTTP_ADDR"]
	if name != "api" {
		ops = freeAddr(s.t)
		env["ROLLCALL_OPS_ADDR"] = ops
	}
	maps.Copy(env, changes)
	p := &process{t: s.t, name: name, cmd: exec.Command(filepath.Join(bin, name), args...), ops: "http://" + ops, log: &safeBuffer{}, done: make(chan struct{})}
	for k, v := range env {
		p.cmd.Env = append(p.cmd.Env, k+"="+v)
	}
	p.cmd.Stdout, p.cmd.Stderr = p.log, p.log
	if err := p.cmd.Start(); err != nil {
		s.t.Fatalf("starting %s: %v", name, err)
	}
	go func() { _ = p.cmd.Wait(); close(p.done) }()
	s.t.Cleanup(func() {
		p.stop()
		if s.t.Failed() {
			s.t.Logf("log of %s:\n%s", name, p.log)
		}
	})
	return p
}

// stop ends the process as an operator would and insists that it obeys.
func (p *process) stop() {
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-p.done:
	case <-time.After(40 * time.Second):
		p.t.Errorf("%s did not stop", p.name)
		p.kill()
	}
}

// kill ends the process as a crash would.
func (p *process) kill() {
	_ = p.cmd.Process.Kill()
	<-p.done
}

// eventually waits until f says that it is so, and fails with what f last said after the limit.
func eventually(t *testing.T, limit time.Duration, what string, f func() error) {
	t.Helper()
	deadline := time.Now().Add(limit)
	tick := time.NewTicker(25 * time.Millisecond)
	defer tick.Stop()
	for {
		err := f()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s: not within %s: %v", what, limit, err)
		}
		<-tick.C
	}
}

// ready waits until the process says that it is.
func (p *process) ready() {
	p.t.Helper()
	eventually(p.t, 60*time.Second, p.name+" ready", func() error {
		select {
		case <-p.done:
			return fmt.Errorf("it has ended: %s", p.log)
		default:
		}
		return status(p.ops+"/readyz", http.StatusOK)
	})
}

func status(url string, want int) error {
	res, err := http.Get(url)
	if err != nil {
		return err
	}
	defer func() { _ = res.Body.Close() }()
	body, _ := io.ReadAll(res.Body)
	if res.StatusCode != want {
		return fmt.Errorf("%s is %d: %s", url, res.StatusCode, body)
	}
	return nil
}

// up starts one of each, reads the contract and signs in.
func (s *stack) up() (api, worker, scheduler *process) {
	s.t.Helper()
	api, worker, scheduler = s.start("api", nil), s.start("worker", nil), s.start("scheduler", nil)
	for _, p := range []*process{api, worker, scheduler} {
		p.ready()
	}
	s.signIn()
	return api, worker, scheduler
}

func (s *stack) signIn() {
	s.t.Helper()
	res, err := s.client.Get(s.http + "/openapi.json")
	if err != nil {
		s.t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	document, err := io.ReadAll(res.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	c, err := readContract(document)
	if err != nil {
		s.t.Fatal(err)
	}
	s.record.mu.Lock()
	s.record.contract = c
	s.record.mu.Unlock()
	s.renew()
}

// renew gets a token, and lets it be used for half the time that it is good for: a soak takes longer than that.
func (s *stack) renew() {
	s.t.Helper()
	var tokens struct {
		AccessToken string `json:"access_token"`
		ExpiresIn   int    `json:"expires_in"`
	}
	s.token = ""
	s.post("/api/v1/auth/login", map[string]any{"username": "admin", "password": adminPassword}, http.StatusOK, &tokens)
	s.token, s.until = tokens.AccessToken, time.Now().Add(time.Duration(tokens.ExpiresIn)*time.Second/2)
}

// do sends a request and insists on the status; the answer is read into out unless that is nil.
func (s *stack) do(method, path string, body any, want int, out any, headers ...string) http.Header {
	s.t.Helper()
	var reader io.Reader
	contentType := "application/json"
	switch b := body.(type) {
	case nil:
	case string:
		reader = strings.NewReader(b)
	default:
		text, err := json.Marshal(b)
		if err != nil {
			s.t.Fatal(err)
		}
		reader = bytes.NewReader(text)
	}
	req, err := http.NewRequestWithContext(s.t.Context(), method, s.http+path, reader)
	if err != nil {
		s.t.Fatal(err)
	}
	if body != nil {
		req.Header.Set("Content-Type", contentType)
	}
	if s.token != "" && time.Now().After(s.until) {
		s.renew()
	}
	if s.token != "" {
		req.Header.Set("Authorization", "Bearer "+s.token)
	}
	for i := 0; i+1 < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	res, err := s.client.Do(req)
	if err != nil {
		s.t.Fatalf("%s %s: %v", method, path, err)
	}
	defer func() { _ = res.Body.Close() }()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		s.t.Fatalf("%s %s: %v", method, path, err)
	}
	if res.StatusCode != want {
		s.t.Fatalf("%s %s = %d, want %d: %s", method, path, res.StatusCode, want, clip(text))
	}
	if out != nil {
		if err := json.Unmarshal(text, out); err != nil {
			s.t.Fatalf("%s %s: reading %s: %v", method, path, clip(text), err)
		}
	}
	return res.Header
}

// simulated starts a simulated fleet, which lasts as long as the test, and imports its hosts.
func (s *stack) simulated(o simulate.Options) *simulate.Fleet {
	s.t.Helper()
	hosts, err := simulate.Start(s.t.Context(), o)
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { _ = hosts.Close() })
	var inventory strings.Builder
	if err := hosts.WriteInventory(&inventory); err != nil {
		s.t.Fatal(err)
	}
	var summary struct{ Created, Updated, Unchanged, Refused int }
	s.post("/api/v1/hosts/import?format=ndjson", inventory.String(), http.StatusOK, &summary, "Content-Type", "application/x-ndjson")
	if summary.Created != o.Hosts || summary.Refused != 0 {
		s.t.Fatalf("import = %+v", summary)
	}
	return hosts
}

func (s *stack) get(path string, out any) {
	s.t.Helper()
	s.do(http.MethodGet, path, nil, http.StatusOK, out)
}

func (s *stack) post(path string, body any, want int, out any, headers ...string) http.Header {
	s.t.Helper()
	return s.do(http.MethodPost, path, body, want, out, headers...)
}

// A collectionView is what the tests look at of a collection.
type collectionView struct {
	ID     string         `json:"id"`
	State  string         `json:"state"`
	Counts map[string]int `json:"counts"`
	Errors map[string]int `json:"errors"`
}

// collect asks for a collection and waits until it has ended.
func (s *stack) collect(request map[string]any, limit time.Duration) collectionView {
	s.t.Helper()
	var c collectionView
	s.post("/api/v1/collections", request, http.StatusAccepted, &c)
	return s.await(c.ID, limit)
}

func (s *stack) await(id string, limit time.Duration) collectionView {
	s.t.Helper()
	var c collectionView
	eventually(s.t, limit, "collection "+id+" ended", func() error {
		c = collectionView{}
		s.get("/api/v1/collections/"+id, &c)
		switch c.State {
		case "pending", "running":
			return fmt.Errorf("it is %s: %v", c.State, c.Counts)
		}
		return nil
	})
	return c
}
