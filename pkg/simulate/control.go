package simulate

import (
	"context"
	"strconv"
	"strings"

	"golang.org/x/crypto/ssh"

	"github.com/rollcallhq/rollcall/pkg/fleet"
)

// Host returns the host of that name with its counts as of now, and false if there is none.
func (f *Fleet) Host(name string) (Host, bool) {
	h := f.host(name)
	if h == nil {
		return Host{}, false
	}
	return h.view(), true
}

// Set changes how the host of that name behaves. Connections and commands that are on their way go on as they began,
// but those to a host that becomes FaultDead are reset. A host that was FaultDead listens when it returns, where it
// did before. Errors are of the kinds NotFound for an unknown name, Invalid for a behaviour that no host can have, and
// Unavailable when the fleet has ended or the port was lost; then the host is as it was, or dead.
func (f *Fleet) Set(name string, b Behaviour) error {
	return f.change(name, func(Behaviour) Behaviour { return b })
}

// ChangeKey lets the host of that name show another key than up to now, from the next connection on, and returns its
// fingerprint, as Host has it. The errors are those of Set.
func (f *Fleet) ChangeKey(name string) (string, error) {
	fingerprint := ""
	err := f.change(name, func(b Behaviour) Behaviour {
		h := f.host(name)
		b.Key, b.NextKeyAfter = b.keyAt(h.executions.Load())+1, 0
		if signer, err := h.signer(b.Key); err == nil { // as it was when the host was made
			fingerprint = ssh.FingerprintSHA256(signer.PublicKey())
		}
		return b
	})
	return fingerprint, err
}

// change gives a host the behaviour that it should have after the one it has.
func (f *Fleet) change(name string, after func(Behaviour) Behaviour) error {
	h := f.host(name)
	if h == nil {
		return fleet.Errorf(fleet.NotFound, "no simulated host is named %q", name)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.ended {
		return fleet.Errorf(fleet.Unavailable, "the simulated fleet has ended")
	}
	b := after(*h.behaviour.Load())
	if err := b.check(); err != nil {
		return err
	}
	h.behaviour.Store(&b)
	return f.settleLocked(h)
}

// settle makes a host listen, or not, as its behaviour has it.
func (f *Fleet) settle(h *host) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.settleLocked(h)
}

func (f *Fleet) settleLocked(h *host) error {
	if h.behaviour.Load().Fault == FaultDead {
		if h.reserved != nil {
			return nil
		}
		h.close()
		var err error
		if h.reserved, err = reserve(h.address); err != nil {
			return fleet.Wrap(err, fleet.Unavailable, "the port of %s was lost", h.name)
		}
		return nil
	}
	if h.listener == nil {
		if err := h.listen(f.ctx); err != nil {
			return fleet.Wrap(err, fleet.Unavailable, "%s cannot listen on %s again", h.name, h.address)
		}
	}
	if h.accepts == nil {
		f.open(h)
	}
	return nil
}

// open lets somebody accept from the host's listener.
func (f *Fleet) open(h *host) {
	life, die := context.WithCancel(f.ctx)
	accepts, listener := make(chan struct{}), h.listener
	h.die, h.accepts = die, accepts
	f.work.Go(func() {
		defer close(accepts)
		f.server.accept(life, h, listener, f.work.Go)
	})
}

// host returns the host of that name, or nil.
func (f *Fleet) host(name string) *host {
	number, err := strconv.Atoi(strings.TrimPrefix(name, namePrefix))
	if err != nil || number < 1 || number > len(f.hosts) || f.hosts[number-1].name != name {
		return nil
	}
	return f.hosts[number-1]
}
