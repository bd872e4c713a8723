//go:build unix

package embedded

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/rollcallhq/rollcall/pkg/fleet"
	"github.com/rollcallhq/rollcall/pkg/needs"
)

func TestServersRedisKeepsDataPasswordAndAddress(t *testing.T) {
	t.Parallel()
	needRedis(t)
	dir := scratch(t)
	first := startRedis(t, RedisOptions{Dir: dir})
	if first.InProcess() || first.Reason() != "" {
		t.Errorf("InProcess = %v, %q, want a child without a reason", first.InProcess(), first.Reason())
	}
	client := redisClient(t, first.URL())
	if err := client.Set(t.Context(), "kept", "42", 0).Err(); err != nil {
		t.Fatal(err)
	}
	for setting, want := range map[string]string{"maxmemory-policy": "noeviction", "appendonly": "yes", "appendfsync": "everysec", "bind": "127.0.0.1"} {
		got, err := client.ConfigGet(t.Context(), setting).Result()
		if err != nil || got[setting] != want {
			t.Errorf("%s = %q, %v, want %q", setting, got[setting], err, want)
		}
	}
	for _, uid := range uidsOf(t, first.server.cmd.Process.Pid) {
		if uid == "0" {
			t.Error("the server runs as root")
		}
	}
	stop(t, first)
	if err := first.Wait(t.Context()); err != nil {
		t.Errorf("Wait after Stop = %v", err)
	}
	second := startRedis(t, RedisOptions{Dir: dir})
	if got, err := redisClient(t, second.URL()).Get(t.Context(), "kept").Result(); got != "42" {
		t.Errorf("after a restart it holds %q, %v, want 42", got, err)
	}
	if first.URL() != second.URL() {
		t.Errorf("the address changed from %s to %s", first.URL(), second.URL())
	}
}

func TestRedisAsksForThePassword(t *testing.T) {
	t.Parallel()
	for _, inProcess := range []bool{false, true} {
		r := startRedis(t, RedisOptions{Ephemeral: true, InProcess: inProcess})
		naked := strings.Replace(r.URL(), ":"+r.password+"@", "", 1)
		err := redisClient(t, naked).Ping(t.Context()).Err()
		if err == nil || !strings.Contains(err.Error(), "NOAUTH") {
			t.Errorf("in process %v: without the password Ping gives %v, want NOAUTH", r.InProcess(), err)
		}
		if err := redisClient(t, r.URL()).Ping(t.Context()).Err(); err != nil {
			t.Errorf("in process %v: with the password Ping gives %v", r.InProcess(), err)
		}
	}
}

func TestRedisPasswordIsNotInTheListOfProcesses(t *testing.T) {
	t.Parallel()
	needRedis(t)
	r := startRedis(t, RedisOptions{Ephemeral: true})
	args, err := os.ReadFile(filepath.Join("/proc", fmtPID(r.server), "cmdline"))
	if err != nil {
		needs.Lacking(t, "%v", err)
	}
	if strings.Contains(string(args), r.password) {
		t.Errorf("the password is an argument: %q", args)
	}
}

func TestInProcessRedisLetsTimePassAndSaysWhatItIs(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	r := startRedis(t, RedisOptions{Dir: dir, InProcess: true})
	if !r.InProcess() || !strings.Contains(r.Reason(), "nothing survives a restart") {
		t.Errorf("InProcess = %v, %q", r.InProcess(), r.Reason())
	}
	client := redisClient(t, r.URL())
	if err := client.Set(t.Context(), "short", "1", 500*time.Millisecond).Err(); err != nil {
		t.Fatal(err)
	}
	if err := client.Get(t.Context(), "short").Err(); err != nil {
		t.Errorf("at once the key is gone: %v", err)
	}
	eventually(t, 5*time.Second, "a key expires", func() bool {
		err := client.Get(context.WithoutCancel(t.Context()), "short").Err()
		return errors.Is(err, redis.Nil)
	})
	stop(t, r)
	if err := r.Wait(t.Context()); err != nil {
		t.Errorf("Wait after Stop = %v", err)
	}
	if _, err := pickPort(t.Context(), filepath.Join(dir, "redis.port")); err != nil {
		t.Error(err)
	}
	again := startRedis(t, RedisOptions{Dir: dir, InProcess: true})
	if again.URL() != r.URL() {
		t.Errorf("the address changed from %s to %s", r.URL(), again.URL())
	}
}

func TestRedisThatDiesByItselfIsNoticed(t *testing.T) {
	t.Parallel()
	needRedis(t)
	r := startRedis(t, RedisOptions{Ephemeral: true})
	_ = syscall.Kill(r.server.cmd.Process.Pid, syscall.SIGKILL)
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if err := r.Wait(ctx); fleet.KindOf(err) != fleet.Unavailable {
		t.Errorf("Wait = %v, want that it was killed", err)
	}
	<-r.Done()
}

func TestRedisThatCannotStartSaysWhy(t *testing.T) {
	t.Parallel()
	needRedis(t)
	dir := scratch(t)
	r := startRedis(t, RedisOptions{Dir: dir})
	if err := redisClient(t, r.URL()).Set(t.Context(), "k", strings.Repeat("v", 1000), 0).Err(); err != nil {
		t.Fatal(err)
	}
	stop(t, r)
	found, _ := filepath.Glob(filepath.Join(dir, "redis", "appendonlydir", "*.incr.aof"))
	if len(found) != 1 {
		needs.Lacking(t, "no append-only files of the form this test can break: %v", found)
	}
	f, err := os.OpenFile(found[0], os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteAt([]byte("garbage, garbage, garbage"), 0); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	_, err = StartRedis(t.Context(), RedisOptions{Dir: dir})
	if fleet.KindOf(err) != fleet.Unavailable || !strings.Contains(err.Error(), "Bad file format") {
		t.Errorf("StartRedis = %v, want the server's own words", err)
	}
}
