package bench_test

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/redis/go-redis/v9"
	"golang.org/x/sync/errgroup"

	"github.com/rollcallhq/rollcall/pkg/collection"
	"github.com/rollcallhq/rollcall/pkg/collector"
	"github.com/rollcallhq/rollcall/pkg/embedded"
	"github.com/rollcallhq/rollcall/pkg/ephemeral"
	"github.com/rollcallhq/rollcall/pkg/fleet"
	"github.com/rollcallhq/rollcall/pkg/inventory"
	"github.com/rollcallhq/rollcall/pkg/queue"
	"github.com/rollcallhq/rollcall/pkg/remote"
	"github.com/rollcallhq/rollcall/pkg/secret"
	"github.com/rollcallhq/rollcall/pkg/simulate"
	"github.com/rollcallhq/rollcall/pkg/store"
	"github.com/rollcallhq/rollcall/pkg/storetest"
)

const (
	hosts  = 200
	atOnce = 64
)

// BenchmarkHosts collects all built-in types from simulated hosts in this process. "bare" dials, runs the same script
// and reads the same bytes, and does nothing else; "road" is everything: trigger, queue, claim, host key, credential,
// script, parsing, and the transaction that stores the reports. Compare their hosts/s.
func BenchmarkHosts(b *testing.B) {
	simulated, err := simulate.Start(b.Context(), simulate.Options{Hosts: hosts, Seed: 1})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = simulated.Close() })
	b.Run("bare", func(b *testing.B) {
		for b.Loop() {
			bare(b, simulated)
		}
		perSecond(b)
	})
	b.Run("road", func(b *testing.B) {
		road := newRoad(b, simulated)
		road.sweep(b) // the first one stores what later ones find unchanged
		for b.Loop() {
			road.sweep(b)
		}
		perSecond(b)
	})
}

func perSecond(b *testing.B) {
	b.Helper()
	b.ReportMetric(float64(hosts*b.N)/b.Elapsed().Seconds(), "hosts/s")
}

func bare(b *testing.B, simulated *simulate.Fleet) {
	b.Helper()
	g, ctx := errgroup.WithContext(b.Context())
	g.SetLimit(atOnce)
	for _, h := range simulated.Hosts() {
		g.Go(func() error {
			c, err := remote.Dial(ctx, remote.Target{
				Address: h.Address, Port: h.Port, Verify: func(context.Context, remote.Key) error { return nil },
				Credential: remote.Credential{Kind: remote.KindPrivateKey, Username: simulate.User, PrivateKey: simulated.PrivateKey()},
			})
			if err != nil {
				return err
			}
			defer func() { _ = c.Close() }()
			plan, err := collector.NewPlan([]string{"os", "cpu", "memory", "disks", "network"}, collector.Options{})
			if err != nil {
				return err
			}
			output, err := c.Run(ctx, plan.Command(), plan.Script(), remote.RunOptions{MaxStdout: plan.MaxOutput()})
			if err == nil && len(output.Stdout) == 0 {
				err = fmt.Errorf("%s said nothing", h.Name)
			}
			return err
		})
	}
	if err := g.Wait(); err != nil {
		b.Fatal(err)
	}
}

// A road is one of each process's working part, in this process, on databases of its own.
type road struct {
	store       *store.Store
	collections *collection.Service
}

// openRedis returns a client of a Redis of the benchmark's own.
func openRedis(b *testing.B) redis.UniversalClient {
	b.Helper()
	server, err := embedded.RedisForTests(b.Context())
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = server.Stop(context.WithoutCancel(b.Context())) })
	client, err := ephemeral.Open(server.URL(), ephemeral.Options{})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = client.Close() })
	return client
}

func newRoad(b *testing.B, simulated *simulate.Fleet) *road {
	b.Helper()
	log := slog.New(slog.DiscardHandler)
	s, _ := storetest.Pool(b)
	client := openRedis(b)
	keys := importInto(b, s, simulated)
	q := queue.New(client)
	worker := collection.NewWorker(collection.WorkerConfig{
		Store: s, Keys: keys, Log: log,
		Self: fleet.Worker{ID: fleet.NewID(), Host: "bench", Version: "bench", Sites: []string{fleet.DefaultSite}, Slots: atOnce},
	})
	ctx, stop := context.WithCancel(b.Context())
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return worker.Run(ctx) })
	g.Go(func() error {
		return queue.Run(ctx, client, queue.ServerOptions{Sites: []string{fleet.DefaultSite}, Slots: atOnce, Handler: worker.Work, Log: log})
	})
	g.Go(func() error { return collection.NewSweeper(s, q, log, nil).Relay(ctx) })
	b.Cleanup(func() {
		stop()
		if err := g.Wait(); err != nil {
			b.Log(err)
		}
	})
	return &road{store: s, collections: collection.New(collection.Config{Store: s, Queue: q, Log: log})}
}

// importInto stores the simulated hosts and returns the keys that open their credential.
func importInto(b *testing.B, s *store.Store, simulated *simulate.Fleet) *secret.OpenKeys {
	b.Helper()
	seal, open, err := secret.GenerateKeyPair(fleet.DefaultSite)
	if err != nil {
		b.Fatal(err)
	}
	seals, err := secret.ParseSealKeys(seal)
	if err != nil {
		b.Fatal(err)
	}
	keys, err := secret.ParseOpenKeys(open)
	if err != nil {
		b.Fatal(err)
	}
	stock, err := inventory.New(inventory.Config{Store: s, Seals: seals, ValidateKey: remote.ValidatePrivateKey})
	if err != nil {
		b.Fatal(err)
	}
	var list bytes.Buffer
	if err := simulated.WriteInventory(&list); err != nil {
		b.Fatal(err)
	}
	summary, err := stock.Import(b.Context(), fleet.System(), "ndjson", false, &list, func(inventory.Outcome) {})
	if err != nil || summary.Created != hosts {
		b.Fatalf("import = %+v, %v", summary, err)
	}
	return keys
}

// sweep collects from all hosts and waits until the last report is stored.
func (r *road) sweep(b *testing.B) {
	b.Helper()
	triggered, err := r.collections.Trigger(b.Context(), fleet.System(), collection.Request{Selector: "*"})
	if err != nil {
		b.Fatal(err)
	}
	c := r.await(b, triggered.Collection.ID)
	if c.State != fleet.CollectionSucceeded {
		b.Fatalf("the collection %s: %+v %v", c.State, c.Counts, c.Errors)
	}
}

func (r *road) await(b *testing.B, id uuid.UUID) fleet.Collection {
	b.Helper()
	tick := time.NewTicker(25 * time.Millisecond)
	defer tick.Stop()
	for {
		c, err := r.store.Collection(b.Context(), fleet.Everything(), id)
		if err != nil {
			b.Fatal(err)
		}
		if c.State.Ended() {
			return c
		}
		select {
		case <-b.Context().Done():
			b.Fatal(context.Cause(b.Context()))
		case <-tick.C:
		}
	}
}
