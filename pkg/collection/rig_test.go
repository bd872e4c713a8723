package collection_test

import (
	"context"
	"log/slog"
	"net"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/redis/go-redis/v9"

	"github.com/rollcallhq/rollcall/pkg/await"
	"github.com/rollcallhq/rollcall/pkg/collection"
	"github.com/rollcallhq/rollcall/pkg/embedded"
	"github.com/rollcallhq/rollcall/pkg/ephemeral"
	"github.com/rollcallhq/rollcall/pkg/fleet"
	"github.com/rollcallhq/rollcall/pkg/queue"
	"github.com/rollcallhq/rollcall/pkg/secret"
	"github.com/rollcallhq/rollcall/pkg/simulate"
	"github.com/rollcallhq/rollcall/pkg/store"
	"github.com/rollcallhq/rollcall/pkg/storetest"
)

// patience bounds every wait of a test; none takes that long unless something is wrong.
const patience = 30 * time.Second

// deadRedis is where nothing listens.
const deadRedis = "redis://127.0.0.1:1/0"

func openRedis(t *testing.T, address string) redis.UniversalClient {
	t.Helper()
	client, err := ephemeral.Open(address, ephemeral.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = client.Close() })
	return client
}

func startRedis(t *testing.T) redis.UniversalClient {
	t.Helper()
	server, err := embedded.RedisForTests(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Stop(context.WithoutCancel(t.Context())) })
	return openRedis(t, server.URL())
}

// A rig is a database with a service on it, and what else a test starts.
type rig struct {
	*store.Store
	t       *testing.T
	pool    *pgxpool.Pool
	service *collection.Service
	queue   *queue.Queue
	seal    *secret.SealKeys
	open    *secret.OpenKeys
	log     *slog.Logger

	openText string // open, as a process reads it
}

// newRig makes a rig on a database of the test's own. Its queue is on the client; nil is a Redis that is down.
func newRig(t *testing.T, client redis.UniversalClient) *rig {
	t.Helper()
	s, pool := storetest.Pool(t)
	seal, open, err := secret.GenerateKeyPair(fleet.DefaultSite)
	if err != nil {
		t.Fatal(err)
	}
	r := &rig{Store: s, t: t, pool: pool, log: slog.New(slog.DiscardHandler), openText: open}
	if r.seal, err = secret.ParseSealKeys(seal); err != nil {
		t.Fatal(err)
	}
	if r.open, err = secret.ParseOpenKeys(open); err != nil {
		t.Fatal(err)
	}
	alive := client != nil
	if !alive {
		client = openRedis(t, deadRedis)
	}
	r.queue = queue.New(client)
	r.service = collection.New(collection.Config{Store: s, Queue: r.queue, Log: r.log})
	if alive { // a machine that is busy with other tests may take more than the second that is usual
		collection.SetPatience(r.service, patience)
		await.Until(t, "an answer of Redis", func() bool { return r.queue.Ping(t.Context()) == nil })
	}
	return r
}

// ask returns the one value that a query yields.
func ask[T any](r *rig, sql string, args ...any) T {
	r.t.Helper()
	var v T
	if err := r.pool.QueryRow(r.t.Context(), sql, args...).Scan(&v); err != nil {
		r.t.Fatalf("%s: %v", sql, err)
	}
	return v
}

func (r *rig) exec(sql string, args ...any) {
	r.t.Helper()
	if _, err := r.pool.Exec(r.t.Context(), sql, args...); err != nil {
		r.t.Fatalf("%s: %v", sql, err)
	}
}

// host stores a host of the name, changed by the changes.
func (r *rig) host(name string, changes ...func(*fleet.Host)) fleet.Host {
	r.t.Helper()
	h := fleet.Host{
		ID: fleet.NewID(), Name: name, Address: "127.0.0.1", Port: 1, Site: fleet.DefaultSite,
		Connection: fleet.ConnectionSSH, Enabled: true,
	}
	for _, change := range changes {
		change(&h)
	}
	stored, err := r.AddHost(r.t.Context(), h)
	if err != nil {
		r.t.Fatal(err)
	}
	return stored
}

