// Package queues is Asynqmon, the page that shows what waits on the queues. It is read-only: PostgreSQL decides what
// becomes of a task, so there is nothing to do by hand in Redis.
package queues

import (
	"net/http"

	"github.com/hibiken/asynqmon"
	"github.com/redis/go-redis/v9"
)

// Root is where the pages are.
const Root = "/queues"

// Handler returns the pages, for admins only: the caller guards them.
func Handler(client redis.UniversalClient) http.Handler {
	return asynqmon.New(asynqmon.Options{RootPath: Root, RedisConnOpt: connection{client}, ReadOnly: true})
}

// A connection lends Asynqmon the process's own client.
type connection struct{ client redis.UniversalClient }

// MakeRedisClient returns the client.
func (c connection) MakeRedisClient() any { return c.client }
