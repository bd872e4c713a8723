package command

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"time"

	"github.com/rollcallhq/rollcall/pkg/simulate"
)

type simulateCommand struct {
	Hosts      int           `help:"How many hosts." default:"10"`
	Latency    time.Duration `help:"How long each host thinks before it answers." default:"0s"`
	Seed       uint64        `help:"What the hosts' identities follow from, and which of them misbehave." default:"1"`
	Listen     string        `help:"Loopback address of the first host, with or without a port." default:"127.0.0.1"`
	Drift      share         `help:"Share of hosts that change facts between two of their collections, such as 1%." default:"0"`
	DriftFacts int           `help:"How many facts such a host changes at once." default:"1"`
	Password   bool          `help:"Let the user in by password instead of by key."`
	Inventory  string        `help:"Write the inventory for 'hosts import' to this file; - is standard output." placeholder:"FILE"`
	Counts     string        `help:"Serve the hosts' own counts of connections and executions over HTTP at this loopback address, as NDJSON." placeholder:"127.0.0.1:9190"`

	Misbehaviour misbehaviour `embed:""`
}

// misbehaviour is how simulated hosts misbehave.
type misbehaviour struct {
	Dead             share `help:"Share of hosts that refuse connections." default:"0" group:"Misbehaviour"`
	Mute             share `help:"Share of hosts that accept connections and say nothing." default:"0" group:"Misbehaviour"`
	Hang             share `help:"Share of hosts that let the user in and never answer." default:"0" group:"Misbehaviour"`
	ResetAtAccept    share `help:"Share of hosts that reset connections at once." default:"0" group:"Misbehaviour"`
	ResetInHandshake share `help:"Share of hosts that reset connections in the key exchange." default:"0" group:"Misbehaviour"`
	ResetInAnswer    share `help:"Share of hosts that reset connections in mid-answer." default:"0" group:"Misbehaviour"`
	SlowDrip         share `help:"Share of hosts that answer a byte now and then." default:"0" group:"Misbehaviour"`
	Endless          share `help:"Share of hosts whose answer never ends." default:"0" group:"Misbehaviour"`
	AuthFailure      share `help:"Share of hosts that let nobody in." default:"0" group:"Misbehaviour"`
	BannerNoise      share `help:"Share of hosts whose profile greets before it answers." default:"0" group:"Misbehaviour"`
	WrongKey         share `help:"Share of hosts that show another host key after their first collection." default:"0" group:"Misbehaviour"`

	DripEvery   time.Duration     `help:"Time between two bytes of a slow drip." default:"1s" group:"Misbehaviour"`
	MaxStartups simulate.Startups `help:"Let every host drop connections that have not logged in, as sshd does with this." placeholder:"10:30:100" group:"Misbehaviour"`
}

func (m misbehaviour) shares() simulate.Shares {
	return simulate.Shares{
		Dead: float64(m.Dead), Mute: float64(m.Mute), Hang: float64(m.Hang),
		ResetAtAccept: float64(m.ResetAtAccept), ResetInHandshake: float64(m.ResetInHandshake), ResetInAnswer: float64(m.ResetInAnswer),
		Drip: float64(m.SlowDrip), Endless: float64(m.Endless), Auth: float64(m.AuthFailure),
		Noise: float64(m.BannerNoise), WrongKey: float64(m.WrongKey),
	}
}

// Help is what --help adds.
func (simulateCommand) Help() string {
	return `Each host has a port, a host key and facts of its own. They execute nothing, and last until Ctrl-C.

  rollcall simulate --hosts 20 --inventory hosts.ndjson        and then: rollcall hosts import hosts.ndjson
  rollcall simulate --hosts 1000 --latency 200ms --drift 1%    slow hosts, of which ten change between two collections
  rollcall simulate --hosts 1000 --dead 2% --mute 1%           twenty refuse connections, ten others say nothing
  rollcall simulate --banner-noise 100% --max-startups 2:50:5  greetings everywhere, and few logins at once
  rollcall simulate --hosts 50 --wrong-key 4%                  two show another key when they are collected again

No host misbehaves in two ways, so the shares must not add up to more than all hosts. A share is rounded to whole hosts,
but is one host at least. The same seed and number of hosts make the same hosts misbehave.`
}

// Run serves simulated hosts until the program is told to stop.
func (c simulateCommand) Run(ctx context.Context, in Invocation) error {
	login := simulate.LoginByKey
	if c.Password {
		login = simulate.LoginByPassword
	}
	simulated, err := simulate.Start(ctx, simulate.Options{
		Hosts: c.Hosts, Latency: c.Latency, Seed: c.Seed, Listen: c.Listen, Login: login,
		Drift: float64(c.Drift), DriftFacts: c.DriftFacts,
		Shares: c.Misbehaviour.shares(), DripEvery: c.Misbehaviour.DripEvery, MaxStartups: c.Misbehaviour.MaxStartups,
	})
	if err != nil {
		return usage{err}
	}
	defer func() { _ = simulated.Close() }()
	stop, err := c.serveCounts(ctx, in, simulated)
	if err != nil {
		return err
	}
	defer stop()
	if err := c.writeInventory(in, simulated); err != nil {
		return err
	}
	_, _ = fmt.Fprintf(in.Stderr, "%d simulated hosts answer on loopback; Ctrl-C ends them.\n", c.Hosts)
	if c.Inventory != "" && c.Inventory != "-" {
		_, _ = fmt.Fprintf(in.Stderr, "Import them: rollcall hosts import %s\n", c.Inventory)
	}
	<-ctx.Done()
	return nil
}

// serveCounts serves the counts of the hosts where it is asked to, until it is told to stop.
func (c simulateCommand) serveCounts(ctx context.Context, in Invocation, simulated *simulate.Fleet) (stop func(), err error) {
	if c.Counts == "" {
		return func() {}, nil
	}
	address, err := net.ResolveTCPAddr("tcp", c.Counts)
	if err != nil || !address.IP.IsLoopback() {
		return nil, usage{errCounts}
	}
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", address.String())
	if err != nil {
		return nil, fmt.Errorf("serving the counts: %w", err)
	}
	server := &http.Server{Handler: simulated.Counts(), ReadHeaderTimeout: 10 * time.Second}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = server.Serve(listener) // until it is closed
	}()
	_, _ = fmt.Fprintf(in.Stderr, "Their counts are at http://%s/.\n", listener.Addr())
	return func() { _ = server.Close(); <-done }, nil
}

var errCounts = errors.New("--counts takes a loopback address with a port, such as 127.0.0.1:9190")

// writeInventory writes the inventory whole or not at all: whoever waits for the file finds all of it.
func (c simulateCommand) writeInventory(in Invocation, simulated *simulate.Fleet) error {
	switch c.Inventory {
	case "":
		return nil
	case "-":
		return simulated.WriteInventory(in.Stdout)
	}
	part := c.Inventory + ".part"
	f, err := os.OpenFile(part, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600) //nolint:gosec // the user named it; it holds a private key
	if err != nil {
		return fmt.Errorf("writing the inventory: %w", err)
	}
	err = simulated.WriteInventory(f)
	if closed := f.Close(); err == nil {
		err = closed
	}
	if err == nil {
		err = os.Rename(part, c.Inventory)
	}
	if err != nil {
		_ = os.Remove(part)
		return fmt.Errorf("writing the inventory: %w", err)
	}
	return nil
}
