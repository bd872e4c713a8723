package command

import (
	"context"
	"fmt"
	"log/slog"

	"github.com/rollcallhq/rollcall/pkg/ephemeral"
	"github.com/rollcallhq/rollcall/pkg/process"
	"github.com/rollcallhq/rollcall/pkg/settings"
	"github.com/rollcallhq/rollcall/pkg/token"
	"github.com/rollcallhq/rollcall/rollcall/internal/up"
)

type upCommand struct {
	HTTP     string `name:"http" help:"Where REST and the pages answer (127.0.0.1:8080; with --once any free port)." placeholder:"ADDR"`
	GRPC     string `name:"grpc" help:"Where gRPC answers (127.0.0.1:50051; with --once any free port)." placeholder:"ADDR"`
	Data     string `help:"Data directory (the user's state directory; as root /var/lib/rollcall)." placeholder:"DIR" type:"path"`
	Simulate int    `help:"Import and collect N simulated SSH hosts as well." placeholder:"N"`
	Drift    share  `help:"Share of the simulated hosts that change a fact between two of their collections, such as 1%." default:"0"`
	Once     bool   `help:"Collect, print, and end when the reports are stored."`
	Output   string `short:"o" help:"table or json." enum:"table,json" default:"table"`
}

// Run runs everything in one process.
func (c upCommand) Run(ctx context.Context, in Invocation) error {
	if c.Simulate < 0 || c.Simulate > 10_000 {
		return usage{errSimulate}
	}
	if c.Drift > 0 && c.Simulate == 0 {
		return usage{errDrift}
	}
	o, err := c.options(in)
	if err != nil {
		return usage{err}
	}
	return up.Run(ctx, o)
}

func (c upCommand) options(in Invocation) (up.Options, error) {
	environ := settings.Environ(in.Environ)
	r := settings.NewReader(environ)
	if environ["ROLLCALL_LOG_LEVEL"] == "" {
		environ["ROLLCALL_LOG_LEVEL"] = slog.LevelWarn.String() // what matters is printed
	}
	o := up.Options{
		HTTP: c.HTTP, GRPC: c.GRPC, Data: c.Data, Simulate: c.Simulate, Drift: float64(c.Drift), Once: c.Once, JSON: c.Output == "json",
		DatabaseURL:   r.PostgresURL("DATABASE_URL", false, "PostgreSQL; without it a private server is started"),
		RedisURL:      r.RedisURL("REDIS_URL", false, "Redis; without it a private server is started"),
		AdminPassword: r.Secret("ROLLCALL_ADMIN_PASSWORD", false, "", "password of the first admin, user admin"),
		SigningKey:    string(r.SigningKey("ROLLCALL_SIGNING_KEY", false, "signs access tokens")),
		SealKeys:      r.KeyList("ROLLCALL_SEAL_KEYS", false, "public keys of the sites"),
		OpenKeys:      r.KeyList("ROLLCALL_OPEN_KEYS", false, "private keys of the sites"),
		QueueLimit:    process.ReadQueueLimit(r), Retention: process.ReadRetention(r),
		Callers: up.ReadCallers(r), TLS: process.ReadTLS(r), Connections: process.ReadConnections(r),
		Log: process.ReadLog(r), Traces: process.ReadTraces(r), Stdout: in.Stdout, Stderr: in.Stderr, Version: in.Version,
	}
	if n := len([]rune(o.AdminPassword)); n > 0 && n < token.MinPassword {
		r.Refuse("ROLLCALL_ADMIN_PASSWORD", fmt.Errorf("is shorter than %d characters", token.MinPassword))
	}
	process.Others(r)
	if o.RedisURL != "" {
		if client, err := ephemeral.Open(o.RedisURL, ephemeral.Options{}); err != nil {
			r.Refuse("REDIS_URL", err)
		} else {
			_ = client.Close()
		}
	}
	return o, r.Err()
}
