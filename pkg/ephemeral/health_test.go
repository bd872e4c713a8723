package ephemeral_test

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/google/uuid"

	"github.com/rollcallhq/rollcall/pkg/ephemeral"
	"github.com/rollcallhq/rollcall/pkg/fleet"
)

func TestHealth(t *testing.T) {
	t.Parallel()
	t.Run("is ok without a word on a master with an append-only file", func(t *testing.T) {
		t.Parallel()
		client, s := open(t, startRedis(t, "--appendonly", "yes").url())
		if reason, err := s.Health(t.Context()); reason != "" || err != nil {
			t.Errorf("Health = %q, %v", reason, err)
		}
		if n, err := client.DBSize(t.Context()).Result(); n != 0 || err != nil {
			t.Errorf("Health left %d keys behind, %v", n, err)
		}
	})
	t.Run("is ok with a reason without an append-only file", func(t *testing.T) {
		t.Parallel()
		_, s := open(t, startRedis(t, "--appendonly", "no").url())
		if reason, err := s.Health(t.Context()); !strings.Contains(reason, "append-only file is off") || err != nil {
			t.Errorf("Health = %q, %v", reason, err)
		}
	})
	t.Run("is ok with a reason on an in-process Redis", func(t *testing.T) {
		t.Parallel()
		_, s := open(t, "redis://"+miniredis.RunT(t).Addr())
		if reason, err := s.Health(t.Context()); !strings.Contains(reason, "in-process") || err != nil {
			t.Errorf("Health = %q, %v", reason, err)
		}
	})
	t.Run("is ok behind a Unix socket", func(t *testing.T) {
		t.Parallel()
		dir, err := os.MkdirTemp("", "redis") //nolint:usetesting // t.TempDir is too long a path for a socket
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = os.RemoveAll(dir) })
		startRedis(t, "--unixsocket", dir+"/s", "--appendonly", "yes")
		_, s := open(t, "unix://"+dir+"/s")
		if reason, err := s.Health(t.Context()); reason != "" || err != nil {
			t.Errorf("Health = %q, %v", reason, err)
		}
	})
}

func TestHealthIsDown(t *testing.T) {
	t.Parallel()
	master := func(t *testing.T) string { t.Helper(); return strconv.Itoa(startRedis(t).port) }
	tests := []struct {
		name string
		url  func(t *testing.T) string
		want string
	}{
		{"on a replica", func(t *testing.T) string {
			t.Helper()
			return startRedis(t, "--replicaof", "127.0.0.1 "+master(t)).url()
		}, "replica"},
		{"on a replica that takes writes", func(t *testing.T) string {
			t.Helper()
			return startRedis(t, "--replicaof", "127.0.0.1 "+master(t), "--replica-read-only", "no").url()
		}, "replica"},
		{"when the memory is full", func(t *testing.T) string {
			t.Helper()
			return startRedis(t, "--maxmemory", "1").url()
		}, "memory is full"},
		{"without the password", func(t *testing.T) string {
			t.Helper()
			return startRedis(t, "--requirepass", "hunter2").url()
		}, "password"},
		{"with a wrong password", func(t *testing.T) string {
			t.Helper()
			return fmt.Sprintf("redis://:hunter3@127.0.0.1:%d", startRedis(t, "--requirepass", "hunter2").port)
		}, "password"},
		{"where nothing listens", func(t *testing.T) string {
			t.Helper()
			return fmt.Sprintf("redis://:hunter3@127.0.0.1:%d", freePort(t))
		}, "does not answer"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			_, s := open(t, tt.url(t))
			_, err := s.Health(t.Context())
			if fleet.KindOf(err) != fleet.Unavailable || !strings.Contains(fleet.MessageOf(err), tt.want) {
				t.Errorf("Health = %v, want Unavailable and %q", err, tt.want)
			}
			if strings.Contains(err.Error(), "hunter") {
				t.Errorf("the error shows a password: %v", err)
			}
		})
	}
}

// calls are all that touch Redis, with whether they are about sessions.
func calls(s *ephemeral.Store) map[string]struct {
	call     func(context.Context) error
	sessions bool
} {
	type entry = struct {
		call     func(context.Context) error
		sessions bool
	}
	id := uuid.New()
	return map[string]entry{
		"Ping":   {s.Ping, false},
		"Health": {func(ctx context.Context) error { _, err := s.Health(ctx); return err }, false},
		"Allow": {func(ctx context.Context) error {
			_, err := s.Allow(ctx, "k", ephemeral.PerSecond(1))
			return err
		}, false},
		"CreateSession": {func(ctx context.Context) error { return s.CreateSession(ctx, newSession(id)) }, true},
		"Session":       {func(ctx context.Context) error { _, err := s.Session(ctx, id); return err }, true},
		"RotateRefresh": {func(ctx context.Context) error {
			_, err := s.RotateRefresh(ctx, id, hash("a"), hash("b"))
			return err
		}, true},
		"DeleteSession":      {func(ctx context.Context) error { return s.DeleteSession(ctx, id) }, true},
		"UserSessions":       {func(ctx context.Context) error { _, err := s.UserSessions(ctx, id); return err }, true},
		"DeleteUserSessions": {func(ctx context.Context) error { return s.DeleteUserSessions(ctx, id) }, true},
	}
}

