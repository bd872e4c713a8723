package embedded

import "context"

// RedisForTests starts an ephemeral Redis for one test binary or one test: a real one where redis-server is
// installed, the in-process one elsewhere. It takes some tens of milliseconds. The caller owes a Stop.
func RedisForTests(ctx context.Context) (*Redis, error) {
	return StartRedis(ctx, RedisOptions{Ephemeral: true})
}
