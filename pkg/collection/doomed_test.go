package collection_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/rollcallhq/rollcall/pkg/collection"
	"github.com/rollcallhq/rollcall/pkg/ephemeral"
	"github.com/rollcallhq/rollcall/pkg/fleet"
	"github.com/rollcallhq/rollcall/pkg/queue"
	"github.com/rollcallhq/rollcall/pkg/secret"
	"github.com/rollcallhq/rollcall/pkg/store"
)

// doomedVariable makes the test binary a worker process that kills itself; its value says which one.
const doomedVariable = "ROLLCALL_TEST_DOOMED_WORKER"

// The steps of the ending transaction, which the worker knows nothing of.
const (
	beforeCommit collection.Step = "everything is stored and nothing committed"
	afterCommit  collection.Step = "committed, and the answer unread"
)

// A doomed worker is a process of its own that is killed at a step.
type doomed struct {
	Database, Redis, Keys string
	Slots                 int
	Step                  collection.Step // empty: somebody else kills it
}

// run works until it is killed.
func (d doomed) run() error {
	ctx := context.Background()
	keys, err := secret.ParseOpenKeys(d.Keys)
	if err != nil {
		return err
	}
	pool, err := store.OpenPool(ctx, d.Database, store.Options{})
	if err != nil {
		return err
	}
	config := pool.Config()
	pool.Close()
	commits := &commitWatch{step: d.Step}
	config.ConnConfig.Tracer = commits
	if pool, err = pgxpool.NewWithConfig(ctx, config); err != nil {
		return err
	}
	client, err := ephemeral.Open(d.Redis, ephemeral.Options{})
	if err != nil {
		return err
	}
	log := slog.New(slog.NewTextHandler(os.Stderr, nil))
	w := collection.NewWorker(collection.WorkerConfig{
		Store: store.New(pool), Keys: keys, Log: log,
		Self: fleet.Worker{ID: fleet.NewID(), Host: "doomed", Version: "test", Sites: []string{fleet.DefaultSite}, Slots: d.Slots},
	})
	switch d.Step {
	case beforeCommit, afterCommit:
		collection.At(w, collection.StepCompared, func() { commits.armed.Store(true) })
	default:
		collection.At(w, d.Step, killed)
	}
	go func() { _ = w.Run(ctx) }()
	return queue.Run(ctx, client, queue.ServerOptions{Sites: []string{fleet.DefaultSite}, Slots: d.Slots, Handler: w.Work, Log: log})
}

// killed ends this process as kill -9 does.
func killed() {
	_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
	select {}
}

// A commitWatch kills the process around the commit of a task's end.
type commitWatch struct {
	step  collection.Step
	armed atomic.Bool
}

type commitKey struct{}

// TraceQueryStart is called before a statement is sent.
func (w *commitWatch) TraceQueryStart(ctx context.Context, _ *pgx.Conn, data pgx.TraceQueryStartData) context.Context {
	if !w.armed.Load() || data.SQL != "commit" {
		return ctx
	}
	if w.step == beforeCommit {
		killed()
	}
	return context.WithValue(ctx, commitKey{}, true)
}

// TraceQueryEnd is called when it was answered.
func (w *commitWatch) TraceQueryEnd(ctx context.Context, _ *pgx.Conn, _ pgx.TraceQueryEndData) {
	if ctx.Value(commitKey{}) != nil {
		killed()
	}
}

// doom is a test binary's other life.
func doom(text string) int {
	var d doomed
	err := json.Unmarshal([]byte(text), &d)
	if err == nil {
		err = d.run()
	}
	fmt.Fprintln(os.Stderr, err)
	return 1
}

// start starts the process. The end of the test ends it.
func (d doomed) start(t *testing.T) *exec.Cmd {
	t.Helper()
	text, err := json.Marshal(d)
	if err != nil {
		t.Fatal(err)
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	var said bytes.Buffer
	cmd := exec.Command(self, "-test.run=^$")
	cmd.Env = append(os.Environ(), doomedVariable+"="+string(text))
	cmd.Stderr = &said
	cmd.WaitDelay = time.Second
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		if t.Failed() {
			t.Logf("the doomed worker said:\n%s", said.String())
		}
	})
	return cmd
}
