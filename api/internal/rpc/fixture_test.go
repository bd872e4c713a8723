package rpc_test

import (
	"context"
	"crypto/sha256"
	"errors"
	"io"
	"log/slog"
	"net"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/grpc/test/bufconn"

	"github.com/rollcallhq/rollcall/api/internal/rpc"
	"github.com/rollcallhq/rollcall/pkg/await"
	"github.com/rollcallhq/rollcall/pkg/collection"
	"github.com/rollcallhq/rollcall/pkg/fleet"
	"github.com/rollcallhq/rollcall/pkg/store"
	"github.com/rollcallhq/rollcall/pkg/storetest"
	"github.com/rollcallhq/rollcall/pkg/telemetry"
	rollcallv1 "github.com/rollcallhq/rollcall/proto/rollcall/v1"
)

// accounts are the tokens that are good, and whom they speak for. It stands in for Redis and PostgreSQL.
type accounts map[string]fleet.Actor

func (a accounts) Authenticate(_ context.Context, bearer string) (fleet.Actor, error) {
	if bearer == "redis-is-down" {
		return fleet.Actor{}, fleet.Errorf(fleet.Unavailable, "the session store does not answer").WithCode("session_store_unavailable")
	}
	actor, ok := a[bearer]
	if !ok {
		return fleet.Actor{}, fleet.Errorf(fleet.Unauthenticated, "the token is not valid").WithCode("token_invalid")
	}
	return actor, nil
}

// everybody is a token for each role, and one for an operator who sees the hosts of env=prod only.
func everybody(t *testing.T) accounts {
	t.Helper()
	prod, err := fleet.ParseSelector("env=prod")
	if err != nil {
		t.Fatal(err)
	}
	as := func(role fleet.Role, selector *fleet.Selector) fleet.Actor {
		return fleet.Actor{Kind: fleet.ActorUser, ID: fleet.NewID(), Name: string(role), Role: role, Selector: selector}
	}
	return accounts{
		"viewer": as(fleet.Viewer, nil), "operator": as(fleet.Operator, nil), "scoped": as(fleet.Operator, &prod),
		"nobody": {Kind: fleet.ActorUser, Name: "nobody"},
	}
}

// A health is a report that tests can change.
type health struct {
	mu     sync.Mutex
	report telemetry.Report
}

func (h *health) Report(context.Context) telemetry.Report {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.report
}

func (h *health) Ready(ctx context.Context) telemetry.Report { return h.Report(ctx) }

func (h *health) become(s telemetry.Status) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.report.Status = s
}

// A bundle is a server and what is behind it.
type bundle struct {
	rollcallv1.ReportServiceClient
	conn     *grpc.ClientConn
	store    *store.Store
	service  *collection.Service
	health   *health
	stop     chan struct{}
	workerID uuid.UUID
}

// setup starts a server over a connection in memory.
func setup(t *testing.T, changes ...func(*rpc.Config)) *bundle {
	t.Helper()
	s, _ := storetest.Pool(t)
	log := slog.New(slog.DiscardHandler)
	b := &bundle{store: s, stop: make(chan struct{}), health: &health{report: telemetry.Report{
		Status: telemetry.StatusOK, Timestamp: time.Now(),
		Checks: map[string]telemetry.CheckResult{"database": {Status: telemetry.StatusOK, LatencyMS: 1.5}},
	}}}
	b.service = collection.New(collection.Config{Store: s, Queue: bell, Log: log})
	config := rpc.Config{
		Store: s, Collections: b.service, Accounts: everybody(t), Health: b.health, Log: log, Stopping: b.stop,
	}
	for _, change := range changes {
		change(&config)
	}
	server, err := rpc.New(config)
	if err != nil {
		t.Fatalf("making the server: %v", err)
	}
	listener := bufconn.Listen(1 << 20)
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	b.conn, err = grpc.NewClient("passthrough:///rollcall", grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return listener.DialContext(ctx) }))
	if err != nil {
		t.Fatalf("making the client: %v", err)
	}
	t.Cleanup(func() {
		_ = b.conn.Close()
		server.Stop()
		if err := <-served; err != nil {
			t.Errorf("serving: %v", err)
		}
	})
	b.ReportServiceClient = rollcallv1.NewReportServiceClient(b.conn)
	return b
}

// as returns a context that shows the token and does not wait for ever.
func as(t *testing.T, token string) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	t.Cleanup(cancel)
	return metadata.AppendToOutgoingContext(ctx, "authorization", "Bearer "+token)
}

// addHost stores a host with labels given as alternating names and values.
func (b *bundle) addHost(t *testing.T, name string, labels ...string) fleet.Host {
	t.Helper()
	h := fleet.Host{
		ID: fleet.NewID(), Name: name, Address: "192.0.2.1", Port: 22, Site: fleet.DefaultSite,
		Connection: fleet.ConnectionSSH, Enabled: true, Labels: map[string]string{},
	}
	for i := 0; i+1 < len(labels); i += 2 {
		h.Labels[labels[i]] = labels[i+1]
	}
	stored, err := b.store.AddHost(t.Context(), h)
	if err != nil {
		t.Fatalf("adding host %s: %v", name, err)
	}
	return stored
}

