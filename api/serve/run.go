package serve

import (
	"cmp"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"

	"github.com/rollcallhq/rollcall/api/internal/rpc"
	"github.com/rollcallhq/rollcall/api/internal/session"
	"github.com/rollcallhq/rollcall/pkg/account"
	"github.com/rollcallhq/rollcall/pkg/collection"
	"github.com/rollcallhq/rollcall/pkg/housekeeping"
	"github.com/rollcallhq/rollcall/pkg/inventory"
	"github.com/rollcallhq/rollcall/pkg/process"
	"github.com/rollcallhq/rollcall/pkg/remote"
	"github.com/rollcallhq/rollcall/pkg/schedule"
	"github.com/rollcallhq/rollcall/pkg/secret"
	"github.com/rollcallhq/rollcall/pkg/store"
	"github.com/rollcallhq/rollcall/pkg/telemetry"
	"github.com/rollcallhq/rollcall/pkg/token"
	"github.com/rollcallhq/rollcall/scheduler/beat"
)

// passwordsAtOnce bounds how many passwords are verified at once: each takes 19 MiB and some 50 ms.
const passwordsAtOnce = 4

// services are the rules behind the doors.
type services struct {
	*process.Backends
	accounts     *account.Service
	inventory    *inventory.Service
	collections  *collection.Service
	schedules    *schedule.Service
	housekeeping *housekeeping.Service
	limiter      *session.Limiter // one for all doors
	health       *telemetry.Health
	denied       *session.Denials
	registry     *prometheus.Registry
	log          *slog.Logger
	open         *atomic.Bool // set when the database is prepared and there is an admin
}

// whenOpen returns the checks with a database that is not ready either while it is not prepared.
func whenOpen(open *atomic.Bool, all []telemetry.Check) []telemetry.Check {
	for i, c := range all {
		if c.Name != "database" {
			continue
		}
		all[i].Check = func(ctx context.Context) (string, error) {
			if reason, err := c.Check(ctx); err != nil || open.Load() {
				return reason, err
			}
			return "", errStarting
		}
	}
	return all
}

// Run is an api until ctx ends, and c.Drain longer. It listens at once and answers 503 until PostgreSQL is ready.
func Run(ctx context.Context, c Config, log *slog.Logger) error {
	c.Process.Version = c.Version
	b, err := process.Open(ctx, c.Process, "api", log)
	if err != nil {
		return err
	}
	defer b.Close()
	s, err := newServices(c, b, log)
	if err != nil {
		return err
	}
	ctx, stop := process.Draining(ctx, s.health, s.drain(c), log)
	defer stop()
	doors, err := s.doors(c, ctx.Done()) //nolint:contextcheck // requests bring contexts of their own
	if err != nil {
		return err
	}
	certificates, err := process.NewCertificates(c.TLS, s.registry, log)
	if err != nil {
		return err
	}
	s.health.WarnOf(s.warnings(certificates))
	bounds, metrics := c.Process.Connections, process.NewListenerMetrics(s.registry)
	bounds.Exempt = c.TrustedProxies
	web, err := process.Bounded(ctx, "http", "ROLLCALL_HTTP_ADDR", c.HTTPAddr, bounds, metrics)
	if err != nil {
		return err
	}
	g, ctx := errgroup.WithContext(ctx)
	grpcAddr := ""
	if c.serves(DoorGRPC) {
		listener, err := process.Bounded(ctx, "grpc", "ROLLCALL_GRPC_ADDR", c.GRPCAddr, bounds, metrics)
		if err != nil {
			_ = web.Close()
			return err
		}
		server, err := s.rpc(ctx, c, certificates)
		if err != nil {
			_, _ = web.Close(), listener.Close()
			return err
		}
		grpcAddr = listener.Addr().String()
		g.Go(func() error { return serveGRPC(ctx, server, listener) })
	}
	g.Go(func() error { return process.ServeHTTPS(ctx, web, doors, certificates, log) })
	g.Go(func() error { return s.prepare(ctx, c) })
	g.Go(func() error { return s.denied.Run(ctx, s.auditDenied, log) })
	log.InfoContext(ctx, "listening", "http", web.Addr().String(), "grpc", grpcAddr, "tls", certificates != nil, "doors", c.Doors)
	if c.Listening != nil {
		c.Listening(web.Addr().String(), grpcAddr)
	}
	err = g.Wait()
	if lost := s.denied.Flush(ctx, s.auditDenied); lost != nil {
		log.ErrorContext(ctx, "denied attempts not in the audit log", "error", lost)
	}
	return err
}

// drain returns how long an api that is told to stop serves on: not at all while it answers nobody yet.
func (s *services) drain(c Config) func() time.Duration {
	return func() time.Duration {
		if !s.open.Load() {
			return 0
		}
		return c.Drain
	}
}

