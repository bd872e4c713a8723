package simulate

import (
	"time"

	"github.com/rollcallhq/rollcall/pkg/fleet"
)

// A Behaviour is how a host answers. The zero value answers at once and truly.
type Behaviour struct {
	Latency time.Duration // from the command to its answer; at most one day

	Fault Fault // what is wrong with the host; empty is nothing

	// DripEvery is the time between two bytes of a host with FaultDrip. 0 means one second.
	DripEvery time.Duration

	// Noise lets a login greet on standard output before any command runs, as a noisy profile does.
	Noise bool

	// Key says which of its host keys the host shows. 0 is the one that Host.Fingerprint is of, and any other number
	// another key.
	Key int

	// NextKeyAfter is after how many executions the host shows the key after Key, as a machine that was installed
	// anew. 0 means never.
	NextKeyAfter int64

	// MaxStartups limits connections that have not logged in. The zero value does not.
	MaxStartups Startups
}

// A Fault is what is wrong with a host. A host has one at most.
type Fault string

// The faults of hosts.
const (
	FaultDead             Fault = "dead"               // nobody listens: connections are refused
	FaultMute             Fault = "mute"               // connections are accepted, and nothing is ever said
	FaultHang             Fault = "hang"               // a login succeeds, and no command ever begins
	FaultResetAtAccept    Fault = "reset_at_accept"    // TCP connections are reset at once
	FaultResetInHandshake Fault = "reset_in_handshake" // they are reset when the client has begun the key exchange
	FaultResetInAnswer    Fault = "reset_in_answer"    // they are reset when half of the answer is sent
	FaultDrip             Fault = "drip"               // answers come a byte now and then
	FaultEndless          Fault = "endless"            // answers begin well and then go on until the client ends them
	FaultAuth             Fault = "auth"               // nobody is let in
)

func (f Fault) known() bool {
	switch f {
	case "", FaultDead, FaultMute, FaultHang, FaultResetAtAccept, FaultResetInHandshake, FaultResetInAnswer, FaultDrip,
		FaultEndless, FaultAuth:
		return true
	default:
		return false
	}
}

const maxWait = 24 * time.Hour

// check refuses what no host can do.
func (b Behaviour) check() error {
	switch {
	case b.Latency < 0:
		return fleet.InvalidField("latency", "must not be negative")
	case b.Latency > maxWait:
		return fleet.InvalidField("latency", "must not be more than %v", maxWait)
	case !b.Fault.known():
		return fleet.InvalidField("fault", "is none that a simulated host knows")
	case b.DripEvery < 0 || b.DripEvery > maxWait:
		return fleet.InvalidField("drip_every", "must be from 0 to %v", maxWait)
	case b.Key < 0:
		return fleet.InvalidField("key", "must not be negative")
	case b.NextKeyAfter < 0:
		return fleet.InvalidField("next_key_after", "must not be negative")
	}
	return b.MaxStartups.check()
}

// keyAt returns which key the host shows after so many executions.
func (b Behaviour) keyAt(executions int64) int {
	if b.NextKeyAfter > 0 && executions >= b.NextKeyAfter {
		return b.Key + 1
	}
	return b.Key
}