func TestRedisDown(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name     string
		fail     func(*server)
		recovers func(*server)
	}{
		{"killed", func(r *server) { r.kill() }, func(r *server) {
			if !r.start() {
				r.tb.Fatal("the server does not come back")
			}
		}},
		{"silent", func(r *server) { r.signal(syscall.SIGSTOP) }, func(r *server) { r.signal(syscall.SIGCONT) }},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			r := startRedis(t)
			_, s := open(t, r.url())
			if err := s.Ping(t.Context()); err != nil {
				t.Fatal(err)
			}
			tt.fail(r)
			for round := range 2 { // the second time there is no connection left in the pool
				var wg sync.WaitGroup
				for name, c := range calls(s) {
					wg.Go(func() {
						start := time.Now()
						err := c.call(t.Context())
						if took := time.Since(start); took > 2500*time.Millisecond {
							t.Errorf("round %d: %s took %s", round+1, name, took)
						}
						if fleet.KindOf(err) != fleet.Unavailable || (fleet.CodeOf(err) == ephemeral.CodeSessionStoreUnavailable) != c.sessions {
							t.Errorf("round %d: %s = %v (code %s)", round+1, name, err, fleet.CodeOf(err))
						}
					})
				}
				wg.Wait()
			}
			tt.recovers(r)
			eventually(t, func(ctx context.Context) error { return s.CreateSession(ctx, newSession(uuid.New())) })
		})
	}
}

func TestCluster(t *testing.T) {
	t.Parallel()
	r := startRedis(t, "--cluster-enabled", "yes", "--appendonly", "yes")
	admin, _ := open(t, r.url())
	if err := admin.Do(t.Context(), "cluster", "addslotsrange", 0, 16383).Err(); err != nil {
		t.Fatal(err)
	}
	_, s := open(t, fmt.Sprintf("redis-cluster://127.0.0.1:%d", r.port))
	eventually(t, func(ctx context.Context) error {
		reason, err := s.Health(ctx)
		if err == nil && reason != "" {
			err = errors.New(reason)
		}
		return err
	})
	for name, c := range calls(s) {
		if err := c.call(t.Context()); fleet.KindOf(err) == fleet.Unavailable {
			t.Errorf("%s in a cluster = %v", name, err)
		}
	}
	user := uuid.New()
	kept := create(t, s, newSession(user))
	create(t, s, newSession(user))
	if err := s.DeleteUserSessions(t.Context(), user, kept.ID); err != nil {
		t.Fatal(err)
	}
	if sessions, err := s.UserSessions(t.Context(), user); err != nil || len(sessions) != 1 || sessions[0].ID != kept.ID {
		t.Errorf("UserSessions in a cluster = %v, %v", sessions, err)
	}
	r.kill()
	start := time.Now()
	if _, err := s.Session(t.Context(), kept.ID); fleet.CodeOf(err) != ephemeral.CodeSessionStoreUnavailable {
		t.Errorf("Session in a dead cluster = %v", err)
	}
	if took := time.Since(start); took > 2500*time.Millisecond {
		t.Errorf("Session in a dead cluster took %s", took)
	}
}

func TestSentinel(t *testing.T) {
	t.Parallel()
	master := startRedis(t, "--appendonly", "yes")
	conf := filepath.Join(t.TempDir(), "sentinel.conf")
	if err := os.WriteFile(conf, []byte(fmt.Sprintf("sentinel monitor mymaster 127.0.0.1 %d 1\n", master.port)), 0o600); err != nil {
		t.Fatal(err)
	}
	watcher := startSentinel(t, conf)
	_, s := open(t, fmt.Sprintf("redis-sentinel://127.0.0.1:%d/mymaster?db=1", watcher.port))
	eventually(t, func(ctx context.Context) error { _, err := s.Health(ctx); return err })
	sess := create(t, s, newSession(uuid.New()))
	_, direct := open(t, fmt.Sprintf("redis://127.0.0.1:%d/1", master.port))
	if _, err := direct.Session(t.Context(), sess.ID); err != nil {
		t.Errorf("the session is not in database 1 of the master: %v", err)
	}
	_, unknown := open(t, fmt.Sprintf("redis-sentinel://127.0.0.1:%d/other", watcher.port))
	if err := unknown.Ping(t.Context()); fleet.KindOf(err) != fleet.Unavailable {
		t.Errorf("a master that the sentinels do not know = %v", err)
	}
}

func TestTLSVerifiesTheServer(t *testing.T) {
	t.Parallel()
	impostor := httptest.NewUnstartedServer(http.NotFoundHandler())
	impostor.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError) // it says that the handshake failed, which is the point
	impostor.StartTLS()
	t.Cleanup(impostor.Close)
	_, s := open(t, "rediss://"+impostor.Listener.Addr().String())
	err := s.Ping(t.Context())
	if _, ok := errors.AsType[*tls.CertificateVerificationError](err); !ok || fleet.KindOf(err) != fleet.Unavailable {
		t.Errorf("Ping of a server with a certificate nobody vouches for = %v", err)
	}
}
