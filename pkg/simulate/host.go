package simulate

import (
	"cmp"
	"context"
	"crypto/ed25519"
	"encoding/hex"
	"fmt"
	"maps"
	"net"
	"sync/atomic"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/rollcallhq/rollcall/pkg/fleet"
)

// namePrefix is what the names of all hosts begin with; the number of the host follows, counted from 1.
const namePrefix = "sim-"

// A host is one simulated host. Its facts follow from what never changes in it and from the count of its executions.
type host struct {
	number      int
	seed        uint64
	name        string
	random      []byte // 32 bytes that its facts follow from
	fingerprint string // of its first key
	labels      map[string]string
	drift       drift
	address     *net.TCPAddr // where it listens
	advertised  string       // where others reach it; empty: there

	behaviour   atomic.Pointer[Behaviour]
	startups    atomic.Int64 // connections that have not logged in
	connections atomic.Int64
	executions  atomic.Int64
	runs        runs

	port // what it has of its address; only the fleet changes it
}

// newHost makes a host and lets it listen, also if it is to be dead: its port is the one that it got.
func newHost(ctx context.Context, o Options, number int, places places, behaviour Behaviour) (*host, error) {
	if o.Behave != nil {
		behaviour = o.Behave(number, behaviour)
	}
	if err := behaviour.check(); err != nil {
		return nil, err
	}
	h := &host{
		number: number, seed: o.Seed, name: fmt.Sprintf(namePrefix+"%04d", number+1), random: derive(o.Seed, "facts", number),
		drift: newDrift(o, number), address: places.of(number), advertised: o.Advertise,
	}
	h.behaviour.Store(&behaviour)
	signer, err := h.signer(0)
	if err != nil {
		return nil, err
	}
	h.fingerprint = ssh.FingerprintSHA256(signer.PublicKey())
	h.labels = map[string]string{
		"simulated": "true",
		"env":       pick(h.random[0], "prod", "prod", "prod", "staging"),
		"role":      pick(h.random[1], "web", "web", "db", "cache", "worker"),
	}
	if err := h.listen(ctx); err != nil {
		return nil, fleet.Wrap(err, fleet.Unavailable, "simulated host %d of %d cannot listen on %s", number+1, o.Hosts, h.address)
	}
	return h, nil
}

// signer returns the host key of that number.
func (h *host) signer(key int) (ssh.Signer, error) {
	purpose := "host key"
	if key > 0 {
		purpose = fmt.Sprintf("host key %d", key)
	}
	signer, err := ssh.NewSignerFromKey(ed25519.NewKeyFromSeed(derive(h.seed, purpose, h.number)))
	if err != nil {
		return nil, fmt.Errorf("making a simulated host key: %w", err)
	}
	return signer, nil
}

func pick[T any](by byte, choices ...T) T { return choices[int(by)%len(choices)] }

func (h *host) view() Host {
	executions := h.executions.Load()
	return Host{
		Name: h.name, Address: cmp.Or(h.advertised, h.address.IP.String()), Port: h.address.Port, MachineID: h.machineID(),
		Fingerprint: h.fingerprint, Labels: maps.Clone(h.labels), Executions: executions, Runs: h.runs.count(), Drifts: h.drift.count(executions),
		Connections: h.connections.Load(), Behaviour: *h.behaviour.Load(),
	}
}

func (h *host) machineID() string { return hex.EncodeToString(h.random[16:32]) }

// bootedAt is when the host was started, by its own account. It follows from the seed, so that a restart of the
// simulation is not a reboot of the fleet.
func (h *host) bootedAt() time.Time {
	const day = 24 * time.Hour
	return time.Date(2026, 1, 9, 10, 0, 0, 0, time.UTC).Add(-time.Duration(h.random[2])*day - time.Duration(h.random[3])*time.Minute)
}
