package ephemeral

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestParseURL(t *testing.T) {
	t.Parallel()
	tests := []struct {
		url  string
		want address
	}{
		{"redis://127.0.0.1:6379/0", address{hosts: []string{"127.0.0.1:6379"}}},
		{"redis://cache", address{hosts: []string{"cache:6379"}}},
		{"redis://cache/3", address{hosts: []string{"cache:6379"}, db: 3}},
		{"redis://cache/?db=4", address{hosts: []string{"cache:6379"}, db: 4}},
		{"redis://[::1]:7000", address{hosts: []string{"[::1]:7000"}}},
		{"redis://[::1]", address{hosts: []string{"[::1]:6379"}}},
		{"redis://u:p%40s%3As@cache", address{hosts: []string{"cache:6379"}, username: "u", password: "p@s:s"}},
		{"redis://:p:q+r@cache", address{hosts: []string{"cache:6379"}, password: "p:q+r"}},
		{"rediss://cache:6380", address{tls: true, hosts: []string{"cache:6380"}}},
		{"redis-sentinel://s1,s2:5000/mymaster?db=2&sentinel_password=sp", address{
			mode: sentinel, hosts: []string{"s1:26379", "s2:5000"}, master: "mymaster", db: 2, sentinelPassword: "sp",
		}},
		{"rediss-sentinel://:p@s1/m", address{mode: sentinel, tls: true, hosts: []string{"s1:26379"}, master: "m", password: "p"}},
		{"redis-cluster://h1,h2:7001", address{mode: cluster, hosts: []string{"h1:6379", "h2:7001"}}},
		{"rediss-cluster://h1/", address{mode: cluster, tls: true, hosts: []string{"h1:6379"}}},
		{"unix:///run/redis/redis.sock?db=1", address{mode: socket, hosts: []string{"/run/redis/redis.sock"}, db: 1}},
	}
	for _, tt := range tests {
		t.Run(tt.url, func(t *testing.T) {
			t.Parallel()
			got, err := parseURL(tt.url)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, got, cmp.AllowUnexported(address{})); diff != "" {
				t.Errorf("parseURL (-want +got):\n%s", diff)
			}
		})
	}
}

func TestParseURLRefuses(t *testing.T) {
	t.Parallel()
	tests := []struct{ name, url, want string }{
		{"nothing", "", "no scheme"},
		{"a bare address", "127.0.0.1:6379", "no scheme"},
		{"another scheme", "http://:hunter2@cache", "scheme"},
		{"no host", "redis://", "host 1"},
		{"no host behind a password", "redis://:hunter2@", "host 1"},
		{"a port that is a word", "redis://:hunter2@cache:abc", "port"},
		{"port 0", "redis://:hunter2@cache:0", "port"},
		{"IPv6 without brackets", "redis://:hunter2@::1", "brackets"},
		{"two hosts for one server", "redis://:hunter2@h1,h2", "redis-cluster"},
		{"a database that is a word", "redis://:hunter2@cache/db", "database"},
		{"a negative database", "redis://:hunter2@cache/-1", "database"},
		{"a slash in the password", "redis://:hunter2/x@cache", "%2F"},
		{"a question mark in the password", "redis://:hunter2?x@cache", "%3F"},
		{"a hash in the password", "redis://:hunter2#x@cache", "percent-encoded"},
		{"a stray percent sign in the password", "redis://:hunter2%zz@cache", "%25"},
		{"a line break at the end", "redis://:hunter2@cache\n", "white space"},
		{"a misspelt parameter", "redis://:hunter2@cache?bd=1", "not known"},
		{"a parameter twice", "redis://:hunter2@cache?db=1&db=2", "twice"},
		{"TLS without verification", "rediss://:hunter2@cache?skip_verify=true", "not known"},
		{"sentinels without a master", "redis-sentinel://:hunter2@s1,s2", "master's name"},
		{"an empty host among sentinels", "redis-sentinel://:hunter2@s1,,s2/m", "host 2"},
		{"a cluster with a database", "redis-cluster://:hunter2@h1/3", "database 0"},
		{"a cluster with a database as parameter", "redis-cluster://:hunter2@h1?db=3", "not known"},
		{"a socket without a path", "unix://", "no path"},
		{"a socket with a host", "unix://hunter2/run/redis.sock", "no host"},
		{"a thousand hosts", "redis-cluster://" + strings.Repeat("h,", 1000) + "h", "more than"},
		{"kilobytes", "redis://" + strings.Repeat("h", 5000), "longer than"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			_, err := parseURL(tt.url)
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Fatalf("parseURL(%.60q) = %v, want an error with %q", tt.url, err, tt.want)
			}
			if strings.Contains(err.Error(), "hunter2") {
				t.Errorf("the error shows the password: %v", err)
			}
		})
	}
}

func FuzzParseURL(f *testing.F) {
	for _, seed := range []string{"redis://u:p@h:1/2?db=3", "redis-sentinel://a,b/m", "unix:///s", "redis://[::1]:1"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, s string) {
		a, err := parseURL(s)
		if err == nil && (len(a.hosts) == 0 || a.hosts[0] == "" || a.db < 0 || a.mode == sentinel && a.master == "") {
			t.Errorf("parseURL(%q) accepted %+v", s, a)
		}
	})
}

func TestLibraryLog(t *testing.T) {
	t.Parallel()
	var buf bytes.Buffer
	debug := libraryLog{slog.New(slog.NewTextHandler(&buf, &slog.HandlerOptions{Level: slog.LevelDebug}))}
	debug.Printf(t.Context(), "pool: %s", "gone")
	if got := buf.String(); !strings.Contains(got, `msg="redis client" message="pool: gone"`) {
		t.Errorf("at level Debug it logs %q", got)
	}
	buf.Reset()
	libraryLog{slog.New(slog.NewTextHandler(&buf, nil))}.Printf(t.Context(), "pool: %s", "gone")
	libraryLog{}.Printf(t.Context(), "without a logger")
	if buf.Len() != 0 {
		t.Errorf("at level Info it logs %q", buf.String())
	}
}

func TestJudge(t *testing.T) {
	t.Parallel()
	master := map[string]string{"role": "master"}
	aof := func(kv ...string) map[string]string {
		m := map[string]string{"aof_enabled": "1", "aof_last_write_status": "ok", "aof_last_bgrewrite_status": "ok"}
		for i := 0; i < len(kv); i += 2 {
			m[kv[i]] = kv[i+1]
		}
		return m
	}
	tests := []struct {
		name                     string
		replication, persistence map[string]string
		reason                   string
		down                     bool
	}{
		{"a master with a sound append-only file", master, aof(), "", false},
		{"a master without one", master, aof("aof_enabled", "0"), reasonNoAOF, false},
		{"a master that could not write it", master, aof("aof_last_write_status", "err"), "", true},
		{"a master that does not say whether it could", master, map[string]string{"aof_enabled": "1"}, "", true},
		{"a master that could not rewrite it", master, aof("aof_last_bgrewrite_status", "err"), reasonRewrite, false},
		{"a replica that takes writes", map[string]string{"role": "slave"}, aof(), "", true},
		{"a server that tells no role", map[string]string{}, aof(), reasonUnknown, false},
		{"a server that tells nothing of its file", master, map[string]string{}, reasonUnknown, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			reason, err := judge(tt.replication, tt.persistence)
			if reason != tt.reason || (err != nil) != tt.down {
				t.Errorf("judge = %q, %v, want %q and down %v", reason, err, tt.reason, tt.down)
			}
		})
	}
}
