package command

import (
	"context"
	"fmt"
	"os"
	"time"

	"github.com/rollcallhq/rollcall/pkg/simulate"
)

type simulateCommand struct {
	Hosts      int           `help:"How many hosts." default:"10"`
	Latency    time.Duration `help:"How long each host thinks before it answers." default:"0s"`
	Seed       uint64        `help:"What the hosts' identities follow from." default:"1"`
	Listen     string        `help:"Loopback address of the first host, with or without a port." default:"127.0.0.1"`
	Drift      share         `help:"Share of hosts that change facts between two of their collections, such as 1%." default:"0"`
	DriftFacts int           `help:"How many facts such a host changes at once." default:"1"`
	Password   bool          `help:"Let the user in by password instead of by key."`
	Inventory  string        `help:"Write the inventory for 'hosts import' to this file; - is standard output." placeholder:"FILE"`
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
	})
	if err != nil {
		return usage{err}
	}
	defer func() { _ = simulated.Close() }()
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
