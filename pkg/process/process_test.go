package process_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rollcallhq/rollcall/pkg/embedded"
	"github.com/rollcallhq/rollcall/pkg/fleet"
	"github.com/rollcallhq/rollcall/pkg/process"
	"github.com/rollcallhq/rollcall/pkg/settings"
	"github.com/rollcallhq/rollcall/pkg/storetest"
)

func TestConfigurationIsRefusedByName(t *testing.T) {
	t.Parallel()
	good := map[string]string{"DATABASE_URL": "postgres://u:p@127.0.0.1/db", "REDIS_URL": "redis://127.0.0.1:6379/0"}
	tests := []struct{ name, variable, value string }{
		{"no database", "DATABASE_URL", ""},
		{"a database that is none", "DATABASE_URL", "mysql://x"},
		{"no Redis", "REDIS_URL", ""},
		{"a pool of nobody", "ROLLCALL_DB_MAX_CONNS", "0"},
		{"a timeout without a unit", "ROLLCALL_DB_STATEMENT_TIMEOUT", "soon"},
		{"an unknown way to migrate", "ROLLCALL_MIGRATE", "maybe"},
		{"an unknown level", "ROLLCALL_LOG_LEVEL", "loud"},
		{"a retention without a unit", "ROLLCALL_RETENTION", "13"},
		{"a retention of an hour", "ROLLCALL_RETENTION", "1h"},
		{"metrics that are kept longer than reports", "ROLLCALL_METRICS_RETENTION", "14mo"},
		{"a replica, which is not read yet", "DATABASE_REPLICA_URL", "postgres://u:p@127.0.0.1/db"},
		{"a variable that nobody knows", "ROLLCALL_LOG_LEVELS", "info"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			environ := map[string]string{}
			maps.Copy(environ, good)
			environ[tt.variable] = tt.value
			r := settings.NewReader(environ)
			process.Read(r)
			process.ReadRetention(r)
			process.Others(r)
			if err := r.Err(); err == nil || !strings.Contains(err.Error(), tt.variable) {
				t.Errorf("Read = %v, want it refused with %s named", err, tt.variable)
			}
		})
	}
	r := settings.NewReader(good)
	c := process.Read(r)
	if err := r.Err(); err != nil || c.Database.MaxConns != 20 || c.Migrate != process.MigrateAuto {
		t.Errorf("the defaults = %+v, %v", c, err)
	}
}

func open(t *testing.T, database, redis string, log *slog.Logger) *process.Backends {
	t.Helper()
	c := process.Config{DatabaseURL: database, RedisURL: redis, Migrate: process.MigrateAuto}
	c.Database.MaxConns = 4
	c.Database.ConnectTimeout = time.Second
	b, err := process.Open(t.Context(), c, "test", log)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Close)
	return b
}

const nowhere = "postgres://u:p@127.0.0.1:1/db"

