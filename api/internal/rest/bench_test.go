package rest_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/google/uuid"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/rollcallhq/rollcall/api/internal/doctor"
	"github.com/rollcallhq/rollcall/api/internal/rest"
	"github.com/rollcallhq/rollcall/api/internal/session"
	"github.com/rollcallhq/rollcall/pkg/account"
	"github.com/rollcallhq/rollcall/pkg/collection"
	"github.com/rollcallhq/rollcall/pkg/ephemeral"
	"github.com/rollcallhq/rollcall/pkg/fleet"
	"github.com/rollcallhq/rollcall/pkg/housekeeping"
	"github.com/rollcallhq/rollcall/pkg/inventory"
	"github.com/rollcallhq/rollcall/pkg/queue"
	"github.com/rollcallhq/rollcall/pkg/remote"
	"github.com/rollcallhq/rollcall/pkg/report"
	"github.com/rollcallhq/rollcall/pkg/schedule"
	"github.com/rollcallhq/rollcall/pkg/secret"
	"github.com/rollcallhq/rollcall/pkg/store"
	"github.com/rollcallhq/rollcall/pkg/storetest"
	"github.com/rollcallhq/rollcall/pkg/telemetry"
	"github.com/rollcallhq/rollcall/pkg/token"
	"github.com/rollcallhq/rollcall/pkg/wire"
)

const password = "correct horse battery"

var passwords = sync.OnceValue(func() *token.Passwords { return token.NewPasswords(0) })

// passwordHash is the hash of password, made once because it is slow on purpose.
var passwordHash = sync.OnceValues(func() (string, error) { return passwords().Hash(context.Background(), password) })

// A bench is the whole door on a database and a Redis of the test's own. All that it sends and gets is validated
// against the door's own OpenAPI document.
type bench struct {
	*httptest.Server
	db       *store.Store
	sql      func(t *testing.T, text string, args ...any) string // the first column of the first row, as text
	exec     func(t *testing.T, text string)                     // a statement that answers nothing
	redis    *miniredis.Miniredis
	accounts *account.Service
	tokens   map[string]string // API tokens by user name: admin, operator, viewer, scoped
	users    map[string]fleet.User
	log      *syncBuffer
	doc      *document
}

type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *syncBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *syncBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

func newBench(t *testing.T, changes ...func(*rest.Config)) *bench {
	t.Helper()
	b := &bench{redis: miniredis.RunT(t), log: &syncBuffer{}, tokens: map[string]string{}, users: map[string]fleet.User{}}
	client, err := ephemeral.Open("redis://"+b.redis.Addr(), ephemeral.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = client.Close() })
	db, pool := storetest.Pool(t)
	b.db = db
	b.exec = func(t *testing.T, text string) {
		t.Helper()
		if _, err := pool.Exec(context.WithoutCancel(t.Context()), text); err != nil {
			t.Fatalf("%s: %v", text, err)
		}
	}
	b.sql = func(t *testing.T, text string, args ...any) string {
		t.Helper()
		var answer string
		if err := pool.QueryRow(context.WithoutCancel(t.Context()), text, args...).Scan(&answer); err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		return answer
	}
	log := telemetry.NewLogger(b.log, telemetry.Options{Format: telemetry.FormatJSON, Level: slog.LevelDebug})
	signer, err := token.NewSigner([]byte("0123456789abcdef0123456789abcdef"))
	if err != nil {
		t.Fatal(err)
	}
	b.accounts, err = account.New(account.Config{Store: b.db, Sessions: ephemeral.New(client), Signer: signer, Passwords: passwords(), Log: log})
	if err != nil {
		t.Fatal(err)
	}
	guard, err := session.New(session.Config{Accounts: b.accounts, Fail: rest.Fail})
	if err != nil {
		t.Fatal(err)
	}
	seal, _, err := secret.GenerateKeyPair("default")
	if err != nil {
		t.Fatal(err)
	}
	seals, err := secret.ParseSealKeys(seal)
	if err != nil {
		t.Fatal(err)
	}
	inv, err := inventory.New(inventory.Config{Store: b.db, Seals: seals, ValidateKey: remote.ValidatePrivateKey, Log: log})
	if err != nil {
		t.Fatal(err)
	}
	collections := collection.New(collection.Config{Store: b.db, Queue: queue.New(client), Log: log})
	registry := prometheus.NewRegistry()
	config := rest.Config{
		Store: b.db, Guard: guard, Accounts: b.accounts, Inventory: inv, Collections: collections,
		Schedules: newSchedules(b.db, collections, log), Reports: &report.Service{Store: b.db}, Housekeeping: housekeeping.New(housekeeping.Config{Store: b.db, Log: log}), Health: telemetry.NewHealth(log), Log: log, Version: "test",
		Metrics: telemetry.NewHTTPMetrics(registry), Gatherer: telemetry.MetricsHandler(registry),
		Doctor:   doctor.New(doctor.Config{Store: b.db, Redis: ephemeral.New(client), PoolSize: 20, Log: log}),
		Timeouts: rest.Timeouts{Poll: 10 * time.Millisecond, Beat: 20 * time.Millisecond},
	}
	for _, change := range changes {
		change(&config)
	}
	handler, err := rest.New(config)
	if err != nil {
		t.Fatal(err)
	}
	b.Server = httptest.NewServer(handler)
	t.Cleanup(b.Close)
	b.doc = readDocument(t, b.URL)
	b.addUsers(t)
	return b
}

