package ephemeral

import (
	"context"
	"crypto/tls"
	"fmt"
	"log/slog"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"

	"github.com/rollcallhq/rollcall/pkg/fleet"
)

// ioTimeout bounds a dial, a read and a write each, for callers without a deadline of their own.
const ioTimeout = 2 * time.Second

// Options say how to talk to Redis. The zero value takes the defaults.
type Options struct {
	// PoolSize is the most connections per server; default 20. Asynq servers that share the client need four
	// each.
	PoolSize int
	// ClientName is what CLIENT LIST shows; default rollcall. No spaces.
	ClientName string
	// Log receives what go-redis itself has to say, at level Debug, because it says it once per attempt while
	// Redis is down. Nil drops it. The library has one log for the whole process: the last Open decides.
	Log *slog.Logger
}

// Open returns a client for the server, sentinels or cluster that url names:
//
//	redis://[user:password@]host[:port][/db]              rediss:// for TLS
//	redis-sentinel://[user:password@]host1,host2/master[?db=&sentinel_username=&sentinel_password=]
//	redis-cluster://[user:password@]host1,host2
//	unix:///path/to/redis.sock[?db=]
//
// TLS verifies the server against the system's roots (SSL_CERT_FILE). Open connects to nothing. An error is
// of kind Invalid, says what is wrong with the URL and quotes nothing of it. The caller closes the client.
func Open(url string, o Options) (redis.UniversalClient, error) {
	a, err := parseURL(url)
	if err != nil {
		return nil, fleet.Errorf(fleet.Invalid, "%v", err)
	}
	redis.SetLogger(libraryLog{o.Log})
	u := universalOptions(a, o)
	switch a.mode {
	case sentinel:
		return redis.NewFailoverClient(u.Failover()), nil
	case cluster:
		return redis.NewClusterClient(u.Cluster()), nil
	case socket:
		simple := u.Simple()
		simple.Network = "unix"
		return redis.NewClient(simple), nil
	case single:
	}
	return redis.NewClient(u.Simple()), nil
}

func universalOptions(a address, o Options) *redis.UniversalOptions {
	if o.PoolSize <= 0 {
		o.PoolSize = 20
	}
	if o.ClientName == "" {
		o.ClientName = "rollcall"
	}
	u := &redis.UniversalOptions{
		Addrs: a.hosts, MasterName: a.master, DB: a.db, ClientName: o.ClientName,
		Username: a.username, Password: a.password,
		SentinelUsername: a.sentinelUsername, SentinelPassword: a.sentinelPassword,
		PoolSize:    o.PoolSize,
		DialTimeout: ioTimeout, ReadTimeout: ioTimeout, WriteTimeout: ioTimeout, PoolTimeout: ioTimeout,
		// Without it a deadline of the caller ends the waiting for a connection and nothing after it.
		ContextTimeoutEnabled: true,
		// One quick retry bridges a connection that was closed while idle. More of them, and five dials for
		// each, would only make every request slow while Redis is down.
		MaxRetries: 1, DialerRetries: 1,
		DisableIdentity:          true,
		MaintNotificationsConfig: &maintnotifications.Config{Mode: maintnotifications.ModeDisabled},
	}
	if a.tls {
		u.TLSConfig = &tls.Config{MinVersion: tls.VersionTLS12} // the dialer adds each server's name
	}
	return u
}

// libraryLog hands go-redis' own messages on.
type libraryLog struct{ log *slog.Logger }

// Printf logs at level Debug, or not at all without a logger.
func (l libraryLog) Printf(ctx context.Context, format string, args ...any) {
	if l.log == nil || !l.log.Enabled(ctx, slog.LevelDebug) {
		return
	}
	l.log.DebugContext(ctx, "redis client", "message", fmt.Sprintf(format, args...))
}
