// Asynqmon shows what waits on the queues, read-only, as a service of its own beside the others. It asks nobody who they
// are: publish it where only operators come, as compose.yaml does. The api serves the same pages to admins at /queues.
//
// It reads REDIS_URL, ROLLCALL_HTTP_ADDR and the variables for logs, and has /healthz, /readyz, /health and /metrics.
package main

import (
	"context"
	"log/slog"
	"net/http"
	"os"

	"github.com/hibiken/asynqmon"
	"github.com/redis/go-redis/v9"

	"github.com/rollcallhq/rollcall/pkg/ephemeral"
	"github.com/rollcallhq/rollcall/pkg/process"
	"github.com/rollcallhq/rollcall/pkg/settings"
	"github.com/rollcallhq/rollcall/pkg/telemetry"
)

const service = "asynqmon"

// version is stamped by the linker.
var version string

type config struct {
	redisURL string
	addr     string
	log      telemetry.Options
}

func main() {
	os.Exit(process.Run(os.Stderr, service, os.Args[1:], read, func(ctx context.Context, c config) error {
		return run(ctx, c, process.Logger(os.Stderr, service, c.log))
	}))
}

// read reads the configuration from an environment in the form of os.Environ.
func read(environ []string) (config, error) {
	r := settings.NewReader(settings.Environ(environ))
	process.Others(r)
	c := config{
		redisURL: r.RedisURL("REDIS_URL", true, "Redis: the one that holds the queues"),
		addr:     r.ListenAddr("ROLLCALL_HTTP_ADDR", ":8080", "where the pages answer"),
		log:      process.ReadLog(r),
	}
	return c, r.Err()
}

// run serves the pages until ctx ends.
func run(ctx context.Context, c config, log *slog.Logger) error {
	client, err := ephemeral.Open(c.redisURL, ephemeral.Options{Log: log})
	if err != nil {
		return err
	}
	defer func() { _ = client.Close() }()
	listener, err := process.Listen(ctx, "ROLLCALL_HTTP_ADDR", c.addr)
	if err != nil {
		return err
	}
	log.InfoContext(ctx, "serving", "addr", listener.Addr().String())
	return process.ServeHTTP(ctx, listener, handler(client, log), log)
}

// handler returns the pages and the health of this process. It is well when Redis answers; whether Redis is well is for
// those to say who write to it.
func handler(client redis.UniversalClient, log *slog.Logger) http.Handler {
	health := telemetry.NewHealth(log, telemetry.Check{Name: "redis", Check: func(ctx context.Context) (string, error) {
		return "", ephemeral.New(client).Ping(ctx)
	}})
	ops := telemetry.OpsHandler(telemetry.NewRegistry(service, process.Version(version)), health)
	mux := http.NewServeMux()
	for _, path := range []string{"/healthz", "/readyz", "/health", "/metrics"} {
		mux.Handle(path, ops)
	}
	mux.Handle("/", asynqmon.New(asynqmon.Options{RedisConnOpt: connection{client}, ReadOnly: true}))
	return mux
}

// A connection lends Asynqmon the process's own client.
type connection struct{ client redis.UniversalClient }

// MakeRedisClient returns the client.
func (c connection) MakeRedisClient() any { return c.client }