func (b *bench) addUsers(t *testing.T) {
	t.Helper()
	hash, err := passwordHash()
	if err != nil {
		t.Fatal(err)
	}
	for name, u := range map[string]fleet.User{
		"admin": {Role: fleet.Admin}, "operator": {Role: fleet.Operator}, "viewer": {Role: fleet.Viewer},
		"scoped": {Role: fleet.Admin, Selector: "env=test"},
	} {
		u.ID, u.Username, u.PasswordHash = fleet.NewID(), name, hash
		if err := b.db.AddUser(t.Context(), u); err != nil {
			t.Fatal(err)
		}
		b.users[name] = u
		actor := fleet.Actor{Kind: fleet.ActorUser, ID: u.ID, UserID: &u.ID, Name: name, Role: u.Role}
		_, plain, err := b.accounts.CreateToken(t.Context(), actor, "test", nil)
		if err != nil {
			t.Fatal(err)
		}
		b.tokens[name] = plain
	}
}

func newSchedules(db *store.Store, collections *collection.Service, log *slog.Logger) *schedule.Service {
	return schedule.New(schedule.Config{
		Store: db, CheckTypes: collections.CheckTypes, Log: log, Trigger: scheduleTrigger(collections),
	})
}

// A call is a request. Its zero value is GET / by nobody.
type call struct {
	method, path string
	as           string // a user's name, or a whole Authorization header
	body         string
	media        string // Content-Type; application/json where there is a body
	header       http.Header
	invalid      bool // the request does not fit the document, so it is not validated
}

// A result is an answer.
type result struct {
	status  int
	header  http.Header
	body    string
	problem struct {
		Type, Title, Detail, Code string
		Status                    int
		RequestID                 string `json:"request_id"`
		Errors                    []struct{ Field, Code, Message string }
	}
}

// do sends a request, and validates it and its answer against the OpenAPI document.
func (b *bench) do(t *testing.T, c call) result {
	t.Helper()
	if c.method == "" {
		c.method = http.MethodGet
	}
	req, err := http.NewRequestWithContext(t.Context(), c.method, b.URL+c.path, strings.NewReader(c.body))
	if err != nil {
		t.Fatal(err)
	}
	maps.Copy(req.Header, c.header)
	if plain, ok := b.tokens[c.as]; ok {
		req.Header.Set("Authorization", "Bearer "+plain)
	} else if c.as != "" {
		req.Header.Set("Authorization", c.as)
	}
	if c.media == "" && c.body != "" {
		c.media = "application/json"
	}
	if c.media != "" {
		req.Header.Set("Content-Type", c.media)
	}
	resp, err := b.Client().Do(req)
	if err != nil {
		t.Fatalf("%s %s: %v", c.method, c.path, err)
	}
	defer func() { _ = resp.Body.Close() }()
	content, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatalf("%s %s: reading the answer: %v", c.method, c.path, err)
	}
	r := result{status: resp.StatusCode, header: resp.Header, body: string(content)}
	if resp.Header.Get("Content-Type") == "application/problem+json" {
		if err := json.Unmarshal(content, &r.problem); err != nil {
			t.Errorf("%s %s: the problem is not JSON: %v", c.method, c.path, err)
		}
	}
	b.doc.check(t, c, r)
	return r
}

// get decodes an answer of that status.
func get[T any](t *testing.T, r result, status int) T {
	t.Helper()
	var v T
	if r.status != status {
		t.Fatalf("status %d, want %d: %s", r.status, status, r.body)
	}
	if err := json.Unmarshal([]byte(r.body), &v); err != nil {
		t.Fatalf("decoding %s: %v", r.body, err)
	}
	return v
}

// host adds a host and returns its ID.
func (b *bench) host(t *testing.T, text string) string {
	t.Helper()
	return get[wire.Host](t, b.do(t, call{method: http.MethodPost, path: "/api/v1/hosts", as: "admin", body: text}), http.StatusCreated).ID.String()
}

// worker returns a worker that is alive.
func (b *bench) worker(t *testing.T) fleet.Worker {
	t.Helper()
	worker := fleet.Worker{ID: fleet.NewID(), Host: "test", Sites: []string{"default"}, Slots: 1}
	if _, _, err := b.db.Heartbeat(t.Context(), worker); err != nil {
		t.Fatal(err)
	}
	return worker
}

// work ends the collection's tasks as a worker would, with one os report each.
func (b *bench) work(t *testing.T, collection uuid.UUID, facts string) {
	t.Helper()
	worker := b.worker(t)
	tasks, _, err := b.db.Tasks(t.Context(), fleet.Everything(), collection, store.TaskFilter{}, fleet.Page{Limit: 1000})
	if err != nil {
		t.Fatal(err)
	}
	for _, task := range tasks {
		b.end(t, task, worker, time.Now(), fleet.Finding{
			Type: "os", SchemaVersion: 1, Status: fleet.ReportOK, Facts: []byte(facts), Metrics: []byte(`{"uptime_seconds":5}`),
		})
	}
}

// end claims a task and ends it with what was found.
func (b *bench) end(t *testing.T, task fleet.Task, worker fleet.Worker, at time.Time, findings ...fleet.Finding) {
	t.Helper()
	claim, err := b.db.ClaimTask(t.Context(), fleet.Message{TaskID: task.ID, Epoch: task.Epoch}, worker.ID)
	if err != nil || claim == nil {
		t.Fatalf("claiming %s: %v, %v", task.ID, claim, err)
	}
	for i, f := range findings {
		findings[i].ContentHash = contentHash(f)
	}
	held, err := b.db.EndTask(t.Context(), store.Ending{
		Lease: store.LeaseOf(claim.Task), Host: claim.Host.ID, State: fleet.TaskSucceeded, At: at, Findings: findings,
	})
	if err != nil || !held {
		t.Fatalf("ending %s: %v, %v", task.ID, held, err)
	}
}
