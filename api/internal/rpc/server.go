package rpc

import (
	"context"
	"errors"
	"log/slog"
	"net/netip"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/reflection"

	"github.com/rollcallhq/rollcall/pkg/collection"
	"github.com/rollcallhq/rollcall/pkg/ephemeral"
	"github.com/rollcallhq/rollcall/pkg/fleet"
	"github.com/rollcallhq/rollcall/pkg/store"
	"github.com/rollcallhq/rollcall/pkg/telemetry"
	rollcallv1 "github.com/rollcallhq/rollcall/proto/rollcall/v1"
)

// Bounds of what a client may cost. Messages in are small by nature; those out carry facts and are not bounded here.
const (
	maxRequest     = 1 << 20
	maxHeaders     = 32 << 10
	maxStreams     = 250 // calls at once on one connection
	handshakeTime  = 10 * time.Second
	idleTime       = 15 * time.Minute
	connectionAge  = 30 * time.Minute // a connection is drained then, so that clients spread over new replicas
	connectionRest = maxWait + time.Minute
	pingEvery      = time.Minute // finds clients that are gone without a word
	pingTimeout    = 20 * time.Second
	minClientPing  = 10 * time.Second
)

// An Authenticator tells whom a bearer token speaks for. Its errors are of kind Unauthenticated or Unavailable. The
// actor needs no address.
type Authenticator interface {
	Authenticate(ctx context.Context, bearer string) (fleet.Actor, error)
}

// A Reporter tells how well the process is. It is cheap to ask.
type Reporter interface {
	Report(ctx context.Context) telemetry.Report
	// Ready is Report, but down when nothing more should be sent here.
	Ready(ctx context.Context) telemetry.Report
}

// Config is what a server needs. All but Metrics, Limit, TrustedProxies, Stopping and Options is required.
type Config struct {
	Store       *store.Store
	Collections *collection.Service
	Accounts    Authenticator
	Health      Reporter
	Log         *slog.Logger
	Metrics     prometheus.Registerer // nil: measures nothing

	// Limit, unless nil, is asked before each call that needs a token; a stream is one call, however long. A stranger,
	// whose token was refused, is an actor with nothing but an address. What is left, unless its Limit is 0, is told in
	// the metadata of the answer. An error, of kind Exhausted, refuses the call.
	Limit func(ctx context.Context, actor fleet.Actor) (ephemeral.Allowance, error)

	// TrustedProxies are the networks whose x-forwarded-for is believed; none by default.
	TrustedProxies []netip.Prefix

	// Denied, unless nil, is told of each call that failed: who made it, which method, and why.
	Denied func(actor fleet.Actor, method string, err error)

	// Stopping, unless nil, is closed when the server is about to stop. It is no longer ready then and ends what waits and
	// watches, so that GracefulStop returns soon.
	Stopping <-chan struct{}

	// Options are further options of the grpc.Server, such as its credentials. Interceptors are chained after ours.
	Options []grpc.ServerOption
}

func (c Config) check() error {
	switch {
	case c.Store == nil:
		return errors.New("a gRPC server needs a store")
	case c.Collections == nil:
		return errors.New("a gRPC server needs the service of collections")
	case c.Accounts == nil:
		return errors.New("a gRPC server needs somebody who authenticates")
	case c.Health == nil:
		return errors.New("a gRPC server needs to know its health")
	case c.Log == nil:
		return errors.New("a gRPC server needs a log")
	}
	return nil
}

// A server is the methods of the ReportService and what is around them.
type server struct {
	rollcallv1.UnimplementedReportServiceServer
	Config

	durations *prometheus.HistogramVec
	waits     *poller[waitKey, *fleet.Report]
	watches   *poller[watchKey, fleet.Collection]
}

// New returns a server with all services registered, ready for Serve. It is an error if c lacks something or if its
// metrics are registered already. The caller stops the server; its handlers are waited for.
func New(c Config) (*grpc.Server, error) {
	if err := c.check(); err != nil {
		return nil, err
	}
	durations, err := newDurations(c.Metrics)
	if err != nil {
		return nil, err
	}
	s := &server{
		Config: c, durations: durations,
		waits: newPoller[waitKey, *fleet.Report](pollEvery), watches: newPoller[watchKey, fleet.Collection](pollEvery),
	}
	g := grpc.NewServer(append(s.options(), c.Options...)...)
	rollcallv1.RegisterReportServiceServer(g, s)
	healthpb.RegisterHealthServer(g, &healthServer{reporter: c.Health, stopping: c.Stopping})
	reflection.Register(g) // v1 and v1alpha
	return g, nil
}

func (s *server) options() []grpc.ServerOption {
	return []grpc.ServerOption{
		grpc.ChainUnaryInterceptor(s.unary),
		grpc.ChainStreamInterceptor(s.stream),
		grpc.MaxRecvMsgSize(maxRequest),
		grpc.MaxHeaderListSize(maxHeaders),
		grpc.MaxConcurrentStreams(maxStreams),
		grpc.ConnectionTimeout(handshakeTime),
		grpc.WaitForHandlers(true),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: minClientPing, PermitWithoutStream: true}),
		grpc.KeepaliveParams(keepalive.ServerParameters{
			MaxConnectionIdle: idleTime, MaxConnectionAge: connectionAge, MaxConnectionAgeGrace: connectionRest,
			Time: pingEvery, Timeout: pingTimeout,
		}),
	}
}

// stopped reports whether the process is stopping.
func stopped(stopping <-chan struct{}) bool {
	select {
	case <-stopping:
		return true
	default:
		return false
	}
}

// errStopping ends what waits and watches.
func errStopping() error {
	return fleet.Errorf(fleet.Unavailable, "the server is stopping; ask again").WithCode("stopping").WithRetryAfter(time.Second)
}
