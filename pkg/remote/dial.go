package remote

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"
	"sync"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/rollcallhq/rollcall/pkg/fleet"
)

// clientVersion is how we introduce ourselves; it stands in the logs of the hosts.
const clientVersion = "SSH-2.0-Rollcall"

// A Target is one host and how to get into it.
type Target struct {
	Address    string // IP address or name
	Port       int    // 0 means 22
	Credential Credential

	// KnownAlgorithms are the algorithms of the host's trusted keys (Key.Algorithm). The host is asked for one of
	// those first; without any it is asked for an ed25519 key first.
	KnownAlgorithms []string

	// Verify is asked for every connection whether the host may have this key, before any credential is offered.
	// Its *fleet.Failure is what Dial returns. It must return when its context ends. Required.
	Verify func(ctx context.Context, key Key) error

	Options Options

	// Passed, unless nil, is told of each phase of the connection when it is over, of Dial and of Run, by whoever called them.
	Passed func(Phase)
}

// Format prints the address and the credential as it prints itself, whatever the verb. Without it, a target inside
// of something printed by an ill-fitting verb would show the bytes of the secrets.
func (t Target) Format(s fmt.State, _ rune) {
	_, _ = fmt.Fprintf(s, "%s port %d, %s", t.Address, t.Port, t.Credential)
}

// Options bound what a connection may take. The zero value takes the defaults.
type Options struct {
	ConnectTimeout   time.Duration // name resolution and TCP connect; default 10 s
	HandshakeTimeout time.Duration // banner, key exchange and login together; default 20 s
	Keepalive        time.Duration // how often a silent server is probed; default 15 s, negative never
}

func (o Options) withDefaults() Options {
	return Options{
		ConnectTimeout:   cmp.Or(o.ConnectTimeout, 10*time.Second),
		HandshakeTimeout: cmp.Or(o.HandshakeTimeout, 20*time.Second),
		Keepalive:        cmp.Or(o.Keepalive, 15*time.Second),
	}
}

// A Conn is an authenticated connection to one host. It carries one command at a time. Close it.
type Conn struct {
	wire       *wire
	ssh        ssh.Conn
	transport  Transport
	running    sync.Mutex     // held by Run
	background sync.WaitGroup // the goroutines of the connection; they end when the wire is closed
	over       chan struct{}  // closed when the connection has ended
	dead       chan struct{}  // closed when keepalive has given the server up
	passed     func(Phase)    // as in Target
}

// A Transport tells how a connection is secured, for the report about the host's SSH.
type Transport struct {
	RemoteAddress    string // IP address and port that was connected to
	User             string
	ServerVersion    string // such as SSH-2.0-OpenSSH_9.2p1; at most 255 bytes, as the server wrote it
	KeyExchange      string
	HostKeyAlgorithm string // of the signature, such as rsa-sha2-512
	HostKey          Key
	Cipher           string // from us to the host
	MAC              string // empty for ciphers that need none
}

// Dial connects, verifies the host key and logs in. Every failure is a *fleet.Failure, and the login is tried once.
// The caller closes the connection; ctx bounds Dial only.
func Dial(ctx context.Context, target Target) (*Conn, error) {
	if target.Verify == nil {
		return nil, fleet.Fail(fleet.CodeInternal, errors.New("a target without host key verification"))
	}
	if target.Address == "" { // net would take it for this machine
		return nil, fleet.Fail(fleet.CodeDNSFailed, errors.New("no address"), "phase", phaseConnect, "name", "")
	}
	credential, err := newLogin(target.Credential)
	if err != nil {
		return nil, err
	}
	options := target.Options.withDefaults()
	address := net.JoinHostPort(target.Address, strconv.Itoa(cmp.Or(target.Port, 22)))
	passing := passing{tell: target.Passed, since: time.Now()}
	tcp, err := (&net.Dialer{Timeout: options.ConnectTimeout}).DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, passing.failed(phaseConnect, connectFailure(ctx, err))
	}
	passing.over(phaseConnect, time.Now())
	conn, err := handshake(ctx, newWire(tcp), target, credential, &passing)
	if err != nil {
		_ = tcp.Close()
		return nil, err
	}
	if options.Keepalive > 0 {
		conn.keepAlive(options.Keepalive)
	}
	conn.passed = target.Passed
	return conn, nil
}

