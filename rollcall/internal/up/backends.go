package up

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	"github.com/rollcallhq/rollcall/pkg/embedded"
)

// backends are the databases of a run: given ones, or private servers that end with it.
type backends struct {
	databaseURL string
	redisURL    string
	postgres    *embedded.Postgres
	redis       *embedded.Redis
	redisNote   string // what to know about the Redis; empty: nothing
}

func startBackends(ctx context.Context, o Options, log *slog.Logger) (*backends, error) {
	b := &backends{databaseURL: o.DatabaseURL, redisURL: o.RedisURL}
	if b.databaseURL == "" {
		server, err := embedded.StartPostgres(ctx, embedded.PostgresOptions{Dir: o.Data, Log: log})
		if err != nil {
			return nil, fmt.Errorf("starting a private PostgreSQL: %w", err)
		}
		b.postgres, b.databaseURL = server, server.URL()
	}
	if b.redisURL == "" {
		server, err := embedded.StartRedis(ctx, embedded.RedisOptions{Dir: o.Data, Log: log})
		if err != nil {
			b.stop(context.WithoutCancel(ctx), log)
			return nil, fmt.Errorf("starting a private Redis: %w", err)
		}
		b.redis, b.redisURL = server, server.URL()
		b.redisNote = server.Reason()
	}
	return b, nil
}

// watch returns an error when a private server dies by itself, and nil when ctx ends.
func (b *backends) watch(ctx context.Context) error {
	var postgres, redis <-chan struct{}
	if b.postgres != nil {
		postgres = b.postgres.Done()
	}
	if b.redis != nil {
		redis = b.redis.Done()
	}
	select {
	case <-ctx.Done():
		return nil
	case <-postgres:
		return errors.New("the private PostgreSQL has ended by itself; its log is in the data directory")
	case <-redis:
		return errors.New("the private Redis has ended by itself; its log is in the data directory")
	}
}

// stop ends the private servers, the first started last.
func (b *backends) stop(ctx context.Context, log *slog.Logger) {
	ctx, cancel := context.WithTimeout(ctx, stopTimeout)
	defer cancel()
	if b.redis != nil {
		if err := b.redis.Stop(ctx); err != nil {
			log.WarnContext(ctx, "stopping the private Redis failed", "error", err)
		}
	}
	if b.postgres != nil {
		if err := b.postgres.Stop(ctx); err != nil {
			log.WarnContext(ctx, "stopping the private PostgreSQL failed", "error", err)
		}
	}
}