// trigger asks for a collection of the types from the hosts, as the system.
func (b *bundle) trigger(t *testing.T, types []string, hosts ...fleet.Host) fleet.Collection {
	t.Helper()
	r := collection.Request{ReportTypes: types}
	for _, h := range hosts {
		r.HostIDs = append(r.HostIDs, h.ID)
	}
	triggered, err := b.service.Trigger(t.Context(), fleet.System(), r)
	if err != nil {
		t.Fatalf("triggering: %v", err)
	}
	return triggered.Collection
}

// task returns the host's task of the collection.
func (b *bundle) task(t *testing.T, id uuid.UUID, h fleet.Host) fleet.Task {
	t.Helper()
	tasks, _, err := b.store.Tasks(t.Context(), fleet.Everything(), id, store.TaskFilter{}, fleet.Page{Limit: 1000})
	if err != nil {
		t.Fatalf("listing tasks: %v", err)
	}
	i := slices.IndexFunc(tasks, func(t fleet.Task) bool { return t.HostID == h.ID })
	if i < 0 {
		t.Fatalf("collection %s has no task for %s", id, h.Name)
	}
	return tasks[i]
}

// claim does what a worker does first.
func (b *bundle) claim(t *testing.T, id uuid.UUID, h fleet.Host) *store.Claim {
	t.Helper()
	if b.workerID == uuid.Nil {
		b.workerID = fleet.NewID()
		w := fleet.Worker{ID: b.workerID, Host: "w", Version: "test", Sites: []string{fleet.DefaultSite}, Slots: 10}
		if _, _, err := b.store.Heartbeat(t.Context(), w); err != nil {
			t.Fatalf("beating: %v", err)
		}
	}
	task := b.task(t, id, h)
	claim, err := b.store.ClaimTask(t.Context(), fleet.Message{TaskID: task.ID, Epoch: task.Epoch}, b.workerID)
	if err != nil || claim == nil {
		t.Fatalf("claiming: %v, %v", claim, err)
	}
	return claim
}

// end does what a worker does last.
func (b *bundle) end(t *testing.T, c *store.Claim, e store.Ending) {
	t.Helper()
	e.Lease, e.Host = store.LeaseOf(c.Task), c.Host.ID
	if e.At.IsZero() {
		e.At = time.Now()
	}
	held, err := b.store.EndTask(t.Context(), e)
	if err != nil || !held {
		t.Fatalf("ending a task: held %v, %v", held, err)
	}
	if _, err := b.store.FinishCollections(t.Context(), &c.Task.CollectionID, 1); err != nil {
		t.Fatalf("finishing the collection: %v", err)
	}
}

// stored collects one report of the host, made at the time.
func (b *bundle) stored(t *testing.T, h fleet.Host, f fleet.Finding, at time.Time) {
	t.Helper()
	c := b.trigger(t, []string{f.Type}, h)
	b.end(t, b.claim(t, c.ID, h), store.Ending{State: fleet.TaskSucceeded, Findings: []fleet.Finding{f}, At: at})
}

func finding(reportType, facts string) fleet.Finding {
	return fleet.Finding{
		Type: reportType, SchemaVersion: 1, Status: fleet.ReportOK, Facts: []byte(facts), Metrics: []byte(`{"load":0.5}`),
		ContentHash: sha256.Sum256([]byte(reportType + facts)),
	}
}

// onlyCollection waits for the one collection that there is to be.
func (b *bundle) onlyCollection(t *testing.T) fleet.Collection {
	t.Helper()
	var found []fleet.Collection
	await.Until(t, "a collection", func() bool {
		var err error
		if found, _, err = b.store.Collections(t.Context(), fleet.Everything(), fleet.Page{}); err != nil {
			t.Fatalf("listing collections: %v", err)
		}
		return len(found) > 0
	})
	if len(found) != 1 {
		t.Fatalf("there are %d collections, want 1", len(found))
	}
	return found[0]
}

// receive returns all messages of a stream and how it ended; nil for its regular end.
func receive[M any](stream grpc.ServerStreamingClient[M], err error) ([]*M, error) {
	if err != nil {
		return nil, err
	}
	var all []*M
	for {
		m, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return all, nil
		}
		if err != nil {
			return all, err
		}
		all = append(all, m)
	}
}

// detail returns the detail of that type of an error; nil if it has none.
func detail[D any](err error) D {
	for _, d := range status.Convert(err).Details() {
		if found, ok := d.(D); ok {
			return found
		}
	}
	var none D
	return none
}

// wantError checks the code and the reason of an error.
func wantError(t *testing.T, err error, code codes.Code, reason string) {
	t.Helper()
	if got := status.Code(err); got != code {
		t.Fatalf("the call ended with %v (%v), want %v", got, err, code)
	}
	if got := detail[*errdetails.ErrorInfo](err); got.GetReason() != reason || got.GetDomain() != "rollcall" {
		t.Errorf("the error has the details %v, want reason %q of domain rollcall", got, reason)
	}
}