// handshake turns a TCP connection into an authenticated one.
func handshake(ctx context.Context, w *wire, target Target, credential *login, passing *passing) (*Conn, error) {
	timeout := target.Options.withDefaults().HandshakeTimeout
	verifying, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	// ssh.ClientConfig.Timeout covers the TCP connect alone: a peer that accepts and then says nothing would hold
	// us for good. The deadline ends its silence; only closing the connection ends the handshake when ctx does.
	if err := w.SetDeadline(time.Now().Add(timeout)); err != nil {
		return nil, fleet.Fail(fleet.CodeInternal, err, "phase", phaseBanner)
	}
	stop := context.AfterFunc(ctx, func() { _ = w.Close() })
	gate := &gate{ctx: verifying, verify: target.Verify}
	conn, channels, requests, err := ssh.NewClientConn(w, target.Address, clientConfig(target, credential, gate))
	refusal := gate.shut()
	alive := stop()
	reached := passing.handshake(w, gate)
	if !alive && err == nil {
		_ = newConn(w, conn, channels, requests, gate.key).Close()
	}
	switch {
	case refusal != nil && ctx.Err() == nil:
		return nil, passing.failed(reached, refusal)
	case !alive:
		return nil, passing.failed(reached, ended(ctx, reached))
	case err != nil:
		return nil, passing.failed(reached, handshakeFailure(err, reached, w, credential))
	}
	if err := w.SetDeadline(time.Time{}); err != nil {
		return nil, passing.failed(phaseLogin, lost(err, phaseLogin, "the connection broke after the login"))
	}
	passing.over(phaseLogin, time.Now())
	return newConn(w, conn, channels, requests, gate.key), nil
}

func handshakeFailure(err error, phase string, w *wire, credential *login) *fleet.Failure {
	switch phase {
	case phaseBanner:
		return bannerFailure(err, string(w.preamble))
	case phaseKeyExchange:
		return keyExchangeFailure(err)
	default:
		return credential.failure(err)
	}
}

// clientConfig allows what x/crypto/ssh holds secure; its own defaults still have SHA-1 in them.
func clientConfig(target Target, credential *login, gate *gate) *ssh.ClientConfig {
	secure := ssh.SupportedAlgorithms()
	noSHA1 := func(mac string) bool { return mac == ssh.HMACSHA1 }
	return &ssh.ClientConfig{
		Config: ssh.Config{
			KeyExchanges: secure.KeyExchanges,
			Ciphers:      secure.Ciphers,
			MACs:         slices.DeleteFunc(secure.MACs, noSHA1),
		},
		User:              target.Credential.Username,
		AuthCallback:      credential.next,
		HostKeyAlgorithms: hostKeyAlgorithms(target.KnownAlgorithms),
		HostKeyCallback:   gate.check,
		BannerCallback:    func(message string) error { credential.hear(message); return nil },
		ClientVersion:     clientVersion,
	}
}

// A gate asks Verify about the host key. The key exchange runs in a goroutine of x/crypto/ssh that can outlive the
// handshake it belongs to; shut waits for a question that is being asked and lets no further one through.
type gate struct {
	ctx    context.Context //nolint:containedctx // the callback of x/crypto/ssh has no context, and the gate lives no longer than the handshake
	verify func(ctx context.Context, key Key) error

	mu      sync.Mutex
	closed  bool
	key     Key
	refusal error
	passed  bool
	since   time.Time // when it has passed
}

func (g *gate) check(_ string, _ net.Addr, public ssh.PublicKey) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	key := newKey(public)
	if g.passed { // keys are exchanged anew
		if !bytes.Equal(key.Blob, g.key.Blob) {
			return errOtherKey
		}
		return nil
	}
	if g.closed {
		return context.Canceled
	}
	g.key = key
	if err := g.verify(g.ctx, key); err != nil {
		g.refusal = err
		if _, ok := errors.AsType[*fleet.Failure](err); !ok {
			g.refusal = fleet.Fail(fleet.CodeInternal, err, "phase", phaseKeyExchange, "fingerprint", key.Fingerprint)
		}
		return g.refusal
	}
	g.passed, g.since = true, time.Now()
	return nil
}

// shut ends the asking and returns the refusal, if any.
func (g *gate) shut() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.closed = true
	return g.refusal
}

// phase tells how far the handshake came.
func (g *gate) phase(w *wire) string {
	g.mu.Lock()
	defer g.mu.Unlock()
	switch {
	case g.passed:
		return phaseLogin
	case w.greeted.Load():
		return phaseKeyExchange
	default:
		return phaseBanner
	}
}