func TestPreparingAnEmptyDatabase(t *testing.T) {
	t.Parallel()
	redis, err := embedded.RedisForTests(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = redis.Stop(context.WithoutCancel(t.Context())) })
	b := open(t, storetest.Empty(t), redis.URL(), slog.New(slog.DiscardHandler))
	if err := b.PrepareDatabase(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := b.WaitForRedis(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, check := range b.Checks(true) {
		if reason, err := check.Check(t.Context()); err != nil {
			t.Errorf("check %s: %s, %v", check.Name, reason, err)
		}
	}
}

func TestWhoIsNotThereIsNamed(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	b := open(t, nowhere, "redis://127.0.0.1:1/0", slog.New(slog.NewTextHandler(&out, nil)))
	ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
	defer cancel()
	if err := b.PrepareDatabase(ctx); err == nil {
		t.Error("PrepareDatabase of nothing succeeded")
	}
	ctx, cancel = context.WithTimeout(t.Context(), 1500*time.Millisecond)
	defer cancel()
	if err := b.WaitForRedis(ctx); err == nil {
		t.Error("WaitForRedis of nothing succeeded")
	}
	for _, who := range []string{"backend=PostgreSQL", "backend=Redis", "not ready"} {
		if !strings.Contains(out.String(), who) {
			t.Errorf("the log lacks %q: %s", who, &out)
		}
	}
	if strings.Contains(out.String(), "u:p") {
		t.Error("the log has the password")
	}
}

func TestInsistBacksOffAndGivesUpOnWhatWaitingDoesNotHelp(t *testing.T) {
	t.Parallel()
	b := open(t, nowhere, "redis://127.0.0.1:1/0", slog.New(slog.DiscardHandler))
	synctest.Test(t, func(t *testing.T) {
		calls, began := 0, time.Now()
		err := b.Insist(t.Context(), "it", func() error {
			if calls++; calls < 10 {
				return fleet.Errorf(fleet.Unavailable, "not yet")
			}
			return nil
		})
		if took := time.Since(began); err != nil || calls != 10 || took < 10*time.Second || took > time.Minute {
			t.Errorf("Insist = %v after %d calls and %s", err, calls, took)
		}
		calls = 0
		if err := b.Insist(t.Context(), "it", func() error { calls++; return errors.New("never") }); err == nil || calls != 1 {
			t.Errorf("Insist on what never works = %v after %d calls", err, calls)
		}
	})
}

func TestServeHTTPEndsWithItsContext(t *testing.T) {
	t.Parallel()
	l, err := process.Listen(t.Context(), "X_ADDR", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := process.Listen(t.Context(), "X_ADDR", l.Addr().String()); err == nil || !strings.Contains(err.Error(), "X_ADDR") {
		t.Errorf("listening twice = %v, want X_ADDR named", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() {
		done <- process.ServeHTTP(ctx, l, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			_, _ = io.WriteString(w, "here")
		}), slog.New(slog.DiscardHandler))
	}()
	res, err := http.Get("http://" + l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	_ = res.Body.Close()
	cancel()
	if err := <-done; err != nil {
		t.Errorf("ServeHTTP = %v", err)
	}
}

func TestRunNamesWhatKeepsItFromStarting(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	status := process.Run(&out, "thing", nil, func([]string) (int, error) { return 0, errors.New("X: is bad") },
		func(context.Context, int) error { return nil })
	if status != 2 || !strings.Contains(out.String(), "X: is bad") {
		t.Errorf("Run = %d: %s", status, &out)
	}
	out.Reset()
	status = process.Run(&out, "thing", nil, func(environ []string) (int, error) { return len(environ), nil },
		func(_ context.Context, n int) error {
			if n != len(os.Environ()) {
				t.Errorf("%d variables", n)
			}
			return errors.New("broken")
		})
	if status != 1 || !strings.Contains(out.String(), "thing: broken") {
		t.Errorf("Run = %d: %s", status, &out)
	}
}

func TestRunTakesNoArguments(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		args []string
		want int
	}{{[]string{"--help"}, 0}, {[]string{"--http=:80"}, 2}, {[]string{"up"}, 2}} {
		var out bytes.Buffer
		status := process.Run(&out, "thing", tt.args, func([]string) (int, error) { return 0, errors.New("read") }, nil)
		if status != tt.want || !strings.Contains(out.String(), "thing takes no arguments") {
			t.Errorf("Run with %v = %d: %s", tt.args, status, &out)
		}
	}
}

func TestOpenNamesTheVariableOfABadAddress(t *testing.T) {
	t.Parallel()
	const database, redis = "postgres://u:hunter2@127.0.0.1/db", "redis://127.0.0.1:6379/0"
	for _, tt := range []struct{ name, database, redis, want string }{
		{"a port of PostgreSQL that is none", "host=127.0.0.1 password=hunter2 port=abc", redis, "DATABASE_URL: "},
		{"a port of Redis that is none", database, "redis://:hunter2@127.0.0.1:abc", "REDIS_URL: "},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			_, err := process.Open(t.Context(), process.Config{DatabaseURL: tt.database, RedisURL: tt.redis, RedisPool: 5}, "test", slog.New(slog.DiscardHandler))
			if err == nil || !strings.HasPrefix(err.Error(), tt.want) || !strings.Contains(err.Error(), "for example") || strings.Contains(err.Error(), "hunter2") {
				t.Errorf("Open = %v, want %s named with an example, and no password", err, tt.want)
			}
		})
	}
}

func TestVersion(t *testing.T) {
	t.Parallel()
	if got := process.Version("v1.2.3"); got != "v1.2.3" {
		t.Errorf("stamped = %s", got)
	}
	if process.Version("") == "" {
		t.Error("a build without a stamp has no version")
	}
}
