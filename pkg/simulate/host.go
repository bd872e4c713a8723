package simulate

import (
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

// A host is one simulated host. Nothing in it changes but the counter, and its facts follow from that.
type host struct {
	number      int
	name        string
	random      []byte // 32 bytes that its facts follow from
	signer      ssh.Signer
	fingerprint string
	labels      map[string]string
	behaviour   Behaviour
	drift       drift
	listener    net.Listener
	executions  atomic.Int64
}

// newHost makes a host and lets it listen.
func newHost(ctx context.Context, o Options, number int, places places) (*host, error) {
	signer, err := ssh.NewSignerFromKey(ed25519.NewKeyFromSeed(derive(o.Seed, "host key", number)))
	if err != nil {
		return nil, fmt.Errorf("making a simulated host key: %w", err)
	}
	h := &host{
		number: number, name: fmt.Sprintf(namePrefix+"%04d", number+1), random: derive(o.Seed, "facts", number),
		signer: signer, fingerprint: ssh.FingerprintSHA256(signer.PublicKey()),
		behaviour: Behaviour{Latency: o.Latency}, drift: newDrift(o, number),
	}
	h.labels = map[string]string{
		"simulated": "true",
		"env":       pick(h.random[0], "prod", "prod", "prod", "staging"),
		"role":      pick(h.random[1], "web", "web", "db", "cache", "worker"),
	}
	if o.Behave != nil {
		h.behaviour = o.Behave(number, h.behaviour)
	}
	address := places.of(number)
	h.listener, err = (&net.ListenConfig{}).Listen(ctx, "tcp4", address.String())
	if err != nil {
		return nil, fleet.Wrap(err, fleet.Unavailable, "simulated host %d of %d cannot listen on %s", number+1, o.Hosts, address)
	}
	return h, nil
}

func pick[T any](by byte, choices ...T) T { return choices[int(by)%len(choices)] }

func (h *host) view() Host {
	address, _ := h.listener.Addr().(*net.TCPAddr) // it is one: we listen on tcp4
	executions := h.executions.Load()
	return Host{
		Name: h.name, Address: address.IP.String(), Port: address.Port, MachineID: h.machineID(),
		Fingerprint: h.fingerprint, Labels: maps.Clone(h.labels), Executions: executions, Drifts: h.drift.count(executions),
	}
}

func (h *host) machineID() string { return hex.EncodeToString(h.random[16:32]) }

// bootedAt is when the host was started, by its own account. It follows from the seed, so that a restart of the
// simulation is not a reboot of the fleet.
func (h *host) bootedAt() time.Time {
	const day = 24 * time.Hour
	return time.Date(2026, 1, 9, 10, 0, 0, 0, time.UTC).Add(-time.Duration(h.random[2])*day - time.Duration(h.random[3])*time.Minute)
}
