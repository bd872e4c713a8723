package simulate

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"crypto/x509"
	"encoding/binary"
	"encoding/hex"
	"encoding/pem"
	"fmt"
	"net"
	"strconv"
	"sync"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/rollcallhq/rollcall/pkg/fleet"
)

// User is the one account that every simulated host has.
const User = "rollcall"

// MaxHosts is how many hosts one process serves at most.
const MaxHosts = 20_000

// The ways a simulated fleet lets its user in.
const (
	LoginByKey      = "private_key"
	LoginByPassword = "password"
)

// Options say how the hosts are to be. Only Hosts is required.
type Options struct {
	Hosts   int           // from 1 to MaxHosts
	Latency time.Duration // from the command to its answer, at every execution
	Seed    uint64        // what the hosts' identities follow from; 0 is a seed like any other

	// Listen is the IPv4 loopback address of the first host, with or without a port: "127.0.0.1" (also the
	// default) takes any free ports, "127.0.0.1:22000" counts up from 22000. Every 5,000 hosts, or where the
	// ports end, the next address is taken.
	Listen string

	// Advertise, if not empty, is the name or address at which others reach all of the hosts, as Host and the inventory tell
	// it. Listen then is any IPv4 address with a port, there are at most 5,000 hosts, and whoever reaches them is let in who
	// knows the seed: it is for networks of containers.
	Advertise string

	// Drift is the share of hosts that change facts between two of their executions, from 0 to 1: each host drifts at
	// that share of its executions, and not all at the same. The first execution is always the same; with the same
	// seed, so are all that follow.
	Drift float64

	// DriftFacts is how many facts such a host changes at once. 0 means 1.
	DriftFacts int

	// Login is LoginByKey, also the default, or LoginByPassword.
	Login string

	// Shares say how many hosts misbehave and how. The zero value: none.
	Shares Shares

	// DripEvery and MaxStartups are those of every host's Behaviour.
	DripEvery   time.Duration
	MaxStartups Startups

	// Behave, if not nil, chooses the behaviour of each host by its number, counted from 0. What follows from the
	// other options then is only what it is given as a start.
	Behave func(number int, usual Behaviour) Behaviour
}

// A Host is one simulated host as others see it.
type Host struct {
	Name        string // sim-0001 and so on
	Address     string // to connect to: loopback, or what was to be advertised
	Port        int
	MachineID   string
	Fingerprint string // of the host key of the number 0, SHA256:…
	Labels      map[string]string
	Connections int64 // that were accepted up to now, also those that were dropped or reset
	Executions  int64 // collecting scripts whose answer was begun up to now, whether it came to its end or not
	Runs        int   // commands under way now, also those that were not answered yet
	Drifts      int64 // changes of facts among them, as Planted lists them
	Behaviour   Behaviour
}

// A Fleet is a running set of simulated hosts. Its methods may be called concurrently.
type Fleet struct {
	hosts      []*host
	privateKey []byte // PEM; empty with passwords
	password   string // empty with keys
	server     server

	ctx    context.Context //nolint:containedctx // the fleet is what lives as long
	cancel context.CancelFunc
	mu     sync.Mutex // for the ports of the hosts and the changing of their behaviours
	ended  bool
	work   sync.WaitGroup
}

// Start serves the hosts until Close is called or ctx ends. Options out of range are an error of kind Invalid. All
// hosts but those of FaultDead listen when it returns.
func Start(ctx context.Context, o Options) (*Fleet, error) {
	if o.Hosts < 1 || o.Hosts > MaxHosts {
		return nil, fleet.InvalidField("hosts", "must be from 1 to %d", MaxHosts)
	}
	if o.Latency < 0 {
		return nil, fleet.InvalidField("latency", "must not be negative")
	}
	if o.Advertise != "" && o.Hosts > perAddress {
		return nil, fleet.InvalidField("hosts", "must be at most %d where an address is advertised", perAddress)
	}
	if err := checkDrift(o); err != nil {
		return nil, err
	}
	if err := o.Shares.check(); err != nil {
		return nil, err
	}
	places, err := readListen(o.Listen, o.Advertise != "")
	if err != nil {
		return nil, err
	}
	templates, err := parseSections()
	if err != nil {
		return nil, err
	}
	f := &Fleet{server: server{sections: templates, now: time.Now}}
	if err := f.setLogin(o); err != nil {
		return nil, err
	}
	f.ctx, f.cancel = context.WithCancel(ctx)
	for number, behaviour := range behaviours(o) {
		h, err := newHost(ctx, o, number, places, behaviour)
		if err == nil {
			f.hosts = append(f.hosts, h)
			err = f.settle(h) //nolint:contextcheck // the fleet's own context is made of this one
		}
		if err != nil {
			_ = f.Close()
			return nil, err
		}
	}
	// Without this a fleet whose context ends would go on accepting.
	f.work.Go(func() {
		<-f.ctx.Done()
		f.stopListening()
	})
	return f, nil
}