// credential stores a sealed credential and returns the change that gives it to a host.
func (r *rig) credential(username string, c secret.Credential) func(*fleet.Host) {
	r.t.Helper()
	kind := fleet.CredentialPassword
	if c.PrivateKey != nil {
		kind = fleet.CredentialPrivateKey
	}
	id := fleet.NewID()
	keyID, sealed, err := r.seal.Seal(fleet.DefaultSite, id, c.Encode())
	if err != nil {
		r.t.Fatal(err)
	}
	err = r.InTx(r.t.Context(), func(tx *store.Store) error {
		return tx.AddCredential(r.t.Context(), fleet.Credential{ID: id, Name: id.String(), Kind: kind, Username: username},
			[]fleet.Seal{{Site: fleet.DefaultSite, KeyID: keyID, Sealed: sealed}})
	})
	if err != nil {
		r.t.Fatal(err)
	}
	return func(h *fleet.Host) { h.CredentialID = &id }
}

// at is the change that says where a host listens.
func at(address string) func(*fleet.Host) {
	return func(h *fleet.Host) {
		u := url.URL{Host: address}
		h.Address = u.Hostname()
		h.Port, _ = strconv.Atoi(u.Port())
	}
}

// simulated starts simulated hosts and stores them.
func (r *rig) simulated(o simulate.Options) (*simulate.Fleet, []fleet.Host) {
	r.t.Helper()
	f, err := simulate.Start(r.t.Context(), o)
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { _ = f.Close() })
	credential := r.credential(simulate.User, secret.Credential{PrivateKey: f.PrivateKey()})
	var hosts []fleet.Host
	for _, sim := range f.Hosts() {
		hosts = append(hosts, r.host(sim.Name, credential, func(h *fleet.Host) { h.Address, h.Port = sim.Address, sim.Port }))
	}
	return f, hosts
}

// worker starts a worker whose heartbeat stops with the returned function or the test, whichever comes first; the
// function waits until it has left. The changes are called twice: before the worker is made, and with it.
func (r *rig) worker(changes ...func(*collection.WorkerConfig, *collection.Worker)) (*collection.Worker, func()) {
	r.t.Helper()
	c := collection.WorkerConfig{
		Store: r.Store, Keys: r.open, Log: r.log,
		Self: fleet.Worker{ID: fleet.NewID(), Host: "worker", Version: "test", Sites: []string{fleet.DefaultSite}, Slots: 10},
	}
	for _, change := range changes {
		change(&c, nil)
	}
	w := collection.NewWorker(c)
	collection.SetPace(w, 50*time.Millisecond, 4*time.Second, 50*time.Millisecond)
	for _, change := range changes {
		change(&c, w)
	}
	ctx, cancel := context.WithCancel(r.t.Context())
	var beating sync.WaitGroup
	beating.Go(func() { _ = w.Run(ctx) })
	stop := func() { cancel(); beating.Wait() }
	r.t.Cleanup(stop)
	return w, stop
}

// request asks for the types from the hosts and returns the messages of the tasks.
func (r *rig) request(deadline time.Duration, types []string, hosts ...fleet.Host) (uuid.UUID, []fleet.Message) {
	r.t.Helper()
	request := collection.Request{ReportTypes: types, Deadline: deadline}
	for _, h := range hosts {
		request.HostIDs = append(request.HostIDs, h.ID)
	}
	var c fleet.Collection
	err := r.InTx(r.t.Context(), func(tx *store.Store) error {
		var err error
		c, err = r.service.TriggerIn(r.t.Context(), tx, fleet.System(), request)
		return err
	})
	if err != nil {
		r.t.Fatal(err)
	}
	return c.ID, r.outbox(c.ID)
}

func scanMessage(row pgx.CollectableRow) (m fleet.Message, err error) {
	err = row.Scan(&m.TaskID, &m.Epoch, &m.Site, &m.Priority)
	return m, err
}

