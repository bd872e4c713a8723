package serve

import (
	"net/http"
	"strings"
	"time"

	"github.com/go-chi/chi/v5"

	"github.com/rollcallhq/rollcall/api/internal/doctor"
	"github.com/rollcallhq/rollcall/api/internal/queues"
	"github.com/rollcallhq/rollcall/api/internal/rest"
	"github.com/rollcallhq/rollcall/api/internal/session"
	"github.com/rollcallhq/rollcall/api/internal/ui"
	"github.com/rollcallhq/rollcall/pkg/fleet"
	"github.com/rollcallhq/rollcall/pkg/report"
	"github.com/rollcallhq/rollcall/pkg/telemetry"
)

// Where the doors are.
const (
	underREST = "/api/v1/"
	underAuth = "/api/v1/auth/"
)

// errStarting answers what needs the database before it is prepared.
var errStarting = fleet.Errorf(fleet.Unavailable, "The process is starting and waits for PostgreSQL; /readyz says when it is ready.").
	WithCode("starting").WithRetryAfter(time.Second)

// doors returns the handler of everything that this api serves over HTTP.
func (s *services) doors(c Config, stopping <-chan struct{}) (http.Handler, error) {
	guard, err := session.New(session.Config{
		Accounts: s.accounts, Fail: rest.Fail, TrustedProxies: c.TrustedProxies,
		Limiter: s.limiter, Denied: s.denied,
	})
	if err != nil {
		return nil, err
	}
	traced := rest.Traced(traceRequests(s.Traces))
	json, err := rest.New(rest.Config{
		Traced: traced,
		Store:  s.Store, Guard: guard, Accounts: s.accounts, Inventory: s.inventory, Collections: s.collections, Schedules: s.schedules,
		Reports: &report.Service{Store: s.Store}, Housekeeping: s.housekeeping, Health: s.health, Metrics: telemetry.NewHTTPMetrics(s.registry), Log: s.log, Gatherer: telemetry.MetricsHandler(s.registry),
		Doctor: doctor.New(doctor.Config{
			Store: s.Store, Redis: s.Ephemeral, PoolSize: int(s.Pool.Config().MaxConns), QueueLimit: c.QueueLimit, Log: s.log,
		}),
		Stopping: stopping, Version: c.Version, DigestKey: digestKey(c.SigningKey),
	})
	if err != nil {
		return nil, err
	}
	pages, err := s.pages(c, guard, traced)
	if err != nil {
		return nil, err
	}
	gate, cors, headers := starting(s.open, rest.Fail), session.CORS(c.CORSOrigins), session.Headers(session.NothingPolicy)
	pages, guarded := gate(pages), cors(gate(json))
	return rest.Frame(s.log)(headers(guard.Transport(head(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch path := r.URL.Path; {
		case strings.HasPrefix(path, underAuth) && c.serves(DoorAuth), strings.HasPrefix(path, underREST) && !strings.HasPrefix(path, underAuth) && c.serves(DoorREST):
			guarded.ServeHTTP(w, r)
		case strings.HasPrefix(path, underREST):
			rest.Fail(w, r, fleet.Errorf(fleet.NotFound, "this api does not serve that door").WithCode("no_such_route"))
		case isOurs(path):
			json.ServeHTTP(w, r)
		default:
			pages.ServeHTTP(w, r)
		}
	}))))), nil
}

// head answers HEAD as GET is answered; the server leaves the body out. Streams have no end to wait for.
func head(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodHead && !strings.HasSuffix(r.URL.Path, "/events") {
			r = r.Clone(r.Context())
			r.Method = http.MethodGet
		}
		next.ServeHTTP(w, r)
	})
}

// unscoped refuses whoever may see only some hosts: the queues show all of them.
func unscoped(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if session.Actor(r.Context()).Selector != nil {
			rest.Fail(w, r, fleet.Errorf(fleet.Forbidden, "the queues show every host, and you may see only some"))
			return
		}
		next.ServeHTTP(w, r)
	})
}

// isOurs reports whether the path is one of those beside the API that every api serves, whatever its doors.
func isOurs(path string) bool {
	switch path {
	case "/healthz", "/readyz", "/health", "/metrics", "/openapi.json":
		return true
	}
	return path == "/docs" || strings.HasPrefix(path, "/docs/")
}

// pages returns the handler of what people look at: our own pages and Asynqmon.
func (s *services) pages(c Config, guard *session.Guard, traced func(http.Handler) http.Handler) (http.Handler, error) {
	r := chi.NewRouter()
	r.NotFound(func(w http.ResponseWriter, r *http.Request) {
		rest.Fail(w, r, fleet.Errorf(fleet.NotFound, "there is nothing at this address").WithCode("no_such_route"))
	})
	r.Use(traced, guard.Middleware)
	if c.serves(DoorUI) {
		own, err := ui.New(ui.Config{
			Store: s.Store, Collections: s.collections, Schedules: s.schedules, Housekeeping: s.housekeeping, Accounts: s.accounts, Log: s.log,
			Actor: session.Actor, Client: guard.Client, SetCookie: guard.SetCookie, ClearCookie: guard.ClearCookie,
		})
		if err != nil {
			return nil, err
		}
		r.Group(func(r chi.Router) {
			r.Use(session.Headers(session.PagePolicy))
			own.Routes(r)
		})
	}
	if c.serves(DoorQueues) {
		r.Group(func(r chi.Router) {
			r.Use(session.Headers(session.InlinePolicy), guard.RequireRole(fleet.Admin), unscoped)
			monitor := queues.Handler(s.Redis)
			r.Handle(queues.Root, monitor)
			r.Handle(queues.Root+"/*", monitor)
		})
	}
	return r, nil
}
