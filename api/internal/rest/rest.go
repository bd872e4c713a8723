// Package rest is the JSON door: it decodes a request, makes one call on behalf of whoever asks, encodes the answer,
// and turns the kind of an error into a status. What is allowed and what makes sense is decided one floor down.
//
// Every operation is registered with a description of all that it takes and answers, out of which /openapi.json is
// made, so that the document and the program cannot differ.
package rest

import (
	"errors"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/go-chi/chi/v5"

	"github.com/rollcallhq/rollcall/api/internal/doctor"
	"github.com/rollcallhq/rollcall/api/internal/session"
	"github.com/rollcallhq/rollcall/pkg/account"
	"github.com/rollcallhq/rollcall/pkg/collection"
	"github.com/rollcallhq/rollcall/pkg/housekeeping"
	"github.com/rollcallhq/rollcall/pkg/inventory"
	"github.com/rollcallhq/rollcall/pkg/report"
	"github.com/rollcallhq/rollcall/pkg/schedule"
	"github.com/rollcallhq/rollcall/pkg/store"
	"github.com/rollcallhq/rollcall/pkg/telemetry"
)

// Config is what the door works with. Everything but what is said to be optional is required.
type Config struct {
	Store        *store.Store
	Guard        *session.Guard // made with Fail
	Accounts     *account.Service
	Inventory    *inventory.Service
	Collections  *collection.Service
	Schedules    *schedule.Service
	Reports      *report.Service
	Housekeeping *housekeeping.Service
	Health       *telemetry.Health
	Metrics      *telemetry.HTTPMetrics          // optional
	Traced       func(http.Handler) http.Handler // makes and tells the trace of each request; nil: nothing does
	Doctor       *doctor.Doctor                  // optional: without it there is no such call
	Log          *slog.Logger

	// DigestKey keys the digests of requests with an Idempotency-Key; the same in every replica. Optional, for tests.
	DigestKey []byte
	// Gatherer serves /metrics; optional.
	Gatherer http.Handler
	// Stopping ends the streams when it is closed, so that a process can stop; optional.
	Stopping <-chan struct{}
	// Version is the program's, for the document.
	Version string
	// Timeouts bound the requests; the zero value takes the defaults.
	Timeouts Timeouts
}

// Timeouts bound how long requests take.
type Timeouts struct {
	Request time.Duration // default 10s
	Import  time.Duration // default 5m
	Stream  time.Duration // of events, after which the client comes again; default 1h
	Poll    time.Duration // between two looks at what is streamed; default 1s
	Beat    time.Duration // of a stream in which nothing happens; default 15s
}

func (t Timeouts) withDefaults() Timeouts {
	for field, value := range map[*time.Duration]time.Duration{
		&t.Request: 10 * time.Second, &t.Import: 5 * time.Minute, &t.Stream: time.Hour, &t.Poll: time.Second, &t.Beat: 15 * time.Second,
	} {
		if *field == 0 {
			*field = value
		}
	}
	return t
}

// server is the door.
type server struct {
	Config
	api    huma.API
	router chi.Router
}

// New returns a handler of /api/v1/*, /openapi.json, /docs, /healthz, /readyz, /health and, with a Gatherer, /metrics.
// It puts Frame around itself, unless the wiring has done so already. It is an error if something required is missing.
func New(c Config) (http.Handler, error) {
	if c.Store == nil || c.Guard == nil || c.Accounts == nil || c.Inventory == nil || c.Collections == nil || c.Schedules == nil ||
		c.Reports == nil || c.Housekeeping == nil || c.Health == nil || c.Log == nil {
		return nil, errors.New("making the REST door: something required is missing")
	}
	c.Timeouts = c.Timeouts.withDefaults()
	s := &server{Config: c, router: chi.NewRouter()}
	s.router.Use(Frame(c.Log))
	if c.Traced != nil {
		s.router.Use(c.Traced)
	}
	if c.Metrics != nil {
		s.router.Use(c.Metrics.Middleware(func(r *http.Request) string { return chi.RouteContext(r.Context()).RoutePattern() }))
	}
	s.router.NotFound(notFound)
	s.router.MethodNotAllowed(methodNotAllowed)
	s.router.Group(func(r chi.Router) {
		r.Use(session.Headers("default-src 'none'; frame-ancestors 'none'"), noStore, checkQuery, c.Guard.Middleware, s.idempotent)
		s.api = s.newAPI(r)
		s.registerAll()
	})
	s.mountHealth()
	return s.router, s.mountDocument()
}

// strictCasing makes huma take names of fields as they are spelled. It is a setting of the whole process.
var strictCasing = sync.OnceFunc(func() { huma.ValidateStrictCasing = true }) //nolint:gochecknoglobals // huma knows no other way

func (s *server) registerAll() {
	s.registerAuth()
	s.registerSessions()
	s.registerUsers()
	s.registerTokens()
	s.registerHosts()
	s.registerSites()
	s.registerFreshness()
	s.registerImport()
	s.registerHostKeys()
	s.registerCredentials()
	s.registerCollections()
	s.registerEvents()
	s.registerReports()
	s.registerDiff()
	s.registerHistory()
	s.registerQuery()
	s.registerMetrics()
	s.registerChanges()
	s.registerSchedules()
	s.registerCollectors()
	s.registerSudoers()
	s.registerDoctor()
	s.registerSystem()
	s.registerAudit()
	s.registerLater()
}
