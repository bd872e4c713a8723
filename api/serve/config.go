// Package serve is the front door: REST, gRPC, the pages for people, and Asynqmon.
package serve

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/rollcallhq/rollcall/api/internal/session"
	"github.com/rollcallhq/rollcall/pkg/housekeeping"
	"github.com/rollcallhq/rollcall/pkg/process"
	"github.com/rollcallhq/rollcall/pkg/secret"
	"github.com/rollcallhq/rollcall/pkg/settings"
)

// The doors that an api can serve, so that they can run as services of their own.
const (
	DoorAuth   = "auth"
	DoorREST   = "rest"
	DoorGRPC   = "grpc"
	DoorUI     = "ui"
	DoorQueues = "queues"
)

// AllDoors returns all doors.
func AllDoors() []string { return []string{DoorAuth, DoorREST, DoorGRPC, DoorUI, DoorQueues} }

// Callers is how an api treats those who ask, wherever it runs. The zero value believes no proxy, limits no actor and lets no
// other origin in.
type Callers struct {
	OldSigningKeys [][]byte       // accepted while rotating
	TrustedProxies []netip.Prefix // whose X-Forwarded-For is believed
	RateLimit      int            // requests a second of all sessions and tokens of a user; 0: any number
	TokenRateLimit int            // requests a second of one API token; 0: any number that RateLimit leaves
	CORSOrigins    []string       // whose pages may ask with an Authorization header; exact, such as https://a.example
}

// ReadCallers reads how an api treats those who ask, for whatever runs one.
func ReadCallers(r *settings.Reader) Callers {
	return Callers{
		OldSigningKeys: r.SigningKeys("ROLLCALL_SIGNING_KEY_OLD", "former signing keys, still accepted while rotating"),
		TrustedProxies: readProxies(r),
		RateLimit:      r.IntOrOff("ROLLCALL_RATE_LIMIT", 1, 1_000_000, "requests a second of one user, all sessions and API tokens together; signing in and unauthenticated calls are limited always"),
		TokenRateLimit: r.IntOrOff("ROLLCALL_TOKEN_RATE_LIMIT", 1, 1_000_000, "requests a second of one API token, within what its user has by ROLLCALL_RATE_LIMIT"),
		CORSOrigins:    readOrigins(r),
	}
}

// Config is the api's whole configuration.
type Config struct {
	Process       process.Config
	Version       string
	HTTPAddr      string
	GRPCAddr      string
	SigningKey    []byte
	SealKeys      string // public keys of the sites, site/id:base64 each
	Doors         []string
	AdminPassword string // of the first admin; empty: generated
	Callers
	TLS        process.TLSFiles
	Retention  housekeeping.Retention
	QueueLimit int // with so many tasks waiting, bulk work is refused; 0: never

	Drain time.Duration // how long it goes on serving after ctx has ended, while /readyz sends new requests elsewhere

	Registry *prometheus.Registry // where its metrics go and /metrics reads; nil: one of its own

	// FirstAdmin is told the generated password of the first admin, once; nil: it is printed to the log's writer by
	// the caller of Run, who must then give one.
	FirstAdmin func(password string)
	// Serving, if not nil, is called once the database is prepared and there is an admin.
	Serving func()
	// Listening, if not nil, is told the addresses once the doors are open.
	Listening func(http, grpc string)
}

// Read reads the api's configuration from an environment in the form of os.Environ. Every bad value is in the error.
func Read(environ []string) (Config, error) {
	r := settings.NewReader(settings.Environ(environ))
	c := read(r)
	process.Others(r)
	return c, r.Err()
}

// Variables returns what Read reads, for the documentation.
func Variables() []settings.Variable {
	r := settings.NewReader(nil)
	read(r)
	return r.Documented()
}

func read(r *settings.Reader) Config {
	c := Config{
		Process:       process.Read(r),
		HTTPAddr:      r.ListenAddr("ROLLCALL_HTTP_ADDR", ":8080", "where REST, the pages and /metrics answer"),
		GRPCAddr:      r.ListenAddr("ROLLCALL_GRPC_ADDR", ":50051", "where gRPC answers"),
		SigningKey:    r.SigningKey("ROLLCALL_SIGNING_KEY", true, "signs access tokens; at least 32 bytes"),
		Callers:       ReadCallers(r),
		SealKeys:      r.KeyList("ROLLCALL_SEAL_KEYS", true, "public keys site/id:base64; the first of a site seals its credentials"),
		Doors:         r.Subset("ROLLCALL_DOORS", AllDoors(), "which doors this api serves", AllDoors()...),
		AdminPassword: r.Secret("ROLLCALL_ADMIN_PASSWORD", false, "", "password of the first admin, user admin; without it one is generated and printed once"),
	}
	c.TLS = process.ReadTLS(r)
	c.QueueLimit = process.ReadQueueLimit(r)
	c.Retention = process.ReadRetention(r)
	c.Drain = r.Duration("ROLLCALL_DRAIN", 5*time.Second, 0, 10*time.Minute, "how long a stopping api serves on while /readyz says 503, so that balancers leave it out before it stops")
	if _, err := secret.ParseSealKeys(c.SealKeys); c.SealKeys != "" && err != nil {
		r.Refuse("ROLLCALL_SEAL_KEYS", err)
	}
	if n := len([]rune(c.AdminPassword)); n > 0 && n < 12 {
		r.Refuse("ROLLCALL_ADMIN_PASSWORD", errors.New("is shorter than 12 characters"))
	}
	return c
}

// readProxies reads the networks of the proxies that are believed.
func readProxies(r *settings.Reader) []netip.Prefix {
	var proxies []netip.Prefix
	for _, text := range r.List("ROLLCALL_TRUSTED_PROXIES", nil, "10.0.0.0/8,127.0.0.1/32", "networks of the proxies whose X-Forwarded-For is believed") {
		prefix, err := netip.ParsePrefix(text)
		if err != nil {
			r.Refuse("ROLLCALL_TRUSTED_PROXIES", fmt.Errorf("%q is not a network; for example ROLLCALL_TRUSTED_PROXIES=10.0.0.0/8", text))
		}
		proxies = append(proxies, prefix)
	}
	return proxies
}

// readOrigins reads the origins whose pages may ask.
func readOrigins(r *settings.Reader) []string {
	origins := r.List("ROLLCALL_CORS_ORIGINS", nil, "https://wall.example.com", "origins whose pages may ask the API with an Authorization header; cookies are never taken from them")
	for _, origin := range origins {
		if err := session.CheckOrigin(origin); err != nil {
			r.Refuse("ROLLCALL_CORS_ORIGINS", err)
		}
	}
	return origins
}

func (c Config) serves(door string) bool { return slices.Contains(c.Doors, door) }
