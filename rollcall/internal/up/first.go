package up

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/rollcallhq/rollcall/pkg/collection"
	"github.com/rollcallhq/rollcall/pkg/fleet"
	"github.com/rollcallhq/rollcall/pkg/inventory"
	"github.com/rollcallhq/rollcall/pkg/process"
	"github.com/rollcallhq/rollcall/pkg/remote"
	"github.com/rollcallhq/rollcall/pkg/secret"
	"github.com/rollcallhq/rollcall/pkg/simulate"
	"github.com/rollcallhq/rollcall/rollcall/internal/enrol"
)

// localhost is the name of the host that stands for this machine.
const localhost = "localhost"

// main registers this machine and the simulated hosts, collects from them, prints what was learned, and unless Once
// is set serves on until ctx ends.
func (u *run) main(ctx context.Context) error {
	select {
	case <-u.listening:
	case <-ctx.Done():
		return nil
	}
	b, err := process.Open(ctx, u.config("up"), "up", u.log)
	if err != nil {
		return err
	}
	defer b.Close()
	if err := b.PrepareDatabase(ctx); err != nil {
		return err
	}
	if err := u.lock.Announce(u.url()); err != nil {
		return err
	}
	seals, err := secret.ParseSealKeys(u.keys.Seal)
	if err != nil {
		return err
	}
	stock, err := inventory.New(inventory.Config{Store: b.Store, Seals: seals, ValidateKey: remote.ValidatePrivateKey, Log: u.log})
	if err != nil {
		return err
	}
	hosts, err := u.register(ctx, b, stock)
	if err != nil {
		return err
	}
	if u.Simulate > 0 {
		simulated, err := u.simulate(ctx, b, stock)
		if err != nil {
			return err
		}
		defer func() { _ = simulated.fleet.Close() }()
		hosts = append(hosts, simulated.hosts...)
	}
	c, err := u.collect(ctx, b, hosts)
	if err != nil {
		return err
	}
	select {
	case <-u.serving:
	case <-ctx.Done():
		return nil
	}
	if err := u.print(ctx, b, c, hosts); err != nil {
		return err
	}
	if u.Once {
		return outcome(c)
	}
	<-ctx.Done()
	return nil
}

// outcome is an error unless something was stored of every host.
func outcome(c fleet.Collection) error {
	if c.State == fleet.CollectionSucceeded || c.State == fleet.CollectionPartial && c.Counts.Failed == 0 {
		return nil
	}
	return fmt.Errorf("the collection %s: %d of %d hosts failed (%v)", c.State, c.Counts.Failed, c.Counts.Total, c.Errors)
}

// register makes sure that this machine is a host.
func (u *run) register(ctx context.Context, b *process.Backends, stock *inventory.Service) ([]uuid.UUID, error) {
	h, err := b.Store.HostByName(ctx, fleet.Everything(), localhost)
	if fleet.KindOf(err) == fleet.NotFound {
		h, err = stock.AddHost(ctx, fleet.System(), fleet.Host{
			Name: localhost, Address: localhost, Port: 22, Site: fleet.DefaultSite, Connection: fleet.ConnectionLocal, Enabled: true,
		})
	}
	if err != nil {
		return nil, fmt.Errorf("registering this machine: %w", err)
	}
	return []uuid.UUID{h.ID}, nil
}

// A simulation is a running simulated fleet and the hosts that stand for it.
type simulation struct {
	fleet *simulate.Fleet
	hosts []uuid.UUID
}

// simulate starts the simulated hosts and enrols them.
func (u *run) simulate(ctx context.Context, b *process.Backends, stock *inventory.Service) (*simulation, error) {
	started, err := simulate.Start(ctx, simulate.Options{Hosts: u.Simulate, Seed: 1, Drift: u.Drift})
	if err != nil {
		return nil, fmt.Errorf("starting simulated hosts: %w", err)
	}
	hosts, err := enrol.Simulated(ctx, b.Store, stock, started)
	if err != nil {
		_ = started.Close()
		return nil, err
	}
	return &simulation{fleet: started, hosts: hosts}, nil
}

// pollEvery is how often an open collection is looked at.
const pollEvery = 50 * time.Millisecond

// collect collects from the hosts and returns the ended collection.
func (u *run) collect(ctx context.Context, b *process.Backends, hosts []uuid.UUID) (fleet.Collection, error) {
	service := collection.New(collection.Config{Store: b.Store, Queue: b.Queue, Log: u.log})
	r := collection.Request{HostIDs: hosts, Priority: fleet.PriorityInteractive}
	if len(hosts) > fleet.MaxInteractiveHosts {
		r.Priority = fleet.PriorityNormal
	}
	triggered, err := service.Trigger(ctx, fleet.System(), r)
	if err != nil {
		return fleet.Collection{}, fmt.Errorf("collecting: %w", err)
	}
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	for {
		c, err := b.Store.Collection(ctx, fleet.Everything(), triggered.Collection.ID)
		if err != nil {
			return c, fmt.Errorf("waiting for the collection: %w", err)
		}
		if c.State.Ended() {
			return c, nil
		}
		select {
		case <-ctx.Done():
			return c, fmt.Errorf("waiting for the collection: %w", context.Cause(ctx))
		case <-tick.C:
		}
	}
}
