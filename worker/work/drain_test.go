package work_test

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/rollcallhq/rollcall/pkg/collection"
	"github.com/rollcallhq/rollcall/pkg/embedded"
	"github.com/rollcallhq/rollcall/pkg/ephemeral"
	"github.com/rollcallhq/rollcall/pkg/fleet"
	"github.com/rollcallhq/rollcall/pkg/process"
	"github.com/rollcallhq/rollcall/pkg/queue"
	"github.com/rollcallhq/rollcall/pkg/secret"
	"github.com/rollcallhq/rollcall/pkg/simulate"
	"github.com/rollcallhq/rollcall/pkg/store"
	"github.com/rollcallhq/rollcall/pkg/storetest"
	"github.com/rollcallhq/rollcall/worker/work"
)

// patience bounds every wait of a test; none takes that long unless something is wrong.
const patience = 30 * time.Second

// A site is everything that workers work with: databases, hosts and somebody who rings.
type site struct {
	*store.Store
	t      *testing.T
	pool   *pgxpool.Pool
	fleet  *simulate.Fleet
	queue  *queue.Queue
	config work.Config
	log    *slog.Logger
}

func newSite(t *testing.T, hosts int) *site {
	t.Helper()
	redis, err := embedded.RedisForTests(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = redis.Stop(context.WithoutCancel(t.Context())) })
	seal, open, err := secret.GenerateKeyPair(fleet.DefaultSite)
	if err != nil {
		t.Fatal(err)
	}
	s := &site{t: t, log: slog.New(slog.DiscardHandler), config: work.Config{
		Version: "test", OpenKeys: open, Sites: []string{fleet.DefaultSite}, Concurrency: 20,
		Process: process.Config{DatabaseURL: storetest.Database(t), Migrate: process.MigrateWait, RedisURL: redis.URL(), RedisPool: 50},
	}}
	if s.pool, err = store.OpenPool(t.Context(), s.config.Process.DatabaseURL, store.Options{}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.pool.Close)
	s.Store = store.New(s.pool)
	client, err := ephemeral.Open(redis.URL(), ephemeral.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = client.Close() })
	s.queue = queue.New(client)
	if s.fleet, err = simulate.Start(t.Context(), simulate.Options{Hosts: hosts, Latency: time.Hour}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.fleet.Close() })
	s.addHosts(seal)
	return s
}

func (s *site) addHosts(seal string) {
	s.t.Helper()
	keys, err := secret.ParseSealKeys(seal)
	if err != nil {
		s.t.Fatal(err)
	}
	id := fleet.NewID()
	keyID, sealed, err := keys.Seal(fleet.DefaultSite, id, secret.Credential{PrivateKey: s.fleet.PrivateKey()}.Encode())
	if err != nil {
		s.t.Fatal(err)
	}
	err = s.InTx(s.t.Context(), func(tx *store.Store) error {
		err := tx.AddCredential(s.t.Context(), fleet.Credential{ID: id, Name: "sim", Kind: fleet.CredentialPrivateKey, Username: simulate.User},
			[]fleet.Seal{{Site: fleet.DefaultSite, KeyID: keyID, Sealed: sealed}})
		for _, sim := range s.fleet.Hosts() {
			_, added := tx.AddHost(s.t.Context(), fleet.Host{
				ID: fleet.NewID(), Name: sim.Name, Address: sim.Address, Port: sim.Port, Site: fleet.DefaultSite,
				Connection: fleet.ConnectionSSH, Enabled: true, CredentialID: &id,
			})
			err = errors.Join(err, added)
		}
		return err
	})
	if err != nil {
		s.t.Fatal(err)
	}
}

// start runs f until the returned function is called, which waits for it, or until the end of the test.
func (s *site) start(f func(context.Context) error) (stop func()) {
	s.t.Helper()
	ctx, cancel := context.WithCancel(s.t.Context())
	var running sync.WaitGroup
	running.Go(func() {
		if err := f(ctx); err != nil && !errors.Is(err, context.Canceled) {
			s.t.Errorf("in the background: %v", err)
		}
	})
	stop = func() { cancel(); running.Wait() }
	s.t.Cleanup(stop)
	return stop
}

