// Package demo gives an installation in containers something to collect: simulated hosts that are enrolled by way of its
// database and collected by a schedule.
package demo

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/rollcallhq/rollcall/pkg/collection"
	"github.com/rollcallhq/rollcall/pkg/fleet"
	"github.com/rollcallhq/rollcall/pkg/inventory"
	"github.com/rollcallhq/rollcall/pkg/process"
	"github.com/rollcallhq/rollcall/pkg/remote"
	"github.com/rollcallhq/rollcall/pkg/schedule"
	"github.com/rollcallhq/rollcall/pkg/secret"
	"github.com/rollcallhq/rollcall/pkg/simulate"
	"github.com/rollcallhq/rollcall/pkg/store"
	"github.com/rollcallhq/rollcall/pkg/telemetry"
	"github.com/rollcallhq/rollcall/rollcall/internal/enrol"
	"github.com/rollcallhq/rollcall/scheduler/beat"
)

// scheduleName is the name of the schedule by which the demo's hosts are collected, and what they are selected by.
const (
	scheduleName = "demo"
	selector     = "simulated=true"
)

// pollEvery is how often an open collection is looked at.
const pollEvery = 200 * time.Millisecond

// Options say what to serve, and to whom.
type Options struct {
	Hosts     int
	Drift     float64       // share of hosts that change a fact between two collections, from 0 to 1
	Dead      float64       // share of hosts that refuse connections
	Refusing  float64       // share of hosts that let nobody in
	Every     time.Duration // between two collections
	Listen    string        // address and port of the first host
	Advertise string        // where the workers reach the hosts
	Ready     string        // where /readyz answers; it does not say yes before the first collection has ended
	Seals     string        // public keys of the sites, in the form of ROLLCALL_SEAL_KEYS

	Process process.Config
	Log     *slog.Logger
}

// Run serves the hosts until ctx ends. Databases that do not answer yet are waited for.
func Run(ctx context.Context, o Options) error {
	fleetOf, err := simulate.Start(ctx, simulate.Options{
		Hosts: o.Hosts, Seed: 1, Drift: o.Drift, Listen: o.Listen, Advertise: o.Advertise,
		Shares: simulate.Shares{Dead: o.Dead, Auth: o.Refusing},
	})
	if err != nil {
		return fmt.Errorf("starting simulated hosts: %w", err)
	}
	defer func() { _ = fleetOf.Close() }()
	o.Log.InfoContext(ctx, "simulated hosts answer", "hosts", o.Hosts, "addr", o.Advertise)
	collected := make(chan struct{})
	listener, err := process.Listen(ctx, "--ready", o.Ready)
	if err != nil {
		return err
	}
	health := telemetry.NewHealth(o.Log, telemetry.Check{Name: "first collection", Check: func(context.Context) (string, error) {
		select {
		case <-collected:
			return "", nil
		default:
			return "", errors.New("has not ended yet")
		}
	}})
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error {
		return process.ServeHTTP(ctx, listener, telemetry.OpsHandler(telemetry.NewRegistry("demo", ""), health), o.Log)
	})
	g.Go(func() error {
		if err := o.enrol(ctx, fleetOf); err != nil {
			return err
		}
		close(collected)
		<-ctx.Done()
		return nil
	})
	return g.Wait()
}

// enrol makes the hosts and their schedule known, and returns when they have been collected once.
func (o Options) enrol(ctx context.Context, fleetOf *simulate.Fleet) error {
	b, err := process.Open(ctx, o.Process, "demo", o.Log)
	if err != nil {
		return err
	}
	defer b.Close()
	if err := b.PrepareDatabase(ctx); err != nil {
		return err
	}
	seals, err := secret.ParseSealKeys(o.Seals)
	if err != nil {
		return fmt.Errorf("ROLLCALL_SEAL_KEYS: %w", err)
	}
	stock, err := inventory.New(inventory.Config{Store: b.Store, Seals: seals, ValidateKey: remote.ValidatePrivateKey, Log: o.Log})
	if err != nil {
		return err
	}
	if _, err := enrol.Simulated(ctx, b.Store, stock, fleetOf); err != nil {
		return err
	}
	actor, err := onBehalf(ctx, b.Store)
	if err != nil {
		return err
	}
	schedules := schedule.New(beat.Schedules(b.Store, collection.New(collection.Config{Store: b.Store, Queue: b.Queue, Log: o.Log}), o.Log))
	s, err := o.schedule(ctx, b.Store, schedules, actor)
	if err != nil {
		return err
	}
	c, err := schedules.RunNow(ctx, actor, s.ID)
	if err != nil {
		return fmt.Errorf("collecting: %w", err)
	}
	return o.wait(ctx, b.Store, c)
}

// onBehalf returns the system, acting for the first admin who sees all hosts: schedules belong to somebody.
func onBehalf(ctx context.Context, s *store.Store) (fleet.Actor, error) {
	actor := fleet.System()
	page := fleet.Page{}
	for {
		users, next, err := s.Users(ctx, page)
		if err != nil {
			return actor, err
		}
		for _, u := range users {
			if u.Role == fleet.Admin && u.Selector == "" && u.DisabledAt == nil {
				actor.UserID = &u.ID
				return actor, nil
			}
		}
		if page.After = next; next == "" {
			return actor, fleet.Errorf(fleet.Conflict, "there is no admin yet to whom the schedule could belong: start the api first")
		}
	}
}

// schedule returns the demo's schedule, which it makes unless there is one.
func (o Options) schedule(ctx context.Context, s *store.Store, schedules *schedule.Service, actor fleet.Actor) (fleet.Schedule, error) {
	found, _, err := s.Schedules(ctx, fleet.Everything(), store.ScheduleFilter{Name: scheduleName}, fleet.Page{})
	if err != nil {
		return fleet.Schedule{}, err
	}
	if len(found) > 0 {
		return found[0], nil
	}
	made, err := schedules.Add(ctx, actor, fleet.Schedule{
		Name: scheduleName, Cron: "@every " + o.Every.String(), Selector: selector, Priority: fleet.PriorityNormal, Enabled: true,
	})
	if err != nil {
		return made, fmt.Errorf("scheduling: %w", err)
	}
	return made, nil
}

// wait returns when the collection has ended, and logs how.
func (o Options) wait(ctx context.Context, s *store.Store, c fleet.Collection) error {
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	for {
		c, err := s.Collection(ctx, fleet.Everything(), c.ID)
		if err != nil {
			return fmt.Errorf("waiting for the first collection: %w", err)
		}
		if c.State.Ended() {
			o.Log.InfoContext(ctx, "the first collection has ended", "state", c.State, "succeeded", c.Counts.Succeeded, "failed", c.Counts.Failed)
			return nil
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-tick.C:
		}
	}
}