func newServices(c Config, b *process.Backends, log *slog.Logger) (*services, error) {
	seals, err := secret.ParseSealKeys(c.SealKeys)
	if err != nil {
		return nil, err
	}
	signer, err := token.NewSigner(c.SigningKey, c.OldSigningKeys...)
	if err != nil {
		return nil, err
	}
	open := &atomic.Bool{}
	s := &services{
		Backends: b, log: log, open: open, denied: session.NewDenials(nil), limiter: session.NewLimiter(b.Ephemeral, session.Rates{Account: c.RateLimit, Token: c.TokenRateLimit}, nil),
		registry: cmp.Or(c.Registry, telemetry.NewRegistry("api", c.Version)),
		health:   telemetry.NewHealth(log, whenOpen(open, b.Checks(true))...),
	}
	b.Measure(s.registry, "api")
	s.accounts, err = account.New(account.Config{
		Store: b.Store, Sessions: b.Ephemeral, Signer: signer, Passwords: token.NewPasswords(passwordsAtOnce), Log: log,
	})
	if err != nil {
		return nil, err
	}
	s.inventory, err = inventory.New(inventory.Config{
		Store: b.Store, Seals: seals, ValidateKey: remote.ValidatePrivateKey, DigestKey: digestKey(c.SigningKey), Log: log,
	})
	if err != nil {
		return nil, err
	}
	s.collections = collection.New(collection.Config{Store: b.Store, Queue: b.Queue, Log: log, QueueLimit: c.QueueLimit, Metrics: s.registry, Traces: b.Traces})
	s.housekeeping = housekeeping.New(housekeeping.Config{Store: b.Store, Retention: c.Retention, Log: log})
	s.schedules = schedule.New(beat.Schedules(b.Store, s.collections, log))
	return s, nil
}

// prepare opens the doors when the database is ready and there is an admin.
func (s *services) prepare(ctx context.Context, c Config) error {
	if err := s.PrepareDatabase(ctx); err != nil {
		return err
	}
	err := s.Insist(ctx, "PostgreSQL", func() error {
		password, created, err := s.accounts.EnsureFirstAdmin(ctx, c.AdminPassword)
		if created && password != "" && c.FirstAdmin != nil {
			c.FirstAdmin(password)
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("making the first admin: %w", err)
	}
	s.open.Store(true)
	if c.Serving != nil {
		c.Serving()
	}
	s.log.InfoContext(ctx, "serving")
	return nil
}

// warnings returns what looks what there is to warn of.
func (s *services) warnings(certificates *process.Certificates) func(context.Context) ([]telemetry.Warning, error) {
	sites := s.Warnings(collection.Silence)
	return func(ctx context.Context) ([]telemetry.Warning, error) {
		all, err := certificates.Warnings(ctx)
		more, failed := sites(ctx)
		return append(all, more...), errors.Join(err, failed)
	}
}

func (s *services) rpc(ctx context.Context, c Config, certificates *process.Certificates) (*grpc.Server, error) {
	options := traceCalls(s.Traces)
	if certificates != nil {
		options = append(options, grpc.Creds(credentials.NewTLS(certificates.Config())))
	}
	return rpc.New(rpc.Config{
		Store: s.Store, Collections: s.collections, Accounts: s.accounts, Health: s.health, Log: s.log,
		Metrics: s.registry, Stopping: ctx.Done(), Limit: s.limiter.Allow, TrustedProxies: c.TrustedProxies, Denied: s.denied.Note, Options: options,
	})
}

// auditDenied writes refused attempts to the audit log.
func (s *services) auditDenied(ctx context.Context, entries []session.DeniedEntry) error {
	return s.Store.InTx(ctx, func(tx *store.Store) error {
		for _, e := range entries {
			if err := tx.Audit(ctx, e.Actor, e.Entry); err != nil {
				return err
			}
		}
		return nil
	})
}

// stopTimeout is how long the calls under way get to end when the server stops.
const stopTimeout = 10 * time.Second

// serveGRPC serves until ctx ends, tells the clients to go elsewhere and then waits a while for the calls under way.
func serveGRPC(ctx context.Context, server *grpc.Server, l net.Listener) error {
	stop := context.AfterFunc(ctx, func() {
		limit := time.AfterFunc(stopTimeout, server.Stop)
		defer limit.Stop()
		server.GracefulStop()
	})
	defer stop()
	if err := server.Serve(l); err != nil {
		return fmt.Errorf("serving gRPC: %w", err)
	}
	server.GracefulStop() // waits until the one above has finished
	return nil
}

// starting answers everything while the database is not prepared.
func starting(open *atomic.Bool, fail func(http.ResponseWriter, *http.Request, error)) func(http.Handler) http.Handler {
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if !open.Load() {
				fail(w, r, errStarting)
				return
			}
			next.ServeHTTP(w, r)
		})
	}
}

// digestKey returns the key of the digests of what may hold a secret, which follows from the signing key and does not
// lead back to it.
func digestKey(signing []byte) []byte {
	mac := hmac.New(sha256.New, signing)
	_, _ = mac.Write([]byte("rollcall digest")) // never fails
	return mac.Sum(nil)
}