// worker starts a worker process as its binary does.
func (s *site) worker(drain time.Duration) (stop func()) {
	s.t.Helper()
	c := s.config
	c.Drain = drain
	return s.start(func(ctx context.Context) error { return work.Run(ctx, c, s.log) })
}

func (s *site) count(sql string) int {
	s.t.Helper()
	var n int
	if err := s.pool.QueryRow(s.t.Context(), sql).Scan(&n); err != nil {
		s.t.Fatal(err)
	}
	return n
}

func (s *site) eventually(what string, ok func() bool) {
	s.t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(patience)
	for !ok() {
		select {
		case <-tick.C:
		case <-deadline:
			s.t.Fatalf("waited in vain: %s", what)
		}
	}
}

// TestAStoppingWorkerDrainsWithinItsLimitAndHandsTheRestOn stops a worker with hosts that answer in time and hosts that
// do not: it finishes the first, and a second worker has the others at once, as if nobody had tried them.
func TestAStoppingWorkerDrainsWithinItsLimitAndHandsTheRestOn(t *testing.T) {
	t.Parallel()
	const hosts, slow = 12, 6
	s := newSite(t, hosts)
	for _, h := range s.fleet.Hosts()[slow:] { // the others would take an hour
		if err := s.fleet.Set(h.Name, simulate.Behaviour{Latency: 3 * time.Second}); err != nil {
			t.Fatal(err)
		}
	}
	sweeper := collection.NewSweeper(s.Store, s.queue, s.log, nil)
	s.start(sweeper.Relay)
	s.start(sweeper.Sweep)
	const drain = 4 * time.Second
	stop := s.worker(drain)
	service := collection.New(collection.Config{Store: s.Store, Queue: s.queue, Log: s.log})
	if _, err := service.Trigger(t.Context(), fleet.System(), collection.Request{Selector: "*", ReportTypes: []string{"os"}, Deadline: 10 * time.Minute}); err != nil {
		t.Fatal(err)
	}
	s.eventually("a command under way on every host", func() bool {
		return !slices.ContainsFunc(s.fleet.Hosts(), func(h simulate.Host) bool { return h.Runs != 1 })
	})
	for _, h := range s.fleet.Hosts()[:slow] { // the next command is answered at once
		if err := s.fleet.Set(h.Name, simulate.Behaviour{}); err != nil {
			t.Fatal(err)
		}
	}
	s.worker(drain)
	s.eventually("the second worker being there", func() bool { return s.count("select count(*) from workers") == 2 })
	began := time.Now()
	stop()
	stopped := time.Since(began)
	if done := s.count("select count(*) from task_history where state = 'succeeded' and attempts = 1 and epoch = 1"); done != hosts-slow {
		t.Errorf("%d tasks were finished while the worker drained, want %d", done, hosts-slow)
	}
	s.eventually("the end of the rest", func() bool { return s.count("select count(*) from task_history") == hosts })
	if again := s.count("select count(*) from task_history where state = 'succeeded' and attempts = 1 and epoch = 2"); again != slow {
		t.Errorf("%d tasks were finished by the second worker at its first attempt, want %d", again, slow)
	}
	t.Logf("the worker had left after %s, and the others were done %s after that", stopped, time.Since(began)-stopped)
	if stopped < drain || stopped > drain+5*time.Second {
		t.Errorf("stopping took %s with a drain of %s", stopped, drain)
	}
	if took := time.Since(began) - stopped; took > 20*time.Second { // a second; a busy machine adds to it
		t.Errorf("the others were done only %s later", took)
	}
	for _, h := range s.fleet.Hosts() {
		if h.Executions != 1 {
			t.Errorf("%s ran %d scripts to their answer, want one", h.Name, h.Executions)
		}
	}
}
