package store_test

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/rollcallhq/rollcall/pkg/fleet"
	"github.com/rollcallhq/rollcall/pkg/store"
	"github.com/rollcallhq/rollcall/pkg/storetest"
)

// A freezer stops a session when its first batch has been answered, as a process is that is stopped at that moment.
type freezer struct {
	once   sync.Once
	frozen chan struct{} // closed when it has stopped
	thaw   chan struct{} // closed to let it go on
}

func (*freezer) TraceQueryStart(ctx context.Context, _ *pgx.Conn, _ pgx.TraceQueryStartData) context.Context {
	return ctx
}

func (*freezer) TraceQueryEnd(context.Context, *pgx.Conn, pgx.TraceQueryEndData) {}

func (*freezer) TraceBatchStart(ctx context.Context, _ *pgx.Conn, _ pgx.TraceBatchStartData) context.Context {
	return ctx
}

func (*freezer) TraceBatchQuery(context.Context, *pgx.Conn, pgx.TraceBatchQueryData) {}

func (f *freezer) TraceBatchEnd(context.Context, *pgx.Conn, pgx.TraceBatchEndData) {
	f.once.Do(func() {
		close(f.frozen)
		<-f.thaw
	})
}

func TestAWorkerFrozenInAnEndHoldsNobodyUp(t *testing.T) {
	t.Parallel()
	url := storetest.Database(t)
	config, err := pgxpool.ParseConfig(url)
	if err != nil {
		t.Fatal(err)
	}
	cold := &freezer{frozen: make(chan struct{}), thaw: make(chan struct{})}
	config.ConnConfig.Tracer = cold
	icy, err := pgxpool.NewWithConfig(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(icy.Close)
	warm, err := store.OpenPool(t.Context(), url, store.Options{Name: "test"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(warm.Close)
	s := store.New(warm)
	addHost(t, s, "a")
	addHost(t, s, "b")
	_, messages := collect(t, s)
	first, second := aWorker(t, s), aWorker(t, s)
	same := finding("os", `{"v":1}`, "") // of both hosts
	frozen := ending(claim(t, s, messages[0], first.ID), fleet.TaskSucceeded, same)
	lively := ending(claim(t, s, messages[1], second.ID), fleet.TaskSucceeded, same)

	ended := make(chan error, 1)
	go func() {
		_, err := store.New(icy).EndTask(context.WithoutCancel(t.Context()), frozen)
		ended <- err
	}()
	<-cold.frozen
	ctx, cancel := context.WithTimeout(t.Context(), 9*time.Second) // less than the default ROLLCALL_DB_LOCK_TIMEOUT
	defer cancel()
	held, err := s.EndTask(ctx, lively)
	close(cold.thaw)
	if err != nil || !held {
		t.Errorf("beside a frozen worker a task ends as %v, %v", held, err)
	}
	if err := <-ended; fleet.KindOf(err) != fleet.Unavailable {
		t.Errorf("the frozen worker is told %v, want that the database does not answer", err)
	}
	end(t, s, frozen) // once more, as it still holds the lease
}
