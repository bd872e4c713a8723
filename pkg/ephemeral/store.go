package ephemeral

import (
	"context"
	"time"

	"github.com/go-redis/redis_rate/v10"
	"github.com/redis/go-redis/v9"

	"github.com/rollcallhq/rollcall/pkg/fleet"
)

const (
	// callTimeout bounds every call of a Store, so that requests fail fast while Redis is down or silent.
	callTimeout = time.Second

	// CodeSessionStoreUnavailable is the code of every error of a session call that Redis did not answer.
	CodeSessionStoreUnavailable = "session_store_unavailable"

	// keyPrefix keeps our keys apart from Asynq's in one database.
	keyPrefix = "rollcall:"
)

// A Store is what the replicas share. It is safe for concurrent use.
type Store struct {
	client  redis.UniversalClient
	limiter *redis_rate.Limiter
}

// New returns a Store on client, which Open made; the caller keeps and closes it.
func New(client redis.UniversalClient) *Store {
	return &Store{client: client, limiter: redis_rate.NewLimiter(client)}
}

// Ping returns an error of kind Unavailable if Redis does not answer. It is for waiting at start; Health says
// whether Redis is fit for its work.
func (s *Store) Ping(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	if err := s.client.Ping(ctx).Err(); err != nil {
		return unavailable(err)
	}
	return nil
}

func unavailable(err error) *fleet.Error {
	return fleet.Wrap(err, fleet.Unavailable, "redis does not answer")
}