// outbox returns the messages of the collection's tasks that wait to be rung for, be their hosts busy or not.
func (r *rig) outbox(id uuid.UUID) []fleet.Message {
	r.t.Helper()
	rows, _ := r.pool.Query(r.t.Context(), `select id, epoch, site, priority from tasks
		where collection_id = $1 and state = 'queued' and dispatched_at is null and (not_before is null or not_before <= now()) order by id`, id)
	messages, err := pgx.CollectRows(rows, scanMessage)
	if err != nil {
		r.t.Fatal(err)
	}
	return messages
}

// work works a message and returns the line about it.
func (r *rig) work(w *collection.Worker, m fleet.Message) string {
	r.t.Helper()
	line, err := w.Work(r.t.Context(), m)
	if err != nil {
		r.t.Fatalf("Work: %v", err)
	}
	return line
}

// workOut works the collection's tasks until none waits any more, those that are put back included.
func (r *rig) workOut(w *collection.Worker, id uuid.UUID) []fleet.Task {
	r.t.Helper()
	await.Until(r.t, "the end of the collection's tasks", func() bool {
		for _, m := range r.outbox(id) {
			r.work(w, m)
		}
		return r.collection(id).State.Ended()
	})
	return r.tasks(id)
}

// collect asks one host and works its task until it has ended.
func (r *rig) collect(w *collection.Worker, h fleet.Host, types ...string) fleet.Task {
	r.t.Helper()
	id, _ := r.request(20*time.Second, types, h)
	return r.workOut(w, id)[0]
}

func (r *rig) tasks(id uuid.UUID) []fleet.Task {
	r.t.Helper()
	tasks, _, err := r.Tasks(r.t.Context(), fleet.Everything(), id, store.TaskFilter{}, fleet.Page{Limit: 1000})
	if err != nil {
		r.t.Fatal(err)
	}
	return tasks
}

func (r *rig) collection(id uuid.UUID) fleet.Collection {
	r.t.Helper()
	c, err := r.Collection(r.t.Context(), fleet.Everything(), id)
	if err != nil {
		r.t.Fatal(err)
	}
	return c
}

func (r *rig) latest(h fleet.Host) map[string]fleet.Report {
	r.t.Helper()
	reports, err := r.LatestReports(r.t.Context(), fleet.Everything(), h.ID, "")
	if err != nil {
		r.t.Fatal(err)
	}
	byType := map[string]fleet.Report{}
	for _, report := range reports {
		byType[report.Type] = report
	}
	return byType
}

// ended checks how a task has ended.
func (r *rig) ended(task fleet.Task, state fleet.TaskState, code fleet.Code) {
	r.t.Helper()
	if task.State != state || task.Code != code {
		r.t.Errorf("task of %s ended %s with %q %v after %d attempts, want %s with %q", task.Host, task.State, task.Code, task.Details,
			task.Attempts, state, code)
	}
}

// A tap is a way to the database of its own that can be shut: connections stay open, and nothing is heard any more.
type tap struct {
	*store.Store
	shut atomic.Bool

	mu    sync.Mutex
	conns []net.Conn
}

type tapped struct {
	net.Conn
	tap *tap
}

// Write drops everything while the tap is shut, as a network does.
func (c tapped) Write(b []byte) (int, error) {
	if c.tap.shut.Load() {
		return len(b), nil
	}
	return c.Conn.Write(b)
}

// cut ends the connections that there are.
func (p *tap) cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, conn := range p.conns {
		_ = conn.Close()
	}
}

func (r *rig) tap() *tap {
	r.t.Helper()
	p := &tap{}
	config := r.pool.Config()
	dial := config.ConnConfig.DialFunc
	config.ConnConfig.DialFunc = func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := dial(ctx, network, address)
		if err != nil {
			return nil, err
		}
		p.mu.Lock()
		defer p.mu.Unlock()
		p.conns = append(p.conns, conn)
		return tapped{conn, p}, nil
	}
	pool, err := pgxpool.NewWithConfig(r.t.Context(), config)
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(pool.Close)
	r.t.Cleanup(p.cut) // or the pool would wait for answers on those that were shut
	p.Store = store.New(pool)
	return p
}

func contains(t *testing.T, text string, parts ...string) {
	t.Helper()
	for _, part := range parts {
		if !strings.Contains(text, part) {
			t.Errorf("%q does not contain %q", text, part)
		}
	}
}