// setLogin makes the credential of the fleet and tells the server to accept it.
func (f *Fleet) setLogin(o Options) error {
	switch o.Login {
	case "", LoginByKey:
		key := ed25519.NewKeyFromSeed(derive(o.Seed, "user", 0))
		// Not OpenSSH's form, which has random bytes in it: the inventory of a restarted fleet is the same.
		block, err := x509.MarshalPKCS8PrivateKey(key)
		if err != nil {
			return fmt.Errorf("encoding the key of the simulated user: %w", err)
		}
		public, err := ssh.NewPublicKey(key.Public())
		if err != nil {
			return fmt.Errorf("encoding the key of the simulated user: %w", err)
		}
		f.privateKey = pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: block})
		f.server.publicKey = public.Marshal()
	case LoginByPassword:
		f.password = hex.EncodeToString(derive(o.Seed, "password", 0)[:12])
		f.server.password = f.password
	default:
		return fleet.InvalidField("login", "must be %s or %s", LoginByKey, LoginByPassword)
	}
	return nil
}

// Hosts returns the hosts in the order of their numbers, with their counts as of now.
func (f *Fleet) Hosts() []Host {
	hosts := make([]Host, len(f.hosts))
	for i, h := range f.hosts {
		hosts[i] = h.view()
	}
	return hosts
}

// PrivateKey returns the private key in PEM that opens every host, and nil if a password does.
func (f *Fleet) PrivateKey() []byte { return bytes.Clone(f.privateKey) }

// Password returns the password that opens every host, and "" if a key does.
func (f *Fleet) Password() string { return f.password }

// Close ends all hosts and their connections, and returns when nothing is left. It may be called more than once.
func (f *Fleet) Close() error {
	f.cancel()
	f.stopListening()
	f.work.Wait()
	return nil
}

func (f *Fleet) stopListening() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.ended = true
	for _, h := range f.hosts {
		h.close()
	}
}

// derive returns 32 bytes that follow from the seed, what they are for, and the number of the host.
func derive(seed uint64, purpose string, number int) []byte {
	text := binary.BigEndian.AppendUint64([]byte("rollcall simulate "+purpose+" "), seed)
	sum := sha256.Sum256(binary.BigEndian.AppendUint64(text, uint64(number))) //nolint:gosec // never negative
	return sum[:]
}

// perAddress is how many hosts share one loopback address: far fewer than it has ports that nobody else uses.
const perAddress = 5000

// places are the addresses of the hosts.
type places struct {
	first net.IP // IPv4
	port  int    // of the first host; 0 means any
}

// readListen reads where to listen; anywhere allows more than loopback, and wants a port.
func readListen(listen string, anywhere bool) (places, error) {
	if listen == "" {
		listen = "127.0.0.1"
	}
	address, port := listen, 0
	if host, digits, err := net.SplitHostPort(listen); err == nil {
		address = host
		if port, err = strconv.Atoi(digits); err != nil || port < 0 || port > 65535 {
			return places{}, fleet.InvalidField("listen", "the port is not one")
		}
	}
	ip := net.ParseIP(address).To4()
	if anywhere {
		if ip == nil || port == 0 || port > 65536-perAddress {
			return places{}, fleet.InvalidField("listen", "must be an IPv4 address with a port up to %d where one is advertised", 65536-perAddress)
		}
		return places{first: ip, port: port}, nil
	}
	if ip == nil || !ip.IsLoopback() {
		return places{}, fleet.InvalidField("listen", "must be an IPv4 loopback address such as 127.0.0.1, with or without a port")
	}
	return places{first: ip, port: port}, nil
}

// of returns where the host of that number listens.
func (p places) of(number int) *net.TCPAddr {
	share := perAddress
	if p.port > 0 {
		share = min(share, 65536-p.port)
	}
	address := binary.BigEndian.Uint32(p.first) + uint32(number/share) //nolint:gosec // at most MaxHosts
	ip := make(net.IP, net.IPv4len)
	binary.BigEndian.PutUint32(ip, address)
	port := 0
	if p.port > 0 {
		port = p.port + number%share
	}
	return &net.TCPAddr{IP: ip, Port: port}
}
